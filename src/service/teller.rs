//! Tells forges and people how jobs fare, away from those who do them.
//!
//! One thread sends, in order, so that a status of the beginning never comes after that of the end. What cannot be told is a
//! line of the job's log, and changes nothing of the job.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use super::model::{ImageOutcome, Job, JobState, Outcome, Verdict};
use super::shared::Shared;
use super::tell::status::{Stage, Status};
use super::tell::{Form, Message, Notice, Patience, notice, place_of, send, status};
use super::worker::Observer;
use crate::credentials::Secret;
use crate::registry::Registry;
use crate::syntax::serve::{NotifierKind, Repository, Statuses};

/// More that waits than this, and the newest is dropped: a forge that is away for hours has nobody waiting for it.
const MOST: usize = 1000;
/// The name of the one status.
const CONTEXT: &str = "imk";

/// Tells how jobs fare.
pub struct Teller {
    sender: Option<SyncSender<Box<Told>>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// Something to tell.
struct Told {
    job: Job,
    end: End,
}

enum End {
    Begun,
    Ended(Outcome),
    Dead(String),
}

impl Teller {
    /// One that sends through `registry`.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn new(
        shared: &Arc<Shared>,
        registry: Arc<dyn Registry>,
        patience: Patience,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Box<Told>>(MOST);
        let sending = Arc::clone(shared);
        let thread = thread::Builder::new().name("teller".into()).spawn(move || {
            for told in receiver {
                for (what, message) in messages(&sending, &told) {
                    let sent = message.and_then(|message| send(&*registry, &message, &patience));
                    if let Err(why) = sent {
                        let line = format!("{what} was not told: {why}\n");
                        let _ = sending.logs.append(told.job.id, line.as_bytes());
                        sending.tell(&format!("job {}: {}", told.job.id, line.trim_end()));
                    }
                }
            }
        })?;
        Ok(Self { sender: Some(sender), thread: Some(thread), shared: Arc::clone(shared) })
    }

    fn tell(&self, job: &Job, end: End) {
        let told = Box::new(Told { job: job.clone(), end });
        if let Some(Err(TrySendError::Full(told))) = self.sender.as_ref().map(|sender| sender.try_send(told))
        {
            self.shared.tell(&format!("job {}: nobody is told, too much waits already", told.job.id));
        }
    }
}

