//! `imk auto`: a branch of another repository is kept built, tested and published by a line of cron.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::history::History;
use crate::registry_server::RegistryServer;
use crate::sandbox::{Run, Sandbox, engine_or_skip};

/// A repository that people push to, a registry, and a machine that follows.
struct Lab {
    registry: RegistryServer,
    origin: History,
    home: tempfile::TempDir,
}

impl Lab {
    fn new(test: &str) -> Option<Self> {
        engine_or_skip(test)?;
        let registry = RegistryServer::open(test)?;
        let base = registry.name("upstream/base:1");
        registry.put_image("upstream/base:1", &format!("{test} one"));
        let files = format!(
            r#"
            //- Imagefile.ron
            (
                defaults: (publish: [When(branch: "main")]),
                images: {{
                    "base": (),
                    "web": (tests: {{"content": (steps: [File(path: "/web", content: "good")])}}),
                }},
            )
            //- base/Dockerfile
            FROM {base}
            COPY file /base
            //- base/file
            {test} {base}
            //- web/Dockerfile
            FROM base
            COPY file /web
            //- web/file
            good
            "#
        );
        let sandbox = Sandbox::with(&files).prefixed(&registry.name("team/"));
        Some(Self { registry, origin: History::of(sandbox), home: tempfile::tempdir().unwrap() })
    }

    fn checkout(&self) -> PathBuf {
        self.home.path().join("images")
    }

    /// `imk auto` as cron starts it, in a folder that has nothing to do with the repository.
    fn command(&self, options: &str, behind: &str) -> Command {
        let mut command = self.origin.sandbox.command("", "auto");
        command.current_dir(self.home.path()).args(options.split_whitespace());
        command.arg("--folder").arg(self.checkout()).arg(self.origin.sandbox.root());
        command.args(behind.split_whitespace());
        command
    }

    fn auto(&self) -> Run<'_> {
        self.origin.sandbox.run(self.command("", "").output().unwrap())
    }

    fn edit(&self, path: &str, text: &str) {
        self.origin.sandbox.edit(path, text);
        self.origin.commit("next");
    }

    fn published(&self, image: &str) -> Option<String> {
        use imk::registry::Registry;
        let at = self.registry.at(&format!("team/{image}:latest"));
        self.registry.client().head(&at).unwrap().map(|found| found.digest)
    }
}

#[test]
fn what_is_pushed_is_built_tested_and_published_and_what_is_not_costs_nothing() {
    let Some(lab) = Lab::new("auto") else { return };
    let first = lab.auto().code(0);
    assert_eq!((first.out().lines().count(), first.err().as_str()), (1, ""), "{}", first.out());
    assert!(first.out().contains(" main ") && first.out().contains("2 built"), "{}", first.out());
    let (base, web) = (lab.published("base").unwrap(), lab.published("web").unwrap());

    let again = lab.auto().code(0);
    assert!(again.out().contains(" 0 built"), "{}", again.out());

    // Someone pushes.
    lab.edit("web/file", "good too\n");
    let pushed = lab.auto().code(0);
    assert!(pushed.out().contains("(was ") && pushed.out().contains("1 built"), "{}", pushed.out());
    assert_eq!(lab.published("base").unwrap(), base);
    let newer = lab.published("web").unwrap();
    assert_ne!(newer, web);

    // The base outside moves, and no commit.
    lab.registry.put_image("upstream/base:1", "auto two");
    let moved = lab.auto().code(0);
    assert!(moved.out().contains("2 built"), "{}", moved.out());
    assert_ne!(lab.published("base").unwrap(), base);
    assert_ne!(lab.published("web").unwrap(), newer);
}

#[test]
fn a_failed_test_is_told_whole_and_publishes_nothing() {
    let Some(lab) = Lab::new("auto-fails") else { return };
    lab.auto().code(0);
    let before = lab.published("web");
    lab.edit("web/file", "bad\n");
    let failed = lab.auto().code(2);
    assert_eq!(failed.out(), "");
    for word in ["content", "`imk ci` failed", "does the same by hand"] {
        assert!(failed.err().contains(word), "no {word:?} in\n{}", failed.err());
    }
    assert_eq!(lab.published("web"), before);
    lab.edit("web/file", "good again\n");
    lab.auto().code(0);
    assert_ne!(lab.published("web"), before);
}

