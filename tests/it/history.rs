//! A git repository of a test, made with the git program.

use std::process::Command;

use crate::sandbox::Sandbox;

/// A sandbox under git. Ids of commits depend on nothing but what the test does.
pub struct History {
    pub sandbox: Sandbox,
    count: std::cell::Cell<u32>,
}

impl History {
    /// A repository with these files in its first commit.
    pub fn with(files: &str) -> Self {
        Self::of(Sandbox::with(files).without_engine())
    }

    /// A sandbox put under git as it is.
    pub fn of(sandbox: Sandbox) -> Self {
        let history = Self { sandbox, count: std::cell::Cell::new(0) };
        history.git(&["init", "-q", "-b", "main"]);
        history.commit("first");
        history
    }

    /// Commits all there is; every commit is a minute after the one before.
    pub fn commit(&self, message: &str) -> &Self {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self
    }

    /// Runs git, and gives its output.
    pub fn git(&self, words: &[&str]) -> String {
        self.count.set(self.count.get() + 1);
        let date = format!("{} +0000", 1_700_000_000 + 60 * self.count.get());
        let output = Command::new("git")
            .args(words)
            .current_dir(self.sandbox.root())
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "imk")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "imk@invalid")))
            .envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_DATE"), date.as_str())))
            .output()
            .expect("git is installed");
        let words = words.join(" ");
        assert!(output.status.success(), "git {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
