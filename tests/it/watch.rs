//! `imk watch` and real edits: what it builds, what it passes over, how it ends.
//!
//! Tests wait for lines, for as long as a slow machine may need, and never for a time. That nothing
//! happened is seen in what the next thing that does happen comes after.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use fs_err as fs;
use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Sandbox, engine_or_skip};

/// A line that does not come in this time never will.
const PATIENCE: Duration = Duration::from_secs(60);

const REPOSITORY: &str = r#"
    //- Imagefile.ron
    (images: {"app": (), "web": ()})
    //- app/Dockerfile
    FROM scratch
    COPY . /app/
    //- app/.dockerignore
    ignored
    //- app/file.txt
    1
    //- app/folder/inner.txt
    1
    //- web/Dockerfile
    FROM scratch
    COPY page.txt /
    //- web/page.txt
    1
    //- web/beside.txt
    1
"#;

/// A running `imk watch`. Ends when it is dropped.
struct Watching<'a> {
    sandbox: &'a Sandbox,
    child: Child,
    lines: Receiver<String>,
    /// All that came, for messages and for what must not have come.
    seen: Vec<String>,
}

impl<'a> Watching<'a> {
    fn start(sandbox: &'a Sandbox, words: &str) -> Self {
        let mut command = sandbox.command("", &format!("watch {words}"));
        // One pipe for both, as in a terminal: two would tell nothing about which line came first.
        let (reader, writer) = std::io::pipe().unwrap();
        let child = command.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        // It holds the pipe's other end too, and would keep it open.
        drop(command);
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let _ = to.send(line);
            }
        });
        Self { sandbox, child, lines, seen: Vec::new() }
    }

    /// Waits for a line with this in it; gives the lines up to it.
    #[track_caller]
    fn until(&mut self, text: &str) -> Vec<String> {
        let from = self.seen.len();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {text:?} in\n{}", self.seen.join("\n")));
            self.seen.push(line.clone());
            if line.contains(text) {
                return self.seen[from..].to_vec();
            }
        }
    }

    /// Waits for a build with this in it and for its end; gives its lines.
    #[track_caller]
    fn builds(&mut self, text: &str) -> Vec<String> {
        let mut lines = self.until(text);
        lines.extend(self.until("waiting for changes"));
        lines
    }

    fn edit(&self, path: &str, text: &str) -> &Self {
        self.sandbox.edit(path, text);
        self
    }

    fn end(mut self) -> i32 {
        self.signal();
        self.child.wait().unwrap().code().unwrap_or(-1)
    }

    fn signal(&self) {
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process(id, Signal::INT);
    }
}

impl Drop for Watching<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The repository, with results that no other test finds.
fn repository(test: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.write_all(REPOSITORY);
    for image in ["app", "web"] {
        sandbox.append(&format!("{image}/Dockerfile"), &format!("LABEL imk.test={}\n", sandbox.prefix()));
    }
    Some(sandbox)
}

#[track_caller]
fn built(lines: &[String], expected: &[&str]) {
    let names = lines.iter().filter_map(|line| Some(line.split_once(": built in ")?.0));
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    assert_eq!(names, expected, "{}", lines.join("\n"));
}

