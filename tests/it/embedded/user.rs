//! The program as a user who is not root.

use std::process::Command;

use crate::sandbox::Sandbox;

/// A user without a name and without ranges of others.
const NOBODY: u32 = 54_321;

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `imk` with these words, by somebody who is not root; the sandbox becomes theirs.
pub fn as_user(sandbox: &Sandbox, words: &str) -> Command {
    if !is_root() {
        return sandbox.command("", words);
    }
    let store = sandbox.store();
    let folders = [sandbox.root(), store.parent().unwrap()];
    let owner = NOBODY.to_string();
    let status = Command::new("chown").arg("-R").arg(format!("{owner}:{owner}")).args(folders).status();
    assert!(status.unwrap().success());
    let words_before =
        ["--reuid", &owner, "--regid", &owner, "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];
    let mut command = sandbox.under("setpriv", &words_before, words);
    command.env("HOME", "/nowhere");
    command
}
