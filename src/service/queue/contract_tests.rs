//! Rules that every queue holds, as one test that takes the queue.

use std::time::{Duration, Instant};

use super::api::{Filter, Offered, Queue, Renewed, Rules, Settled, Worker};
use crate::model::time::UnixSeconds;
use crate::service::model::{
    ImageOutcome, JobId, JobState, Labels, Occasion, Outcome, RepositoryName, StateKind, Verdict, Work,
};
use crate::syntax::serve::Running;
use crate::syntax::serve::names::labels;

pub fn work(repository: &str, branch: &str, commit: u8) -> Work {
    Work {
        repository: RepositoryName::new(repository).unwrap(),
        branch: branch.into(),
        commit: format!("{commit:02x}").repeat(20),
        message: "a message".into(),
        occasion: Occasion::Push,
        hints: Labels::new(),
        delivery: None,
        pull_request: None,
    }
}

pub fn worker(name: &str) -> Worker {
    Worker { name: name.into(), labels: Labels::new() }
}

fn good() -> Outcome {
    Outcome { ok: true, summary: "1 fresh".into(), ..Outcome::default() }
}

const LONG: Rules = Rules { lease: Duration::from_secs(600), tries: 2 };

/// Checks all of them, each with a queue of its own.
pub fn check<Q: Queue>(open: impl Fn(Rules) -> Q) {
    newest_wins(&open(LONG));
    twice_is_once(&open(LONG));
    one_at_a_time(&open(LONG));
    cancel_by_policy(&open(LONG));
    tries_are_limited(&open(LONG));
    given_back_is_no_try(&open(LONG));
    labels_decide(&open(LONG));
    silent_workers_lose(&open(Rules { lease: Duration::from_millis(300), tries: 2 }));
    old_jobs_go(&open(LONG));
    lines_stand_as_their_last_jobs_left_them(&open(Rules { tries: 1, ..LONG }));
}

fn newest_wins(queue: &impl Queue) {
    let first = queue.offer(&work("a", "main", 1), Running::Finish).unwrap().job().unwrap();
    let other = queue.offer(&work("a", "next", 1), Running::Finish).unwrap().job().unwrap();
    let offered = queue.offer(&work("a", "main", 2), Running::Finish).unwrap();
    let Offered::Replaced { old, new } = offered else { panic!("{offered:?}") };
    assert!(old == first && new > other);
    assert_eq!(queue.job(first).unwrap().unwrap().state, JobState::Replaced { by: new });
    // It has the place of the one that it replaced.
    let lease = queue.take(&worker("w")).unwrap().unwrap();
    assert_eq!((lease.job.id, lease.job.work.commit.as_str()), (new, work("a", "main", 2).commit.as_str()));
    queue.finish(&lease, &good()).unwrap();
    assert_eq!(queue.take(&worker("w")).unwrap().unwrap().job.id, other);
    let of_main = Filter { branch: Some("main".into()), ..Filter::default() };
    assert_eq!(queue.jobs(&of_main).unwrap().iter().map(|job| job.id).collect::<Vec<_>>(), [new, first]);
    let running = Filter { states: vec![StateKind::Running], ..Filter::default() };
    assert_eq!(queue.jobs(&running).unwrap().len(), 1);
    let before = Filter { before: Some(other), ..Filter::default() };
    assert_eq!(queue.jobs(&before).unwrap().len(), 1);
}

fn twice_is_once(queue: &impl Queue) {
    let delivered = Work { delivery: Some("d1".into()), ..work("a", "main", 1) };
    let id = queue.offer(&delivered, Running::Finish).unwrap().job().unwrap();
    assert_eq!(queue.offer(&delivered, Running::Finish).unwrap(), Offered::Duplicate);
    assert!(!queue.remember_delivery("d1").unwrap() && queue.remember_delivery("d2").unwrap());
    assert!(!queue.remember_delivery("d2").unwrap());
    let polled = Work { occasion: Occasion::Poll, ..work("a", "main", 1) };
    let joined = Offered::Joined { id };
    assert_eq!(queue.offer(&polled, Running::Finish).unwrap(), joined);
    let lease = queue.take(&worker("w")).unwrap().unwrap();
    assert_eq!(queue.offer(&polled, Running::Finish).unwrap(), joined);
    queue.finish(&lease, &good()).unwrap();
    assert_eq!(queue.offer(&polled, Running::Finish).unwrap(), joined);
    // The world outside may have moved.
    let scheduled = Work { occasion: Occasion::Schedule, ..work("a", "main", 1) };
    assert!(matches!(queue.offer(&scheduled, Running::Finish).unwrap(), Offered::New { .. }));
    assert!(matches!(queue.offer(&scheduled, Running::Finish).unwrap(), Offered::Joined { .. }));
    // A branch that goes back is moved.
    queue.offer(&work("a", "main", 2), Running::Finish).unwrap();
    assert!(matches!(queue.offer(&work("a", "main", 1), Running::Finish).unwrap(), Offered::Replaced { .. }));
    // A pull request stands on a line of its own.
    let pull = Work { pull_request: Some("refs/pull/7/head".into()), ..work("a", "main", 3) };
    assert!(matches!(queue.offer(&pull, Running::Finish).unwrap(), Offered::New { .. }));
}

