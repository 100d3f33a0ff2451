//! Images side by side: what `-j 4` makes of a graph of sleeps.
//!
//!     cargo bench --bench parallel
//!
//! First on an engine that pretends, so that nothing but imk's own order and waiting is timed: the bound is the
//! longer of the critical path and the fourth part of all sleeps. Then eight images on a real engine, against the
//! sleeps alone (`xargs -P 4`) and against `make -j 4` with `docker build`. An engine needs a processor for every
//! step it runs, about 0.4 s of one, which no order of the steps can hide.

mod common;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::library;
use common::repository::Shape;
use common::round::{Candidate, compare, is_installed, run};
use fs_err as fs;
use imk::build::run::{self, BuildOptions, Ending};
use imk::engine::FakeEngine;
use imk::session::sync;
use imk::source::locate::Located;
use imk::source::memory::MemoryTree;

const IMK: &str = env!("CARGO_BIN_EXE_imk");
const JOBS: usize = 4;
const SHAPE: Shape = Shape { images: 100, files: 1, declared: false };
/// Seconds that a step on the real engine sleeps.
const SECONDS: usize = 5;
const NAMES: [&str; 8] = ["one", "two", "three", "four", "five", "six", "seven", "eight"];

fn main() {
    pretended();
    let has_engine = Command::new("docker").arg("version").output().is_ok_and(|told| told.status.success());
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.exists());
    match busybox {
        Some(busybox) if has_engine => real(busybox),
        _ => println!("no engine, or no static busybox (`ci/busybox`): nothing more is timed"),
    }
}

/// How long an image takes: between 20 and 400 ms, the same in each run.
fn delay(number: usize) -> Duration {
    Duration::from_millis(20 + (number as u64 * 7919) % 381)
}

/// The longer of the critical path and a share of all the work.
fn bound() -> Duration {
    let mut paths: BTreeMap<usize, Duration> = BTreeMap::new();
    for number in 0..SHAPE.images {
        let before = SHAPE.base(number).map_or(Duration::ZERO, |base| paths[&base]);
        paths.insert(number, before + delay(number));
    }
    let all: Duration = (0..SHAPE.images).map(delay).sum();
    paths.into_values().max().unwrap_or_default().max(all / JOBS as u32)
}

fn pretended() {
    let mut tree = MemoryTree::new("");
    let engine = Arc::new(FakeEngine::new());
    for number in 0..SHAPE.images {
        tree.write(&format!("{}/Dockerfile", Shape::name(number)), SHAPE.dockerfile(number));
        tree.write(&format!("{}/file", Shape::name(number)), Shape::name(number));
        engine.delay(&Shape::name(number), delay(number));
    }
    let tree = Arc::new(tree);
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let bound = bound();
    println!("\n{} images that sleep, -j {JOBS}, pretended engine", SHAPE.images);
    println!("  {:<28} {:>9.2} ms   {:>6.2} x", "bound", bound.as_secs_f64() * 1e3, 1.0);
    // The first run knows no times yet; later ones begin with what is longest.
    for title in ["imk, the first build", "imk, built before", "imk, once more"] {
        let located = Located { root: folder.path().to_owned(), imagefile: None };
        let recipes = || Ok((0..SHAPE.images).map(|n| format!("{}/Dockerfile", Shape::name(n))).collect());
        let began = Instant::now();
        let mut session = library::open(located, Arc::clone(&tree) as _, &engine, true, recipes);
        let synced = sync::sync(&mut session, &[]).unwrap_or_else(|error| panic!("{error:?}"));
        let options = BuildOptions { jobs: JOBS, always: true, ..BuildOptions::default() };
        let summary = run::build(&mut session, &synced, &options, &(Arc::new(|_| {}) as _));
        let took = began.elapsed();
        let built = summary.endings.values().filter(|ending| matches!(ending, Ending::Built { .. }));
        assert_eq!(built.count(), SHAPE.images);
        session.save().expect("the state is writable");
        let ratio = took.as_secs_f64() / bound.as_secs_f64();
        println!("  {title:<28} {:>9.2} ms   {ratio:>6.2} x", took.as_secs_f64() * 1e3);
    }
}

fn real(busybox: &Path) {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let root = folder.path();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
        fs::write(path, text).expect("files can be written");
    };
    write(
        "base/Dockerfile",
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n",
    );
    fs::copy(busybox, root.join("base/busybox")).expect("busybox can be copied");
    let mut imagefile = "(prefix: \"imk-bench/sleeps-\", images: {\"base\": (), ".to_owned();
    for name in NAMES {
        // A name that only docker understands too, so that both build the same.
        let text =
            format!("FROM imk-bench/sleeps-base\nARG ROUND\nRUN sleep {SECONDS} && echo {name} $ROUND\n");
        write(&format!("{name}/Dockerfile"), &text);
        imagefile += &format!("{name:?}: (), ");
    }
    write("Imagefile.ron", &(imagefile + "})\n"));
    let is_buildkit = has_buildkit(root);
    let (how, names) = (u8::from(is_buildkit), NAMES.join(" "));
    let build = "docker build -q --build-arg ROUND=$(ROUND) -t imk-bench/made-$@ $@";
    write(
        "Makefile",
        &format!("all: {names}\n.PHONY: all {names}\n{names}: ; @DOCKER_BUILDKIT={how} {build}\n"),
    );
    run(Command::new(IMK).arg("-C").arg(root).args(["base"]));
    // The engine's cache of steps would know a round again.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let round = Cell::new(0);
    let next = || {
        round.set(round.get() + 1);
        format!("ROUND={}-{}", now.as_nanos(), round.get())
    };
    let sleeps = format!("yes {SECONDS} | head -{} | xargs -P {JOBS} -n 1 sleep", NAMES.len());
    let mut candidates: Vec<Candidate<'_>> = vec![
        ("the sleeps alone", Box::new(move || run(Command::new("sh").args(["-c", &sleeps])))),
        (
            "imk -j 4",
            Box::new(|| {
                let mut imk = Command::new(IMK);
                run(imk.arg("-C").arg(root).args(["-s", "-j", "4", "--build-arg", &next()]));
            }),
        ),
    ];
    if is_installed("make") {
        let name = if is_buildkit { "make -j 4, docker build" } else { "make -j 4, classic builder" };
        let make = || run(Command::new("make").arg("-C").arg(root).args(["-s", "-j", "4", &next()]));
        candidates.push((name, Box::new(make)));
    } else {
        println!("make is not installed: not compared");
    }
    compare(&format!("eight images that sleep {SECONDS} s, -j 4, real engine"), 3, candidates);
}

/// Whether the docker command can build with BuildKit: newer ones need a plugin for that.
fn has_buildkit(root: &Path) -> bool {
    let mut docker = Command::new("docker");
    docker.args(["build", "-q"]).arg(root.join("base")).env("DOCKER_BUILDKIT", "1");
    docker.output().is_ok_and(|output| output.status.success())
}
