//! Which test may run next: those of an image wait for those of its bases, and are skipped when one of them fails.
//!
//! Runs on threads of its own. Knows no engine: a test is run by whoever calls.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::{Condvar, Mutex, MutexGuard};

/// A test to be run, by the image that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The image.
    pub image: String,
    /// The test.
    pub test: String,
}

/// How a job came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// The image is as expected.
    Well,
    /// It is not, or nobody knows.
    Badly,
}

#[derive(Clone, Copy, PartialEq)]
enum Stand {
    Waits,
    Runs,
    Is(Came),
    Skipped,
}

/// Runs all jobs, `at_once` at a time. `bases` are the images that each is built on, near and far. `run` runs one,
/// `skip` is told of one that is not run and of the image because of which.
pub fn run_all(
    jobs: &[Job],
    bases: &BTreeMap<String, BTreeSet<String>>,
    at_once: usize,
    run: impl Fn(&Job) -> Came + Sync,
    skip: impl Fn(&Job, &str) + Sync,
) {
    let stands = Mutex::new(vec![Stand::Waits; jobs.len()]);
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, jobs.len().max(1)) {
            scope.spawn(|| {
                let mut held = stands.lock();
                loop {
                    match next(jobs, bases, &mut held, &skip) {
                        Some(at) => {
                            held[at] = Stand::Runs;
                            let came = MutexGuard::unlocked(&mut held, || run(&jobs[at]));
                            held[at] = Stand::Is(came);
                            changed.notify_all();
                        }
                        None if held.iter().any(|stand| matches!(stand, Stand::Waits)) => {
                            changed.wait(&mut held)
                        }
                        None => return,
                    }
                }
            });
        }
    });
}

/// The first job that may run. Those that may never run are skipped on the way.
fn next(
    jobs: &[Job],
    bases: &BTreeMap<String, BTreeSet<String>>,
    stands: &mut [Stand],
    skip: &impl Fn(&Job, &str),
) -> Option<usize> {
    let mut found = None;
    for at in 0..jobs.len() {
        if stands[at] != Stand::Waits {
            continue;
        }
        let below = bases.get(&jobs[at].image);
        let of_bases =
            || (0..jobs.len()).filter(|other| below.is_some_and(|below| below.contains(&jobs[*other].image)));
        let bad = |stand: Stand| matches!(stand, Stand::Skipped | Stand::Is(Came::Badly));
        if let Some(base) = of_bases().find(|other| bad(stands[*other])) {
            stands[at] = Stand::Skipped;
            skip(&jobs[at], &jobs[base].image);
        } else if found.is_none() && of_bases().all(|other| stands[other] == Stand::Is(Came::Well)) {
            found = Some(at);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(image: &str, test: &str) -> Job {
        Job { image: image.into(), test: test.into() }
    }

    #[test]
    fn tests_of_dependents_wait_for_those_of_bases_and_are_skipped_when_one_fails() {
        let jobs = [job("app", "t"), job("base", "bad"), job("base", "good"), job("lone", "t")];
        let bases = BTreeMap::from([("app".to_owned(), BTreeSet::from(["base".to_owned()]))]);
        for at_once in [1, 4] {
            let (ran, skipped) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
            let run = |job: &Job| {
                ran.lock().push(format!("{} {}", job.image, job.test));
                if job.test == "bad" { Came::Badly } else { Came::Well }
            };
            run_all(&jobs, &bases, at_once, run, |job, base| {
                skipped.lock().push(format!("{} {base}", job.image))
            });
            let mut ran = ran.into_inner();
            ran.sort();
            assert_eq!(ran, ["base bad", "base good", "lone t"]);
            assert_eq!(skipped.into_inner(), ["app base"]);
        }
        let ran = Mutex::new(Vec::new());
        let run = |job: &Job| {
            ran.lock().push(job.image.clone());
            Came::Well
        };
        run_all(&jobs, &bases, 4, run, |_, _| panic!("nothing failed"));
        let ran: Vec<String> = ran.into_inner().into_iter().filter(|image| image != "lone").collect();
        assert_eq!(ran, ["base", "base", "app"]);
    }
}
