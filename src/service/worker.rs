//! A worker: takes jobs, has them run, says that it lives, and writes down what came of them.
//!
//! A job that it lost is ended and forgotten, for another has it. Knows neither git nor images: those are the runner's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::model::{Job, Outcome};
use super::queue::{Lease, Queue, QueueError, Renewed, Settled, Worker};
use super::shared::Tell;
use crate::engine::Cancel;

/// A worker without work looks again after so long, if nobody wakes it.
const LOOK: Duration = Duration::from_millis(500);
/// A queue that does not answer is asked again after so long, and at most after so long.
const AGAIN: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));
/// A job that could not begin is held at most so long before it is tried again.
const HELD: Duration = Duration::from_secs(120);

/// The work of a job, done.
pub trait Runner: Send + Sync {
    /// Does it, until it ends or somebody wants it stopped.
    fn run(&self, job: &Job, cancel: &Cancel) -> Ran;
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It came to an end, good or bad.
    Done(Outcome),
    /// It could not begin, or was broken off: it is to be tried again.
    Again(String),
}

/// Is told how jobs fare.
pub trait Observer: Send + Sync {
    /// A job was begun.
    fn begun(&self, job: &Job);
    /// A job came to an end that is written down.
    fn ended(&self, job: &Job, outcome: &Outcome);
    /// A job was broken off; `job` is as the queue has it now.
    fn broken_off(&self, job: &Job, reason: &str);
}

/// The means of a worker.
#[derive(Clone)]
pub struct Hands {
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// The runner.
    pub runner: Arc<dyn Runner>,
    /// Those that are told.
    pub observers: Vec<Arc<dyn Observer>>,
    /// The worker's name and labels.
    pub worker: Worker,
    /// How long a lease holds: three words fit into one.
    pub lease: Duration,
    /// A job that could not begin is held for so long, and longer each time: the world needs a while to mend.
    pub pause: Duration,
    /// Takes no more jobs once this is set.
    pub draining: Arc<AtomicBool>,
    /// Ends the jobs that run, and gives them back.
    pub stop: Cancel,
    /// Takes lines for whoever keeps an eye on it.
    pub tell: Tell,
}

