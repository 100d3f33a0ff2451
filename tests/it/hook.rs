//! The pre-push hook: real pushes to a repository beside, with what a person sees of them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use fs_err as fs;

use crate::sandbox::{Sandbox, engine_or_skip};

const REPOSITORY: &str = r#"
    //- Imagefile.ron
    (images: {"app": (), "web": ()})
    //- app/Dockerfile
    FROM scratch
    COPY file.txt /
    //- app/file.txt
    1
    //- app/beside.txt
    1
    //- web/Dockerfile
    FROM app
    COPY page.txt /
    //- web/page.txt
    1
"#;

/// A repository with one commit, a remote called `origin` beside it, and the hook.
pub struct Pushing {
    pub sandbox: Sandbox,
    beside: tempfile::TempDir,
    work: PathBuf,
}

impl Pushing {
    /// `None` when there is to be no engine.
    pub fn new(test: &str, hook: &str) -> Option<Self> {
        Self::with_ids(test, hook, "sha1")
    }

    /// As [`Self::new`], with ids of another kind.
    pub fn with_ids(test: &str, hook: &str, format: &str) -> Option<Self> {
        let sandbox = engine_or_skip(test)?;
        Some(Self::of(sandbox, hook, format))
    }

    fn of(sandbox: Sandbox, hook: &str, format: &str) -> Self {
        sandbox.write_all(REPOSITORY);
        // One sandbox must not find the results of another.
        sandbox.append("app/Dockerfile", &format!("LABEL imk.test={}\n", sandbox.prefix()));
        let beside = tempfile::Builder::new().prefix("beside ").tempdir().unwrap();
        let work = sandbox.root().to_owned();
        let this = Self { sandbox, beside, work };
        this.git(&format!("init -q -b main --object-format={format}")).ok();
        this.commit("one");
        this.git_in(this.beside.path(), &format!("init -q --bare -b main --object-format={format} .")).ok();
        let remote = this.beside.path().to_owned();
        let mut add = this.command(&this.work, "remote add origin");
        assert!(add.arg(remote).output().unwrap().status.success());
        if !hook.is_empty() {
            this.sandbox.imk(hook).success();
        }
        this
    }

    fn command(&self, folder: &Path, words: &str) -> Command {
        let imk = self.sandbox.command("", "");
        let mut git = Command::new("git");
        git.current_dir(folder).args(["-c", "user.name=t", "-c", "user.email=t@localhost"]);
        git.args(["-c", "protocol.file.allow=always"]).args(words.split_whitespace());
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        for (name, value) in imk.get_envs() {
            match value {
                Some(value) => git.env(name, value),
                None => git.env_remove(name),
            };
        }
        git
    }

    pub fn git(&self, words: &str) -> Ran {
        self.git_in(&self.work, words)
    }

    pub fn git_in(&self, folder: &Path, words: &str) -> Ran {
        Ran::of(self.command(folder, words).output().unwrap())
    }

    pub fn git_with(&self, words: &str, variable: &str, value: &str) -> Ran {
        Ran::of(self.command(&self.work, words).env(variable, value).output().unwrap())
    }

    pub fn commit(&self, message: &str) -> &Self {
        self.git("add -A").ok();
        self.git(&format!("commit -q --no-verify -m {message}")).ok();
        self
    }

    pub fn edit(&self, path: &str, text: &str) -> &Self {
        self.sandbox.edit(path, text);
        self
    }

    /// The ref on the other side.
    fn remote(&self, name: &str) -> Option<String> {
        let found = self.git_in(self.beside.path(), &format!("rev-parse -q --verify {name}"));
        (found.status == 0).then(|| found.out.trim().to_owned())
    }

    fn hook(&self) -> PathBuf {
        self.work.join(".git/hooks/pre-push")
    }

    /// A hook of somebody else's that writes down what it was told, and ends so.
    fn other_hook(&self, status: i32) -> (PathBuf, String) {
        let path = self.hook();
        let text = format!("#!/bin/sh\nprintf '%s|' \"$@\" > told\ncat >> told\nexit {status}\n");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o754)).unwrap();
        (path, text)
    }
}

/// How a git command ended.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            status: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn stopped(self) -> Self {
        assert_ne!(self.status, 0, "it was not stopped\n{}\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.err.contains(text), "{text:?} is not in\n{}", self.err);
        self
    }

    #[track_caller]
    pub fn silent(self) -> Self {
        assert!(!self.err.contains("imk") && !self.err.contains("app"), "{}", self.err);
        self
    }
}