#[test]
fn every_change_of_a_used_file_is_built_and_no_other() {
    let Some(sandbox) = repository("watch edits") else { return };
    let mut watch = Watching::start(&sandbox, "--trace");
    built(&watch.builds("2 built"), &["app", "web"]);
    watch.edit("app/file.txt", "2\n");
    let lines = watch.builds("`file.txt` changed");
    built(&lines, &["app"]);
    // A touched file, one that nobody copies, and one that is ignored.
    watch.edit("web/beside.txt", "2\n");
    watch.until("nothing to build");
    watch.edit("app/ignored", "2\n");
    watch.until("nothing to build");
    let file = fs::File::options().append(true).open(sandbox.path("app/file.txt")).unwrap();
    file.file().set_modified(std::time::SystemTime::now()).unwrap();
    watch.until("nothing to build");
    // A new file in a new folder.
    watch.edit("app/new/deeper/file.txt", "1\n");
    watch.builds("new/deeper");
    watch.edit("app/new/deeper/file.txt", "2\n");
    built(&watch.builds("`new/deeper/file.txt` changed"), &["app"]);
    // A folder that goes and comes again is watched again.
    sandbox.remove("app/folder");
    built(&watch.builds("is gone"), &["app"]);
    watch.edit("app/folder/inner.txt", "2\n");
    watch.builds("folder");
    watch.edit("app/folder/inner.txt", "3\n");
    built(&watch.builds("`folder/inner.txt` changed"), &["app"]);
    assert_eq!(watch.end(), 130);
    // What it left is what any run finds.
    sandbox.imk("").says("2 fresh, 0 built");
}

#[test]
fn what_editors_leave_for_a_moment_is_passed_over() {
    let Some(sandbox) = repository("watch editors") else { return };
    let mut watch = Watching::start(&sandbox, "");
    watch.builds("2 built");
    // vim: a swap file, its probe, a backup, and the new file under the old name.
    watch.edit("app/.file.txt.swp", "swap").edit("app/4913", "").edit("app/file.txt~", "1\n");
    // Emacs: a lock that leads nowhere, and an autosave.
    symlink("somebody@host.1:1", sandbox.path("app/.#file.txt")).unwrap();
    watch.edit("app/#file.txt#", "2\n");
    watch.edit("app/.new", "2\n");
    fs::rename(sandbox.path("app/.new"), sandbox.path("app/file.txt")).unwrap();
    let lines = watch.builds("`file.txt` changed");
    assert!(lines.iter().all(|line| !line.contains(".swp") && !line.contains(".#")), "{lines:?}");
    for path in ["app/.file.txt.swp", "app/4913", "app/file.txt~", "app/.#file.txt", "app/#file.txt#"] {
        fs::remove_file(sandbox.path(path)).unwrap();
    }
    watch.edit("web/page.txt", "2\n");
    let lines = watch.builds("`page.txt` changed");
    built(&lines, &["web"]);
    assert_eq!(watch.end(), 130);
    sandbox.imk("").says("2 fresh, 0 built");
}

#[test]
fn a_mistake_is_told_once_and_watching_goes_on() {
    let Some(sandbox) = repository("watch mistakes") else { return };
    let good = fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit("Imagefile.ron", "(images: {\"app\": (nonsense: 1)})");
    let mut watch = Watching::start(&sandbox, "");
    watch.builds("nonsense");
    watch.edit("Imagefile.ron", &good);
    built(&watch.builds("2 built"), &["app", "web"]);
    let dockerfile = fs::read_to_string(sandbox.path("web/Dockerfile")).unwrap();
    watch.edit("web/Dockerfile", "FROM scratch\nCOPPY page.txt /\n");
    watch.builds("COPPY");
    watch.edit("web/Dockerfile", &dockerfile);
    watch.until("up to date again");
    // A new image, and a build that fails until it is mended.
    watch.edit("new/Dockerfile", "FROM scratch\nRUN [\"/absent\"]\n");
    watch.edit("Imagefile.ron", "(images: {\"app\": (), \"web\": (), \"new\": ()})");
    watch.builds("image `new` failed");
    watch.edit("web/beside.txt", "3\n").edit("web/page.txt", "3\n");
    let lines = watch.builds("`page.txt` changed");
    built(&lines, &["web"]);
    watch.edit("new/Dockerfile", "FROM scratch\nCOPY file /\n").edit("new/file", "1\n");
    watch.until("new: built in");
    assert_eq!(watch.end(), 130);
}