impl Hands {
    /// Does jobs, one after the other, until it is to drain.
    pub fn work(&self) {
        let mut pause = AGAIN.0;
        while !self.is_over() {
            match self.queue.take(&self.worker) {
                Ok(Some(lease)) => {
                    pause = AGAIN.0;
                    self.one(&lease);
                }
                Ok(None) => self.queue.wait(LOOK),
                Err(error) => {
                    if pause == AGAIN.0 {
                        (self.tell)(&error.to_string());
                    }
                    self.rest(pause);
                    pause = (pause * 2).min(AGAIN.1);
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.draining.load(Ordering::SeqCst) || self.stop.is_cancelled()
    }

    fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !self.is_over() {
            thread::sleep(Duration::from_millis(50).min(pause));
        }
    }

    /// Does one job.
    fn one(&self, lease: &Lease) {
        let beat = Beat::default();
        self.observers.iter().for_each(|observer| observer.begun(&lease.job));
        thread::scope(|scope| {
            scope.spawn(|| self.live(lease, &beat));
            let ran = catch_unwind(AssertUnwindSafe(|| self.runner.run(&lease.job, &beat.cancel)));
            let ran = ran.unwrap_or_else(|_| Ran::Again("imk panicked, which is a bug".into()));
            if matches!(ran, Ran::Again(_)) {
                self.hold(lease, &beat);
            }
            self.settle(lease, &beat, ran);
            beat.ended.store(true, Ordering::SeqCst);
        });
    }

    /// Waits before a job is tried again, unless somebody wants it or the worker otherwise.
    fn hold(&self, lease: &Lease, beat: &Beat) {
        let longer = 4_u32.saturating_pow(lease.job.tries.saturating_sub(1));
        let until = Instant::now() + self.pause.saturating_mul(longer).min(HELD);
        while Instant::now() < until && !self.is_over() && !beat.cancel.is_cancelled() {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Says that it lives, a few times a lease, and hears whether it is to go on.
    fn live(&self, lease: &Lease, beat: &Beat) {
        let pause = self.lease / 4;
        let mut heard = Instant::now();
        let mut next = heard + pause;
        while !beat.ended.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(20).min(pause));
            if self.stop.is_cancelled() {
                beat.cancel.cancel();
            }
            if Instant::now() < next {
                continue;
            }
            match self.queue.renew(lease) {
                Ok(Renewed::Kept) => heard = Instant::now(),
                Ok(Renewed::Cancel) => {
                    heard = Instant::now();
                    beat.newer.store(true, Ordering::SeqCst);
                    beat.cancel.cancel();
                }
                Ok(Renewed::Lost) => beat.lose(),
                // Whoever has heard nothing for a lease must take it that another has the job.
                Err(_) if heard.elapsed() >= self.lease => beat.lose(),
                Err(_) => {}
            }
            next = Instant::now() + pause;
        }
    }

    /// Writes down how it ended, for as long as that takes.
    fn settle(&self, lease: &Lease, beat: &Beat, ran: Ran) {
        let mut pause = AGAIN.0;
        loop {
            if beat.lost.load(Ordering::SeqCst) {
                (self.tell)(&format!("job {} is another worker's now", lease.job.id));
                return;
            }
            match self.try_settle(lease, beat, &ran) {
                Ok(()) => return,
                Err(error) => {
                    if pause == AGAIN.0 {
                        (self.tell)(&format!("job {} cannot be written down yet: {error}", lease.job.id));
                    }
                    if self.stop.is_cancelled() && pause > AGAIN.0 {
                        // The queue finds it without a worker, and has it done again.
                        return;
                    }
                    thread::sleep(pause);
                    pause = (pause * 2).min(AGAIN.1);
                }
            }
        }
    }

    fn try_settle(&self, lease: &Lease, beat: &Beat, ran: &Ran) -> Result<(), QueueError> {
        let is_broken_off = beat.newer.load(Ordering::SeqCst) || self.stop.is_cancelled();
        let (settled, reason) = match ran {
            // One that came to an end before it heard is done all the same.
            Ran::Done(outcome) if outcome.ok || !is_broken_off => {
                if self.queue.finish(lease, outcome)? == Settled::Kept {
                    self.observers.iter().for_each(|observer| observer.ended(&lease.job, outcome));
                    let (job, work) = (&lease.job, &lease.job.work);
                    let how = if outcome.ok { "done" } else { "failed" };
                    let place = format!("{} {}", work.repository, work.branch);
                    (self.tell)(&format!("job {} ({place}) {how}: {}", job.id, outcome.summary));
                }
                return Ok(());
            }
            _ if beat.newer.load(Ordering::SeqCst) => {
                (self.queue.give_back(lease)?, "a newer commit is there".into())
            }
            _ if is_broken_off => (self.queue.give_back(lease)?, "the worker ends".into()),
            Ran::Again(reason) => (self.queue.fail(lease, reason)?, reason.clone()),
            Ran::Done(outcome) => (self.queue.give_back(lease)?, outcome.summary.clone()),
        };
        if settled == Settled::Kept {
            let job = self.queue.job(lease.job.id).ok().flatten().unwrap_or_else(|| lease.job.clone());
            self.observers.iter().for_each(|observer| observer.broken_off(&job, &reason));
            (self.tell)(&format!("job {} was broken off: {reason}", lease.job.id));
        }
        Ok(())
    }
}

/// How a job under way stands with its queue.
#[derive(Default)]
struct Beat {
    cancel: Cancel,
    /// A newer commit is there.
    newer: AtomicBool,
    /// Another has the job.
    lost: AtomicBool,
    ended: AtomicBool,
}

impl Beat {
    fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
        self.cancel.cancel();
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
