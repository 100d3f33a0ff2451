//! How long others may say nothing: one limit for each host, and word of who is waited for.
//!
//! All questions of a run share it: those to registries, to servers of files and of git, and to engines. A host
//! that says nothing to anybody until the limit is over is away, and whoever asks it afterwards
//! hears so at once; so a run waits for a host once, however many questions it has.
//! Knows neither a protocol nor a screen.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A wait of this length is told.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// Of one that may be busy and say so when it is asked, a wait of this length is.
const BUSY_TOLD_AFTER: Duration = Duration::from_secs(3);
/// Unless a caller chooses another: as long as a registry may fetch from one behind it.
const LIMIT: Duration = Duration::from_secs(20);
/// A run of hours asks again after so long whether a host is back.
const AWAY: Duration = Duration::from_secs(300);
/// How often whoever waits should call [`Waiting::check`].
pub const TICK: Duration = Duration::from_millis(100);

type Tell = dyn Fn(&str) + Send + Sync;

/// The patience of a run. Clones are the same one.
#[derive(Clone)]
pub struct Patience(Arc<Shared>);

struct Shared {
    limit: Duration,
    tell: Box<Tell>,
    hosts: Mutex<BTreeMap<String, Host>>,
}

#[derive(Default)]
struct Host {
    /// Questions under way.
    waiting: usize,
    /// When it last said something, or since when it owes an answer.
    since: Option<Instant>,
    told: bool,
    away: Option<(String, Instant)>,
}

/// A question under way, until it is dropped.
pub struct Waiting {
    patience: Patience,
    who: String,
    limit: Duration,
    told_after: Duration,
    since: Mutex<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self::new(LIMIT, |_| {})
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Patience({:?})", self.0.limit)
    }
}

impl Patience {
    /// Hosts may say nothing for `limit`; `tell` hears once who is waited for.
    pub fn new(limit: Duration, tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { limit, tell: Box::new(tell), hosts: Mutex::default() }))
    }

    /// The default limit with somebody who is told.
    pub fn telling(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self::new(LIMIT, tell)
    }

    /// How long a host may say nothing.
    pub fn limit(&self) -> Duration {
        self.0.limit
    }

    /// Begins a question to `who`, such as `r.example:5000`.
    ///
    /// # Errors
    /// Why the host counts as away.
    pub fn begin(&self, who: &str) -> Result<Waiting, String> {
        self.begin_at(who, self.0.limit, Instant::now())
    }

    /// As [`Self::begin`], to a host that may be busy and is asked meanwhile whether it is there.
    ///
    /// # Errors
    /// Why the host counts as away.
    pub fn begin_busy(&self, who: &str) -> Result<Waiting, String> {
        let mut waiting = self.begin(who)?;
        waiting.told_after = BUSY_TOLD_AFTER.min(self.0.limit);
        Ok(waiting)
    }

    /// As [`Self::begin`], for a question whose answer may take longer than others, such as the end of an upload.
    ///
    /// # Errors
    /// Why the host counts as away.
    pub fn begin_long(&self, who: &str, limit: Duration) -> Result<Waiting, String> {
        self.begin_at(who, limit.max(self.0.limit), Instant::now())
    }

    fn begin_at(&self, who: &str, limit: Duration, now: Instant) -> Result<Waiting, String> {
        let mut hosts = self.0.hosts.lock();
        let host = hosts.entry(who.to_owned()).or_default();
        if let Some((why, since)) = &host.away {
            if now.saturating_duration_since(*since) < AWAY {
                return Err(why.clone());
            }
            host.away = None;
        }
        if host.waiting == 0 {
            host.since = Some(now);
        }
        host.waiting += 1;
        let (told_after, since) = (TOLD_AFTER, Mutex::new(now));
        Ok(Waiting { patience: self.clone(), who: who.to_owned(), limit, told_after, since })
    }
}

impl Waiting {
    /// The host said something.
    pub fn heard(&self) {
        self.heard_at(Instant::now());
    }

    fn heard_at(&self, now: Instant) {
        *self.since.lock() = now;
        if let Some(host) = self.patience.0.hosts.lock().get_mut(&self.who) {
            host.since = Some(now);
        }
    }

    /// Looks at the time; to be called every [`TICK`].
    ///
    /// # Errors
    /// When it is over, for this question or for the host: why.
    pub fn check(&self) -> Result<(), String> {
        self.check_at(Instant::now())
    }

