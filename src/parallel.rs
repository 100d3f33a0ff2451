//! Asks of many things at once, with threads of its own: servers are waited for, not computed with.
//!
//! Knows nothing of what is asked. Work for processors is rayon's.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Questions under way at once.
const AT_ONCE: usize = 8;

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
