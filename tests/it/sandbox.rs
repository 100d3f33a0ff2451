//! A repository of its own for each test, and the binary run in it.
//!
//! A test reads as a sentence: `Sandbox::fixture("diamond").imk("build").success()`,
//! and may go on: run, edit, run again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use fs_err as fs;

/// A temporary repository. Images it made on the engine go with it.
pub struct Sandbox {
    folder: tempfile::TempDir,
    prefix: String,
    engine: Option<String>,
    store: Option<tempfile::TempDir>,
}

/// How one run of `imk` ended.
pub struct Run<'a> {
    sandbox: &'a Sandbox,
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The engine for this test, or `None` with a loud word when there is to be none.
pub fn engine_or_skip(test: &str) -> Option<Sandbox> {
    if std::env::var_os("IMK_TEST_NO_ENGINE").is_some() {
        eprintln!("SKIPPED {test}: IMK_TEST_NO_ENGINE is set");
        return None;
    }
    Some(Sandbox::empty())
}

/// Whether this machine lets strace look at programs.
pub fn can_trace() -> bool {
    static CAN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *CAN.get_or_init(|| {
        let tried =
            Command::new("strace").args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "true"]).output();
        let can = tried.is_ok_and(|output| output.status.success());
        if !can {
            eprintln!(
                "SKIPPED: strace is not there or may not trace: programs and connections are not looked at"
            );
        }
        can
    })
}

/// `Some(sandbox)` with the fixture in it, or `None` when there is to be no engine.
pub fn fixture_or_skip(test: &str, fixture: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(fixture);
    copy(&source, sandbox.root());
    sandbox.place_busybox();
    Some(sandbox)
}

