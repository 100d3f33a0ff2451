//! A job's work, from a fresh checkout to its outcome: the real side of [`Runner`].
//!
//! The checkout is made in the repository's own folder, which exactly one job has at a time; imk's state is kept beside it.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::logins::Environment;
use super::model::{ImageOutcome, Job, Outcome, Verdict};
use super::orphans;
use super::shared::Shared;
use super::steps::bounds::Bounds;
use super::steps::environment;
use super::steps::facts::Facts;
use super::steps::perform::perform;
use super::steps::task::{Image, Performed, Reach, Task};
use super::tell::Form;
use super::tell::jenkins::Jenkins;
use super::toolbox::Toolbox;
use super::worker::{Ran, Runner};
use crate::credentials::Secret;
use crate::engine::Cancel;
use crate::patience::Patience;
use crate::registry::Registry;
use crate::source::git::mirror::{CheckedCommit, Mirror};
use crate::source::git::remote::RemoteError;
use crate::syntax::serve::{Authors, Does, NotifierKind, Repository};

/// Does jobs on this machine.
pub struct Jobs {
    /// Settings, logs and logins.
    pub shared: Arc<Shared>,
    /// The door to the network, for what steps ask for.
    pub registry: Arc<dyn Registry>,
    /// How long git servers may say nothing.
    pub patience: Patience,
}

impl Runner for Jobs {
    fn run(&self, job: &Job, cancel: &Cancel) -> Ran {
        let Some(repository) = self.shared.settings.repositories.get(&job.work.repository) else {
            return Ran::Again(format!(
                "serve.ron of this worker has no repository `{}`",
                job.work.repository
            ));
        };
        self.say(
            job,
            format!("== job {}, try {}: {}\n", job.id, job.tries, job.work.occasion.word()).as_bytes(),
        );
        match self.done(job, repository, cancel) {
            Ok(outcome) => Ran::Done(outcome),
            Err(why) => {
                self.say(job, format!("{why}\n").as_bytes());
                Ran::Again(why)
            }
        }
    }
}

impl Jobs {
    /// Writes to the job's log, as far as there is room for it.
    fn say(&self, job: &Job, bytes: &[u8]) {
        // A job is not worth less because its log is full.
        let _ = self.shared.logs.append(job.id, bytes);
    }

    fn done(&self, job: &Job, repository: &Repository, cancel: &Cancel) -> Result<Outcome, String> {
        let until = Instant::now() + repository.time_limit;
        let name = job.work.repository.file_name();
        let checkout = self.shared.state.join("checkouts").join(&name);
        let environment = self.shared.logins.for_git(&self.shared.settings, repository)?;
        let checked = match self.check_out(job, repository, environment, &checkout) {
            Ok(checked) => checked,
            // Another try would not find it either.
            Err(RemoteError::NoRef(what)) => {
                let summary = format!("the repository has no {what}");
                self.say(job, format!("{summary}\n").as_bytes());
                return Ok(Outcome { summary, ..Outcome::default() });
            }
            Err(error) => return Err(format!("{error}; {}", error.hint())),
        };
        for path in &checked.left_empty {
            let line = format!("submodule `{path}` is on another host, and is left empty\n");
            self.say(job, line.as_bytes());
        }
        // Other repositories' steps have no look into it, and whoever runs these steps owns it.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs_err::set_permissions(&checkout, mode).map_err(|error| error.to_string())?;
        let performed = self.performed(job, repository, &checked, &checkout, until, cancel);
        // Its size is better spent on others.
        let _ = fs_err::remove_dir_all(&checkout);
        performed.map(outcome).map_err(|error| format!("the job could not begin: {error}"))
    }

    fn check_out(
        &self,
        job: &Job,
        repository: &Repository,
        environment: Environment,
        checkout: &Path,
    ) -> Result<CheckedCommit, RemoteError> {
        let work = &job.work;
        let mirrors = self.shared.state.join("mirrors");
        let mirror = Mirror::open(&mirrors, &repository.url, environment, self.patience.clone())
            .map_err(RemoteError::Broken)?;
        let commit = &work.commit;
        self.say(job, format!("{} {} {commit}\n", mirror.shown(), work.branch).as_bytes());
        mirror.check_out(&work.branch, work.pull_request.as_deref(), commit, checkout)
    }

