//! Commands that run again and again: logs, `--cron`, one at a time, within a time; from a real crontab line.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, engine_or_skip, fixture_or_skip};

const IMAGEFILE: &str = r#"(
    images: {"app": (run: (
        user: "host",
        folders: "{root}/work",
        source_dir: "/app",
        env: {"MODE": "batch", "API_TOKEN": "hush"},
        commands: {
            "pipeline": (command: ["sh", "{script}"], log: (size: "8k", count: 3)),
            "pyscript": (command: ["sh", "{script}"]),
        },
    ))},
)"#;

fn app(test: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.write_all(
        "//- app/Dockerfile
FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
COPY *.sh /app/
//- app/load.sh
echo \"load $1\"; echo trouble >&2; exit ${2:-0}
//- app/slow.sh
echo begins; sleep 30; echo ends
//- app/much.sh
i=0; while [ $i -lt 2000 ]; do echo \"line $i of many\"; i=$((i+1)); done
",
    );
    sandbox.edit("Imagefile.ron", IMAGEFILE).place_busybox();
    sandbox.imk("").success();
    Some(sandbox)
}

#[test]
fn a_pipeline_keeps_a_log_with_head_and_foot_and_no_secret() {
    let Some(sandbox) = app("pipeline") else { return };
    let run = sandbox.imk("run app pipeline load.sh one 3").code(3);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("load one\n", "trouble\n"));
    sandbox.imk("run app pyscript load.sh").success();
    assert_eq!(
        sandbox.imk("logs app").code(0).stdout,
        "pipeline-load.sh\n",
        "only what asks for a log has one"
    );
    let log = sandbox.imk("logs app load.sh").code(0).stdout;
    let lines: Vec<&str> = log.lines().collect();
    assert!(
        lines[0].starts_with("--- ") && lines[0].contains("app:latest pipeline load.sh one 3: begins"),
        "{log}"
    );
    assert!(
        lines[1].contains("MODE=batch") && lines[1].contains("API_TOKEN=…") && !log.contains("hush"),
        "{log}"
    );
    assert!(log.contains("\nload one\n") && log.contains("\ntrouble\n"), "{log}");
    assert!(lines.last().unwrap().contains("ends with status 3 after "), "{log}");
    assert!(sandbox.path("work/app/log/pipeline-load.sh/current").exists());
    let run = sandbox.imk("logs app lod.sh").code(2);
    assert!(run.stderr.contains("pipeline-load.sh") || run.stderr.contains("imk logs app"), "{}", run.stderr);
}

#[test]
fn a_long_log_is_rotated_at_line_ends() {
    let Some(sandbox) = app("rotation") else { return };
    sandbox.imk("run app pipeline much.sh").success();
    let folder = sandbox.path("work/app/log/pipeline-much.sh");
    let mut files: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files.len(), 5, "{files:?}");
    assert!(
        files[..3].iter().all(|name| name.starts_with("@4") && name.ends_with(".s") && name.len() == 27),
        "{files:?}"
    );
    for name in &files[..3] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.len() <= 8192 && text.ends_with("of many\n") && text.starts_with("line "), "{name}");
    }
}

