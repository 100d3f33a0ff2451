//! Decides which job may start next.
//!
//! Knows the order and what has finished so far. Knows nothing of engines,
//! time or threads: the caller reports what happened and asks again.

use std::collections::{BTreeMap, BTreeSet};

use crate::query::graph::Order;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// One of its bases has not finished.
    Wanted,
    /// It may start.
    Ready,
    /// It was handed out.
    Running,
    /// It has a result.
    Done,
    /// It has none.
    Failed,
    /// It will not be tried: a base failed, or an earlier failure ends the run.
    Skipped,
}

/// The jobs of one run.
#[derive(Debug)]
pub struct Schedule {
    states: BTreeMap<String, State>,
    waiting: BTreeMap<String, usize>,
    users: BTreeMap<String, Vec<String>>,
    /// Longest way to the end in expected milliseconds, the job itself included.
    urgency: BTreeMap<String, u64>,
    ready: BTreeSet<(std::cmp::Reverse<u64>, String)>,
    keep_going: bool,
}

impl Schedule {
    /// A schedule of `order`. `expected` is how long a job is thought to take,
    /// in milliseconds: of two ready jobs, the one that holds up more goes first.
    pub fn new(order: &Order, expected: impl Fn(&str) -> u64, keep_going: bool) -> Self {
        let mut users: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut waiting = BTreeMap::new();
        for name in &order.names {
            let bases = order.bases.get(name).map(BTreeSet::len).unwrap_or_default();
            waiting.insert(name.clone(), bases);
            for base in order.bases.get(name).into_iter().flatten() {
                users.entry(base.clone()).or_default().push(name.clone());
            }
        }
        let mut urgency: BTreeMap<String, u64> = BTreeMap::new();
        for name in order.names.iter().rev() {
            let after = users.get(name).into_iter().flatten();
            let after = after.filter_map(|user| urgency.get(user)).max().copied().unwrap_or_default();
            urgency.insert(name.clone(), after.saturating_add(expected(name).max(1)));
        }
        let mut schedule = Self {
            states: order.names.iter().map(|name| (name.clone(), State::Wanted)).collect(),
            waiting,
            users,
            urgency,
            ready: BTreeSet::new(),
            keep_going,
        };
        let free: Vec<String> =
            schedule.waiting.iter().filter(|(_, n)| **n == 0).map(|(name, _)| name.clone()).collect();
        for name in free {
            schedule.make_ready(&name);
        }
        schedule
    }

    /// Hands out the most urgent ready job.
    pub fn start_next(&mut self) -> Option<String> {
        let (_, name) = self.ready.pop_first()?;
        self.states.insert(name.clone(), State::Running);
        Some(name)
    }

    /// How many jobs may start now.
    pub fn ready(&self) -> usize {
        self.ready.len()
    }

    /// A job has a result. Tells how many jobs became ready by it.
    pub fn done(&mut self, name: &str) -> usize {
        self.states.insert(name.to_owned(), State::Done);
        let before = self.ready.len();
        for user in self.users.get(name).cloned().unwrap_or_default() {
            if let Some(count) = self.waiting.get_mut(&user) {
                *count -= 1;
                if *count == 0 && self.states.get(&user) == Some(&State::Wanted) {
                    self.make_ready(&user);
                }
            }
        }
        self.ready.len() - before
    }

    /// A job has none: what is built on it is skipped, and everything that has
    /// not started too unless the caller keeps going.
    pub fn failed(&mut self, name: &str) {
        self.states.insert(name.to_owned(), State::Failed);
        if self.keep_going { self.skip_users(name) } else { self.stop() }
    }

    /// A job has none yet, for no fault of its own: what is built on it is skipped, and nothing else.
    pub fn put_off(&mut self, name: &str) {
        self.states.insert(name.to_owned(), State::Failed);
        self.skip_users(name);
    }

    /// Nothing more starts.
    pub fn stop(&mut self) {
        self.ready.clear();
        for state in self.states.values_mut() {
            if matches!(state, State::Wanted | State::Ready) {
                *state = State::Skipped;
            }
        }
    }

    /// Where every job stands, by name.
    pub fn states(&self) -> &BTreeMap<String, State> {
        &self.states
    }

