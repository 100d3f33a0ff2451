//! A job of Jenkins, started over HTTP.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::forge::encoded;
use super::send::Message;
use crate::credentials::Secret;

/// A Jenkins, and who asks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jenkins {
    /// Its address.
    pub url: String,
    /// The user.
    pub user: String,
    /// The user's API token.
    pub token: Secret,
}

impl Jenkins {
    /// The request that starts a job by its path, such as `view/CSE/job/Test`.
    ///
    /// # Errors
    /// When the path can be no job's.
    pub fn start(&self, path: &str) -> Result<Message, String> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let is_sound = |part: &&str| !matches!(*part, "" | "." | "..") && !part.contains(char::is_control);
        let is_job = matches!(parts.as_slice(), [.., "job", _]);
        if !is_job || !parts.iter().all(is_sound) {
            return Err("a job's path ends with `job/NAME`, such as view/CSE/job/Test".into());
        }
        let path: Vec<String> = parts.iter().map(|part| encoded(part)).collect();
        let url = format!("{}/{}/build", self.url.trim_end_matches('/'), path.join("/"));
        let login = STANDARD.encode(format!("{}:{}", self.user, self.token.reveal()));
        let headers = BTreeMap::from([("authorization".to_owned(), format!("Basic {login}"))]);
        Ok(Message { url, headers, body: Vec::new(), is_secret: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_jobs_and_leads_nowhere_else() {
        let jenkins =
            Jenkins { url: "https://j.example/".into(), user: "me".into(), token: Secret::new("t") };
        let message = jenkins.start("view/CSE/job/My Test").unwrap();
        assert_eq!(message.url, "https://j.example/view/CSE/job/My%20Test/build");
        assert_eq!(message.headers["authorization"], "Basic bWU6dA==");
        for bad in
            ["", "Test", "job/", "../job/x", "view//job/x", "job/x/../../scriptText", "job/a\nb", "x/job"]
        {
            assert!(jenkins.start(bad).is_err(), "{bad}");
        }
        assert_eq!(jenkins.start("job/a?b#c").unwrap().url, "https://j.example/job/a%3Fb%23c/build");
    }
}