impl Drop for Teller {
    /// Waits for what is to be told still.
    fn drop(&mut self) {
        self.sender = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has been told by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Observer for Teller {
    fn begun(&self, job: &Job) {
        self.tell(job, End::Begun);
    }

    fn ended(&self, job: &Job, outcome: &Outcome) {
        self.tell(job, End::Ended(outcome.clone()));
    }

    fn broken_off(&self, job: &Job, reason: &str) {
        // One that is tried again has not ended.
        if matches!(job.state, JobState::Dead { .. }) {
            self.tell(job, End::Dead(reason.to_owned()));
        }
    }
}

type Messages = Vec<(String, Result<Message, String>)>;

/// All messages of an end, each with a word for what it is.
fn messages(shared: &Shared, told: &Told) -> Messages {
    let Some(repository) = shared.settings.repositories.get(&told.job.work.repository) else {
        return Messages::new();
    };
    let page = shared.settings.public_url.as_ref().map(|url| format!("{url}/jobs/{}", told.job.id));
    let mut messages = statuses(shared, repository, told, page.as_deref());
    if let Some(notice) = notice_of(told, page) {
        messages.extend(notices(shared, repository, &notice));
    }
    messages
}

fn statuses(shared: &Shared, repository: &Repository, told: &Told, page: Option<&str>) -> Messages {
    let login = shared.logins.of(&shared.settings, repository);
    let token = login.and_then(|login| login.forge_token.as_ref().or(login.git_token.as_ref()));
    let (Some(token), true) = (token, repository.statuses != Statuses::Never) else { return Messages::new() };
    let place = match place_of(&repository.url, repository.forge, repository.forge_api.as_deref()) {
        Ok(place) => place,
        // A repository at no forge has no statuses, unless somebody said that it has.
        Err(_) if repository.forge.is_none() && repository.forge_api.is_none() => return Messages::new(),
        Err(why) => return vec![("the status".into(), Err(why))],
    };
    let token = match shared.logins.secret(token) {
        Ok(token) => Secret::new(token),
        Err(why) => return vec![("the status".into(), Err(why))],
    };
    let work = &told.job.work;
    let one = |context: String, stage: Stage, description: &str| {
        let status = Status {
            commit: work.commit.clone(),
            branch: work.pull_request.is_none().then(|| work.branch.clone()),
            context: context.clone(),
            stage,
            description: description.to_owned(),
            page: page.map(str::to_owned),
        };
        (format!("the status `{context}`"), Ok(status::message(&place, &token, &status)))
    };
    match &told.end {
        End::Begun => vec![one(CONTEXT.into(), Stage::Pending, "at work")],
        End::Dead(why) => vec![one(CONTEXT.into(), Stage::Error, why)],
        End::Ended(outcome) => {
            let stage = if outcome.ok { Stage::Success } else { Stage::Failure };
            let mut all = vec![one(CONTEXT.into(), stage, &told_of(outcome))];
            if repository.statuses == Statuses::Images {
                all.extend(outcome.images.iter().map(|image| {
                    let stage =
                        if image.verdict == Verdict::Failed { Stage::Failure } else { Stage::Success };
                    let description = match image.reason.is_empty() {
                        true => image.verdict.word().to_owned(),
                        false => format!("{}: {}", image.verdict.word(), image.reason),
                    };
                    one(format!("{CONTEXT}/{}", image.name), stage, &description)
                }));
            }
            all
        }
    }
}

/// The end in one line: its summary, and the way to the root of one image that was not fresh: of one that failed, else of the one
/// that is farthest from what changed.
fn told_of(outcome: &Outcome) -> String {
    let told =
        outcome.images.iter().filter(|image| !image.reason.is_empty() && image.verdict != Verdict::Fresh);
    let rank =
        |image: &&ImageOutcome| (image.verdict == Verdict::Failed, image.reason.matches(" ← ").count());
    match told.max_by_key(rank) {
        Some(image) if image.reason.starts_with(&format!("{} ← ", image.name)) => {
            format!("{}; {}", outcome.summary, image.reason)
        }
        Some(image) => format!("{}; {} ← {}", outcome.summary, image.name, image.reason),
        None => outcome.summary.clone(),
    }
}

/// The notice of an end; none of a job that found nothing to do, which nobody wants to hear of each night.
fn notice_of(told: &Told, page: Option<String>) -> Option<Notice> {
    let work = &told.job.work;
    let (ok, summary, images) = match &told.end {
        End::Begun => return None,
        End::Dead(why) => (false, why.clone(), Vec::new()),
        End::Ended(outcome) => {
            let is_fresh = outcome.images.iter().all(|image| image.verdict == Verdict::Fresh);
            if outcome.ok && is_fresh && outcome.report.is_empty() {
                return None;
            }
            let images = outcome.images.iter();
            let images = images.map(|image| (image.name.clone(), image.verdict.word().to_owned()));
            (outcome.ok, outcome.summary.clone(), images.collect())
        }
    };
    Some(Notice {
        repository: work.repository.to_string(),
        branch: work.branch.clone(),
        commit: work.commit.clone(),
        message: work.message.clone(),
        job: told.job.id.to_string(),
        ok,
        summary,
        page,
        images,
    })
}

fn notices(shared: &Shared, repository: &Repository, notice: &Notice) -> Messages {
    let told = places(shared, repository).into_iter().map(|(name, place)| {
        let message = place.map(|(form, url)| notice::of_job(&url, form, notice));
        (format!("the notifier `{name}`"), message)
    });
    told.collect()
}

/// Places by their names, each with its form and address, or why it has none.
type Places = Vec<(String, Result<(Form, Secret), String>)>;

/// The places that a repository's policy names.
fn places(shared: &Shared, repository: &Repository) -> Places {
    let named = repository.notify.iter().filter_map(|name| {
        let notifier = shared.settings.notify.get(name)?;
        let form = match notifier.kind {
            NotifierKind::Webhook => Form::Document,
            NotifierKind::Slack => Form::Slack,
        };
        let url = shared.logins.text(&notifier.url).map(|url| (form, Secret::new(url)));
        Some((name.clone(), url))
    });
    named.collect()
}

#[cfg(test)]
#[path = "teller_tests.rs"]
mod tests;
