//! The build in which nothing changed, against what else a person could run over the same files.
//!
//!     cargo bench --bench noop                                  10, 100 and 1,000 images
//!     cargo bench --bench noop -- IMAGES…                       so many
//!     cargo bench --bench noop -- --generate DIR IMAGES FILES   only writes a repository
//!                                 [--discovered]                without an Imagefile
//!
//! With an engine (`DOCKER_HOST` or the default) images of `COPY` alone are really built
//! once, under `imk-bench/`, and the program is timed; without one, and for 1,000
//! images, the library is timed on an engine that pretends. Repositories are kept in
//! `target/tmp` (`IMK_BENCH_DIR`), so that only the first run is slow.

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::repository::Shape;
use common::round::{Candidate, compare, is_installed, peak_memory, run, size};
use common::{library, walk};
use imk::build::run::Ending;
use imk::engine::FakeEngine;

const IMK: &str = env!("CARGO_BIN_EXE_imk");
const ROUNDS: usize = 15;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "--bench").collect();
    match words[..] {
        ["--walk", root] => println!("{}", walk::walk(Path::new(root))),
        ["--generate", root, images, files] => generate(root, images, files, true),
        ["--generate", root, images, files, "--discovered"] => generate(root, images, files, false),
        [] => all(&[10, 100, 1000]),
        _ => all(&words.iter().map(|word| number(word)).collect::<Vec<_>>()),
    }
}

fn generate(root: &str, images: &str, files: &str, declared: bool) {
    let shape = Shape { images: number(images), files: number(files), declared };
    shape.write(Path::new(root)).unwrap_or_else(|error| panic!("{root}: {error}"));
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is not a number"))
}

/// Times repositories of so many images.
fn all(sizes: &[usize]) {
    let has_engine = Command::new("docker").arg("version").output().is_ok_and(|told| told.status.success());
    for declared in [true, false] {
        for images in sizes.iter().copied() {
            let files = if images < 1000 { 1000 } else { 100 };
            let shape = Shape { images, files, declared };
            let how = if declared { "declared" } else { "discovered" };
            let root = folder().join(format!("{images}-{files}-{how}"));
            shape.write(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
            prepare_git(&root);
            let title = format!("{images} images of {files} files, {how}");
            if has_engine && images < 1000 {
                with_program(&title, shape, &root);
            } else {
                with_library(&title, shape, &root);
            }
            println!("  .imk/ holds {:.1} MB", size(&root.join(".imk")));
        }
    }
}

fn folder() -> PathBuf {
    let own = std::env::var_os("IMK_BENCH_DIR").map(PathBuf::from);
    own.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("noop"))
}

/// The program on a real engine, whole processes on both sides.
fn with_program(title: &str, shape: Shape, root: &Path) {
    let mut imk = Command::new(IMK);
    // Two repositories that share a name would take it from each other.
    let name = root.file_name().unwrap_or_default().to_string_lossy();
    imk.args(["--prefix", &format!("imk-bench/{name}/"), "-C"]).arg(root);
    if !shape.declared {
        // Looking upward finds the Imagefile of the project that this benchmark lies in.
        imk.args(["-f", "."]);
    }
    run(&mut imk);
    assert!(root.join(".imk").exists(), "{}: another repository was built", root.display());
    let mut bare = Command::new(std::env::current_exe().expect("a program knows its path"));
    bare.arg("--walk").arg(root);
    let peak = peak_memory(&imk);
    let mut candidates: Vec<Candidate<'_>> =
        vec![("bare walk", Box::new(move || run(&mut bare))), ("imk", Box::new(|| run(&mut imk)))];
    candidates.extend(others(shape, root));
    compare(&format!("{title}, real engine"), ROUNDS, candidates);
    match peak {
        Some(peak) => println!("  peak memory of imk {peak:.1} MB"),
        None => println!("  peak memory: /usr/bin/time is not installed"),
    }
}

/// The library on an engine that pretends, in this process on both sides.
fn with_library(title: &str, shape: Shape, root: &Path) {
    let engine = Arc::new(FakeEngine::new());
    // What an engine of an earlier process built is gone with it.
    let _ = fs_err::remove_dir_all(root.join(".imk"));
    library::build(root, &engine);
    let noop = || {
        let summary = library::build(root, &engine);
        assert!(summary.endings.values().all(|ending| *ending == Ending::Fresh), "a no-op builds nothing");
    };
    let mut candidates: Vec<Candidate<'_>> = vec![
        ("bare walk", Box::new(|| assert_ne!(walk::walk(root), 0))),
        ("imk, as a library", Box::new(noop)),
    ];
    candidates.extend(others(shape, root));
    compare(&format!("{title}, pretended engine"), ROUNDS, candidates);
}

/// `git status`, and `ninja` with the same files declared.
fn others(shape: Shape, root: &Path) -> Vec<Candidate<'static>> {
    let mut status = git(root);
    status.arg("status");
    let mut others: Vec<Candidate<'_>> = vec![("git status", Box::new(move || run(&mut status)))];
    if is_installed("ninja") {
        // Beside the repository, where neither git nor imk sees it.
        let state = root.with_extension("ninja");
        common::ninja::write(shape, &state, "touch $out")
            .unwrap_or_else(|error| panic!("{}: {error}", state.display()));
        let mut ninja = Command::new("ninja");
        ninja.arg("-C").arg(root).arg("-f").arg(state.join("build.ninja"));
        run(&mut ninja);
        others.push(("ninja", Box::new(move || run(&mut ninja))));
    } else {
        println!("ninja is not installed: not compared");
    }
    others
}

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(root);
    git.args(["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "core.compression=0"]);
    git
}

fn prepare_git(root: &Path) {
    if !root.join(".git").exists() {
        run(git(root).args(["init", "--quiet"]));
        run(git(root).args(["add", "--all"]));
        run(git(root).args(["commit", "--quiet", "--message", "generated"]));
    }
}
