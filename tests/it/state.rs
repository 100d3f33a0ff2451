//! State that came with a checkout, that leads elsewhere, or that is somewhere else.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

use crate::sandbox::{Sandbox, fixture_or_skip};

const IMAGEFILE: &str = "
    //- Imagefile.ron
    (images: {\"web\": (context: \"web\")})
    //- web/Dockerfile
    FROM scratch
    COPY a.txt /
    //- web/a.txt
    1
";
const VERBS: &[&str] =
    &["plan", "check", "list", "why web", "inputs web", "gc -n", "clean -n", "log web", "doctor"];

/// A git repository without an engine, with a home beside it.
struct Lab {
    sandbox: Sandbox,
    beside: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab =
            Self { sandbox: Sandbox::with(IMAGEFILE).without_engine(), beside: tempfile::tempdir().unwrap() };
        lab.git(".", &["init", "-q", "-b", "main", "."]);
        lab
    }

    fn git(&self, folder: &str, words: &[&str]) {
        let mut git = Command::new("git");
        git.current_dir(self.sandbox.path(folder));
        let done = git.args(["-c", "user.name=imk", "-c", "user.email=imk@invalid"]).args(words).output();
        assert!(done.unwrap().status.success(), "git {words:?}");
    }

    fn commit(&self) {
        self.git(".", &["add", "-f", "."]);
        self.git(".", &["commit", "-qm", "all"]);
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.sandbox.command("", words);
        command
            .env("HOME", self.beside.path().join("home"))
            .env_remove("XDG_CACHE_HOME")
            .env_remove("IMK_STATE_DIR");
        command
    }

    /// Status, output and errors.
    fn imk(&self, words: &str) -> (i32, String, String) {
        let run = self.sandbox.run(self.command(words).output().unwrap());
        (run.status, run.stdout, run.stderr)
    }

    /// The one folder of state below a cache.
    fn only(&self, cache: &Path) -> PathBuf {
        let mut found = fs::read_dir(cache).unwrap().flatten().map(|entry| entry.path());
        let only = found.next().unwrap();
        assert!(found.next().is_none());
        only
    }

    fn cache(&self) -> PathBuf {
        self.beside.path().join("home/.cache/imk")
    }
}

/// Every path below a folder with what makes a difference: kind, mode, size and times.
fn look(folder: &Path) -> BTreeMap<PathBuf, (u32, u64, i64, i64)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![folder.to_owned()];
    while let Some(path) = todo.pop() {
        let seen = fs::symlink_metadata(&path).unwrap();
        if seen.is_dir() {
            todo.extend(fs::read_dir(&path).unwrap().flatten().map(|entry| entry.path()));
        }
        found.insert(path, (seen.mode(), seen.size(), seen.mtime(), seen.mtime_nsec()));
    }
    found
}

/// The hash under which an address has its folder in `.imk/git`.
fn folder_of(address: &str) -> String {
    let url = imk::syntax::git_source::url(address).unwrap();
    imk::source::git::remote::Remotes::folder_name(&url)
}