#[test]
fn a_push_of_what_is_built_passes_and_one_of_what_is_not_is_stopped() {
    let Some(push) = Pushing::new("hook block", "hook install --mode block") else { return };
    push.git("push origin main").stopped().says("app: stale, never built here").says("the push is stopped");
    assert_eq!(push.remote("main"), None);
    push.sandbox.imk("").success();
    push.git("push origin main").ok().silent();
    // What nobody copies makes nothing stale, and what is not committed does not count.
    push.edit("app/beside.txt", "2").commit("beside");
    push.edit("app/file.txt", "not committed");
    push.git("push origin main").ok().silent();
    push.commit("stale");
    let ran = push.git("push origin main").stopped();
    let ran = ran.says("2 images of refs/heads/main (").says("app: stale, `file.txt` changed");
    ran.says("web: waits for `app`");
    push.git("push --no-verify origin main").ok().silent();
    // The work tree is built, the commit that is pushed is not.
    push.edit("app/file.txt", "newer").commit("newer");
    push.edit("app/file.txt", "newest");
    push.sandbox.imk("").success();
    push.git("push origin main").stopped().says("app: stale, `file.txt` changed");
}

#[test]
fn warnings_stop_nothing_and_the_environment_and_git_choose_the_mode() {
    let Some(push) = Pushing::new("hook warn", "hook install") else { return };
    push.git("push origin main").ok().says("app: stale, never built here");
    assert!(push.remote("main").is_some());
    push.edit("app/file.txt", "2").commit("two");
    push.git_with("push origin main", "IMK_HOOK_MODE", "off").ok().silent();
    push.edit("app/file.txt", "3").commit("three");
    push.git_with("push origin main", "IMK_HOOK_MODE", "block").stopped().says("the push is stopped");
    push.git("config imk.hook block").ok();
    push.git("push origin main").stopped();
    push.git_with("push origin main", "IMK_HOOK_MODE", "warn").ok();
    push.git_with("push origin main:other", "IMK_HOOK_MODE", "maybe").stopped().says("which is no mode");
}

#[test]
fn what_is_built_comes_from_the_commit_though_the_work_tree_is_dirty() {
    let Some(push) = Pushing::new("hook build", "hook install --mode build") else { return };
    push.edit("app/file.txt", "dirty");
    push.git("push origin main").ok().says("app: built in").says("web: built in");
    assert_eq!(push.sandbox.file_in("app", "file.txt"), "1\n");
    assert_eq!(fs::read_to_string(push.work.join("app/file.txt")).unwrap(), "dirty");
    // It counts as built, for the next push and for a clean work tree.
    push.git("push origin main:again").ok().silent();
    push.git("checkout -q -- app/file.txt").ok();
    assert!(push.sandbox.imk("").code(0).built().is_empty());
    // What cannot be built is not pushed.
    push.edit("web/Dockerfile", "FROM app\nCOPY page.txt /\nRUN [\"/absent\"]\n").commit("broken");
    push.git("push origin main").stopped().says("web: failed").says("the push is stopped");
}

#[test]
fn every_ref_is_judged_and_deletions_are_not() {
    let Some(push) = Pushing::new("hook refs", "hook install --mode block") else { return };
    push.sandbox.imk("").success();
    push.git("push origin main").ok();
    push.git("push origin main:refs/heads/new main:refs/heads/newer").ok().silent();
    push.git("checkout -q -b stale").ok();
    push.edit("web/page.txt", "2").commit("stale");
    push.git("checkout -q main").ok();
    let ran = push.git("push origin stale main:refs/heads/third").stopped();
    ran.says("1 image of refs/heads/stale").says("web: stale, `page.txt` changed");
    assert_eq!(push.remote("third"), None);
    push.git("push origin :new").ok().silent();
    push.git("push --delete origin newer").ok().silent();
    // One tree under two names is told once.
    let ran = push.git("push origin stale stale:refs/heads/also").stopped();
    assert_eq!(ran.err.matches("web: stale").count(), 1, "{}", ran.err);
    // Tags stand for commits; one of a blob has no images.
    push.git("tag -a -m m v1 main").ok();
    push.git("tag -a -m m v2 stale").ok();
    push.git("push origin v1").ok().silent();
    push.git("push origin v2").stopped().says("refs/tags/v2");
    push.git("tag blob main:app/file.txt").ok();
    push.git("push origin blob").ok().silent();
}

