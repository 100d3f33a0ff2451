//! Kills, crowds, stops and a full disk: what they leave in the store.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::user::is_root;
use crate::differential::random::Random;
use crate::sandbox::{Sandbox, busybox};

/// Waits for something that must come; the limit is for a machine that has stopped.
fn wait_for(what: &str, happened: &mut dyn FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < Duration::from_secs(120), "{what} did not come");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Images in a chain with commands and copies, in three.
fn chain(sandbox: &Sandbox) {
    let text = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nCOPY text /text\n\
                RUN mkdir /d && for n in 1 2 3 4 5 6 7 8 9; do cp /bin/busybox /d/$n; cat /text >/d/$n.txt; done\n\
                RUN --mount=type=cache,target=/cache echo 1 >>/cache/x; rm /d/3; ln /d/1 /d/hard\n";
    sandbox.edit("base/Dockerfile", text);
    sandbox.edit("web/Dockerfile", "FROM base\nCOPY . /srv/\nRUN cat /srv/a /text >/both; rm -r /d\n");
    sandbox.edit(
        "tool/Dockerfile",
        "FROM base\nCOPY --from=web /srv /srv\nRUN ls -R / >/dev/null; echo tool >/tool\n",
    );
    fs_err::copy(busybox(), sandbox.path("base/busybox")).unwrap();
}

fn edit(sandbox: &Sandbox, round: usize) {
    sandbox.edit("base/text", &format!("text {round}\n"));
    sandbox.edit("web/a", &format!("a {round}\n"));
}

/// Ids of all images, in order of their names.
fn ids(sandbox: &Sandbox) -> Vec<String> {
    let list = sandbox.imk("list --json").code(0).stdout.clone();
    let id = |line: &str| line.trim().strip_prefix("\"id\": ").map(|id| id.trim_end_matches(',').to_owned());
    list.lines().filter_map(id).collect()
}

