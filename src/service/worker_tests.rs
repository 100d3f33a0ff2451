//! A worker does each job once, whatever the queue, the runner or a person does meanwhile.

use parking_lot::Mutex;

use super::*;
use crate::service::model::Labels;
use crate::service::model::{JobState, StateKind};
use crate::service::queue::contract::work;
use crate::service::queue::sqlite::SqliteQueue;
use crate::service::queue::{Filter, Rules};
use crate::syntax::serve::Running;

/// Runs a closure.
struct Script<F>(F);

impl<F: Fn(&Job, &Cancel) -> Ran + Send + Sync> Runner for Script<F> {
    fn run(&self, job: &Job, cancel: &Cancel) -> Ran {
        (self.0)(job, cancel)
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn begun(&self, job: &Job) {
        self.0.lock().push(format!("{} begun", job.id));
    }
    fn ended(&self, job: &Job, outcome: &Outcome) {
        self.0.lock().push(format!("{} ended {}", job.id, outcome.ok));
    }
    fn broken_off(&self, job: &Job, reason: &str) {
        self.0.lock().push(format!("{} {}: {reason}", job.id, job.state.kind().word()));
    }
}

struct Lab {
    queue: Arc<SqliteQueue>,
    heard: Arc<Heard>,
    hands: Hands,
}

impl Lab {
    fn new(rules: Rules, run: impl Fn(&Job, &Cancel) -> Ran + Send + Sync + 'static) -> Self {
        let queue = Arc::new(SqliteQueue::in_memory(rules).unwrap());
        let heard = Arc::new(Heard::default());
        let hands = Hands {
            queue: queue.clone(),
            runner: Arc::new(Script(run)),
            observers: vec![heard.clone()],
            worker: Worker { name: "w".into(), labels: Labels::new() },
            lease: rules.lease,
            pause: Duration::from_millis(1),
            draining: Arc::default(),
            stop: Cancel::default(),
            tell: Arc::new(|_| {}),
        };
        Self { queue, heard, hands }
    }

    fn offer(&self, repository: &str, commit: u8) {
        self.queue.offer(&work(repository, "main", commit), Running::Cancel).unwrap();
    }

    /// Works until nothing waits and nothing runs.
    fn until_idle(&self) {
        thread::scope(|scope| {
            scope.spawn(|| self.hands.work());
            self.wait(|| self.queue.counts().is_ok_and(|counts| counts.queued + counts.running == 0));
            self.hands.draining.store(true, Ordering::SeqCst);
        });
    }

    fn wait(&self, until: impl Fn() -> bool) {
        let limit = Instant::now() + Duration::from_secs(60);
        while !until() {
            assert!(Instant::now() < limit, "{:?}", self.heard.0.lock());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn heard(&self) -> Vec<String> {
        self.heard.0.lock().clone()
    }
}

fn good() -> Ran {
    Ran::Done(Outcome { ok: true, summary: "1 fresh".into(), ..Outcome::default() })
}

#[test]
fn jobs_are_done_and_told_and_one_that_could_not_begin_is_tried_again() {
    let tries = Mutex::new(0);
    let lab = Lab::new(Rules { tries: 3, ..Rules::default() }, move |job, _| {
        *tries.lock() += 1;
        match (job.work.repository.as_str(), *tries.lock()) {
            ("b", 2) => Ran::Again("no network".into()),
            ("b", 3) => panic!("a bug"),
            _ => good(),
        }
    });
    lab.offer("a", 1);
    lab.offer("b", 1);
    lab.until_idle();
    let told = [
        "1 begun",
        "1 ended true",
        "2 begun",
        "2 queued: no network",
        "2 begun",
        "2 queued: imk panicked, which is a bug",
        "2 begun",
        "2 ended true",
    ];
    assert_eq!(lab.heard(), told);
}

#[test]
fn a_run_of_an_older_commit_is_ended_by_policy_and_the_newer_one_is_done() {
    let lab = Lab::new(Rules { lease: Duration::from_millis(400), tries: 3 }, |job, cancel| {
        let is_old = job.work.commit.starts_with("01");
        while is_old && !cancel.is_cancelled() {
            thread::sleep(Duration::from_millis(5));
        }
        if is_old { Ran::Done(Outcome { summary: "cancelled".into(), ..Outcome::default() }) } else { good() }
    });
    lab.offer("a", 1);
    thread::scope(|scope| {
        scope.spawn(|| lab.hands.work());
        lab.wait(|| lab.queue.counts().unwrap().running == 1);
        lab.offer("a", 2);
        lab.wait(|| lab.queue.counts().unwrap().succeeded == 1);
        lab.hands.draining.store(true, Ordering::SeqCst);
    });
    assert_eq!(lab.heard(), ["1 begun", "1 replaced: a newer commit is there", "2 begun", "2 ended true"]);
}

#[test]
fn a_worker_that_is_stopped_gives_its_job_back_untouched() {
    let lab = Lab::new(Rules::default(), |_, cancel| {
        while !cancel.is_cancelled() {
            thread::sleep(Duration::from_millis(5));
        }
        Ran::Done(Outcome::default())
    });
    lab.offer("a", 1);
    thread::scope(|scope| {
        let worker = scope.spawn(|| lab.hands.work());
        lab.wait(|| lab.queue.counts().unwrap().running == 1);
        lab.hands.stop.cancel();
        worker.join().unwrap();
    });
    let jobs = lab.queue.jobs(&Filter::default()).unwrap();
    assert_eq!((jobs[0].state.clone(), jobs[0].tries), (JobState::Queued, 0));
    let dead = Filter { states: vec![StateKind::Dead], ..Filter::default() };
    assert!(lab.queue.jobs(&dead).unwrap().is_empty());
}