#[test]
fn a_shallow_clone_is_judged_like_any_other() {
    let Some(push) = Pushing::new("hook shallow", "hook install --mode block") else { return };
    push.sandbox.imk("").success();
    push.edit("app/beside.txt", "2").commit("two").git("push origin main").ok();
    let clones = tempfile::tempdir().unwrap();
    let url = format!("file://{}", push.work.display());
    push.git_in(clones.path(), &format!("clone -q --depth 1 {url} shallow")).ok();
    let shallow = clones.path().join("shallow");
    let imk = |words: &str| {
        let mut command = push.sandbox.command("", words);
        Ran::of(command.current_dir(&shallow).output().unwrap())
    };
    imk("hook install --mode block").ok();
    let to = |branch: &str| {
        let mut command = push.command(&shallow, "push");
        Ran::of(command.arg(push.beside.path()).arg(format!("HEAD:refs/heads/{branch}")).output().unwrap())
    };
    to("shallow").stopped().says("app: stale, never built here");
    imk("").ok();
    to("shallow").ok();
}

#[test]
fn the_hook_that_was_there_runs_first_and_comes_back_as_it_was() {
    let Some(push) = Pushing::new("hook chain", "") else { return };
    let (path, text) = push.other_hook(0);
    let before = fs::metadata(&path).unwrap().permissions().mode();
    push.sandbox.imk("hook install --mode block").says("the hook that was there runs first");
    push.git("push origin main").stopped().says("app: stale");
    let told = fs::read_to_string(push.work.join("told")).unwrap();
    let id = push.git("rev-parse main").ok().out.trim().to_owned();
    let zero = "0".repeat(40);
    let remote = push.beside.path().display();
    assert_eq!(told, format!("origin|{remote}|refs/heads/main {id} refs/heads/main {zero}\n"));
    // A second installation changes nothing of it.
    push.sandbox.imk("hook install").says("the hook that was there runs first");
    push.sandbox.imk("hook status").says("the hook that was there before runs first");
    push.sandbox.imk("").success();
    push.git("push origin main").ok();
    push.sandbox.imk("hook uninstall").says("`[ROOT]/.git/hooks/pre-push` is again what it was before");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode(), before);
    assert_eq!(
        fs::read_dir(path.parent().unwrap())
            .unwrap()
            .flatten()
            .filter(|e| { e.file_name().to_string_lossy().contains("imk") })
            .count(),
        0
    );
    push.sandbox.imk("hook uninstall").code(2);
}

#[test]
fn a_failure_of_the_hook_that_was_there_stops_the_push() {
    let push = Pushing::of(Sandbox::empty().without_engine(), "", "sha1");
    push.other_hook(3);
    push.sandbox.imk("hook install --mode warn").success();
    push.git("push origin main").stopped();
    assert_eq!(push.remote("main"), None);
}

