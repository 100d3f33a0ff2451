//! What a day brings: failures, -k, -j, Ctrl-C, two terminals, discovered images, tags.

use std::process::Stdio;
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::sandbox::{engine_or_skip, fixture_or_skip};

#[test]
fn discovered_images_are_built_in_order() {
    let Some(diamond) = fixture_or_skip("diamond", "diamond") else { return };
    diamond.imk("").says("0 fresh, 4 built, 0 failed");
    diamond.imk("").says("4 fresh, 0 built, 0 failed");
    assert_eq!(diamond.file_in("top", "/top/both.txt").lines().count(), 2);
}

#[test]
fn two_files_behind_one_link_are_both_copied() {
    let Some(sandbox) = engine_or_skip("links") else { return };
    sandbox.write_all(
        "
    //- app/Dockerfile
    FROM scratch
    COPY latest/a /a
    COPY latest/b /b
    //- app/v1/a
    one
    //- app/v1/b
    two
    ",
    );
    fs_err::os::unix::fs::symlink("v1", sandbox.path("app/latest")).unwrap();
    // docker's own client sends `a` alone, and the build fails (moby/buildkit #3238).
    sandbox.imk("").says("0 fresh, 1 built, 0 failed");
    assert_eq!(sandbox.file_in("app", "/b").trim(), "two");
    sandbox.append("app/v1/b", "more\n");
    sandbox.imk("").says("0 fresh, 1 built, 0 failed");
}

#[test]
fn selectors_choose_images() {
    let Some(diamond) = fixture_or_skip("selectors", "diamond") else { return };
    diamond.imk("left").says("0 fresh, 2 built, 0 failed");
    diamond.imk("r* le*").says("2 fresh, 1 built, 0 failed");
    diamond.imk("base+").says("3 fresh, 1 built, 0 failed");
}

#[test]
fn stages_not_reached_are_neither_built_nor_looked_up() {
    let Some(stages) = fixture_or_skip("stages", "stages") else { return };
    stages.imk("").says("0 fresh, 2 built, 0 failed");
    stages.append("docs/guide.md", "more\n");
    stages.imk("").says("2 fresh, 0 built, 0 failed");
}

#[test]
fn a_monorepo_builds_only_what_an_edit_touches() {
    let Some(mono) = fixture_or_skip("monorepo", "monorepo") else { return };
    mono.imk("").says("0 fresh, 14 built, 0 failed");
    mono.append("docs/architecture.md", "more\n");
    mono.append("services/api/README.md", "more\n");
    mono.imk("").says("14 fresh, 0 built, 0 failed");
    mono.append("services/api/run.sh", "# more\n");
    let run = mono.imk("--progress plain").code(0);
    assert_eq!(run.built(), ["api"]);
}

#[test]
fn a_failing_step_is_told_with_its_place_its_output_and_its_log() {
    let Some(sandbox) = fixture_or_skip("failure", "diamond") else { return };
    sandbox.edit(
        "left/Dockerfile",
        "FROM base\nCOPY words.txt /words.txt\nRUN echo about to fail && \\\n    exit 3\n",
    );
    let run = sandbox.imk("-j1 --progress quiet").code(2);
    insta::assert_snapshot!(run.err(), @"
    error: image `left` failed: [3/3] RUN echo about to fail &&     exit 3 ended with exit code 3 (left/Dockerfile:3)
      | about to fail
      the whole log: .imk/logs/left.log
    ");
    assert_eq!(run.stdout, "");
    let log = fs::read_to_string(sandbox.path(".imk/logs/left.log")).unwrap();
    assert!(log.contains("about to fail"), "{log}");
    // A failure is tried again, and once mended all follows.
    sandbox.imk("").code(2);
    sandbox.edit("left/Dockerfile", "FROM base\nCOPY words.txt /words.txt\nRUN cp /words.txt /left.txt\n");
    sandbox.imk("").code(0);
    sandbox.imk("").says("4 fresh, 0 built, 0 failed");
}

#[test]
fn keep_going_builds_what_does_not_depend_on_the_failure() {
    let Some(sandbox) = fixture_or_skip("keep going", "diamond") else { return };
    sandbox.edit("left/Dockerfile", "FROM base\nRUN exit 1\n");
    let run = sandbox.imk("-k --progress plain").code(2);
    assert_eq!(run.built(), ["base", "right"]);
    assert!(run.out().contains("0 fresh, 2 built, 1 failed, 1 skipped"), "{}", run.out());
}

#[test]
fn keep_going_passes_over_images_with_mistakes() {
    let Some(sandbox) = fixture_or_skip("keep going mistakes", "diamond") else { return };
    sandbox.edit("left/Dockerfile", "FROM base\nCOPY nothing /\n");
    sandbox.imk("").code(2);
    let run = sandbox.imk("-k --progress plain").code(2);
    assert_eq!(run.built(), ["base", "right"]);
    assert!(run.err().contains("there is no `nothing`"), "{}", run.err());
}

#[test]
fn an_interrupt_stops_the_engine_and_leaves_no_half_state() {
    let Some(sandbox) = fixture_or_skip("interrupt", "diamond") else { return };
    sandbox.imk("base").success();
    sandbox.edit("left/Dockerfile", "FROM base\nRUN sleep 97\n");
    let mut command = sandbox.command("", "left --progress plain");
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the step runs", || processes("sleep 97") > 0);
    std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130));
    wait_until("the step is gone", || processes("sleep 97") == 0);
    sandbox.edit("left/Dockerfile", "FROM base\nCOPY words.txt /\n");
    sandbox.imk("left").says("1 fresh, 1 built, 0 failed");
}