/// Every blob is what its name says.
fn is_whole(store: &Path) {
    for entry in fs_err::read_dir(store.join("blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let sum = std::process::Command::new("sha256sum").arg(&path).output().unwrap();
        let sum = String::from_utf8(sum.stdout).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(sum.starts_with(name), "{name} is not whole");
    }
}

fn start(sandbox: &Sandbox, words: &str) -> Child {
    sandbox.command("", words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_at_any_moment_the_store_is_whole_and_the_next_run_makes_the_same() {
    let (killed, calm) = (Sandbox::empty().embedded(), Sandbox::empty().embedded());
    let mut random = Random::new(7);
    for sandbox in [&killed, &calm] {
        chain(sandbox);
    }
    for round in 0..6 {
        edit(&killed, round);
        for _ in 0..3 {
            let mut child = start(&killed, "");
            std::thread::sleep(Duration::from_millis(random.below(700) as u64));
            let _ = child.kill();
            let _ = child.wait();
        }
    }
    edit(&calm, 5);
    killed.imk("").code(0);
    calm.imk("").code(0);
    is_whole(&killed.store());
    assert_eq!(ids(&killed), ids(&calm));
    // Nobody is there any more, so all drafts are leftovers.
    killed.imk("gc").code(0);
    assert_eq!(fs_err::read_dir(killed.store().join("drafts")).unwrap().count(), 0);
    killed.imk("").says("3 fresh, 0 built, 0 failed");
}

#[test]
fn two_at_once_in_one_store_come_to_the_same() {
    let one = Sandbox::empty().embedded();
    chain(&one);
    edit(&one, 0);
    let two = Sandbox::empty();
    chain(&two);
    edit(&two, 0);
    for round in 1..3 {
        edit(&one, round);
        edit(&two, round);
        let mut children: Vec<Child> = Vec::new();
        for sandbox in [&one, &two] {
            let mut command = sandbox.command("", "");
            command
                .env("IMK_ENGINE", "embedded")
                .env("IMK_STORE", one.store())
                .env("IMK_PREFIX", one.prefix());
            children.push(command.stdout(Stdio::null()).spawn().unwrap());
        }
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
    }
    is_whole(&one.store());
    one.imk("").says("3 fresh, 0 built, 0 failed");
    assert_eq!(ids(&one).len(), 3);
}

/// The processes that have this word among theirs.
fn with_word(word: &str) -> usize {
    let processes = fs_err::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            entry.file_name().to_str().is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .filter(|entry| {
            let line = fs_err::read(entry.path().join("cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|part| part == word.as_bytes())
        })
        .count()
}

#[test]
fn ctrl_c_and_kill_end_all_that_a_command_started() {
    // The user of a command must not decide whether it can be ended.
    for (number, (user, signal, options)) in [
        ("0", "-INT", ""),
        ("7", "-INT", ""),
        ("7", "-KILL", ""),
        ("0", "-INT", "--isolation chroot"),
        ("0", "-KILL", "--isolation chroot"),
    ]
    .into_iter()
    .enumerate()
    {
        if !is_root() && (user != "0" || !options.is_empty()) {
            continue;
        }
        let sandbox = Sandbox::empty().embedded();
        let word = format!("86{}{number}", std::process::id());
        let text = format!(
            "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nUSER {user}\n\
             RUN (trap '' INT TERM HUP; sleep {word}) & (sleep {word} &) ; sleep {word}\n"
        );
        sandbox.edit("image/Dockerfile", &text);
        fs_err::copy(busybox(), sandbox.path("image/busybox")).unwrap();
        let mut child = start(&sandbox, options);
        wait_for("the command", &mut || with_word(&word) >= 3);
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args([signal, &id]).status().unwrap().success());
        wait_for("the end of imk", &mut || child.try_wait().unwrap().is_some());
        wait_for(&format!("the end of what `{signal} {user} {options}` ended"), &mut || {
            with_word(&word) == 0
        });
    }
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    if !is_root() {
        eprintln!("SKIPPED: only root mounts a small disk");
        return;
    }
    let sandbox = Sandbox::empty().embedded();
    sandbox.edit("small/Dockerfile", "FROM scratch\nCOPY a /\n").edit("small/a", "a");
    let step = "RUN dd if=/dev/zero of=/large bs=65536 count=400 2>/dev/null && ls -l /large";
    let text = format!(
        "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n{step}\n"
    );
    sandbox.edit("large/Dockerfile", &text);
    sandbox.edit("copied/Dockerfile", "FROM scratch\nCOPY large /\n");
    fs_err::copy(busybox(), sandbox.path("large/busybox")).unwrap();
    fs_err::write(sandbox.path("copied/large"), vec![7; 24 << 20]).unwrap();
    let store = sandbox.store();
    fs_err::create_dir_all(&store).unwrap();
    // All in one namespace, since its mounts go with it.
    let script = format!(
        "mount -t tmpfs -o size=16m small {store} || exit 99\n\
         imk() {{ echo \"== $*\"; \"$0\" \"$@\"; echo \"status $?\"; }}\n\
         imk small; imk large --progress plain; imk copied; imk gc; imk small; imk list\n\
         cd {store}/blobs/sha256 && for blob in *; do echo \"$blob  $blob\"; done | sha256sum -c --quiet && echo whole",
        store = store.display()
    );
    let mut command = sandbox.under("unshare", &["-m", "sh", "-c", &script], "");
    let run = sandbox.run(command.output().unwrap());
    let all = format!("{}\n{}", run.stdout, run.stderr);
    let statuses: Vec<&str> = run.stdout.lines().filter_map(|line| line.strip_prefix("status ")).collect();
    assert_eq!(statuses.len(), 6, "{all}");
    assert!(statuses[0] == "0" && statuses[1] != "0" && statuses[2] != "0" && statuses[4] == "0", "{all}");
    assert!(run.stdout.contains("whole"), "{all}");
    assert!(run.stderr.contains("MB left; `imk gc` lets go of what nothing needs"), "{all}");
}
