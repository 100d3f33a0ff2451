//! imk under make: one count of jobs for everything that runs.

use std::process::{Command, Output};

use crate::sandbox::{Sandbox, engine_or_skip};

/// A repository with a base and three images that take a second each.
fn three(sandbox: &Sandbox, folder: &str) {
    let base =
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n";
    sandbox.edit(&format!("{folder}/base/Dockerfile"), base);
    for image in ["a", "b", "c"] {
        let text = format!("FROM base\nRUN sleep 1 && echo {folder} {image}\n");
        sandbox.edit(&format!("{folder}/{image}/Dockerfile"), &text);
    }
    sandbox.edit(
        &format!("{folder}/Imagefile.ron"),
        "(images: {\"base\": (), \"a\": (), \"b\": (), \"c\": ()})",
    );
}

/// Runs make on a make file in the sandbox.
fn make(sandbox: &Sandbox, makefile: &str, words: &str) -> Output {
    sandbox.edit("Makefile", makefile);
    let mut command = Command::new("make");
    command.args(words.split_whitespace()).current_dir(sandbox.root());
    command.env_remove("MAKEFLAGS").env_remove("CI").env_remove("GITHUB_ACTIONS").env("NO_COLOR", "1");
    command.env("IMK", env!("CARGO_BIN_EXE_imk")).env("PREFIX", sandbox.prefix());
    command.output().expect("make is installed (`ci/test` does it)")
}

/// Most builds that ran beside each other, by the lines of all imks on one standard error.
fn most_at_once(stderr: &str) -> i32 {
    let (mut running, mut most) = (0, 0);
    for line in stderr.lines() {
        running += i32::from(line.ends_with(": never built here"));
        running -= i32::from(line.contains(": built in ") || line.contains(": failed: "));
        most = most.max(running);
    }
    assert_eq!(running, 0, "{stderr}");
    most
}

const BOTH: &str = ".PHONY: both one two\nboth: one two\none two:\n\t+$(IMK) -C $@ --prefix $(PREFIX)$@/ --progress plain $(FLAGS)\n";

#[test]
fn two_imks_of_one_make_share_its_jobs() {
    let Some(sandbox) = engine_or_skip("make") else { return };
    three(&sandbox, "one");
    three(&sandbox, "two");
    sandbox.place_busybox();
    let run = make(&sandbox, BOTH, "-j2 both");
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert!(run.status.success(), "{stderr}");
    assert_eq!(stderr.matches(": built in ").count(), 8, "{stderr}");
    assert_eq!(most_at_once(&stderr), 2, "{stderr}");
    // make counts its tokens at the end, and says INTERNAL when some are lost.
    assert!(!stderr.contains("INTERNAL") && !stderr.contains("warning"), "{stderr}");
}

#[test]
fn a_build_that_fails_gives_its_job_back() {
    let Some(sandbox) = engine_or_skip("make failure") else { return };
    three(&sandbox, "one");
    sandbox.place_busybox();
    for image in ["a", "b"] {
        sandbox.edit(&format!("one/{image}/Dockerfile"), "FROM base\nRUN sleep 1 && exit 1\n");
    }
    let run = make(&sandbox, BOTH, "-j3 one FLAGS=-k");
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(2), "{stderr}");
    assert_eq!(most_at_once(&stderr), 3, "{stderr}");
    assert!(!stderr.contains("INTERNAL"), "{stderr}");
}

#[test]
fn a_number_that_was_typed_wins_and_make_is_not_asked() {
    let Some(sandbox) = engine_or_skip("make -j") else { return };
    three(&sandbox, "one");
    sandbox.place_busybox();
    let run = make(&sandbox, BOTH, "-j2 one FLAGS=-j3");
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert!(stderr.contains("warning: -j3 given: make's jobserver is not asked"), "{stderr}");
    assert_eq!(most_at_once(&stderr), 3, "{stderr}");
}

#[test]
fn a_jobserver_that_is_gone_is_told_and_one_job_runs() {
    let Some(sandbox) = engine_or_skip("make gone") else { return };
    three(&sandbox, "one");
    sandbox.place_busybox();
    let mut command = sandbox.command("one", "--progress plain");
    let output = command.env("MAKEFLAGS", " -j4 --jobserver-auth=-2,-2").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("make's jobserver is not available: using -j1"), "{stderr}");
    assert_eq!(most_at_once(&stderr), 1, "{stderr}");
}

#[test]
fn make_n_builds_nothing_though_it_runs_imk() {
    let sandbox = Sandbox::with("//- one/a/Dockerfile\nFROM scratch\n");
    let run = make(&sandbox, BOTH, "-n -j2 one");
    let stdout = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success() && stdout.contains("0 fresh, 1 to build"), "{stdout}");
}