#[test]
fn another_one_at_the_same_time_does_nothing_and_one_that_was_killed_is_in_nobodys_way() {
    let Some(lab) = Lab::new("auto-twice") else { return };
    lab.edit(
        "web/Dockerfile",
        "FROM base\nCOPY file /web\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sleep\", \"15\"]\n",
    );
    fs::copy(crate::sandbox::busybox(), lab.origin.sandbox.path("web/busybox")).unwrap();
    lab.origin.commit("slow");
    let mut slow = lab.command("", "").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !lab.checkout().join(".imk/lock").exists() {
        assert!(Instant::now() < until, "it does not come to its work");
        std::thread::sleep(Duration::from_millis(20));
    }
    let is_at_work = |run: &Run<'_>| run.err().contains("another `imk auto` is at work");
    let second = lab.auto().code(0);
    assert!(is_at_work(&second), "{}{}", second.out(), second.err());
    // What it started lives on, and has the checkout until it has ended.
    slow.kill().unwrap();
    slow.wait().unwrap();
    lab.edit("web/Dockerfile", "FROM base\nCOPY file /web\n");
    let until = Instant::now() + Duration::from_secs(120);
    let run = loop {
        let run = lab.auto().code(0);
        if !is_at_work(&run) {
            break run;
        }
        assert!(Instant::now() < until, "it never ends");
        std::thread::sleep(Duration::from_millis(200));
    };
    assert!(run.out().contains("1 built"), "{}{}", run.out(), run.err());
}

#[test]
fn a_run_that_takes_too_long_is_ended() {
    let Some(lab) = Lab::new("auto-slow") else { return };
    fs::copy(crate::sandbox::busybox(), lab.origin.sandbox.path("web/busybox")).unwrap();
    lab.edit(
        "web/Dockerfile",
        "FROM base\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sleep\", \"600\"]\n",
    );
    let run = lab.origin.sandbox.run(lab.command("--time-limit 5s", "").output().unwrap());
    assert_eq!(run.status, 2);
    assert!(run.err().contains("took longer than"), "{}", run.err());
}

#[test]
fn it_goes_on_until_it_is_stopped_and_trouble_does_not_stop_it() {
    let Some(lab) = Lab::new("auto-every") else { return };
    let mut words = lab.command("--every 1s", "--no-publish");
    let file = lab.home.path().join("said");
    let said = fs::File::create(&file).unwrap().into_file();
    let mut auto = words.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
    let wait_for = |what: &str| {
        let until = Instant::now() + Duration::from_secs(120);
        while !fs::read_to_string(&file).unwrap().contains(what) {
            assert!(Instant::now() < until, "never {what:?} in\n{}", fs::read_to_string(&file).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    wait_for("2 built");
    lab.edit("web/Dockerfile", "FORM base\n");
    wait_for("`imk ci` failed");
    lab.edit("web/Dockerfile", "FROM base\nCOPY file /web\nLABEL mended=1\n");
    wait_for("1 built");
    assert_eq!(lab.published("web"), None, "words behind the repository are those of imk ci");
    let process = rustix::process::Pid::from_child(&auto);
    rustix::process::kill_process(process, rustix::process::Signal::TERM).unwrap();
    auto.wait().unwrap();
}

#[test]
fn a_repository_that_is_not_there_and_a_folder_of_somebody_else_are_told() {
    let home = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::empty().without_engine();
    let auto = |words: &[&str]| {
        let mut command = sandbox.command("", "auto");
        sandbox.run(command.current_dir(home.path()).args(words).output().unwrap())
    };
    let run = auto(&["--folder", "co", "nowhere"]).code(2);
    assert!(run.err().contains("nowhere"), "{}", run.err());
    fs::create_dir(home.path().join("mine")).unwrap();
    fs::write(home.path().join("mine/thesis"), "years of work").unwrap();
    let run = auto(&["--folder", "mine", "."]).code(2);
    assert!(run.err().contains("what is in it would be lost"), "{}", run.err());
    assert!(auto(&["--every", "often", "."]).code(2).err().contains("not a period of time"));
    assert!(auto(&[]).status == 2);
}
