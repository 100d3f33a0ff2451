//! Threads for what waits: questions to many servers at once, and jobs that are not to meet in the middle of each other.
//!
//! Knows nothing of what is asked or done. Work for processors is rayon's.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Questions under way at once.
const AT_ONCE: usize = 8;

/// Does something that uses rayon, and takes up no other job of this thread's pool meanwhile.
///
/// A thread of a pool that waits for others runs whatever its pool has next. In the middle of a query that would be
/// another image's build, whose queries belong to another handle of the database, which salsa ends with a panic.
/// Not for what already runs on rayon's common threads: were they to wait idly for each other, nobody would work.
pub fn apart<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Asks of many things at once; the answers are in their order.
pub fn at_once<T: Sync, R: Send>(things: &[T], ask: impl Fn(&T) -> R + Sync) -> Vec<R> {
    several_at_once(AT_ONCE, things, ask)
}

/// As [`at_once`], with so many under way.
pub fn several_at_once<T: Sync, R: Send>(many: usize, things: &[T], ask: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut answers = Vec::new();
        while let Some((at, thing)) = {
            let at = next.fetch_add(1, Ordering::Relaxed);
            things.get(at).map(|thing| (at, thing))
        } {
            answers.push((at, ask(thing)));
        }
        answers
    };
    let mut answers = std::thread::scope(|scope| {
        let others: Vec<_> = (1..things.len().min(many)).map(|_| scope.spawn(work)).collect();
        let mut answers = work();
        for other in others {
            answers.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        answers
    });
    answers.sort_by_key(|(at, _)| *at);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;

    /// A build ended once with "Cannot change database mid-query".
    #[test]
    fn who_computes_in_the_middle_of_a_job_takes_up_no_other_job() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let busy = std::sync::Mutex::new(std::collections::HashSet::new());
        pool.scope(|scope| {
            for _ in 0..200 {
                scope.spawn(|_| {
                    let thread = std::thread::current().id();
                    assert!(busy.lock().unwrap().insert(thread), "a job began in the middle of another");
                    let sum: usize = apart(|| (0..2000usize).into_par_iter().map(|n| n ^ 1).sum());
                    assert_eq!(sum, 1_999_000);
                    assert!(busy.lock().unwrap().remove(&thread));
                });
            }
        });
    }
}
