//! What the pre-push hook costs when everything is built: 100 images, 100,000 files. The goal is under 200 ms.
//!
//! ```text
//! cargo bench --bench hook                 # 100 images of 1,000 files, with an engine
//! cargo bench --bench hook -- IMAGES FILES # so many
//! ```
//!
//! Without an engine nothing can be built first, and the hook says so of every image: then that is timed.
//! Repositories are kept in `target/tmp` (`IMK_BENCH_DIR`). Quote the ratios to git, never the times.

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::repository::Shape;
use common::round::{compare, run, size};

const IMK: &str = env!("CARGO_BIN_EXE_imk");
const ROUNDS: usize = 15;

fn main() {
    let words: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let (images, files) = if let [images, files] = words[..] { (images, files) } else { (100, 1000) };
    let shape = Shape { images, files, declared: true };
    let root = folder().join(format!("hook-{images}-{files}"));
    shape.write(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    if !root.join(".git").exists() {
        run(git(&root).args(["init", "--quiet"]));
        run(git(&root).args(["add", "--all"]));
        run(git(&root).args(["commit", "--quiet", "--message", "generated"]));
    }
    if let Ok(output) = imk(&root).output()
        && !output.status.success()
    {
        println!("nothing could be built: {}", String::from_utf8_lossy(&output.stderr));
    }
    let id = git(&root).args(["rev-parse", "HEAD"]).output().expect("git runs").stdout;
    let id = String::from_utf8(id).expect("an id is text").trim().to_owned();
    let refs = format!("refs/heads/main {id} refs/heads/main {}\n", "0".repeat(40));
    for name in ["git-answers", "git-blobs"] {
        // There is none to remove the first time.
        let _ = fs_err::remove_file(root.join(".imk").join(name));
    }
    let begin = Instant::now();
    let told = hook(&root, &refs);
    println!("the first push, which reads every file of the commit: {:.2?}\n{told}", begin.elapsed());
    let (mut status, mut diff) = (git(&root), git(&root));
    status.arg("status");
    diff.args(["diff", "--quiet"]);
    compare(
        &format!("{images} images of {files} files, nothing changed"),
        ROUNDS,
        vec![
            ("git status", Box::new(move || run(&mut status))),
            ("git diff --quiet", Box::new(move || run(&mut diff))),
            ("imk hook run", Box::new(|| drop(hook(&root, &refs)))),
        ],
    );
    println!("  .imk/ holds {:.1} MB", size(&root.join(".imk")));
}

fn imk(root: &Path) -> Command {
    let mut imk = Command::new(IMK);
    imk.current_dir(root).env("IMK_PREFIX", "imk-bench/hook/").env("NO_COLOR", "1");
    imk
}

/// What git's hook does, refs on standard input. Gives what is told.
fn hook(root: &Path, refs: &str) -> String {
    let mut imk = imk(root);
    imk.args(["hook", "run", "pre-push", "origin", "url"]);
    let mut child = imk.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("imk runs");
    child.stdin.take().expect("it is a pipe").write_all(refs.as_bytes()).expect("imk reads");
    let output = child.wait_with_output().expect("imk ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).lines().take(3).collect::<Vec<_>>().join("\n")
}

fn git(root: &Path) -> Command {
    let mut git = Command::new("git");
    git.arg("-C").arg(root);
    git.args(["-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "core.compression=0"]);
    git
}

fn folder() -> PathBuf {
    let own = std::env::var_os("IMK_BENCH_DIR").map(PathBuf::from);
    own.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("noop"))
}