#[test]
fn a_killed_imk_loses_no_finished_build_and_remembers_no_other() {
    let Some(sandbox) = fixture_or_skip("kill", "diamond") else { return };
    sandbox.edit("right/Dockerfile", "FROM base\nRUN sleep 98\n");
    let mut child = sandbox.command("", "-j1 left right --progress plain").spawn().unwrap();
    wait_until("the second step runs", || processes("sleep 98") > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("the step is gone", || processes("sleep 98") == 0);
    sandbox.edit("right/Dockerfile", "FROM base\nCOPY words.txt /\n");
    let run = sandbox.imk("left right --progress plain").code(0);
    assert!(!run.built().contains(&"base".to_owned()), "{}", run.stderr);
    assert!(run.built().contains(&"right".to_owned()), "{}", run.stderr);
}

#[test]
fn two_imk_take_turns() {
    let Some(sandbox) = fixture_or_skip("turns", "diamond") else { return };
    sandbox.edit("left/Dockerfile", "FROM base\nCOPY words.txt /\nRUN sleep 2\n");
    let mut first = sandbox.command("", "left").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the first holds the lock", || {
        fs::read_to_string(sandbox.path(".imk/lock")).is_ok_and(|holder| holder.contains("process"))
    });
    let second = sandbox.imk("left").code(0);
    assert!(second.stderr.contains("waiting for `imk left` (process"), "{}", second.stderr);
    assert!(second.stdout.contains("2 fresh, 0 built"), "{}", second.stdout);
    assert!(first.wait().unwrap().success());
}

#[test]
fn independent_images_are_built_at_once() {
    let Some(sleeps) = fixture_or_skip("sleeps", "sleeps") else { return };
    let run = sleeps.imk("-j8 --progress plain").code(0);
    let (mut running, mut most) = (0, 0);
    for line in run.stderr.lines() {
        running += i32::from(line.ends_with(": never built here"));
        running -= i32::from(line.contains(": built in "));
        most = most.max(running);
    }
    assert_eq!(running, 0, "{}", run.stderr);
    assert_eq!(most, 8, "all that wait for nothing but the base run at once: {}", run.stderr);
}

#[test]
fn a_moved_tag_is_moved_back_without_a_build() {
    let Some(sandbox) = fixture_or_skip("retag", "diamond") else { return };
    sandbox.imk("left").success();
    let (left, base) = (sandbox.id("left"), sandbox.id("base"));
    sandbox.docker(&["tag", &base, &format!("{}left", sandbox.prefix())]);
    insta::assert_snapshot!(sandbox.imk("plan left").code(0).out(), @"
    left: fresh, lacks the tag `[PREFIX]/left:latest`
    1 fresh, 0 to build, 1 to retag
    ");
    sandbox.imk("left").says("1 fresh, 0 built, 1 retagged, 0 failed");
    assert_eq!(sandbox.id("left"), left);
}

#[test]
fn a_revert_moves_the_tag_back_and_builds_nothing() {
    let Some(sandbox) = fixture_or_skip("revert", "diamond") else { return };
    sandbox.imk("left").success();
    let (text, id) = (fs::read_to_string(sandbox.path("left/words.txt")).unwrap(), sandbox.id("left"));
    sandbox.append("left/words.txt", "more\n");
    sandbox.imk("left").says("1 fresh, 1 built, 0 failed");
    assert_ne!(sandbox.id("left"), id);
    sandbox.edit("left/words.txt", &text);
    sandbox.imk("left").says("1 fresh, 0 built, 1 retagged, 0 failed");
    assert_eq!(sandbox.id("left"), id);
}

#[test]
fn always_make_builds_the_targets_and_not_their_bases() {
    let Some(sandbox) = fixture_or_skip("always", "diamond") else { return };
    sandbox.imk("left").success();
    let run = sandbox.imk("-B left --progress plain").code(0);
    assert_eq!(run.built(), ["left"]);
}

#[test]
fn a_base_built_again_to_the_same_image_leaves_its_users_alone() {
    let Some(sandbox) = fixture_or_skip("cut-off", "diamond") else { return };
    sandbox.imk("left").success();
    let run = sandbox.imk("-B base left --progress plain").code(0);
    let _ = run;
    sandbox.imk("-B base --progress plain").success();
    sandbox.imk("left").says("2 fresh, 0 built, 0 failed");
}

#[test]
fn a_secret_reaches_the_step_and_nothing_else() {
    let Some(sandbox) = engine_or_skip("secret") else { return };
    sandbox.write_all(
        r#"
    //- Imagefile.ron
    (images: {"base": (), "app": (secrets: {"token": Env("IMK_TEST_TOKEN")})})
    //- base/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    RUN ["/bin/busybox", "--install", "-s", "/bin"]
    //- app/Dockerfile
    FROM base
    RUN --mount=type=secret,id=token wc -c < /run/secrets/token > /size
"#,
    );
    sandbox.place_busybox();
    let run = sandbox.imk("").code(2);
    assert!(run.stderr.contains("the variable IMK_TEST_TOKEN is not set"), "{}", run.stderr);
    let mut command = sandbox.command("", "--progress plain");
    let output = command.env("IMK_TEST_TOKEN", "hush-hush-hush").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(sandbox.file_in("app", "/size").trim(), "14");
    let mut todo = vec![sandbox.path(".imk")];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(path).unwrap().flatten().map(|entry| entry.path()));
        } else {
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(9).any(|w| w == b"hush-hush"), "{}", path.display());
        }
    }
}

