//! Steps as a repository writes them: what runs, in which folder and environment, what is kept of it.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use fs_err as fs;
use parking_lot::Mutex;

use super::*;
use crate::engine::Cancel;
use crate::service::steps::bounds::Bounds;
use crate::service::steps::facts::Facts;
use crate::service::steps::tools::Tools;

struct NoTools;

impl Tools for NoTools {
    fn push(
        &self,
        _: &str,
        image: &str,
        _: &[String],
        _: bool,
        said: &mut dyn FnMut(&[u8]),
    ) -> Result<String, String> {
        said(b"building\n");
        Ok(format!("pushed {image}"))
    }

    fn jenkins(&self, _: &str, _: Option<&str>, _: Option<&str>) -> Result<String, String> {
        Err("no Jenkins".into())
    }

    fn tell(&self, _: &str, _: &str, _: &str) -> Result<String, String> {
        Ok(String::new())
    }
}

/// A checkout with these steps.
struct Checkout {
    folder: tempfile::TempDir,
    cancel: Cancel,
    limit: Duration,
}

impl Checkout {
    fn with(steps: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), steps).unwrap();
        Self { folder, cancel: Cancel::default(), limit: Duration::from_secs(600) }
    }

    fn run(&self) -> (Performed, String) {
        let log = Mutex::new(Vec::new());
        let server =
            [("PATH", "/usr/bin:/bin"), ("TEAM_TOKEN", "s3cr3t")].map(|(a, b)| (a.into(), b.into())).into();
        let task = Task {
            // A user of its own, or one test would end the processes of another.
            repository: &self.folder.path().display().to_string(),
            checkout: self.folder.path(),
            facts: Facts {
                host: "worker-1".into(),
                branch: "feature/x".into(),
                commit: "0123456789abcdef0123456789abcdef01234567".into(),
                message: "say \"hi\"; $(id)\n\nmore".into(),
                time: "2026-11-26T20:15:00Z".parse().unwrap(),
            },
            reach: Reach::Publish,
            server: &server,
            bounds: Bounds::default(),
            variables: vec![
                ("FROM_POLICY".into(), "policy".into()),
                ("TOKEN".into(), "pol1cy-s3cret".into()),
            ],
            secrets: vec!["pol1cy-s3cret".into()],
            docker_config: None,
            state: None,
            imagefile: None,
            time_limit: self.limit,
            cancel: &self.cancel,
            log: &|bytes| log.lock().extend_from_slice(bytes),
            tools: &NoTools,
        };
        let performed = perform(&task).unwrap();
        (performed, String::from_utf8_lossy(&log.into_inner()).into_owned())
    }
}

/// The statuses of the commands, in their order.
fn statuses(performed: &Performed) -> Vec<&str> {
    performed.report.iter().filter_map(|line| line.strip_prefix('[')?.split(']').next()).collect()
}

#[test]
fn steps_have_their_variables_and_facts_win_over_what_a_step_would_like() {
    let checkout = Checkout::with(
        "step: show\nenv: {MINE: 'a b', COMMIT: no, OK: maybe}\nshell:\n- env | sort\n- printf '%s|%s|%s' \"$MESSAGE\" \"$TAG\" \"$TIMESTAMP\"\n",
    );
    let (performed, log) = checkout.run();
    assert!(performed.ok, "{log}");
    for line in [
        "HOST=worker-1",
        "BRANCH=feature/x",
        "COMMIT=0123456789abcdef0123456789abcdef01234567",
        "COMMIT_SHORT=0123456789",
        "FROM_POLICY=policy",
        "MINE=a b",
        "OK=true",
        "LOG=[]",
        "CI=true",
    ] {
        assert!(log.lines().any(|other| other == line), "no {line} in\n{log}");
    }
    assert!(log.contains("say \"hi\"; $(id)\n\nmore|feature-x-0123456789|2026-11-26T20:15:00Z"), "{log}");
    assert!(!log.contains("s3cr3t") && !log.contains("TEAM_TOKEN"), "{log}");
}

#[test]
fn after_a_failure_only_lines_marked_so_run_and_know_it() {
    let checkout = Checkout::with(
        "- step: one\n  debug: true\n  shell:\n  - echo out; echo err >&2\n  - 0xdeadbeef\n  - echo never\n  - no-skip echo \"ok=$OK\"; echo \"$LOG\" > log\n- step: two\n  shell: ['echo never', 'no-skip false', 'no-skip true']\n",
    );
    let (performed, log) = checkout.run();
    assert_eq!((performed.ok, performed.summary.as_str()), (false, "[failed] 0xdeadbeef... (0 seconds)"));
    let expected = [
        "passed", "passed", "passed", "failed", "failed", "skipped", "passed", "passed", "skipped", "failed",
        "passed",
    ];
    assert_eq!(statuses(&performed), expected, "{:#?}", performed.report);
    assert!(log.contains("ok=false") && !log.contains("\nnever"), "{log}");
    let kept = fs::read_to_string(checkout.folder.path().join("log")).unwrap();
    let kept: Vec<String> = serde_json::from_str(&kept).unwrap();
    assert!(kept[0].starts_with("[passed] echo out"), "{kept:?}");
    assert_eq!(kept[1..3], ["[passed]   . out", "[passed]   . err"]);
}

