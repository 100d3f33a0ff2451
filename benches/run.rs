//! The price of `imk run` over the same `docker run`, when the image is fresh. The goal is at most 60 ms more.
//!
//! ```text
//! ci/engine run cargo bench --bench run            # 40 pairs; an image of its own, removed afterwards
//! ci/engine run cargo bench --bench run -- PAIRS   # so many
//! ```
//!
//! Both run `true` in a container of one image, with an init and removed at its end, one after the other in turn, so
//! other work on the machine slows both alike. The number that counts is the median of the differences within the pairs.
//! Measured on two processors that others kept busy, with Docker 20.10 and an unoptimised imk (`--profile dev`): docker
//! 846 ms, imk 964 ms, the median of 40 differences 86 ms, their quartiles 0 and 188 ms. An idle machine and an optimised
//! build were not to be had.

mod common;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::round::run;
use fs_err as fs;

const IMK: &str = env!("CARGO_BIN_EXE_imk");
const PREFIX: &str = "imk-bench/run/";

fn main() {
    let pairs = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(40);
    let root = tempfile::tempdir().expect("there is a place for temporary files");
    repository(root.path());
    let built = imk(root.path(), &["build"]).output().expect("imk runs");
    if !built.status.success() {
        println!("nothing could be built: {}", String::from_utf8_lossy(&built.stderr));
        return;
    }
    let image = format!("{PREFIX}box");
    let docker = || {
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--init", "-i", &image, "true"]);
        time(&mut docker)
    };
    let imk_run = || time(&mut imk(root.path(), &["run", "box", "true"]));
    let what_runs = || time(&mut imk(root.path(), &["run", "--no-build", "box", "true"]));
    let (mut theirs, mut ours, mut more, mut unasked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    // The first of each does not count.
    for pair in 0..=pairs {
        let (one, other) = if pair % 2 == 0 { (docker(), imk_run()) } else { swapped(imk_run(), docker()) };
        let third = what_runs();
        if pair > 0 {
            theirs.push(one);
            ours.push(other);
            more.push(other - one);
            unasked.push(third - one);
        }
    }
    println!("\n`true` in a fresh image ({pairs} alternating pairs)");
    let lines = [
        ("docker run --rm --init -i", &mut theirs),
        ("imk run", &mut ours),
        ("imk run is longer by", &mut more),
        ("imk run --no-build by", &mut unasked),
    ];
    for (name, times) in lines {
        times.sort_by(f64::total_cmp);
        let at = |quarter: usize| times[(times.len() - 1) * quarter / 4];
        println!("  {name:<28} {:>8.1} ms   quartiles {:.1} .. {:.1}", at(2), at(1), at(3));
    }
    let _ = Command::new("docker").args(["rmi", "-f", &image]).output();
}

fn swapped(one: f64, other: f64) -> (f64, f64) {
    (other, one)
}

/// Milliseconds of a command that must succeed.
fn time(command: &mut Command) -> f64 {
    let begin = Instant::now();
    run(command);
    let took: Duration = begin.elapsed();
    took.as_secs_f64() * 1e3
}

fn imk(root: &Path, words: &[&str]) -> Command {
    let mut imk = Command::new(IMK);
    imk.args(words).current_dir(root).env("IMK_PREFIX", PREFIX).env("NO_COLOR", "1");
    imk
}

/// One image with a static busybox in it.
fn repository(root: &Path) {
    let folder = root.join("box");
    fs::create_dir_all(&folder).expect("the folder is ours");
    let busybox = std::env::var("BUSYBOX").unwrap_or_else(|_| "/bin/busybox".to_owned());
    fs::copy(&busybox, folder.join("busybox"))
        .expect("a static busybox is there: Debian's busybox-static, or name one with BUSYBOX");
    let text =
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n";
    fs::write(folder.join("Dockerfile"), text).expect("the folder is ours");
}