    fn check_at(&self, now: Instant) -> Result<(), String> {
        let silent = now.saturating_duration_since(*self.since.lock());
        let limit = self.patience.0.limit;
        let mut hosts = self.patience.0.hosts.lock();
        let Some(host) = hosts.get_mut(&self.who) else { return Ok(()) };
        let owed = host.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let tell = owed >= self.told_after && !host.told;
        host.told |= tell;
        let is_long = self.limit > limit;
        let over = match (&host.away, silent >= self.limit) {
            (Some((why, _)), _) if !is_long => Some(why.clone()),
            (_, true) => Some(late(self.limit)),
            _ => None,
        };
        if let Some(why) = &over
            && owed >= limit
            && host.away.is_none()
        {
            host.away = Some((why.clone(), now));
        }
        drop(hosts);
        if tell {
            (self.patience.0.tell)(&self.who);
        }
        over.map_or(Ok(()), Err)
    }

    /// Waits for something that awaits, with the time looked at meanwhile.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub async fn on<T>(&self, work: impl Future<Output = T>) -> Result<T, String> {
        let mut work = std::pin::pin!(work);
        loop {
            match tokio::time::timeout(TICK, work.as_mut()).await {
                Ok(done) => return Ok(done),
                Err(_) => self.check()?,
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(host) = self.patience.0.hosts.lock().get_mut(&self.who) {
            host.waiting -= 1;
        }
    }
}

fn late(limit: Duration) -> String {
    match limit.as_secs() {
        1 => "no answer within 1 second".to_owned(),
        seconds => format!("no answer within {seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn patience() -> (Patience, Arc<Mutex<Vec<String>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&told);
        (Patience::new(10 * SECOND, move |who| list.lock().push(who.to_owned())), told)
    }

    #[test]
    fn a_host_is_waited_for_once_however_many_ask() {
        let (patience, _) = patience();
        let start = Instant::now();
        let first = patience.begin_at("r", patience.limit(), start).unwrap();
        let second = patience.begin_at("r", patience.limit(), start + 9 * SECOND).unwrap();
        assert_eq!(second.check_at(start + 9 * SECOND), Ok(()));
        assert!(first.check_at(start + 10 * SECOND).is_err());
        // Nobody heard anything since the first began.
        assert!(second.check_at(start + 10 * SECOND).is_err());
        let third = patience.begin_at("r", patience.limit(), start + 11 * SECOND);
        assert_eq!(third.err().as_deref(), Some("no answer within 10 seconds"));
        assert!(patience.begin_at("other", patience.limit(), start + 11 * SECOND).is_ok());
        assert!(patience.begin_at("r", patience.limit(), start + 11 * SECOND + AWAY).is_ok());
    }

    #[test]
    fn one_question_without_an_answer_is_not_a_host_that_is_away() {
        let (patience, _) = patience();
        let start = Instant::now();
        let stuck = patience.begin_at("r", patience.limit(), start).unwrap();
        let other = patience.begin_at("r", patience.limit(), start + 8 * SECOND).unwrap();
        other.heard_at(start + 9 * SECOND);
        assert!(stuck.check_at(start + 10 * SECOND).is_err());
        assert_eq!(other.check_at(start + 10 * SECOND), Ok(()));
        assert!(patience.begin_at("r", patience.limit(), start + 10 * SECOND).is_ok());
    }

    #[test]
    fn an_upload_has_its_own_time() {
        let (patience, _) = patience();
        let start = Instant::now();
        let upload = patience.begin_at("r", 300 * SECOND, start).unwrap();
        let other = patience.begin_at("r", patience.limit(), start + SECOND).unwrap();
        assert!(other.check_at(start + 11 * SECOND).is_err());
        assert_eq!(upload.check_at(start + 12 * SECOND), Ok(()));
        assert!(upload.check_at(start + 300 * SECOND).is_err());
    }

    #[test]
    fn a_busy_host_that_answers_now_and_then_is_not_told() {
        let (patience, told) = patience();
        let waiting = patience.begin_busy("e").unwrap();
        let start = Instant::now();
        waiting.check_at(start + 2 * SECOND).unwrap();
        waiting.heard_at(start + 2 * SECOND);
        waiting.check_at(start + 4 * SECOND).unwrap();
        assert!(told.lock().is_empty());
        waiting.check_at(start + 5 * SECOND).unwrap();
        assert_eq!(*told.lock(), ["e"]);
    }

    #[test]
    fn who_is_waited_for_is_told_once_and_after_a_second() {
        let (patience, told) = patience();
        let start = Instant::now();
        let first = patience.begin_at("r", patience.limit(), start).unwrap();
        let second = patience.begin_at("r", patience.limit(), start).unwrap();
        first.check_at(start + SECOND / 2).unwrap();
        assert!(told.lock().is_empty());
        first.check_at(start + SECOND).unwrap();
        second.check_at(start + 2 * SECOND).unwrap();
        assert_eq!(*told.lock(), ["r"]);
    }
}