    fn performed(
        &self,
        job: &Job,
        repository: &Repository,
        checked: &CheckedCommit,
        checkout: &Path,
        until: Instant,
        cancel: &Cancel,
    ) -> io::Result<Performed> {
        let (settings, logins) = (&self.shared.settings, &self.shared.logins);
        let mut variables = logins.for_steps(settings, repository).map_err(io::Error::other)?;
        variables.push((orphans::MARK.to_owned(), orphans::mark(&self.shared.state)));
        let docker_config = logins.docker_config(settings, repository);
        let (bounds, state) = (self.bounds(job, repository), self.state_of(job)?);
        // Imk's state of what is pushed is to be there the next time.
        let mut environment =
            environment::of_imk(&logins.environment, &state, &bounds, docker_config.as_deref());
        environment.insert("IMK_STATE_DIR".into(), state.clone().into());
        environment.remove(OsStr::new("TMPDIR"));
        // Two workers of one machine, each with its folder, have two users: one that lost a job ends its own steps only.
        let user = format!("{} {}", job.work.repository, self.shared.state.display());
        let toolbox = Toolbox {
            checkout,
            environment,
            jenkins: self.jenkins(repository).map_err(io::Error::other)?,
            notifiers: self.notifiers(repository).map_err(io::Error::other)?,
            registry: &*self.registry,
            until,
            cancel,
        };
        perform(&Task {
            repository: &user,
            checkout,
            facts: facts(job, checked),
            reach: reach(job, repository.does),
            server: &logins.environment,
            bounds,
            variables,
            secrets: logins.secrets_of_steps(settings, repository),
            docker_config,
            state: Some(state),
            imagefile: repository.imagefile.clone(),
            time_limit: until.saturating_duration_since(Instant::now()),
            cancel,
            log: &|bytes| self.say(job, bytes),
            tools: &toolbox,
        })
    }

    /// The bounds of what a repository's author may reach.
    fn bounds(&self, job: &Job, repository: &Repository) -> Bounds {
        let (settings, logins) = (&self.shared.settings, &self.shared.logins);
        let mut hidden = vec![self.shared.state.clone(), logins.root.clone()];
        hidden.extend(logins.files(settings));
        let trusts_authors = repository.authors == Authors::Trusted;
        let has_key = logins.of(settings, repository).is_some_and(|login| login.ssh_key.is_some());
        Bounds {
            trusts_authors,
            // Of those who are trusted, the server's own configuration of ssh may be meant.
            ssh: (!trusts_authors || has_key).then(|| logins.ssh(settings, repository)),
            store: Some(self.shared.state.join("stores").join(job.work.repository.file_name())),
            readable: settings.readable.iter().map(|path| logins.root.join(path)).collect(),
            hidden,
        }
    }

    /// The folder of imk's own state for a repository.
    fn state_of(&self, job: &Job) -> io::Result<PathBuf> {
        let folder = self.shared.state.join("imk").join(job.work.repository.file_name());
        fs_err::create_dir_all(&folder)?;
        Ok(folder)
    }

    fn jenkins(&self, repository: &Repository) -> Result<Option<Jenkins>, String> {
        let logins = &self.shared.logins;
        let login = logins.of(&self.shared.settings, repository).and_then(|login| login.jenkins.as_ref());
        let Some(login) = login else { return Ok(None) };
        let token = Secret::new(logins.secret(&login.token)?);
        Ok(Some(Jenkins { url: login.url.clone(), user: login.user.clone(), token }))
    }

    fn notifiers(&self, repository: &Repository) -> Result<Vec<(Form, Secret)>, String> {
        let all = &self.shared.settings.notify;
        let named = repository.notify.iter().filter_map(|name| all.get(name));
        named
            .map(|notifier| {
                let form = match notifier.kind {
                    NotifierKind::Slack => Form::Slack,
                    NotifierKind::Webhook => Form::Document,
                };
                Ok((form, Secret::new(self.shared.logins.text(&notifier.url)?)))
            })
            .collect()
    }
}

/// How far a job goes: one of a fork is planned, whatever the policy says of others.
fn reach(job: &Job, does: Does) -> Reach {
    match does {
        _ if job.work.pull_request.is_some() => Reach::Plan,
        Does::Check => Reach::Plan,
        Does::Build => Reach::Build,
        Does::Test => Reach::Test,
        Does::Publish => Reach::Publish,
    }
}

fn outcome(performed: Performed) -> Outcome {
    let Performed { ok, summary, images, report } = performed;
    let image = |image: Image| ImageOutcome {
        name: image.name,
        verdict: match image.verdict.as_str() {
            "fresh" | "reused" | "found" | "retagged" => Verdict::Fresh,
            "built" => Verdict::Built,
            "stale" | "waits" => Verdict::Stale,
            _ => Verdict::Failed,
        },
        reason: image.reason,
    };
    Outcome { ok, summary, images: images.into_iter().map(image).collect(), report }
}

fn facts(job: &Job, checked: &CheckedCommit) -> Facts {
    Facts {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        branch: job.work.branch.clone(),
        commit: job.work.commit.clone(),
        message: checked.message.clone(),
        time: jiff::Timestamp::from_second(checked.seconds).unwrap_or_default(),
    }
}
