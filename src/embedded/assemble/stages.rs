//! Stages side by side: each begins as soon as those that it needs are done.
//!
//! A stage needs the one that it begins with and those that it copies from or mounts. The first that fails stops
//! the others. Knows neither instructions nor files.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::embedded::trouble::{Result, refusal};
use crate::engine::{Cancel, EngineError};

/// No more stages are under way at once: each may run a command.
const AT_ONCE: usize = 16;

/// Stages of one build, by number.
pub struct Stages<S> {
    done: Mutex<BTreeMap<usize, Arc<Mutex<S>>>>,
}

impl<S> Default for Stages<S> {
    fn default() -> Self {
        Self { done: Mutex::default() }
    }
}

impl<S: Send> Stages<S> {
    /// A stage that is done, for this thread alone while it is held.
    pub fn get(&self, index: usize) -> Result<Arc<Mutex<S>>> {
        let found = self.done.lock().get(&index).cloned();
        found.ok_or_else(|| refusal("looking into a stage", "it was not built"))
    }

    /// Makes all stages, given what each needs; `stop` is set when one fails.
    ///
    /// # Errors
    /// Of the stage that failed first.
    pub fn make(
        &self,
        needs: BTreeMap<usize, BTreeSet<usize>>,
        stop: &Cancel,
        make: &(dyn Fn(usize) -> Result<S> + Sync),
    ) -> Result<()> {
        let threads = needs.len().min(AT_ONCE);
        let round = Round { waiting: Mutex::new(Waiting { needs, failed: None }), changed: Condvar::new() };
        let work = || {
            let _whole = OnPanic(&round, stop);
            while let Some(index) = round.next(self) {
                match make(index) {
                    Ok(stage) => {
                        self.done.lock().insert(index, Arc::new(Mutex::new(stage)));
                        round.tell(|_| {});
                    }
                    Err(error) => {
                        stop.cancel();
                        round.tell(|waiting| waiting.fail(error));
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            (1..threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        match round.waiting.into_inner().failed {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

/// The stages that nobody has begun, and how it goes.
struct Waiting {
    needs: BTreeMap<usize, BTreeSet<usize>>,
    failed: Option<EngineError>,
}

impl Waiting {
    /// The first failure counts: those behind it were stopped by it.
    fn fail(&mut self, error: EngineError) {
        self.needs.clear();
        self.failed.get_or_insert(error);
    }
}

/// Lets nobody wait for a stage whose thread is no more.
struct OnPanic<'r>(&'r Round, &'r Cancel);

impl Drop for OnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.1.cancel();
            self.0.tell(|waiting| waiting.fail(EngineError::Interrupted));
        }
    }
}

struct Round {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl Round {
    /// The next stage to make, waited for; `None` when there is none any more.
    fn next<S>(&self, stages: &Stages<S>) -> Option<usize> {
        let mut waiting = self.waiting.lock();
        loop {
            if waiting.needs.is_empty() {
                return None;
            }
            if let Some(index) = Self::ready(&waiting, stages) {
                waiting.needs.remove(&index);
                return Some(index);
            }
            // Stages need only earlier ones, so one that others wait for is under way.
            self.changed.wait(&mut waiting);
        }
    }

    fn ready<S>(waiting: &MutexGuard<'_, Waiting>, stages: &Stages<S>) -> Option<usize> {
        let done = stages.done.lock();
        let ready = |(index, needs): (&usize, &BTreeSet<usize>)| {
            needs.iter().all(|need| done.contains_key(need)).then_some(*index)
        };
        waiting.needs.iter().find_map(ready)
    }

    fn tell(&self, change: impl FnOnce(&mut Waiting)) {
        change(&mut self.waiting.lock());
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn needs(of: &[(usize, &[usize])]) -> BTreeMap<usize, BTreeSet<usize>> {
        of.iter().map(|(index, needs)| (*index, needs.iter().copied().collect())).collect()
    }

    #[test]
    fn stages_that_need_nothing_of_each_other_are_under_way_at_once() {
        // Each of the two waits for the other: one after the other they would never end.
        let (meet, order) = (Barrier::new(2), Mutex::new(Vec::new()));
        let make = |index: usize| {
            if index < 2 {
                meet.wait();
            }
            order.lock().push(index);
            Ok(index)
        };
        let stages = Stages::default();
        stages
            .make(needs(&[(0, &[]), (1, &[]), (2, &[0, 1]), (3, &[2])]), &Cancel::default(), &make)
            .unwrap();
        assert_eq!(order.into_inner()[2..], [2, 3]);
        assert!(stages.get(3).is_ok() && stages.get(4).is_err());
    }

    #[test]
    fn a_stage_that_fails_stops_the_others_and_is_the_one_that_is_told() {
        let stop = Cancel::default();
        let made = Mutex::new(Vec::new());
        let make = |index: usize| {
            made.lock().push(index);
            if index == 1 {
                return Err(refusal("one", "it fails"));
            }
            while !stop.is_cancelled() {
                std::thread::yield_now();
            }
            Err(EngineError::Interrupted)
        };
        let done = Stages::<()>::default().make(needs(&[(0, &[]), (1, &[]), (2, &[1])]), &stop, &make);
        assert!(matches!(done, Err(EngineError::Refused { what, .. }) if what == "one"));
        assert!(!made.into_inner().contains(&2));
    }
}
