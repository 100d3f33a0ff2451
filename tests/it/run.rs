//! `imk run` on a real engine: output, status, input, signals and terminals as docker run has them.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::sandbox::{Sandbox, engine_or_skip};
use crate::terminal::Terminal;

/// A repository with an image `box` that has busybox and nothing else.
fn boxed(test: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.write_all(
        "//- box/Dockerfile
FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
COPY word.txt /word.txt
//- box/word.txt
one
",
    );
    sandbox.place_busybox();
    Some(sandbox)
}

/// `imk run` with these words, not split any further.
fn imk_run(sandbox: &Sandbox, words: &[&str]) -> Command {
    let mut command = sandbox.command("", "run");
    command.args(words);
    command
}

fn ran(sandbox: &Sandbox, words: &[&str]) -> (i32, String, String) {
    told(&imk_run(sandbox, words).output().unwrap())
}

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// Waits for something that another process brings about.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited a minute until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The containers of this sandbox's images.
fn containers(sandbox: &Sandbox) -> String {
    let filter = format!("label=imk.test={}", sandbox.prefix());
    sandbox.docker(&["ps", "-aq", "--filter", &filter])
}

#[test]
fn a_run_is_the_commands_output_and_status_and_leaves_nothing() {
    let Some(sandbox) = boxed("run") else { return };
    let (status, out, err) = ran(&sandbox, &["box", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((status, out.as_str()), (7, "out\n"), "{err}");
    assert!(err.ends_with("err\n") && err.contains("built"), "{err}");
    let (status, out, err) = ran(&sandbox, &["box", "cat", "/word.txt"]);
    assert_eq!((status, out.as_str(), err.as_str()), (0, "one\n", ""), "a fresh image is run without a word");
    until("the container is gone", || containers(&sandbox).is_empty());
    // What its files lead to is what runs.
    sandbox.edit("box/word.txt", "two\n");
    assert_eq!(ran(&sandbox, &["--no-build", "box", "cat", "/word.txt"]).1, "one\n");
    assert_eq!(ran(&sandbox, &["box", "cat", "/word.txt"]).1, "two\n");
}

#[test]
fn all_behind_the_image_is_the_commands() {
    let Some(sandbox) = boxed("run words") else { return };
    let (_, out, _) = ran(&sandbox, &["-e", "A=1", "box", "echo", "-f", "--help", "-e", "-n", "--", "-C"]);
    assert_eq!(out, "-f --help -e -n -- -C\n");
    let (status, _, err) = ran(&sandbox, &["--privileged", "box", "true"]);
    assert!(status == 2 && err.contains("--privileged"), "{err}");
}

#[test]
fn input_reaches_the_command_and_ends_when_ours_does() {
    let Some(sandbox) = boxed("run input") else { return };
    sandbox.imk("").success();
    let mut child =
        imk_run(&sandbox, &["box", "sort"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"b\na\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\nb\n");
    // A megabyte in both directions is whole.
    let mut child =
        imk_run(&sandbox, &["box", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let many: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
    let mut input = child.stdin.take().unwrap();
    let sent = many.clone();
    let writing = std::thread::spawn(move || input.write_all(&sent).unwrap());
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.stdout == many, "{} bytes came back", output.stdout.len());
}

#[test]
fn variables_mounts_user_and_folder_are_as_docker_has_them() {
    let Some(sandbox) = boxed("run options") else { return };
    sandbox.edit("data/x.txt", "from here\n").edit("vars", "# c\nFROM_FILE=1\nOURS\n");
    let script = "echo $A $FROM_FILE $OURS $IMAGE_NAME; cat /d/x.txt; touch /d/y 2>/dev/null || echo ro; pwd; id -u; hostname";
    let mut command = imk_run(
        &sandbox,
        &[
            "-e",
            "A={a}",
            "--env-file",
            "vars",
            "-v",
            "./data:/d:ro",
            "-w",
            "/bin",
            "-u",
            "12",
            "--hostname",
            "hal",
            "--tmpfs",
            "/t",
            "-m",
            "64m",
            "--read-only",
            "--ulimit",
            "nofile=100",
            "box",
            "sh",
            "-c",
            script,
        ],
    );
    let (status, out, err) = told(&command.env("OURS", "2").output().unwrap());
    assert_eq!((status, out.as_str()), (0, "{a} 1 2 box\nfrom here\nro\n/bin\n12\nhal\n"), "{err}");
    let (status, _, err) = ran(&sandbox, &["-v", "./nowhere:/d", "box", "true"]);
    assert!(status == 2 && err.contains("nowhere") && err.contains("belongs to root"), "{err}");
    assert!(!sandbox.path("nowhere").exists());
}

#[test]
fn the_caller_is_a_user_with_a_name_and_owns_what_is_written() {
    let Some(sandbox) = boxed("run user") else { return };
    fs::create_dir(sandbox.path("data")).unwrap();
    let script = "id -un; grep -c : /etc/passwd; touch /d/x";
    let (status, out, err) = ran(&sandbox, &["-u", "host", "-v", "./data:/d", "box", "sh", "-c", script]);
    assert_eq!(status, 0, "{err}");
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    assert_eq!(out, format!("{}1\n", String::from_utf8_lossy(&name)));
    assert!(sandbox.path("data/x").exists());
}

#[test]
fn a_command_that_is_not_there_has_the_shells_status() {
    let Some(sandbox) = boxed("run missing") else { return };
    let (status, _, err) = ran(&sandbox, &["box", "no-such-command"]);
    assert!(status == 127 && err.contains("no-such-command"), "{status} {err}");
    assert_eq!(ran(&sandbox, &["box", "/word.txt"]).0, 126);
    until("the container is gone", || containers(&sandbox).is_empty());
}

fn started(sandbox: &Sandbox, script: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = imk_run(sandbox, &["box", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, lines)
}

#[test]
fn signals_are_the_commands() {
    let Some(sandbox) = boxed("run signals") else { return };
    sandbox.imk("").success();
    for (signal, status) in [("USR1", 3), ("TERM", 4), ("INT", 5)] {
        let script = "trap 'exit 3' USR1; trap 'exit 4' TERM; trap 'exit 5' INT; echo ready; while :; do sleep 0.1; done";
        let (mut child, _lines) = started(&sandbox, script);
        Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(status), "{signal}");
    }
    // One that heeds nothing is killed in the end.
    let (mut child, _lines) = started(&sandbox, "trap '' INT TERM; echo ready; while :; do sleep 0.1; done");
    until("it ends", || {
        Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
        child.try_wait().unwrap().is_some()
    });
    assert_eq!(child.wait().unwrap().code(), Some(137));
    until("the containers are gone", || containers(&sandbox).is_empty());
}

#[test]
fn a_reader_that_leaves_ends_the_command() {
    let Some(sandbox) = boxed("run pipe") else { return };
    sandbox.imk("").success();
    let (mut child, mut lines) = started(&sandbox, "echo ready; exec yes");
    let mut some = [0; 100];
    lines.read_exact(&mut some).unwrap();
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn a_container_that_is_left_running_is_named_by_its_id() {
    let Some(sandbox) = boxed("run detached") else { return };
    let (status, out, err) =
        ran(&sandbox, &["-d", "--label", "a=b", "-p", "127.0.0.1::80", "box", "sleep", "600"]);
    let id = out.trim();
    assert_eq!((status, id.len()), (0, 64), "{err}");
    let facts = sandbox.docker(&[
        "inspect",
        "-f",
        "{{.State.Running}} {{index .Config.Labels \"a\"}} {{index .Config.Labels \"imk.image\"}}",
        id,
    ]);
    assert_eq!(facts, "true b box");
    sandbox.docker(&["rm", "-f", id]);
}

#[test]
fn an_image_of_no_repository_is_run_by_its_reference() {
    let Some(sandbox) = boxed("run reference") else { return };
    sandbox.imk("").success();
    let elsewhere = Sandbox::empty();
    let reference = format!("{}box:latest", sandbox.prefix());
    assert_eq!(ran(&elsewhere, &[&reference, "cat", "/word.txt"]).1, "one\n");
    assert!(!elsewhere.path(".imk").exists(), "nothing is kept of it");
    let (status, _, err) = ran(&sandbox, &["bx", "true"]);
    assert!(status == 2 && err.contains("there is no image `bx`") && err.contains("`box`"), "{err}");
}

#[test]
fn the_newest_by_its_time_tag_is_run_as_it_is() {
    let Some(sandbox) = boxed("run local") else { return };
    sandbox.edit("Imagefile.ron", "(images: {\"box\": (tags: [\"{time}\"])})");
    let (status, out, err) = ran(&sandbox, &["box", "sh", "-c", "echo $IMAGE_VERSION"]);
    assert!(status == 0 && out.len() == 17 && out.contains('T'), "{out} {err}");
    sandbox.edit("box/word.txt", "two\n");
    let (status, out, err) = ran(&sandbox, &["--local", "box", "sh", "-c", "cat /word.txt"]);
    assert_eq!((status, out.as_str()), (0, "one\n"), "{err}");
}

#[test]
fn a_terminal_is_the_commands_with_its_size_and_its_keys() {
    let Some(sandbox) = boxed("run terminal") else { return };
    sandbox.imk("").success();
    let terminal = Terminal::start(&sandbox, "run box sh", 20, 70);
    terminal.until("a prompt is there", |screen| screen.ends_with('#'));
    terminal.press("stty size; tty\n");
    terminal.until("the size is told", |screen| screen.contains("20 70") && screen.contains("/dev/"));
    terminal.resize(30, 90);
    terminal.press("clear; sleep 0.5; stty size\n");
    terminal.until("the new size is told", |screen| screen.contains("30 90"));
    // Ctrl-C is a key, and the shell's.
    terminal.press("echo as\"\"leep; sleep 600; echo not here\n");
    terminal.until("it sleeps", |screen| screen.contains("asleep"));
    terminal.interrupt();
    terminal.until("a prompt is back", |screen| screen.ends_with('#'));
    terminal.press("echo a\"\"live; exit 9\n");
    let (status, screen) = terminal.end();
    assert!(status == 9 && screen.contains("alive") && !screen.contains("\nnot here"), "{status}\n{screen}");
}

/// The profile of the page `docs/run.md`, with what busybox has.
const PROFILE: &str = r#"(
    images: {"box": (run: (
        user: "host",
        folders: "{env.ROOT}/work",
        source_dir: "/src",
        env: {"MODE": "{name}-{env.ROOT}"},
        variants: {"dev": (source: "code"), "prod": ()},
        variant: "prod",
        command: ["echo", "the profile's"],
        commands: {"count": (command: ["sh", "-c", "echo $0 $1 $#"], workdir: "/bin"), "run": (command: ["sh", "{script}"])},
    ))},
)"#;

fn with_profile(sandbox: &Sandbox, words: &[&str]) -> (i32, String, String) {
    let mut command = imk_run(sandbox, words);
    told(&command.env("ROOT", sandbox.path("home")).output().unwrap())
}

#[test]
fn a_profile_says_how_an_image_is_run() {
    let Some(sandbox) = boxed("run profile") else { return };
    sandbox.edit("Imagefile.ron", PROFILE).edit("code/a.sh", "echo $SRCDIR $SCRIPTDIR $1\n");
    let (status, out, err) = with_profile(&sandbox, &["box"]);
    assert_eq!((status, out.as_str()), (0, "the profile's\n"), "{err}");
    assert_eq!(with_profile(&sandbox, &["box", "count", "a", "b c"]).1, "a b c 1\n");
    let (status, out, err) = with_profile(&sandbox, &["--variant", "dev", "box", "run", "a.sh", "x"]);
    assert_eq!((status, out.as_str()), (0, "/src /src x\n"), "{err}");
    let (status, _, _) = with_profile(&sandbox, &["box", "run", "a.sh"]);
    assert_ne!(status, 0, "nothing is sealed into this image");
    let script = "touch $DATADIR/x && echo $LOGDIR $MODE";
    let (_, out, err) = with_profile(&sandbox, &["box", "sh", "-c", script]);
    let root = sandbox.path("home").display().to_string();
    assert_eq!(out, format!("{root}/work/box/log box-{root}\n"), "{err}");
    assert!(sandbox.path("home/work/box/data/x").exists() && sandbox.path("home/work/box/tmp").is_dir());
    let (status, _, err) = with_profile(&sandbox, &["--variant", "dve", "box"]);
    assert!(status == 2 && err.contains("no variant `dve`") && err.contains("`dev`"), "{err}");
    let (status, _, err) = ran(&sandbox, &["box"]);
    assert!(status == 2 && err.contains("`ROOT`"), "{err}");
    // A profile never counts.
    sandbox.edit("Imagefile.ron", &PROFILE.replace("the profile's", "another"));
    assert_eq!(sandbox.imk("-q").status, 0);
}

/// The engine of the tests as if it were on another machine: an `ssh` that goes nowhere reaches it.
pub fn far(sandbox: &Sandbox, command: &mut Command) {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let stub = format!("#!/bin/sh\nDOCKER_HOST={host} exec docker system dial-stdio\n");
    sandbox.edit("far/ssh", &stub);
    let stub = sandbox.path("far/ssh");
    fs::set_permissions(&stub, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", stub.parent().unwrap().display(), std::env::var("PATH").unwrap());
    command.env("PATH", path).env("DOCKER_HOST", "ssh://far.invalid");
}

#[test]
fn folders_of_this_machine_are_refused_on_another() {
    let Some(sandbox) = boxed("run elsewhere") else { return };
    let mut command = imk_run(&sandbox, &["-v", "./box:/d", "box", "true"]);
    far(&sandbox, &mut command);
    let (status, _, err) = told(&command.output().unwrap());
    assert!(status == 2 && err.contains("/box`") && err.contains("far.invalid"), "{err}");
    let mut command = imk_run(&sandbox, &["box", "sh", "-c", "cat /word.txt; exit 3"]);
    far(&sandbox, &mut command);
    let (status, out, err) = told(&command.output().unwrap());
    assert_eq!((status, out.as_str()), (3, "one\n"), "{err}");
}