fn one_at_a_time(queue: &impl Queue) {
    for branch in ["one", "two", "three"] {
        queue.offer(&work("busy", branch, 1), Running::Finish).unwrap();
    }
    queue.offer(&work("other", "main", 1), Running::Finish).unwrap();
    let first = queue.take(&worker("w")).unwrap().unwrap();
    let second = queue.take(&worker("w")).unwrap().unwrap();
    assert_eq!(first.job.work.repository.as_str(), "busy");
    assert_eq!(second.job.work.repository.as_str(), "other");
    assert_eq!(queue.take(&worker("w")).unwrap(), None);
    assert_eq!(queue.finish(&first, &good()).unwrap(), Settled::Kept);
    assert_eq!(queue.take(&worker("w")).unwrap().unwrap().job.work.branch, "two");
    let counts = queue.counts().unwrap();
    assert_eq!((counts.queued, counts.running, counts.succeeded), (1, 2, 1));
    assert_eq!(queue.workers().unwrap().len(), 1);
}

fn cancel_by_policy(queue: &impl Queue) {
    queue.offer(&work("a", "main", 1), Running::Cancel).unwrap();
    let lease = queue.take(&worker("w")).unwrap().unwrap();
    queue.offer(&work("a", "main", 2), Running::Finish).unwrap();
    assert_eq!(queue.renew(&lease).unwrap(), Renewed::Kept);
    queue.offer(&work("a", "other", 3), Running::Cancel).unwrap();
    assert_eq!(queue.renew(&lease).unwrap(), Renewed::Kept);
    queue.offer(&work("a", "main", 3), Running::Cancel).unwrap();
    assert_eq!(queue.renew(&lease).unwrap(), Renewed::Cancel);
    // Given back, it has nothing to do any more.
    queue.give_back(&lease).unwrap();
    let state = queue.job(lease.job.id).unwrap().unwrap().state;
    assert!(matches!(state, JobState::Replaced { .. }), "{state:?}");
}

fn tries_are_limited(queue: &impl Queue) {
    let id = queue.offer(&work("a", "main", 1), Running::Finish).unwrap().job().unwrap();
    for tries in 1..=2 {
        let lease = queue.take(&worker("w")).unwrap().unwrap();
        assert_eq!(lease.job.tries, tries);
        assert_eq!(queue.fail(&lease, "no network").unwrap(), Settled::Kept);
        assert_eq!(queue.fail(&lease, "no network").unwrap(), Settled::Lost);
    }
    assert_eq!(queue.take(&worker("w")).unwrap(), None);
    let dead = Filter { states: vec![StateKind::Dead], ..Filter::default() };
    let jobs = queue.jobs(&dead).unwrap();
    assert!(jobs.len() == 1 && jobs[0].id == id && jobs[0].ended_at.is_some());
    let JobState::Dead { reason } = &jobs[0].state else { panic!() };
    assert!(reason.contains("no network"), "{reason}");
    let again = queue.retry(id).unwrap().unwrap();
    assert!(again > id && queue.jobs(&dead).unwrap().is_empty());
    assert_eq!(queue.job(id).unwrap().unwrap().state, JobState::Replaced { by: again });
    assert_eq!(queue.retry(again).unwrap(), None, "it has not ended");
    assert_eq!(queue.retry(JobId(999)).unwrap(), None);
    let lease = queue.take(&worker("w")).unwrap().unwrap();
    assert_eq!((lease.job.id, lease.job.tries), (again, 1));
    let bad = Outcome { summary: "web failed".into(), ..Outcome::default() };
    queue.finish(&lease, &bad).unwrap();
    assert_eq!(queue.job(again).unwrap().unwrap().state, JobState::Done { outcome: bad });
    assert_eq!(queue.counts().unwrap().failed, 1);
}

fn given_back_is_no_try(queue: &impl Queue) {
    queue.offer(&work("a", "main", 1), Running::Finish).unwrap();
    for _ in 0..5 {
        let lease = queue.take(&worker("w")).unwrap().unwrap();
        assert_eq!(lease.job.tries, 1);
        queue.give_back(&lease).unwrap();
    }
}

