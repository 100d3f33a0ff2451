//! Every verb with outputs that are full for a while, fail, or are gone: none panics, none ends by a signal.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::sandbox::{Sandbox, fixture_or_skip};

/// A command line of each verb; what needs an engine says here that there is none.
const VERBS: &[&str] = &[
    "build",
    "build --progress json",
    "build --progress tty",
    "build -n",
    "plan --trace",
    "plan --json",
    "check",
    "fsmonitor status",
    "why web",
    "why-not web Dockerfile",
    "what-if Dockerfile",
    "who-uses Dockerfile",
    "inputs web --json",
    "graph",
    "graph --json",
    "lint",
    "ci",
    "auto",
    "serve keys",
    "tools push --help",
    "worker",
    "list",
    "log",
    "tags",
    "diff HEAD",
    "affected --since HEAD",
    "replay",
    "outdated",
    "update",
    "push",
    "pull",
    "publish",
    "publish --history",
    "rollback",
    "apply Dockerfile",
    "run web",
    "test",
    "logs web",
    "gc -n",
    "clean -n",
    "doctor",
    "init --force",
    "import docker-bake.hcl",
    "hook status",
    "fmt --check",
    "keys",
    "schema",
    "completions bash",
    "man",
    "help",
    "--help",
    "--version",
    "no-such-verb-or-image",
    "--no-such-flag",
];

fn repository() -> Sandbox {
    Sandbox::with(
        "
        //- Imagefile.ron
        (images: {\"web\": (context: \".\")})
        //- Dockerfile
        FROM scratch
        COPY . /
        //- docker-bake.hcl
        target \"web\" { context = \".\" }
        ",
    )
    .without_engine()
}

/// A pipe that is full, and whose writers are told so rather than kept waiting.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let flags = rustix::fs::fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    while writer.write(b"\n").is_ok() {}
    (reader, writer)
}

fn text(mut reader: PipeReader) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    })
}

#[track_caller]
fn is_orderly(mut child: Child, told: &str, at: &str) -> i32 {
    let status = child.wait().unwrap();
    let code = status.code().unwrap_or_else(|| panic!("{at}: ended by a signal: {told}"));
    assert!(code != 101 && !told.contains("panicked"), "{at}: {told}");
    code
}

#[test]
fn a_verb_waits_for_outputs_that_are_full_for_a_while() {
    let sandbox = repository();
    for words in VERBS {
        let plain = sandbox.imk(words);
        let ((from_out, out), (from_err, err)) = (full_pipe(), full_pipe());
        let mut command = sandbox.command("", words);
        command.stdout(out).stderr(err);
        let child = command.spawn().unwrap();
        drop(command);
        let (out, err) = (text(from_out), text(from_err));
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        let code = is_orderly(child, &err, words);
        assert_eq!(code, plain.status, "imk {words}: {err}");
        // All that was to be said arrived, but for what differs from run to run.
        let differs = ["doctor", "update", "clean -n", "ci"].contains(words);
        assert!(
            differs || out.len() == plain.stdout.trim().len(),
            "imk {words}: {out}\nbut {}",
            plain.stdout
        );
    }
}

#[test]
fn a_verb_ends_by_its_own_will_when_its_outputs_fail_or_are_gone() {
    let sandbox = repository();
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for words in VERBS {
        for (at, out, err) in [
            ("full", full(), full()),
            ("gone", gone(), gone()),
            ("results full", full(), Stdio::null()),
            ("trouble gone", Stdio::null(), gone()),
        ] {
            let child = sandbox.command("", words).stdout(out).stderr(err).spawn().unwrap();
            is_orderly(child, "", &format!("imk {words}, {at}"));
        }
    }
}

#[test]
fn every_verb_is_among_them() {
    let help = repository().imk("--help").code(0).stdout.clone();
    let listed = help.lines().skip_while(|line| !line.starts_with("Commands:")).skip(1);
    let verbs: Vec<&str> = listed
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(verbs.len() > 20, "{help}");
    // It ends by a signal alone, and has a test of its own.
    let not_here = |verb: &&&str| **verb != "watch" && !VERBS.iter().any(|words| words.starts_with(**verb));
    assert_eq!(verbs.iter().filter(not_here).collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// Ends a watch that has looked at the files, and tells how it ended.
#[track_caller]
fn interrupted(child: Child, sandbox: &Sandbox, told: &str, at: &str) {
    let looked = sandbox.path(".imk/stat");
    let started = Instant::now();
    while !looked.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "{at}: nothing was looked at for a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    let id = rustix::process::Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    // One whose results nobody reads may have ended by itself.
    let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
    let code = is_orderly(child, told, at);
    assert!([0, 2, 130].contains(&code), "{at}: {code}");
}

#[test]
fn a_watch_waits_for_outputs_that_are_full_and_ends_as_it_is_told() {
    let sandbox = repository();
    let ((from_out, out), (mut from_err, err)) = (full_pipe(), full_pipe());
    let mut command = sandbox.command("", "watch");
    command.stdout(out).stderr(err);
    let child = command.spawn().unwrap();
    drop(command);
    let mut told = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&told).contains("waiting for changes") {
        let count = from_err.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&told));
        told.extend_from_slice(&buffer[..count]);
    }
    interrupted(child, &sandbox, &String::from_utf8_lossy(&told), "watch, full for a while");
    drop(from_out);
}

#[test]
fn a_watch_survives_outputs_that_fail_or_are_gone() {
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    for (at, out, err) in [
        ("watch, full", full(), full()),
        ("watch, gone", gone(), gone()),
        ("watch, trouble gone", Stdio::null(), gone()),
    ] {
        let sandbox = repository();
        let child = sandbox.command("", "watch").stdout(out).stderr(err).spawn().unwrap();
        interrupted(child, &sandbox, "", at);
    }
}

#[test]
fn a_build_goes_on_beside_a_screen_that_is_full_or_gone() {
    for progress in ["plain", "tty", "json", "quiet"] {
        let Some(diamond) = fixture_or_skip("a_build_goes_on", "diamond") else { return };
        let (from_err, err) = full_pipe();
        let mut command = diamond.command("", &format!("--progress {progress}"));
        command.stdout(Stdio::null()).stderr(err);
        let child = command.spawn().unwrap();
        drop(command);
        let told = text(from_err).join().unwrap();
        assert_eq!(is_orderly(child, &told, progress), 0, "{told}");
        diamond.imk("").says("4 fresh, 0 built, 0 failed");
        let (reader, gone) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = diamond.command("", &format!("-B --progress {progress}"));
        let child = command.stdout(Stdio::null()).stderr(gone).spawn().unwrap();
        assert_eq!(is_orderly(child, "", progress), 0, "with nobody at standard error");
    }
}