impl Sandbox {
    /// An empty repository.
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = tempfile::Builder::new().prefix("imk-test-").tempdir().unwrap();
        let prefix = format!("imk-test/{}-{number}/", std::process::id());
        Self { folder, prefix, engine: None, store: None }
    }

    /// A repository with these files: `//- path` headings, each followed by its text.
    pub fn with(files: &str) -> Self {
        let sandbox = Self::empty();
        sandbox.write_all(files);
        sandbox
    }

    /// Adds files, as [`Self::with`].
    pub fn write_all(&self, files: &str) {
        let mut path = None;
        let mut text = String::new();
        for line in files.lines().map(|line| line.strip_prefix("    ").unwrap_or(line)).chain(["//- "]) {
            if let Some(next) = line.trim_start().strip_prefix("//- ") {
                if let Some(path) = path.replace(next.trim().to_owned()) {
                    self.edit(&path, &text);
                }
                text.clear();
            } else if path.is_some() {
                let _ = writeln!(text, "{line}");
            }
        }
    }

    /// Speaks to an engine that is not there.
    pub fn without_engine(mut self) -> Self {
        self.engine = Some("unix:///nowhere/docker.sock".into());
        self
    }

    /// Builds without an engine, in a store of its own.
    pub fn embedded(mut self) -> Self {
        self.store = Some(tempfile::Builder::new().prefix("imk-test-store-").tempdir().unwrap());
        self
    }

    /// The store of [`Self::embedded`].
    pub fn store(&self) -> PathBuf {
        self.store.as_ref().expect("it is embedded").path().join("store")
    }

    /// Names its images so.
    pub fn prefixed(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// Speaks to this engine, which is to take its images along when it goes.
    pub fn on(mut self, host: &str) -> Self {
        self.engine = Some(host.to_owned());
        self
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The prefix of this sandbox's images.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Writes a file and all folders above it.
    pub fn edit(&self, path: &str, text: &str) -> &Self {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    /// Adds to the end of a file.
    pub fn append(&self, path: &str, text: &str) -> &Self {
        let old = fs::read_to_string(self.path(path)).unwrap();
        self.edit(path, &(old + text))
    }

    pub fn remove(&self, path: &str) -> &Self {
        let path = self.path(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        self
    }

    /// Puts a static busybox wherever a fixture's base wants one.
    pub fn place_busybox(&self) {
        let mut todo = vec![self.root().to_owned()];
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(&folder).unwrap().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    todo.push(path);
                } else if path.file_name().is_some_and(|name| name == "Dockerfile")
                    && fs::read_to_string(&path).unwrap_or_default().contains("COPY busybox ")
                {
                    fs::copy(busybox(), folder.join("busybox")).unwrap();
                    // Without a difference all sandboxes would share their images, and one
                    // test's `rmi` would be another's surprise.
                    let text = fs::read_to_string(&path).unwrap();
                    let copy = "COPY busybox /bin/busybox\n";
                    let marked = text.replace(copy, &format!("{copy}LABEL imk.test={}\n", self.prefix));
                    fs::write(&path, marked).unwrap();
                }
            }
        }
    }

    /// Runs `imk` with these words.
    pub fn imk(&self, words: &str) -> Run<'_> {
        self.imk_in("", words)
    }

    /// Runs `imk` in a folder of the repository.
    pub fn imk_in(&self, folder: &str, words: &str) -> Run<'_> {
        let output = self.command(folder, words).output().unwrap();
        self.run(output)
    }

    /// The command that [`Self::imk`] runs.
    pub fn command(&self, folder: &str, words: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imk"));
        command
            .args(words.split_whitespace())
            .current_dir(self.path(folder))
            .stdin(Stdio::null())
            .env_remove("BUILDKIT_PROGRESS")
            .env_remove("CI")
            .env_remove("GITHUB_ACTIONS")
            .env_remove("GITHUB_STEP_SUMMARY")
            .env_remove("GITLAB_CI")
            .env_remove("MAKEFLAGS")
            .env("NO_COLOR", "1")
            // The file of whoever runs the tests is none of theirs.
            .env("XDG_CONFIG_HOME", "/nowhere")
            .env("IMK_PREFIX", &self.prefix);
        if let Some(engine) = &self.engine {
            command.env("DOCKER_HOST", engine).env_remove("DOCKER_CONTEXT");
        }
        if self.store.is_some() {
            command.env("IMK_ENGINE", "embedded").env("IMK_STORE", self.store());
        }
        command
    }

    /// The command that [`Self::imk`] runs, run by another program that stands before it.
    pub fn under(&self, program: &str, arguments: &[&str], words: &str) -> Command {
        let plain = self.command("", words);
        let mut command = Command::new(program);
        command.args(arguments).arg(plain.get_program()).args(plain.get_args());
        command.current_dir(self.root()).stdin(Stdio::null());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
    }

    /// What became of a command that [`Self::command`] made.
    pub fn run(&self, output: Output) -> Run<'_> {
        Run {
            sandbox: self,
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a docker command against the engine of the test.
    pub fn docker(&self, words: &[&str]) -> String {
        let output = Command::new("docker").args(words).output().expect("the docker client is installed");
        assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The id of an image of this sandbox.
    pub fn id(&self, image: &str) -> String {
        self.docker(&["image", "inspect", "-f", "{{.Id}}", &format!("{}{image}", self.prefix)])
    }

    /// The content of a file in an image, without running it.
    pub fn file_in(&self, image: &str, path: &str) -> String {
        let reference = format!("{}{image}", self.prefix);
        let container = self.docker(&["create", &reference, "true"]);
        let to = tempfile::tempdir().unwrap();
        let copy = to.path().join("file");
        self.docker(&["cp", &format!("{container}:{path}"), copy.to_str().unwrap()]);
        self.docker(&["rm", &container]);
        fs::read_to_string(copy).unwrap()
    }

    /// Text with what varies from run to run replaced.
    pub fn tidy(&self, text: &str) -> String {
        let root = fs::canonicalize(self.root()).unwrap();
        let text = text.replace(root.to_str().unwrap(), "[ROOT]").replace(&self.prefix, "[PREFIX]/");
        let mut out = String::new();
        for line in text.lines() {
            let _ = writeln!(out, "{}", times(line).trim_end());
        }
        out
    }
}

/// Replaces `12ms`, `3.1s` and `2m05s` by `[TIME]`.
fn times(line: &str) -> String {
    line.split(' ')
        .map(|word| {
            let bare = word.trim_end_matches([',', ')', '.']);
            let number = bare.trim_end_matches(['m', 's']);
            let is_time = bare.ends_with('s')
                && number != bare
                && number.starts_with(|c: char| c.is_ascii_digit())
                && number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == 'm');
            if is_time { word.replacen(bare, "[TIME]", 1) } else { word.to_owned() }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if self.engine.is_some() || self.store.is_some() || std::env::var_os("IMK_TEST_NO_ENGINE").is_some() {
            return;
        }
        let filter = format!("reference={}*", self.prefix);
        let Ok(list) = Command::new("docker").args(["images", "-q", "--filter", &filter]).output() else {
            return;
        };
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        let ids: std::collections::BTreeSet<&str> = list.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = Command::new("docker").args(["rmi", "-f"]).args(ids).output();
        }
    }
}

impl<'a> Run<'a> {
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        assert_eq!(self.status, expected, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn success(self) -> &'a Sandbox {
        self.code(0).sandbox
    }

    /// The last line of the output says this, times aside.
    #[track_caller]
    pub fn says(self, summary: &str) -> &'a Sandbox {
        let tidy = self.sandbox.tidy(&self.stdout);
        assert!(
            tidy.lines().any(|line| line.starts_with(summary)),
            "no line begins with {summary:?}\nstdout:\n{}\nstderr:\n{}",
            self.stdout,
            self.stderr
        );
        self.sandbox
    }

    /// Standard output, tidied.
    pub fn out(&self) -> String {
        self.sandbox.tidy(&self.stdout)
    }

    /// Standard error, tidied.
    pub fn err(&self) -> String {
        self.sandbox.tidy(&self.stderr)
    }

    /// Names of the images the engine was asked to build.
    pub fn built(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .stderr
            .lines()
            .filter(|line| line.contains(": built in "))
            .filter_map(|line| Some(line.split_once(": ")?.0.to_owned()))
            .collect();
        names.sort();
        names
    }
}

/// Debian's static busybox: bases are `FROM scratch` with it, so that no test needs a registry.
pub fn busybox() -> PathBuf {
    let path = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists());
    path.expect("busybox-static is installed (`ci/test` does it)")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() && entry.file_name() != ".imk" {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}
