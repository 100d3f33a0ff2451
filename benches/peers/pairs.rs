//! Alternating pairs of two commands, and what comes of them.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::round::run;

/// How long a comparison may go on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Pairs at most.
    pub rounds: usize,
    /// No pair begins after this; two are always made.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { rounds: 15, time: Duration::from_secs(12) }
    }
}

/// A peer beside imk.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: &'static str,
    pub pairs: usize,
    /// Seconds.
    pub peer: Spread,
    /// Seconds of imk in the same rounds.
    pub imk: Spread,
    /// The peer's time in imk's, pair by pair.
    pub ratio: Spread,
}

/// The median of some values, and their ends.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let half = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 };
        Self { least: values[0], median, most: values[values.len() - 1] }
    }
}

/// Times both in turn. What `imk` and `peer` do before they give their command is not timed.
pub fn compare(
    name: &'static str,
    limits: Limits,
    mut imk: impl FnMut() -> Command,
    mut peer: impl FnMut() -> Command,
) -> Figure {
    let begun = Instant::now();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    while ours.len() < limits.rounds && (ours.len() < 2 || begun.elapsed() < limits.time) {
        if ours.len() % 2 == 0 {
            ours.push(seconds(imk()));
            theirs.push(seconds(peer()));
        } else {
            theirs.push(seconds(peer()));
            ours.push(seconds(imk()));
        }
    }
    let ratio = ours.iter().zip(&theirs).map(|(ours, theirs)| theirs / ours).collect();
    let pairs = ours.len();
    eprintln!("{name}: {pairs} pairs in {:.0} s", begun.elapsed().as_secs_f64());
    Figure { name, pairs, peer: Spread::of(theirs), imk: Spread::of(ours), ratio: Spread::of(ratio) }
}

fn seconds(mut command: Command) -> f64 {
    let begun = Instant::now();
    run(&mut command);
    begun.elapsed().as_secs_f64()
}
