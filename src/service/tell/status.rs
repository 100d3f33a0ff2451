//! Statuses at commits, as each forge wants them.
//!
//! | forge | call | limits |
//! |---|---|---|
//! | GitHub | `POST /repos/O/R/statuses/SHA` | description of 140 characters |
//! | GitLab | `POST /projects/ID/statuses/SHA` | with `ref`, or it may join another branch's pipeline |
//! | Gitea, Forgejo | `POST /repos/O/R/statuses/SHA` | |
//! | Bitbucket | `POST /repositories/O/R/commit/SHA/statuses/build` | a key of 40 characters, and an address |

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::forge::{Place, encoded};
use super::send::Message;
use crate::credentials::Secret;
use crate::syntax::serve::Forge;

/// GitHub takes so many characters of a description.
const SHORT: usize = 140;
/// The others take so many.
const LONG: usize = 255;
/// Between images of a causal chain.
const LINK: &str = " ← ";
/// Bitbucket's keys.
const KEY: usize = 40;

/// How a job, or an image of it, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It waits or runs.
    Pending,
    /// It went well.
    Success,
    /// It did not.
    Failure,
    /// It could not be done.
    Error,
}

/// A status to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The commit.
    pub commit: String,
    /// The branch, where the commit is of one.
    pub branch: Option<String>,
    /// Its name among the statuses of the commit: `imk`, or `imk/web` of one image.
    pub context: String,
    /// How it stands.
    pub stage: Stage,
    /// One line.
    pub description: String,
    /// The job's page.
    pub page: Option<String>,
}

/// The request that sets it.
pub fn message(place: &Place, token: &Secret, status: &Status) -> Message {
    let commit = encoded(&status.commit);
    let project: Vec<String> = place.project.split('/').map(encoded).collect();
    let project = project.join("/");
    let token = token.reveal();
    let (url, login) = match place.forge {
        Forge::GitHub => (
            format!("{}/repos/{project}/statuses/{commit}", place.api),
            ("authorization", format!("Bearer {token}")),
        ),
        Forge::GitLab => (
            format!("{}/projects/{}/statuses/{commit}", place.api, encoded(&place.project)),
            ("private-token", token.to_owned()),
        ),
        Forge::Gitea => (
            format!("{}/repos/{project}/statuses/{commit}", place.api),
            ("authorization", format!("token {token}")),
        ),
        Forge::Bitbucket => (
            format!("{}/repositories/{project}/commit/{commit}/statuses/build", place.api),
            ("authorization", format!("Bearer {token}")),
        ),
    };
    let mut headers = BTreeMap::from([
        ("content-type".to_owned(), "application/json".to_owned()),
        ("accept".to_owned(), "application/json".to_owned()),
        (login.0.to_owned(), login.1),
    ]);
    if place.forge == Forge::GitHub {
        headers.insert("accept".into(), "application/vnd.github+json".into());
        headers.insert("x-github-api-version".into(), "2022-11-28".into());
    }
    Message { url, headers, body: body(place, status).to_string().into_bytes(), is_secret: true }
}

fn body(place: &Place, status: &Status) -> Value {
    let room = if place.forge == Forge::GitHub { SHORT } else { LONG };
    let plain: String = status.description.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let description = shortened(&plain, room);
    let page = status.page.as_deref();
    let mut body = match place.forge {
        Forge::GitHub | Forge::Gitea => json!({
            "state": match status.stage {
                Stage::Pending => "pending",
                Stage::Success => "success",
                Stage::Failure => "failure",
                Stage::Error => "error",
            },
            "context": status.context, "description": description, "target_url": page,
        }),
        Forge::GitLab => json!({
            "state": match status.stage {
                Stage::Pending => "running",
                Stage::Success => "success",
                Stage::Failure | Stage::Error => "failed",
            },
            "name": status.context, "description": description, "target_url": page, "ref": status.branch,
        }),
        Forge::Bitbucket => json!({
            "state": match status.stage {
                Stage::Pending => "INPROGRESS",
                Stage::Success => "SUCCESSFUL",
                Stage::Failure => "FAILED",
                Stage::Error => "STOPPED",
            },
            "key": key(&status.context), "name": status.context, "description": description,
            "url": page.unwrap_or(&place.page), "refname": status.branch,
        }),
    };
    if let Value::Object(fields) = &mut body {
        fields.retain(|_, value| !value.is_null());
    }
    body
}

