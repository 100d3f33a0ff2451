//! imk beside make, ninja, git status, bake and compose on the same repositories, in alternating pairs.
//!
//! ```text
//! ci/engine --kind 28 run cargo bench --bench peers                  # rewrites docs/benchmarks.md and its chart
//! ci/engine --kind 28 run cargo bench --bench peers -- IMAGES FILES  # another size; only prints
//! ```
//!
//! A pair is one run of imk and one of the peer, in changing order, so that other work on the machine slows both.
//! Every peer is asked before each figure whether it does what is timed: nothing where nothing changed, one image
//! after an edit. bake and compose are Debian's (`ci/peers`), make and ninja what is installed; a peer that is
//! missing is told and left out.

mod chart;
#[path = "../common/mod.rs"]
mod common;
mod machine;
mod pairs;
mod report;
mod tools;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::repository::Shape;
use common::round::run;
use fs_err as fs;
use pairs::{Figure, Limits};
use tools::{Bench, Tool};

fn main() {
    if tools::walk_if_asked() {
        return;
    }
    let words: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (shapes, is_whole) = match words[..] {
        [images, files] => (vec![(images, files)], false),
        _ => (vec![(10, 1000), (100, 1000)], true),
    };
    assert!(
        machine::engine().is_some(),
        "no Docker engine answers: ci/engine --kind 28 run cargo bench --bench peers"
    );
    let mut tables = Vec::new();
    for (images, files) in shapes {
        let shape = Shape { images, files, declared: true };
        let folder =
            tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is a place for a repository");
        let bench = Bench::new(shape, folder.path());
        tables.push(measure(&bench));
        bench.remove_images();
    }
    let text = report::text(&tables, &tools::versions());
    println!("{text}");
    if is_whole {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
        report::put(&docs.join("benchmarks.md"), &text);
        let nothing = tables.last().map(|table| table.nothing.as_slice()).unwrap_or_default();
        fs::write(
            docs.join("benchmarks.svg"),
            chart::svg(nothing, tables.last().map_or(0, |table| table.images)),
        )
        .expect("the chart can be written");
    }
}

/// What is measured of one repository.
pub struct Table {
    pub images: usize,
    pub files: usize,
    pub nothing: Vec<Figure>,
    pub edit: Vec<Figure>,
    pub first: Vec<Figure>,
}

fn measure(bench: &Bench) -> Table {
    let first = first_build(bench);
    let nothing = nothing_to_do(bench);
    let edit = one_edit(bench);
    Table { images: bench.shape.images, files: bench.shape.files, nothing, edit, first }
}

/// Everything from nothing: no image, no layer in the builder's cache.
fn first_build(bench: &Bench) -> Vec<Figure> {
    let limits = Limits { rounds: 2, ..Limits::default() };
    if !bench.has(Tool::Bake) {
        return Vec::new();
    }
    let fresh = |tool: Tool| {
        bench.forget_everything(tool);
        bench.command(tool)
    };
    vec![pairs::compare(Tool::Bake.name(), limits, || fresh(Tool::Imk), || fresh(Tool::Bake))]
}

/// The run in which nothing changed.
fn nothing_to_do(bench: &Bench) -> Vec<Figure> {
    let mut figures = Vec::new();
    for tool in Tool::ALL {
        if !bench.has(tool) {
            continue;
        }
        bench.settle(tool);
        figures.push(pairs::compare(
            tool.name(),
            Limits::default(),
            || bench.command(Tool::Imk),
            || bench.command(tool),
        ));
    }
    figures
}

/// One file of an image that nothing is built on.
fn one_edit(bench: &Bench) -> Vec<Figure> {
    let limits = Limits { rounds: 5, ..Limits::default() };
    let edited = |tool: Tool| {
        bench.edit();
        bench.command(tool)
    };
    let mut figures = Vec::new();
    for tool in [Tool::Ninja, Tool::Make, Tool::Bake, Tool::Compose] {
        if bench.has(tool) {
            bench.settle(tool);
            figures.push(pairs::compare(tool.name(), limits, || edited(Tool::Imk), || edited(tool)));
        }
    }
    figures
}

/// A command of git in a repository, with a name to commit under.
fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(root);
    git.args(["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "core.compression=0"]);
    git
}

/// The folder with bake and compose, or nothing where they cannot be had.
fn plugins() -> Option<PathBuf> {
    let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/ci/peers")).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().into())
}

/// A repository of git with all in one commit.
fn commit(root: &Path) {
    run(git(root).args(["init", "--quiet"]));
    run(git(root).args(["add", "--all"]));
    run(git(root).args(["commit", "--quiet", "--message", "generated"]));
}
