//! Messages to people and programs about the end of a job.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::send::Message;
use crate::credentials::Secret;

/// The form of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A document of imk's own.
    Document,
    /// A text, as Slack, Mattermost, Rocket.Chat and their like read it.
    Slack,
}

/// The end of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// The repository.
    pub repository: String,
    /// The branch.
    pub branch: String,
    /// The commit, in full.
    pub commit: String,
    /// The first line of its message.
    pub message: String,
    /// The number of the job.
    pub job: String,
    /// It went well.
    pub ok: bool,
    /// One line.
    pub summary: String,
    /// The job's page.
    pub page: Option<String>,
    /// The images with their verdicts.
    pub images: Vec<(String, String)>,
}

impl Notice {
    /// All of it in a line.
    pub fn line(&self) -> String {
        let ended = if self.ok { "passed" } else { "failed" };
        let short: String = self.commit.chars().take(10).collect();
        let page = self.page.iter().map(|page| format!(" {page}")).collect::<String>();
        format!("{} {} {short} {ended}: {}{page}", self.repository, self.branch, self.summary)
    }

    fn document(&self) -> Value {
        let images: BTreeMap<&str, &str> =
            self.images.iter().map(|(name, verdict)| (name.as_str(), verdict.as_str())).collect();
        json!({
            "event": "job", "job": self.job, "repository": self.repository, "branch": self.branch,
            "commit": self.commit, "message": self.message, "ok": self.ok, "summary": self.summary,
            "page": self.page, "images": images,
        })
    }
}

/// A message that tells of the end of a job.
pub fn of_job(url: &Secret, form: Form, notice: &Notice) -> Message {
    match form {
        Form::Document => posted(url, &notice.document()),
        Form::Slack => of_text(url, form, &notice.line()),
    }
}

/// A message that says what a step wants said.
pub fn of_text(url: &Secret, form: Form, text: &str) -> Message {
    match form {
        Form::Document => posted(url, &json!({ "event": "message", "text": text })),
        // These three are Slack's whole escaping; with them no text is a link or calls everybody.
        Form::Slack => {
            let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            posted(url, &json!({ "text": text }))
        }
    }
}

fn posted(url: &Secret, body: &Value) -> Message {
    let headers = BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]);
    Message { url: url.reveal().to_owned(), headers, body: body.to_string().into_bytes(), is_secret: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_a_line_or_a_document_and_calls_nobody() {
        let notice = Notice {
            repository: "team/app".into(),
            branch: "main".into(),
            commit: "0123456789abcdef".into(),
            message: "<!channel> mend".into(),
            job: "7".into(),
            summary: "web failed: <!everyone> & \"more\"".into(),
            page: Some("https://imk.example/job/7".into()),
            images: vec![("web".into(), "failed".into())],
            ok: false,
        };
        let url = Secret::new("https://chat.example/s3cr3t");
        let slack: Value = serde_json::from_slice(&of_job(&url, Form::Slack, &notice).body).unwrap();
        let expected = "team/app main 0123456789 failed: web failed: &lt;!everyone&gt; &amp; \"more\" https://imk.example/job/7";
        assert_eq!(slack["text"], expected);
        let document: Value = serde_json::from_slice(&of_job(&url, Form::Document, &notice).body).unwrap();
        assert_eq!((&document["ok"], &document["images"]["web"]), (&json!(false), &json!("failed")));
    }
}