#[test]
fn no_hook_is_lost_when_there_are_two() {
    let push = Pushing::of(Sandbox::empty().without_engine(), "", "sha1");
    push.other_hook(0);
    push.sandbox.imk("hook install").success();
    // Something else put its own in the place of ours.
    let (path, text) = push.other_hook(1);
    let run = push.sandbox.imk("hook install").code(2);
    assert!(run.err().contains("are both there"), "{}", run.err());
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    push.sandbox.imk("hook install --force").success();
    push.sandbox.imk("hook uninstall").success();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn an_engine_that_is_away_is_no_reason_to_stop_what_was_built() {
    let Some(push) = Pushing::new("hook no engine", "hook install --mode block") else { return };
    push.sandbox.imk("").success();
    push.git_with("push origin main", "DOCKER_HOST", "unix:///nowhere/docker.sock").ok().silent();
    push.edit("app/file.txt", "2").commit("two");
    let ran = push.git_with("push origin main", "DOCKER_HOST", "unix:///nowhere/docker.sock").stopped();
    ran.says("what imk wrote down is believed");
}

#[test]
fn hooks_are_where_git_looks_for_them() {
    let push = Pushing::of(Sandbox::empty().without_engine(), "", "sha1");
    push.git("config core.hooksPath .githooks").ok();
    push.sandbox.imk_in("app", "hook install --mode block").says("`[ROOT]/.githooks/pre-push` is there");
    assert!(!push.hook().exists());
    push.git("push origin main").stopped().says("the push is stopped");
    push.git_in(&push.work.join("web"), "push origin main").stopped().says("the push is stopped");
    push.sandbox.imk("hook uninstall").success();
    assert!(!push.work.join(".githooks/pre-push").exists());
    push.git("push origin main").ok();
}

#[test]
fn hooks_of_all_repositories_are_left_alone_unless_asked_for() {
    let push = Pushing::of(Sandbox::empty().without_engine(), "", "sha1");
    let shared = tempfile::tempdir().unwrap();
    let config = shared.path().join("config");
    fs::write(&config, format!("[core]\n\thooksPath = {}\n", shared.path().display())).unwrap();
    let install = |words: &str| {
        let mut command = push.sandbox.command("", words);
        let home = shared.path();
        fs::copy(&config, home.join(".gitconfig")).unwrap();
        let output = command.env("HOME", home).env_remove("XDG_CONFIG_HOME").output().unwrap();
        Ran::of(output)
    };
    install("hook install").stopped().says("for other repositories too");
    install("hook install --force").ok();
    assert!(shared.path().join("pre-push").exists());
}

#[test]
fn a_work_tree_beside_is_judged_by_its_own_state() {
    let Some(push) = Pushing::new("hook worktree", "hook install --mode block") else { return };
    let folder = tempfile::Builder::new().prefix("imk tree ").tempdir().unwrap();
    let tree = folder.path().join("it's here");
    let mut add = push.command(&push.work, "worktree add -q -b side");
    assert!(add.arg(&tree).output().unwrap().status.success());
    push.git_in(&tree, "push origin side").stopped().says("app: stale");
    let mut imk = push.sandbox.command("", "");
    Ran::of(imk.current_dir(&tree).output().unwrap()).ok();
    push.git_in(&tree, "push origin side").ok().silent();
}

#[test]
fn a_repository_below_the_top_and_names_with_spaces_and_quotes_are_found() {
    let outer = tempfile::Builder::new().prefix("imk it's ").tempdir().unwrap();
    let mut push = Pushing::of(Sandbox::empty().without_engine(), "", "sha1");
    let inner = outer.path().join("sub folder");
    fs::create_dir_all(inner.join("app")).unwrap();
    for path in ["Imagefile.ron", "app/Dockerfile", "app/file.txt"] {
        fs::copy(push.work.join(path), inner.join(path)).unwrap();
    }
    fs::write(inner.join("Imagefile.ron"), "(images: {\"app\": ()})").unwrap();
    push.work = outer.path().to_owned();
    push.git("init -q -b main").ok();
    push.commit("one");
    let mut command = push.sandbox.command("", "hook install --mode block");
    Ran::of(command.current_dir(&inner).output().unwrap()).ok();
    let mut command = push.command(&push.work, "push");
    let ran = Ran::of(command.arg(push.beside.path()).arg("main").output().unwrap());
    ran.stopped().says("app: stale, never built here");
}

#[test]
fn a_hook_without_imk_says_so() {
    let push = Pushing::of(Sandbox::empty().without_engine(), "hook install --mode block", "sha1");
    let text = fs::read_to_string(push.hook()).unwrap();
    fs::write(push.hook(), text.replace(env!("CARGO_BIN_EXE_imk"), "/nowhere/imk")).unwrap();
    push.git_with("push origin main", "PATH", "/usr/bin:/bin").stopped().says("imk is gone");
    push.git("config imk.hook warn").ok();
    push.git_with("push origin main", "PATH", "/usr/bin:/bin").ok().says("warning: imk is gone");
}

#[test]
fn what_cannot_be_judged_is_told_and_stops_a_push_that_must_be_sure() {
    let push = Pushing::of(Sandbox::empty().without_engine(), "hook install --mode block", "sha1");
    push.edit("Imagefile.ron", "(images: {\"app\": (nonsense: 1)})").commit("mistake");
    push.git("push origin main").stopped().says("nonsense").says("cannot be judged");
    push.git_with("push origin main", "IMK_HOOK_MODE", "warn").ok().says("cannot be judged");
    // No images at all are nothing to judge.
    push.git("rm -q -r Imagefile.ron app web").ok();
    push.commit("empty");
    push.git("push origin main").ok();
}

#[test]
fn a_bare_repository_gets_no_hook() {
    let bare = Sandbox::empty().without_engine();
    let status = Command::new("git").args(["init", "-q", "--bare", "."]).current_dir(bare.root()).status();
    assert!(status.unwrap().success());
    let run = bare.imk("hook install").code(2);
    assert!(run.err().contains("is a bare repository"), "{}", run.err());
}