#[test]
fn a_clone_that_tracks_imks_repositories_runs_nothing_of_its_authors() {
    let lab = Lab::new();
    let mark = lab.beside.path().join("mark");
    let address = "https://git.example.invalid/lib.git";
    let command = format!("ext::sh -c touch% {}", mark.display());
    let config = format!(
        "[core]\n\tbare = true\n\trepositoryformatversion = 0\n\tfsmonitor = touch {mark}\n\tsshCommand = touch {mark}\n\
         [protocol \"ext\"]\n\tallow = always\n[url \"{command} \"]\n\tinsteadOf = https://git.example.invalid/\n",
        mark = mark.display()
    );
    lab.sandbox.edit(
        "Imagefile.ron",
        &format!("(images: {{\"web\": (context: \"web\", overlays: {{\"lib\": Git(url: \"{address}\")}})}})"),
    );
    lab.sandbox.edit("web/Dockerfile", "FROM scratch\nCOPY . /\n");
    let home = format!(".imk/git/{}", folder_of(address));
    // With and without the clone's state in git: what is only there has no say either.
    for commits in [false, true] {
        for name in ["objects/info", "objects/pack", "refs/heads"] {
            lab.sandbox.edit(&format!("{home}/{name}/keep"), "");
        }
        lab.sandbox
            .edit(&format!("{home}/HEAD"), "ref: refs/heads/main\n")
            .edit(&format!("{home}/config"), &config);
        // The trick is one: git by itself falls for it.
        let mut git = Command::new("git");
        let asked =
            git.arg("--git-dir").arg(lab.sandbox.path(&home)).args(["ls-remote", "--", address]).output();
        assert!(!asked.unwrap().status.success() && mark.exists(), "git runs the command");
        fs::remove_file(&mark).unwrap();
        if commits {
            lab.commit();
        }
        let before = look(&lab.sandbox.path(".imk"));
        for verb in VERBS.iter().chain(&["update", "outdated", "why-not web/a.txt"]) {
            let (_, _, said) = lab.imk(verb);
            assert!(!mark.exists(), "`imk {verb}` ran the author's command\n{said}");
            assert_eq!(said.contains("git tracks `.imk/git/"), commits, "`imk {verb}`:\n{said}");
            assert!(said.matches("is not used").count() <= 1, "told once:\n{said}");
        }
        if commits {
            assert_eq!(look(&lab.sandbox.path(".imk")), before, "what is not used is not touched");
            lab.imk("build");
            assert!(lab.only(&lab.cache()).join("lock").exists());
        }
    }
}

#[test]
fn a_state_that_is_a_link_or_holds_links_leads_nowhere() {
    for place in [
        ".imk",
        ".imk/logs",
        ".imk/evidence",
        ".imk/registry",
        ".imk/git",
        ".imk/ledger",
        ".imk/.gitignore",
        ".imk/lock",
    ] {
        let lab = Lab::new();
        let out = lab.beside.path().join("out");
        fs::create_dir_all(out.join("web")).unwrap();
        for name in [".gitignore", "ledger", "snapshot", "web.log", "web/file", "lock"] {
            fs::write(out.join(name), "precious").unwrap();
        }
        if place != ".imk" {
            lab.imk("plan");
        }
        let at = lab.sandbox.path(place);
        let _ = fs::remove_dir_all(&at);
        let _ = fs::remove_file(&at);
        let is_file = [".imk/ledger", ".imk/.gitignore", ".imk/lock"].contains(&place);
        symlink(if is_file { out.join("ledger") } else { out.clone() }, &at).unwrap();
        let before = look(&out);
        for verb in VERBS.iter().chain(&["build", "gc", "clean web", "clean"]) {
            let (_, _, said) = lab.imk(verb);
            assert_eq!(look(&out), before, "{place}, `imk {verb}`:\n{said}");
        }
    }
}