/// A text that fits. What it is about stands at its beginning and the root cause at its end, so the middle goes: first whole images
/// of a causal chain, then characters. The job's page has all of it.
pub fn shortened(text: &str, room: usize) -> String {
    let length = |text: &str| text.chars().count();
    if length(text) <= room {
        return text.to_owned();
    }
    let links: Vec<&str> = text.split(LINK).collect();
    for kept in (1..links.len().saturating_sub(1)).rev() {
        // The nearer to the root, the more a link says.
        let (first, last) = (links[0], &links[links.len() - kept..]);
        let shorter = format!("{first}{LINK}…{LINK}{}", last.join(LINK));
        if length(&shorter) <= room {
            return shorter;
        }
    }
    let head = room / 2;
    let tail = room.saturating_sub(head + 1);
    let begin: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(length(text) - tail).collect();
    format!("{begin}…{end}")
}

/// A key that stays the same for a context, and is no other's.
fn key(context: &str) -> String {
    if context.len() <= KEY && context.is_ascii() {
        return context.to_owned();
    }
    let hash = blake3::hash(context.as_bytes()).to_hex();
    let begin: String = context.chars().filter(char::is_ascii).take(KEY - 13).collect();
    format!("{begin}-{}", &hash[..12])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tell::forge::place_of;

    fn sent(address: &str, stage: Stage) -> (String, Value, BTreeMap<String, String>) {
        let place = place_of(address, None, None).unwrap();
        let status = Status {
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            branch: Some("main".into()),
            context: "imk".into(),
            stage,
            description: format!("2 built\n{}", "é".repeat(300)),
            page: Some("https://imk.example/job/7".into()),
        };
        let message = message(&place, &Secret::new("t0ken"), &status);
        (message.url.clone(), serde_json::from_slice(&message.body).unwrap(), message.headers)
    }

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[test]
    fn each_forge_gets_what_its_documentation_asks_for() {
        let (url, body, headers) = sent("https://github.com/team/app", Stage::Failure);
        assert_eq!(url, format!("https://api.github.com/repos/team/app/statuses/{SHA}"));
        assert_eq!((&body["state"], &body["context"]), (&json!("failure"), &json!("imk")));
        assert_eq!(body["description"].as_str().unwrap().chars().count(), SHORT);
        assert_eq!(headers["authorization"], "Bearer t0ken");
        let (url, body, headers) = sent("https://gitlab.com/a/b/app", Stage::Pending);
        assert_eq!(url, format!("https://gitlab.com/api/v4/projects/a%2Fb%2Fapp/statuses/{SHA}"));
        assert_eq!(
            (&body["state"], &body["name"], &body["ref"]),
            (&json!("running"), &json!("imk"), &json!("main"))
        );
        assert_eq!(headers["private-token"], "t0ken");
        assert_eq!(body["description"].as_str().unwrap().chars().count(), LONG);
        let (url, body, headers) = sent("https://codeberg.org/team/app", Stage::Success);
        assert_eq!(url, format!("https://codeberg.org/api/v1/repos/team/app/statuses/{SHA}"));
        assert_eq!(
            (&body["state"], &headers["authorization"]),
            (&json!("success"), &"token t0ken".to_owned())
        );
        let (url, body, _) = sent("https://bitbucket.org/team/app", Stage::Error);
        assert_eq!(
            url,
            format!("https://api.bitbucket.org/2.0/repositories/team/app/commit/{SHA}/statuses/build")
        );
        assert_eq!(
            (&body["state"], &body["key"], &body["url"]),
            (&json!("STOPPED"), &json!("imk"), &json!("https://imk.example/job/7"))
        );
    }

    #[test]
    fn a_causal_chain_that_is_too_long_keeps_its_image_and_its_root() {
        let cause = "`src/util/text.sh` changed: c9cb → b328";
        let chain = format!("built: app1-prod ← infra-prod ← infra-dev ← py3dev ← {cause}");
        assert_eq!(shortened(&chain, 200), chain);
        assert_eq!(shortened(&chain, 85), format!("built: app1-prod ← … ← infra-dev ← py3dev ← {cause}"));
        assert_eq!(shortened(&chain, 75), format!("built: app1-prod ← … ← py3dev ← {cause}"));
        assert_eq!(shortened(&chain, 62), format!("built: app1-prod ← … ← {cause}"));
        let cut = shortened(&chain, 40);
        assert!(cut.starts_with("built: app1-prod ←") && cut.ends_with(": c9cb → b328"), "{cut}");
        assert_eq!(cut.chars().count(), 40);
        assert_eq!(shortened("é", 0).chars().count(), 1);
    }

    #[test]
    fn a_key_fits_and_is_nobody_elses() {
        assert_eq!(key("imk/web"), "imk/web");
        let (one, other) =
            (key(&format!("imk/{}a", "x".repeat(60))), key(&format!("imk/{}b", "x".repeat(60))));
        assert!(one != other && one.len() == KEY);
    }
}
