//! Room for one more build beside others: as long as the machine's processors are idle.
//!
//! A builder waits for disks and networks most of the time, so as many builds as there are processors leave most of
//! them idle; and where steps compile, more than that only hinder each other. So builds beyond that number begin one
//! after the other, each when a look at the processors shows that those before it left some idle. For an engine on
//! this machine; the processors of another are not seen. Knows no image.

use std::path::Path;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::engine::Cancel;
use crate::source::outside;

/// So long after a build began its work shows in the processors' times.
const WINDOW: Duration = Duration::from_millis(200);
/// How often somebody who waits looks whether another build ended.
const TICK: Duration = Duration::from_millis(25);
/// Percent of the processors' time from which they count as busy.
const BUSY: u64 = 85;

/// Room beside a number of builds that always may run.
#[derive(Debug)]
pub struct Room {
    always: usize,
    last: Mutex<Option<(Instant, Times)>>,
}

/// The processors' times since the machine began, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Times {
    idle: u64,
    all: u64,
}

impl Room {
    /// Room beside `always` builds, which need none.
    pub fn beside(always: usize) -> Self {
        Self { always, last: Mutex::default() }
    }

    /// Waits for room; `running` says how many builds run, `begin` begins this one.
    pub fn enter<T>(&self, running: impl Fn() -> usize, cancel: &Cancel, begin: impl FnOnce() -> T) -> T {
        // Who holds it decides, and the others wait behind.
        let mut last = self.last.lock();
        while running() >= self.always && !cancel.is_cancelled() {
            let rest = last.map_or(WINDOW, |(at, _)| WINDOW.saturating_sub(at.elapsed()));
            if !rest.is_zero() {
                last.get_or_insert_with(|| (Instant::now(), Times::now()));
                std::thread::sleep(rest.min(TICK));
                continue;
            }
            let (before, now) = (last.map_or(Times::NONE, |(_, times)| times), Times::now());
            *last = Some((Instant::now(), now));
            if now.are_idle_since(before) {
                break;
            }
        }
        begin()
    }
}

impl Times {
    /// Nothing is known: the processors count as busy.
    const NONE: Self = Self { idle: 0, all: 0 };

    fn now() -> Self {
        let text = outside::read(Path::new("/proc/stat")).unwrap_or_default();
        Self::of(&String::from_utf8_lossy(&text))
    }

    /// The first line: user, nice, system, idle, waiting for disks, interrupts, stolen; the rest is counted in these.
    fn of(text: &str) -> Self {
        let line = text.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
        let times: Vec<u64> = line.split_whitespace().take(8).filter_map(|time| time.parse().ok()).collect();
        match times.as_slice() {
            [_, _, _, idle, waiting, ..] => Self { idle: idle + waiting, all: times.iter().sum() },
            _ => Self::NONE,
        }
    }

    fn are_idle_since(self, before: Self) -> bool {
        let (all, idle) = (self.all.saturating_sub(before.all), self.idle.saturating_sub(before.idle));
        before != Self::NONE && all > 0 && 100 * (all - idle.min(all)) < BUSY * all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_idle_by_what_passed_between_two_looks() {
        let before = Times::of("cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 1 1 1\n");
        assert_eq!(before, Times { idle: 800, all: 1000 });
        assert!(Times::of("cpu  140 0 100 840 20 0 0 0 0 0\n").are_idle_since(before));
        assert!(!Times::of("cpu  190 0 100 810 0 0 0 0 0 0\n").are_idle_since(before));
        assert!(!before.are_idle_since(before), "no time has passed");
        assert!(!before.are_idle_since(Times::of("nonsense")), "nothing is known");
    }

    #[test]
    fn builds_that_always_may_run_wait_for_nothing_and_a_cancelled_one_neither() {
        let room = Room::beside(2);
        let cancel = Cancel::default();
        assert_eq!(room.enter(|| 1, &cancel, || 7), 7);
        cancel.cancel();
        assert_eq!(room.enter(|| 9, &cancel, || 8), 8);
    }

    #[test]
    fn one_that_waits_begins_when_another_ends() {
        let (room, cancel) = (Room::beside(1), Cancel::default());
        let looks = std::cell::Cell::new(0);
        let running = || {
            looks.set(looks.get() + 1);
            usize::from(looks.get() < 4)
        };
        room.enter(running, &cancel, || ());
        assert!(looks.get() >= 1);
    }
}