#[test]
fn a_circle_is_told_and_what_is_beside_it_is_built_until_it_is_mended() {
    let Some(sandbox) = repository("watch circle") else { return };
    let dockerfile = fs::read_to_string(sandbox.path("web/Dockerfile")).unwrap();
    sandbox.edit("Imagefile.ron", "(images: {\"app\": (), \"web\": (), \"a\": (), \"b\": ()})");
    sandbox.edit("a/Dockerfile", "FROM b\n").edit("b/Dockerfile", "FROM a\n");
    let mut watch = Watching::start(&sandbox, "");
    let lines = watch.builds("2 built");
    built(&lines, &["app", "web"]);
    assert_eq!(
        lines.iter().filter(|line| line.contains("in a circle: `a` -> `b` -> `a`")).count(),
        1,
        "{lines:?}"
    );
    watch.edit("web/page.txt", "2\n");
    built(&watch.builds("`page.txt` changed"), &["web"]);
    watch.edit("b/Dockerfile", &dockerfile).edit("b/page.txt", "b\n");
    watch.until("a: built in");
    assert_eq!(watch.end(), 130);
}

#[test]
fn a_branch_that_is_switched_to_is_built() {
    let Some(sandbox) = repository("watch branches") else { return };
    let git = |words: &str| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=t", "-c", "user.email=t@localhost"]).args(words.split_whitespace());
        let output = git.current_dir(sandbox.root()).output().unwrap();
        assert!(output.status.success(), "git {words}: {}", String::from_utf8_lossy(&output.stderr));
    };
    git("init -q -b main");
    git("add -A");
    git("commit -q -m one");
    git("checkout -q -b other");
    for number in 0..50 {
        sandbox.edit(&format!("app/more/{number}/file.txt"), "1\n");
    }
    sandbox.edit("web/page.txt", "2\n");
    git("add -A");
    git("commit -q -m two");
    git("checkout -q main");
    let mut watch = Watching::start(&sandbox, "");
    watch.builds("2 built");
    git("checkout -q other");
    built(&watch.builds("2 built"), &["app", "web"]);
    git("checkout -q main");
    watch.builds("an earlier result serves again");
    watch.edit("app/file.txt", "3\n");
    built(&watch.builds("`file.txt` changed"), &["app"]);
    assert_eq!(watch.end(), 130);
}

#[test]
fn an_edit_of_what_is_being_built_stops_that_build_and_another_edit_does_not() {
    let Some(sandbox) = engine_or_skip("watch cancel") else { return };
    sandbox.write_all(
        r#"
    //- Imagefile.ron
    (images: {"slow": (), "web": ()})
    //- slow/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    COPY slow.sh /
    RUN ["/bin/busybox", "sh", "/slow.sh"]
    //- slow/slow.sh
    echo begun; /bin/busybox sleep 600
    //- web/Dockerfile
    FROM scratch
    COPY page.txt /
    //- web/page.txt
    1
"#,
    );
    sandbox.place_busybox();
    sandbox.append("web/Dockerfile", &format!("LABEL imk.test={}\n", sandbox.prefix()));
    let mut watch = Watching::start(&sandbox, "-j2 --progress plain");
    watch.until("slow: | begun");
    // Nobody builds `web` now, so the build goes on; a comment changes no key.
    watch.edit("web/page.txt", "2\n");
    sandbox.append("slow/Dockerfile", "# a comment\n");
    watch.edit("slow/slow.sh", "echo again\n");
    let lines = watch.until("its build is stopped");
    assert!(lines.iter().any(|line| line.contains("`slow` changed")), "{lines:?}");
    watch.until("slow: built in");
    watch.until("waiting for changes");
    assert_eq!(watch.end(), 130);
    sandbox.imk("").says("2 fresh, 0 built");
}

#[test]
fn the_lock_is_held_only_while_something_is_built() {
    let Some(sandbox) = repository("watch lock") else { return };
    let mut watch = Watching::start(&sandbox, "");
    watch.builds("2 built");
    let run = sandbox.imk("-B web");
    assert!(!run.err().contains("waiting for"), "{}", run.err());
    run.success();
    assert_eq!(watch.end(), 130);
}