#[test]
fn a_pipe_in_a_files_place_is_waited_for_by_nobody() {
    for name in ["ledger", "snapshot", "stat", "upstream", "lock", "images", "mark", ".gitignore", "logs"] {
        let lab = Lab::new();
        lab.imk("plan");
        let at = lab.sandbox.path(&format!(".imk/{name}"));
        let _ = fs::remove_file(&at);
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        for verb in ["plan", "build", "clean"] {
            let mut command = lab.command(verb);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let limit = Instant::now() + Duration::from_secs(120);
            while child.try_wait().unwrap().is_none() {
                if Instant::now() > limit {
                    child.kill().unwrap();
                    panic!("`imk {verb}` waits for the pipe in the place of `{name}`");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    let lab = Lab::new();
    lab.imk("plan");
    let at = lab.sandbox.path(".imk/ledger");
    rustix::fs::mknodat(rustix::fs::CWD, &at, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let (_, _, said) = lab.imk("plan");
    assert_eq!(said.matches("is a pipe, where imk keeps a file").count(), 1, "{said}");
}

#[test]
fn state_is_where_the_user_says_and_apart_for_each_repository() {
    let labs = [Lab::new(), Lab::new()];
    let kept = labs[0].beside.path().join("kept");
    for lab in &labs {
        let (_, _, said) = lab.imk(&format!("build --state-dir {}", kept.display()));
        assert!(!said.contains("not used"), "{said}");
        let run = lab.sandbox.run(lab.command("plan").env("IMK_STATE_DIR", &kept).output().unwrap());
        run.code(0);
        assert!(!lab.sandbox.path(".imk").exists());
    }
    let folders: Vec<PathBuf> = fs::read_dir(&kept).unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(folders.len(), 2);
    assert!(folders.iter().all(|folder| folder.join("lock").exists()));
    assert!(folders.iter().all(|folder| fs::metadata(folder).unwrap().mode() & 0o777 == 0o700));
    // It is clean's and gc's as well, and a relative one begins where imk begins.
    labs[0].sandbox.edit("inner/file", "");
    let (code, said, _) = labs[0].imk(&format!("clean --state-dir {}", kept.display()));
    assert!(code == 0 && said.contains(&format!("{}/", kept.display())), "{said}");
    let (code, ..) = labs[0].imk("-C inner plan -f .. --state-dir st");
    assert!(code == 0 && labs[0].sandbox.path("inner/st").is_dir());
}

#[test]
fn the_users_cache_is_where_xdg_says() {
    let lab = Lab::new();
    lab.sandbox.edit(".imk/ledger", "");
    lab.commit();
    let cache = lab.beside.path().join("xdg");
    let run = lab.sandbox.run(lab.command("build").env("XDG_CACHE_HOME", &cache).output().unwrap());
    assert!(run.stderr.contains(cache.to_str().unwrap()), "{}", run.stderr);
    assert!(lab.only(&cache.join("imk")).join("lock").exists());
    lab.command("build").env("XDG_CACHE_HOME", "relative").output().unwrap();
    assert!(lab.only(&lab.cache()).join("lock").exists(), "the standard says that it must be absolute");
}

#[test]
fn an_open_umask_closes_nothing_and_opens_nothing() {
    let lab = Lab::new();
    let mode = |path: &str| fs::metadata(lab.sandbox.path(path)).unwrap().permissions().mode() & 0o777;
    let words = |umask: &str| {
        let mut shell = Command::new("sh");
        let imk = lab.command("");
        shell.args(["-c", &format!("umask {umask} && exec \"$0\" build"), env!("CARGO_BIN_EXE_imk")]);
        shell.current_dir(lab.sandbox.root());
        for (name, value) in imk.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        // Without an engine nothing is built, but what was read is kept.
        String::from_utf8(shell.output().unwrap().stderr).unwrap()
    };
    for umask in ["000", "002"] {
        assert!(!words(umask).contains("not used"));
        assert_eq!([mode(".imk"), mode(".imk/lock")], [0o700, 0o600]);
    }
    // As an imk or a tar made it that knew nothing of this.
    fs::set_permissions(lab.sandbox.path(".imk"), PermissionsExt::from_mode(0o775)).unwrap();
    assert!(!words("002").contains("not used"));
    assert_eq!(mode(".imk"), 0o700);
}

#[test]
fn a_checkout_that_cannot_be_written_is_built_all_the_same() {
    let Some(sandbox) = fixture_or_skip("a_checkout_that_cannot_be_written", "diamond") else { return };
    let beside = tempfile::tempdir().unwrap();
    let root = sandbox.root().to_owned();
    // A bind mount that is read-only, in a world of mounts of its own.
    let script = format!(
        "mount --bind {root} {root} && mount -o remount,ro,bind {root} && cd {root} && exec \"$0\" build",
        root = root.display()
    );
    let run = |times: &str| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script, env!("CARGO_BIN_EXE_imk")]);
        command.env("XDG_CACHE_HOME", beside.path()).env("NO_COLOR", "1").env("IMK_PREFIX", sandbox.prefix());
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        if said.contains("unshare failed") || said.contains("mount:") {
            eprintln!("SKIPPED: no mounts can be made here: {said}");
            return None;
        }
        assert!(done.status.success(), "{times}: {said}");
        Some(String::from_utf8(done.stdout).unwrap())
    };
    let Some(first) = run("first") else { return };
    assert!(first.contains("0 fresh, 4 built"), "{first}");
    let second = run("second").unwrap();
    assert!(second.contains("4 fresh, 0 built"), "{second}");
    assert!(!sandbox.path(".imk").exists());
}
