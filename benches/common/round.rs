//! Interleaved timing: every candidate once a round, then the median of each.
//!
//! Other work on the machine then slows all of them alike, so quote the ratios, never the times.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Something to time, with its name.
pub type Candidate<'a> = (&'a str, Box<dyn FnMut() + 'a>);

/// Times all candidates `rounds` times in turn, after one round that does not count, and
/// prints their medians and ratios to the first.
pub fn compare(title: &str, rounds: usize, mut candidates: Vec<Candidate<'_>>) {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); candidates.len()];
    for round in 0..=rounds {
        for ((_, run), times) in candidates.iter_mut().zip(&mut times) {
            let started = Instant::now();
            run();
            if round > 0 {
                times.push(started.elapsed());
            }
        }
    }
    println!("\n{title} ({rounds} interleaved rounds)");
    let medians: Vec<f64> = times.iter_mut().map(|times| median(times)).collect();
    for ((name, _), median) in candidates.iter().zip(&medians) {
        println!("  {name:<28} {:>9.2} ms   {:>6.2} x", median * 1e3, median / medians[0]);
    }
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}

/// A command that must succeed; what it prints is thrown away.
pub fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // ninja tells its errors on the other stream.
    let [said, erred] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(output.status.success(), "{command:?}: {said}{erred}");
}

/// Whether a program is installed.
pub fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Peak memory of a command in MB, as GNU `time` tells it; nothing where that is not installed.
pub fn peak_memory(command: &Command) -> Option<f64> {
    let mut timed = Command::new("/usr/bin/time");
    timed.args(["-f", "%M"]).arg(command.get_program()).args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = timed.output().ok()?;
    let kilobytes: f64 = String::from_utf8_lossy(&output.stderr).lines().last()?.trim().parse().ok()?;
    Some(kilobytes / 1000.0)
}

/// Bytes of all files below a folder, in MB.
pub fn size(folder: &Path) -> f64 {
    fn bytes(folder: &Path) -> u64 {
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => bytes(&entry.path()),
                Ok(metadata) => metadata.len(),
                Err(_) => 0,
            })
            .sum()
    }
    bytes(folder) as f64 / 1e6
}
