//! Looks at repositories: at their branches again and again, and at what is outside of them when it is time.
//!
//! This is the base of the service: hooks only make it quicker, and one that was missed is found here. One question a look,
//! which fetches nothing. Repositories are looked at side by side, and never all at the same moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::model::{Occasion, RepositoryName, Work};
use super::schedule::Clockwork;
use super::shared::Shared;
use crate::engine::Cancel;
use crate::model::time::UnixSeconds;
use crate::patience::Patience;
use crate::source::git::mirror::{Heads, Mirror};
use crate::syntax::serve::Repository;

/// So many are looked at side by side.
const AT_ONCE: usize = 8;
/// How soon it is seen that something is due.
const TICK: Duration = Duration::from_millis(250);
/// A repository that did not answer when somebody wanted it looked at is looked at again after so long.
const AGAIN: Duration = Duration::from_secs(30);
/// Repositories are first looked at within this time, spread over it.
const BEGINNING: Duration = Duration::from_secs(2);

/// Looks at repositories until it is stopped.
pub struct Poller {
    shared: Arc<Shared>,
    patience: Patience,
    due: Mutex<BTreeMap<RepositoryName, Due>>,
    clockwork: Mutex<Clockwork>,
}

/// When something is next to be done for a repository.
#[derive(Clone, Copy, Debug)]
struct Due {
    look: Option<Instant>,
    is_under_way: bool,
    /// Somebody wants more than a look at the branches: its time has come, a registry told of an image, a person asked.
    wish: Option<Occasion>,
}

impl Poller {
    /// One for all repositories of the settings.
    pub fn new(shared: Arc<Shared>, patience: Patience) -> Self {
        let names = shared.settings.repositories.len().max(1);
        let now = Instant::now();
        let spread = |at: usize| now + BEGINNING.mul_f64(at as f64 / names as f64);
        // All are looked at once, so that a default branch is known also where nobody polls.
        let due = shared.settings.repositories.keys().enumerate().map(|(at, name)| {
            (name.clone(), Due { look: Some(spread(at)), is_under_way: false, wish: None })
        });
        let due = Mutex::new(due.collect());
        let clockwork = Mutex::new(Clockwork::open(&shared.state, &shared.settings));
        Self { shared, patience, due, clockwork }
    }

    /// Looks, until `cancel` says to stop; then those that are under way end.
    pub fn run(&self, cancel: &Cancel) {
        thread::scope(|scope| {
            while !cancel.is_cancelled() {
                let fired = self.clockwork.lock().due(UnixSeconds::now());
                for name in fired {
                    self.hurry(&name, Occasion::Schedule);
                }
                for name in self.begin_due() {
                    scope.spawn(move || self.look(&name));
                }
                for (name, occasion) in self.shared.wishes.take(TICK) {
                    self.hurry(&name, occasion);
                }
            }
        });
    }

    /// Has a repository be looked at now. A person's wish stays one.
    fn hurry(&self, name: &RepositoryName, occasion: Occasion) {
        if let Some(due) = self.due.lock().get_mut(name) {
            due.look = Some(Instant::now());
            if due.wish != Some(Occasion::Asked) {
                due.wish = Some(occasion);
            }
        }
    }

    /// Those whose time has come, as far as there is room.
    fn begin_due(&self) -> Vec<RepositoryName> {
        let now = Instant::now();
        let mut due = self.due.lock();
        let under_way = due.values().filter(|due| due.is_under_way).count();
        let is_due = |due: &Due| !due.is_under_way && due.look.is_some_and(|at| at <= now);
        let mut begun: Vec<_> =
            due.iter().filter(|(_, due)| is_due(due)).map(|(name, due)| (due.look, name.clone())).collect();
        begun.sort();
        begun.truncate(AT_ONCE.saturating_sub(under_way));
        let begun: Vec<_> = begun.into_iter().map(|(_, name)| name).collect();
        for name in &begun {
            due.entry(name.clone()).and_modify(|due| {
                due.is_under_way = true;
                due.look = None;
            });
        }
        begun
    }

    /// Looks at one, and offers what it sees.
    fn look(&self, name: &RepositoryName) {
        let Some(repository) = self.shared.settings.repositories.get(name) else { return };
        let wish = self.due.lock().get_mut(name).and_then(|due| due.wish.take());
        let answer = heads(&self.shared, repository, &self.patience);
        let offered = match &answer {
            Ok(heads) => offer_all(&self.shared, name, repository, heads, wish.unwrap_or(Occasion::Poll)),
            Err(why) => Err(why.clone()),
        };
        let trouble = offered.as_ref().err().cloned();
        if self.shared.looked(name, answer.and_then(|heads| offered.map(|()| heads))) {
            match trouble {
                Some(why) => self.shared.tell(&format!("{name} cannot be looked at: {why}")),
                None => self.shared.tell(&format!("{name} answers again")),
            }
        }
        let is_good = self.shared.look(name).is_some_and(|look| look.trouble.is_none());
        if let Some(due) = self.due.lock().get_mut(name) {
            due.is_under_way = false;
            // A wish that found nobody at home comes again soon.
            due.wish = due.wish.or(wish.filter(|_| !is_good));
            let every = if due.wish.is_some() { Some(AGAIN) } else { repository.poll };
            due.look = due.look.or_else(|| every.map(|every| Instant::now() + every + jitter(every)));
        }
    }
}

/// Asks where the branches of a repository stand.
///
/// # Errors
/// When its login is not there, or it does not answer: with what to do next.
pub fn heads(shared: &Shared, repository: &Repository, patience: &Patience) -> Result<Heads, String> {
    let environment = shared.logins.for_git(&shared.settings, repository)?;
    let mirror = Mirror::open(&shared.state.join("mirrors"), &repository.url, environment, patience.clone())?;
    mirror.heads().map_err(|error| format!("{error}; {}", error.hint()))
}

/// Offers every branch that the policy admits, as it stands.
///
/// # Errors
/// When the queue takes nothing: it is looked again later.
pub fn offer_all(
    shared: &Shared,
    name: &RepositoryName,
    repository: &Repository,
    heads: &Heads,
    occasion: Occasion,
) -> Result<(), String> {
    let admitted =
        heads.branches.iter().filter(|(branch, _)| repository.admits(branch, heads.default.as_deref()));
    for (branch, commit) in admitted {
        let work = Work {
            repository: name.clone(),
            branch: branch.clone(),
            commit: commit.clone(),
            message: String::new(),
            occasion,
            hints: repository.labels.clone(),
            delivery: None,
            pull_request: None,
        };
        shared.queue.offer(&work, repository.running).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Up to a tenth, so that repositories of one host are not asked at one moment for ever.
fn jitter(every: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    every.mul_f64(f64::from(now.subsec_nanos()) / 1e10)
}