/// Runs `imk` in a terminal of its own, through util-linux' `script`.
fn in_a_terminal(sandbox: &crate::sandbox::Sandbox, words: &str) -> std::process::Command {
    let mut command = std::process::Command::new("script");
    let line = format!("stty cols 100 rows 30; {} {words}", env!("CARGO_BIN_EXE_imk"));
    command.args(["-qec", &line, "/dev/null"]).current_dir(sandbox.root());
    command.env("IMK_PREFIX", sandbox.prefix()).env("TERM", "xterm").stdin(Stdio::null());
    command
}

#[test]
fn a_terminal_shows_one_live_line_for_each_running_image() {
    let Some(sandbox) = fixture_or_skip("terminal", "diamond") else { return };
    // An engine that has the step already shows no output of it.
    sandbox.append("left/words.txt", sandbox.prefix());
    sandbox.edit("left/Dockerfile", "FROM base\nCOPY words.txt /\nRUN echo nearly there && sleep 1\n");
    let output = in_a_terminal(&sandbox, "left").output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("[3/3] RUN echo nearly there && sleep 1 │ nearly there"), "{shown}");
    assert!(shown.contains("\u{1b}["), "a live line is drawn over: {shown}");
    let last = shown.lines().last().unwrap();
    assert!(last.contains("0 fresh, 2 built, 0 failed in "), "{shown}");
}

#[test]
fn an_interrupt_in_a_terminal_leaves_it_usable() {
    let Some(sandbox) = fixture_or_skip("terminal interrupt", "diamond") else { return };
    sandbox.edit("left/Dockerfile", "FROM base\nRUN sleep 96\n");
    let mut child = in_a_terminal(&sandbox, "left -j7").stdout(Stdio::piped()).spawn().unwrap();
    wait_until("the step runs", || processes("sleep 96") > 0);
    // What Ctrl-C does: the terminal's foreground group gets the signal.
    let imk = format!("{} left -j7", env!("CARGO_BIN_EXE_imk"));
    std::process::Command::new("pkill").args(["-INT", "-f", &format!("^{imk}$")]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let mut shown = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut shown).unwrap();
    assert!(shown.contains("interrupted"), "{shown}");
    wait_until("the step is gone", || processes("sleep 96") == 0);
}

fn processes(command: &str) -> usize {
    let output = std::process::Command::new("ps").args(["-eo", "args"]).output().unwrap();
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    list.lines().filter(|line| line.trim() == command).count()
}

#[track_caller]
fn wait_until(what: &str, done: impl Fn() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < Duration::from_secs(60), "waited a minute until {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn another_stage_is_built_of_the_image_that_is_named_and_not_of_its_bases() {
    let Some(stages) = fixture_or_skip("target", "stages") else { return };
    stages.imk("tool --target build").says("0 fresh, 1 built, 0 failed");
    assert!(stages.file_in("tool", "/src/tool.sh").contains("GREETING"));
    let run = stages.imk("tool --target biuld").code(2);
    assert!(run.stderr.contains("did you mean `build`?"), "{}", run.stderr);
}