#[test]
fn a_secret_that_a_step_prints_is_in_no_log_and_no_status() {
    let checkout = Checkout::with(
        "step: a\ndebug: true\nshell: ['printf pol1cy-; sleep 0.1; printf s3cret; echo; echo \"$TOKEN\"', 'test \"$TOKEN\" = \"pol1cy\"-s3cret']\n",
    );
    let (performed, log) = checkout.run();
    assert!(performed.ok, "{log}");
    assert!(log.contains("***\n***\n") && !log.contains("pol1cy-s3cret"), "{log}");
    assert!(performed.report.iter().any(|line| line.contains(". ***")), "{:?}", performed.report);
}

#[test]
fn a_step_stays_in_the_checkout_whatever_links_it_makes() {
    let checkout = Checkout::with(
        "- step: in\n  cwd: app/src\n  shell: ['pwd; echo x > here']\n- step: make\n  shell: ['ln -s / out; ln -s /etc app/etc']\n- step: out\n  cwd: out/etc\n  shell: [cat passwd]\n- step: out again\n  cwd: app/etc\n  shell: [no-skip cat passwd]\n",
    );
    fs::create_dir_all(checkout.folder.path().join("app/src")).unwrap();
    let (performed, log) = checkout.run();
    assert!(checkout.folder.path().join("app/src/here").exists());
    assert_eq!(statuses(&performed), ["passed", "passed", "failed", "failed"], "{:#?}", performed.report);
    assert!(log.contains("a link leads out of the repository") && !log.contains("root:"), "{log}");
}

#[test]
fn the_time_limit_is_for_all_of_it_and_ends_what_was_started() {
    let mut checkout =
        Checkout::with("step: slow\nshell:\n- echo a; sleep 600 & sleep 600\n- echo b\n- no-skip echo c\n");
    checkout.limit = Duration::from_millis(400);
    let (performed, log) = checkout.run();
    assert_eq!(statuses(&performed), ["failed", "skipped", "skipped"]);
    assert!(performed.summary.contains("longer than") && log.contains("\na\n"), "{log}");
    checkout.limit = Duration::from_secs(600);
    checkout.cancel.cancel();
    assert_eq!(checkout.run().0.summary, "it was cancelled");
}

#[test]
fn mistakes_of_the_file_are_told_with_their_places_and_nothing_runs() {
    let checkout = Checkout::with("step: a\nshel: [touch ran]\ncwd: ../x\n");
    let (performed, log) = checkout.run();
    assert_eq!(performed.summary, "integration.yml: 2:1: a step has no key `shel`; did you mean `shell`?");
    assert!(
        !performed.ok && log.contains("leads out of the repository") && performed.report.len() > 2,
        "{log}"
    );
    fs::remove_file(checkout.folder.path().join(FILE)).unwrap();
    fs::os::unix::fs::symlink("/etc/passwd", checkout.folder.path().join(FILE)).unwrap();
    let (performed, log) = checkout.run();
    assert!(!performed.ok && performed.summary.contains("leads out"), "{log}");
}

#[test]
fn steps_of_a_server_that_is_root_are_nobodys_and_read_none_of_its_files() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    let secret = tempfile::Builder::new().permissions(private).tempdir().unwrap();
    fs::write(secret.path().join("secret"), "s3cr3t").unwrap();
    let path = secret.path().join("secret");
    let checkout = Checkout::with(&format!(
        "- step: a\n  shell: ['id -u; touch mine; echo x > $HOME/x; echo x > $TMPDIR/x', 'cat {}', 'no-skip cat /proc/1/environ', 'no-skip ls {}']\n",
        path.display(),
        secret.path().display()
    ));
    let (performed, log) = checkout.run();
    assert_eq!(statuses(&performed), ["passed", "failed", "failed", "failed"], "{log}");
    assert!(!log.contains("s3cr3t"), "{log}");
    let owner = fs::metadata(checkout.folder.path().join("mine")).unwrap().uid();
    assert!(owner >= 40_000, "{owner}");
}

#[test]
fn the_door_for_tools_is_there_while_steps_run() {
    let checkout =
        Checkout::with("step: a\nshell: ['test -S \"$IMK_TOOLS\" && test -x \"$(command -v tools)\"']\n");
    let (performed, log) = checkout.run();
    assert!(performed.ok, "{log}");
}