    fn skip_users(&mut self, name: &str) {
        let mut todo = self.users.get(name).cloned().unwrap_or_default();
        while let Some(user) = todo.pop() {
            if self.states.get(&user) == Some(&State::Wanted) {
                todo.extend(self.users.get(&user).cloned().unwrap_or_default());
                self.states.insert(user, State::Skipped);
            }
        }
    }

    fn make_ready(&mut self, name: &str) {
        self.states.insert(name.to_owned(), State::Ready);
        let urgency = self.urgency.get(name).copied().unwrap_or_default();
        self.ready.insert((std::cmp::Reverse(urgency), name.to_owned()));
    }
}

/// Milliseconds from the first to the last of some jobs of an order, `at_once` of them beside each other. `times` has
/// the jobs and how long each takes.
pub fn wall(order: &Order, times: &BTreeMap<String, u64>, at_once: usize) -> u64 {
    let took = |name: &str| times.get(name).copied().unwrap_or_default();
    let among = |name: &String| {
        let bases = order.bases.get(name).into_iter().flatten();
        bases.filter(|base| times.contains_key(*base)).cloned().collect()
    };
    let names: Vec<String> = order.names.iter().filter(|name| times.contains_key(*name)).cloned().collect();
    let bases = names.iter().map(|name| (name.clone(), among(name))).collect();
    let mut schedule = Schedule::new(&Order { names, bases, ..Order::default() }, took, true);
    let mut running: BTreeSet<(u64, String)> = BTreeSet::new();
    let mut now = 0;
    loop {
        while running.len() < at_once.max(1)
            && let Some(name) = schedule.start_next()
        {
            running.insert((now + took(&name), name));
        }
        let Some((ends, name)) = running.pop_first() else { return now };
        now = ends;
        schedule.done(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `"base; a: base; b: base; top: a b"`, bases first.
    fn order(text: &str) -> Order {
        let mut order = Order::default();
        for line in text.split(';').map(str::trim) {
            let (name, bases) = line.split_once(':').unwrap_or((line, ""));
            order.names.push(name.to_owned());
            order.bases.insert(name.to_owned(), bases.split_whitespace().map(str::to_owned).collect());
        }
        order
    }

    fn drain(schedule: &mut Schedule) -> Vec<String> {
        std::iter::from_fn(|| schedule.start_next()).collect()
    }

    #[test]
    fn a_job_starts_only_when_all_its_bases_are_done() {
        let mut schedule = Schedule::new(&order("base; a: base; b: base; top: a b"), |_| 1, false);
        assert_eq!(drain(&mut schedule), ["base"]);
        assert_eq!(schedule.done("base"), 2);
        assert_eq!(drain(&mut schedule), ["a", "b"]);
        assert_eq!(schedule.done("a"), 0);
        assert_eq!(schedule.done("b"), 1);
        assert_eq!(drain(&mut schedule), ["top"]);
    }

    #[test]
    fn the_job_that_holds_up_most_goes_first() {
        let times = |name: &str| if name == "slow" { 1000 } else { 10 };
        let mut schedule = Schedule::new(&order("a; b; c; slow: c"), times, false);
        assert_eq!(drain(&mut schedule), ["c", "a", "b"]);
    }

    #[test]
    fn after_a_failure_nothing_starts() {
        let mut schedule = Schedule::new(&order("a; b; c: a; d: b"), |_| 1, false);
        assert_eq!(schedule.start_next().as_deref(), Some("a"));
        schedule.failed("a");
        assert_eq!(drain(&mut schedule), [""; 0]);
        assert_eq!(schedule.states()["c"], State::Skipped);
        assert_eq!(schedule.states()["b"], State::Skipped);
    }

    #[test]
    fn keep_going_skips_only_what_is_built_on_the_failure() {
        let mut schedule = Schedule::new(&order("a; b; c: a; d: b; e: c d"), |_| 1, true);
        assert_eq!(drain(&mut schedule), ["a", "b"]);
        schedule.failed("a");
        schedule.done("b");
        assert_eq!(drain(&mut schedule), ["d"]);
        assert_eq!(schedule.done("d"), 0);
        let skipped: Vec<_> = schedule
            .states()
            .iter()
            .filter(|(_, s)| **s == State::Skipped)
            .map(|(n, _)| n.as_str())
            .collect();
        assert_eq!(skipped, ["c", "e"]);
    }
}
