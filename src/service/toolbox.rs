//! Wishes of steps, done by the server: the real side of [`Tools`].
//!
//! Names, folders and texts come from a step and are checked here; logins and addresses come from the policy and are in no
//! answer.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Instant;

use crate::credentials::Secret;
use crate::engine::Cancel;
use crate::registry::Registry;
use crate::service::steps::command::{End, Running, folder_in};
use crate::service::steps::confinement::Confinement;
use crate::service::steps::tools::{self, Tools};
use crate::service::tell::jenkins::Jenkins;
use crate::service::tell::{Form, Patience, notice, send};

/// The tools of one job.
pub struct Toolbox<'a> {
    /// The checkout.
    pub checkout: &'a Path,
    /// The environment of a push: what may pass, and the login of the repository's policy.
    pub environment: BTreeMap<OsString, OsString>,
    /// The Jenkins of the policy.
    pub jenkins: Option<Jenkins>,
    /// The notifiers of the policy.
    pub notifiers: Vec<(Form, Secret)>,
    /// The door to the network.
    pub registry: &'a dyn Registry,
    /// When the job's time is over.
    pub until: Instant,
    /// Tells when somebody wants it stopped.
    pub cancel: &'a Cancel,
}

impl Tools for Toolbox<'_> {
    fn push(
        &self,
        folder: &str,
        image: &str,
        tags: &[String],
        debug: bool,
        said: &mut dyn FnMut(&[u8]),
    ) -> Result<String, String> {
        let real =
            |path: &Path| path.canonicalize().map_err(|error| format!("`{}`: {error}", path.display()));
        let checkout = real(self.checkout)?;
        let below = Path::new(folder).strip_prefix(&checkout).ok().and_then(Path::to_str);
        let below = below.ok_or_else(|| format!("`{folder}` is not in the checkout"))?;
        let folder = folder_in(&checkout, below).map_err(|error| format!("`{folder}`: {error}"))?;
        let mut words: Vec<OsString> =
            vec![std::env::current_exe().map_err(|error| error.to_string())?.into()];
        words.extend(["tools", "push"].map(OsString::from));
        words.extend(debug.then(|| "-d".into()));
        for tag in tags {
            words.extend([OsString::from("-t"), tag.into()]);
        }
        words.extend([OsString::from("--"), image.into()]);
        let mut environment = self.environment.clone();
        // It is not to come back here.
        environment.remove(&OsString::from(tools::VARIABLE));
        let running = Running {
            words: &words,
            folder: &folder,
            environment: &environment,
            confinement: &Confinement::Trusted,
            until: self.until,
            cancel: self.cancel,
        };
        match running.run(said).map_err(|error| format!("cannot run imk: {error}"))? {
            End::Exited(0) => Ok(format!("pushed {image} as {}", tags.join(", "))),
            End::Exited(status) => Err(format!("`{image}` was not pushed (status {status})")),
            End::Overdue => Err("the job's time is over".into()),
            End::Cancelled => Err("the job was cancelled".into()),
        }
    }

    fn jenkins(&self, path: &str, user: Option<&str>, token: Option<&str>) -> Result<String, String> {
        let Some(ours) = &self.jenkins else {
            return Err(
                "there is no Jenkins for this repository: `jenkins` of its login in serve.ron names one"
                    .into(),
            );
        };
        let jenkins = Jenkins {
            url: ours.url.clone(),
            user: user.map_or_else(|| ours.user.clone(), str::to_owned),
            // A user of the step's own comes with a token of the step's own: ours is for the one it was made for.
            token: match (user, token) {
                (_, Some(token)) => Secret::new(token),
                (None, None) => ours.token.clone(),
                (Some(_), None) => return Err("another user needs a token of its own: -t TOKEN".into()),
            },
        };
        send(self.registry, &jenkins.start(path)?, &self.patience())?;
        Ok(format!("started {path}"))
    }

    fn tell(&self, room: &str, message: &str, color: &str) -> Result<String, String> {
        if self.notifiers.is_empty() {
            return Err("nobody is to be told of this repository: `notify` in serve.ron names places".into());
        }
        for (form, url) in &self.notifiers {
            send(self.registry, &notice::of_text(url, *form, message), &self.patience())?;
        }
        let places = self.notifiers.len();
        let noun = if places == 1 { "notifier" } else { "notifiers" };
        Ok(format!(
            "HipChat is no more: told {places} {noun} of this repository (room {room} and colour {color} say nothing there)"
        ))
    }
}

impl Toolbox<'_> {
    fn patience(&self) -> Patience {
        Patience { cancel: self.cancel.clone(), ..Patience::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::fake::FakeRegistry;

    #[test]
    fn a_step_reaches_what_the_policy_names_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let registry = FakeRegistry::new();
        let cancel = Cancel::default();
        let mut toolbox = Toolbox {
            checkout: folder.path(),
            environment: BTreeMap::new(),
            jenkins: None,
            notifiers: Vec::new(),
            registry: &registry,
            until: Instant::now() + Duration::from_secs(60),
            cancel: &cancel,
        };
        assert!(toolbox.jenkins("job/x", None, None).unwrap_err().contains("no Jenkins"));
        assert!(toolbox.tell("1", "hi", "red").unwrap_err().contains("nobody is to be told"));
        toolbox.jenkins = Some(Jenkins {
            url: "https://j.example".into(),
            user: "ci".into(),
            token: Secret::new("s3cr3t"),
        });
        toolbox.notifiers = vec![(Form::Slack, Secret::new("https://chat.example/s3cr3t"))];
        assert_eq!(toolbox.jenkins("view/a/job/x", None, None).unwrap(), "started view/a/job/x");
        assert!(toolbox.jenkins("job/x", Some("other"), None).unwrap_err().contains("token of its own"));
        assert!(toolbox.jenkins("../job/x", None, None).is_err());
        let told = toolbox.tell("883987", "build passed", "green").unwrap();
        assert!(told.contains("HipChat is no more") && !told.contains("s3cr3t"), "{told}");
        let posted: Vec<String> = registry.posted().into_iter().map(|(url, ..)| url).collect();
        assert_eq!(posted, ["https://j.example/view/a/job/x/build", "https://chat.example/s3cr3t"]);
        for outside in ["/", "/etc", "", "..", "relative"] {
            let why = toolbox.push(outside, "a/b", &[], false, &mut |_| {}).unwrap_err();
            assert!(why.contains("not in the checkout"), "{outside}: {why}");
        }
    }
}