fn labels_decide(queue: &impl Queue) {
    let hints = labels("jdk8+sbt").unwrap();
    queue.offer(&Work { hints: hints.clone(), ..work("a", "main", 1) }, Running::Finish).unwrap();
    assert_eq!(queue.take(&worker("plain")).unwrap(), None);
    let able = Worker { name: "able".into(), labels: hints };
    let lease = queue.take(&able).unwrap().unwrap();
    queue.finish(&lease, &good()).unwrap();
    // The repository stays with the worker that has its caches.
    queue.offer(&work("a", "main", 2), Running::Finish).unwrap();
    assert_eq!(queue.take(&worker("plain")).unwrap(), None);
    assert!(queue.take(&able).unwrap().is_some());
}

fn silent_workers_lose(queue: &impl Queue) {
    queue.offer(&work("a", "main", 1), Running::Finish).unwrap();
    let lost = queue.take(&worker("dies")).unwrap().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let lease = loop {
        if let Some(lease) = queue.take(&worker("lives")).unwrap() {
            break lease;
        }
        assert!(Instant::now() < until, "a job stays with a dead worker");
        queue.wait(Duration::from_millis(20));
    };
    assert_eq!((lease.job.id, lease.job.tries), (lost.job.id, 2));
    assert_eq!(queue.finish(&lost, &good()).unwrap(), Settled::Lost);
    assert_eq!(queue.renew(&lost).unwrap(), Renewed::Lost);
    assert_eq!(queue.finish(&lease, &good()).unwrap(), Settled::Kept);
}

fn old_jobs_go(queue: &impl Queue) {
    let mut ids = Vec::new();
    for commit in 1..=3 {
        ids.extend(queue.offer(&work("a", "main", commit), Running::Finish).unwrap().job());
        let lease = queue.take(&worker("w")).unwrap().unwrap();
        queue.finish(&lease, &good()).unwrap();
    }
    assert_eq!(queue.forget_before(UnixSeconds(1)).unwrap(), []);
    let far = UnixSeconds(u64::from(u32::MAX));
    let mut gone = queue.forget_before(far).unwrap();
    gone.sort();
    assert_eq!(queue.forget_before(far).unwrap(), []);
    assert_eq!(gone, ids[..2]);
    // Its newest is remembered, so that a poll does not do it again.
    let polled = Work { occasion: Occasion::Poll, ..work("a", "main", 3) };
    assert_eq!(queue.offer(&polled, Running::Finish).unwrap(), Offered::Joined { id: ids[2] });
}

fn lines_stand_as_their_last_jobs_left_them(queue: &impl Queue) {
    let image = |verdict| ImageOutcome { name: "web".into(), verdict, reason: "x".into() };
    let images = [Verdict::Fresh, Verdict::Built, Verdict::Failed].map(image);
    let told = Outcome { images: images.into(), report: vec!["line".into()], ..good() };
    let done = |work: &Work, outcome: Option<&Outcome>| {
        let id = queue.offer(work, Running::Finish).unwrap().job().unwrap();
        let lease = queue.take(&worker("w")).unwrap().unwrap();
        match outcome {
            Some(outcome) => queue.finish(&lease, outcome).unwrap(),
            None => queue.fail(&lease, "no answer").unwrap(),
        };
        id
    };
    let first = done(&work("a", "main", 1), Some(&told));
    let second = done(&work("a", "main", 2), None);
    let fork = Work { pull_request: Some("refs/pull/7/head".into()), ..work("a", "main", 3) };
    let third = done(&fork, Some(&good()));
    let waits = queue.offer(&work("b", "next", 1), Running::Finish).unwrap().job().unwrap();
    let lines = queue.lines(None).unwrap();
    assert_eq!(
        lines,
        [queue.lines(Some(&work("a", "x", 1).repository)).unwrap(), vec![lines[2].clone()]].concat()
    );
    let main = &lines[0];
    assert_eq!((main.branch.as_str(), main.is_branch(), main.newest), ("main", true, second));
    assert_eq!(
        (main.ended, main.ok, main.told, main.fresh, main.stale),
        (Some(second), false, Some(first), 2, 1)
    );
    assert!(main.ended_at.is_some());
    assert_eq!((lines[1].is_branch(), lines[1].ok, lines[1].told), (false, true, None));
    assert_eq!((lines[2].newest, lines[2].ended), (waits, None));
    let brief = Filter { brief: true, states: vec![StateKind::Done], ..Filter::default() };
    let JobState::Done { outcome } = &queue.jobs(&brief).unwrap()[1].state else { panic!() };
    assert_eq!((outcome.summary.as_str(), outcome.images.len(), outcome.report.len()), ("1 fresh", 0, 0));
    // What says how a branch stands is kept, however old it is; a pull request goes.
    assert_eq!(queue.forget_before(UnixSeconds(u64::from(u32::MAX))).unwrap(), [third]);
    assert_eq!(queue.lines(None).unwrap().len(), 2);
}