#[test]
fn cron_hears_nothing_of_a_success_and_everything_of_a_failure() {
    let Some(sandbox) = app("cron") else { return };
    let run = sandbox.imk("run --cron app pipeline load.sh one").code(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    let run = sandbox.imk("run --cron app pipeline load.sh one 5").code(5);
    // An engine that is slow today is told of as well.
    assert!(run.stdout == "load one\n" && run.stderr.ends_with("trouble\n"), "{}{}", run.stdout, run.stderr);
    sandbox.append("app/Dockerfile", "RUN false\n");
    let run = sandbox.imk("run --cron app pipeline load.sh one").code(2);
    assert!(run.stderr.contains("RUN false"), "{}", run.stderr);
}

#[test]
fn a_command_that_runs_already_is_skipped_and_one_that_takes_too_long_is_ended() {
    let Some(sandbox) = app("overlap") else { return };
    let mut command = sandbox.command("", "run --overlap skip app pipeline slow.sh");
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let log = sandbox.path("work/app/log/pipeline-slow.sh/current");
    let begun = Instant::now();
    while !fs::read_to_string(&log).unwrap_or_default().contains("\nbegins\n") {
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    }
    let run = sandbox.imk("run --overlap skip app pipeline slow.sh").code(0);
    assert!(run.stdout.is_empty() && run.stderr.contains("runs already, and is skipped"), "{}", run.stderr);
    let run = sandbox.imk("run --cron app pipeline slow.sh").code(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.matches("pipeline slow.sh: skipped, since it runs already\n").count(), 2, "{text}");
    // Another script is another command.
    sandbox.imk("run --overlap skip app pipeline load.sh").success();
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    child.wait().unwrap();
    let run = sandbox.imk("run --overlap wait --time-limit 2s app pipeline slow.sh").code(124);
    assert!(run.stderr.contains("took longer than it may"), "{}", run.stderr);
}

#[test]
fn cron_runs_the_newest_here_when_the_registry_is_away() {
    let Some(mut server) = RegistryServer::open("run latest") else { return };
    let Some(sandbox) = engine_or_skip("run latest") else { return };
    // A base of the same registry, which is away as well.
    let (unique, tools) = (sandbox.prefix().replace('/', "-"), server.name("tools:1"));
    let sandbox = sandbox.prefixed(&server.name("team/"));
    let base = format!(
        "//- tools/Dockerfile\nFROM scratch\nCOPY busybox /bin/busybox\nLABEL unique={unique}\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n"
    );
    let tree = Sandbox::with(&base);
    tree.place_busybox();
    tree.docker(&["build", "-q", "-t", &tools, &tree.path("tools").display().to_string()]);
    tree.docker(&["push", "-q", &tools]);
    sandbox.write_all(&format!(
        "//- app/Dockerfile\nFROM {tools}\nCOPY word.txt /word.txt\n//- app/word.txt\none\n"
    ));
    sandbox.edit("Imagefile.ron", r#"(images: {"app": (tags: ["{time}"], upstream: Float, run: (commands: {"job": (command: ["cat", "/word.txt"], log: ())}))})"#);
    sandbox.imk("push app").success();
    let first = sandbox.imk("run --latest app job").code(0);
    assert_eq!((first.stdout.as_str(), first.stderr.as_str()), ("one\n", ""));
    server.stop();
    let run = sandbox.imk("run --latest app job").code(0);
    assert_eq!(run.stdout, "one\n");
    assert!(
        run.stderr.contains("warning: ") && run.stderr.contains("the newest here is run"),
        "{}",
        run.stderr
    );
    let run = sandbox.imk("run --cron --latest app job").code(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
    // With nothing here there is nothing to run, and it says why.
    let names =
        sandbox.docker(&["images", "-q", "--filter", &format!("reference={}", server.name("team/app"))]);
    names.lines().for_each(|id| drop(sandbox.docker(&["rmi", "-f", id])));
    let run = sandbox.imk("run --latest app job").code(2);
    assert!(run.stderr.contains("neither the engine nor the registry has a tag of `app`"), "{}", run.stderr);
    sandbox.docker(&["rmi", "-f", &tools]);
}

/// Whether a program is on the machine; says so when it is not.
fn has(program: &str) -> bool {
    let found = std::env::var("PATH")
        .unwrap()
        .split(':')
        .any(|folder| std::path::Path::new(folder).join(program).exists());
    if !found {
        eprintln!("SKIPPED: there is no {program} here");
    }
    found
}

/// Has a log's own program take over a folder, and write one line there.
fn taken_over(folder: &std::path::Path, program: &str, words: &[&str], line: &str) {
    let mut child = Command::new(program).args(words).arg(folder).stdin(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{line}\n").as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{program}");
}

#[test]
fn multilog_and_svlogd_take_over_a_log_and_give_it_back() {
    let Some(sandbox) = app("multilog") else { return };
    let folder = sandbox.path("work/app/log/pipeline-much.sh");
    let files = || {
        let entries =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.filter(|name| name.starts_with('@')).collect();
        names.sort();
        names
    };
    for (program, words) in [("multilog", &["s4096", "n3"][..]), ("svlogd", &[][..])] {
        if !has(program) {
            continue;
        }
        let _ = fs::remove_dir_all(&folder);
        sandbox.imk("run app pipeline much.sh").success();
        let (before, last) = (files(), fs::read_to_string(folder.join("current")).unwrap());
        assert_eq!(before.len(), 3);
        if program == "svlogd" {
            // Its configuration is a file of the folder: a size in bytes, and how many old files stay.
            fs::write(folder.join("config"), "s4096\nn2\n").unwrap();
        }
        taken_over(&folder, program, words, "from its own program");
        // It knows what is a finished file, and takes the oldest away. multilog ends the file that nobody finished.
        let after = files();
        match program {
            "multilog" => {
                assert_eq!(after.len(), 2, "{after:?}");
                assert_eq!(after[0], before[2], "the oldest went");
                assert!(
                    after[1].ends_with(".u") && fs::read_to_string(folder.join(&after[1])).unwrap() == last
                );
                assert_eq!(fs::read_to_string(folder.join("current")).unwrap(), "from its own program\n");
            }
            _ => {
                let names = after.iter().map(String::as_str).chain(["current"]);
                let text: String = names.map(|name| fs::read_to_string(folder.join(name)).unwrap()).collect();
                assert!(after.len() <= 3 && text.contains(&last), "{after:?}");
                assert!(text.ends_with("from its own program\n"), "{text}");
            }
        }
        // And imk goes on where it left off.
        sandbox.imk("run app pipeline load.sh").success();
        sandbox.imk("run app pipeline much.sh").success();
        let text = sandbox.imk("logs app much.sh").code(0).stdout;
        assert!(text.ends_with("\n") && text.contains("line 1999 of many\n"), "{program}");
        // While it runs, the log is its own, and no job is run without one.
        let mut child = Command::new(program).args(words).arg(&folder).stdin(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        // Looked at from outside: whoever tried the lock would be in the program's way.
        let holder = format!(" {} ", child.id());
        let is_held = || fs::read_to_string("/proc/locks").unwrap().contains(&holder);
        while !is_held() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(50));
        }
        let run = sandbox.imk("run app pipeline much.sh").code(2);
        assert!(run.stderr.contains("another program holds"), "{}", run.stderr);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

#[test]
fn a_real_crontab_line_runs_a_pipeline() {
    let Some(sandbox) = fixture_or_skip("crontab", "chain") else { return };
    if !std::path::Path::new("/usr/sbin/cron").exists() || !can_have_its_own_spool() {
        eprintln!("SKIPPED crontab: there is no cron here that could have a spool of its own");
        return;
    }
    let root = sandbox.root().display().to_string();
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let table = format!(
        "DOCKER_HOST={host}\nIMK_PREFIX={}\nXDG_CONFIG_HOME=/nowhere\n* * * * * {} -C {root} run --cron app1-prod pipeline main.sh Ada\n",
        sandbox.prefix(),
        env!("CARGO_BIN_EXE_imk"),
    );
    sandbox.edit("spool/root", &table);
    fs::set_permissions(sandbox.path("spool/root"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    // The spool is laid over the machine's, for this cron alone; what it starts ends with it.
    let script = format!(
        "mount --bind {root}/spool /var/spool/cron/crontabs && mount -t tmpfs none /run && mkdir -p {root}/none && mount --bind {root}/none /etc/cron.d && exec cron -f"
    );
    let shared = host
        .strip_prefix("unix://")
        .filter(|path| path.starts_with("/run/") || path.starts_with("/var/run/"));
    let script = if shared.is_some() { script.replace(" && mount -t tmpfs none /run", "") } else { script };
    let mut cron = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let log = sandbox.path("jobs/app1-prod/log/pipeline-main.sh/current");
    let begun = Instant::now();
    let done = loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
        if text.contains("ends with status 0") || begun.elapsed() > Duration::from_secs(180) {
            break text;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    cron.kill().unwrap();
    cron.wait().unwrap();
    assert!(done.contains("\nhello, Ada\n"), "{done}");
}

/// Whether this user may lay one folder over another for a process alone.
fn can_have_its_own_spool() -> bool {
    let tried = Command::new("unshare")
        .args([
            "--mount",
            "sh",
            "-c",
            "test -d /var/spool/cron/crontabs && mount -t tmpfs none /var/spool/cron/crontabs",
        ])
        .output();
    tried.is_ok_and(|output| output.status.success())
}
