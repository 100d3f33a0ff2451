//! A program of this machine behind walls: it sees the folders that are shown to it, and no process but its own.
//!
//! For whoever is not root, and so cannot give a program a user of its own: a user namespace keeps the number that it has,
//! and takes from it what that number could reach. What is not shown is not there: a list of what is to be hidden would
//! have gaps. A *keeper* leaves the caller's namespaces and lays the view out; an *init* goes into it, starts the program
//! and stays beside it as the first process, so that all others end with it. Knows no job and no repository.

mod init;
mod keeper;
mod program;
mod view;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub use program::{Confined, View};

use super::walls::Answer;
use super::wire;

impl Confined {
    /// Starts it in a session of its own, with the streams that `prepare` gives. Its status is the keeper's; whoever ends
    /// the keeper ends all of it.
    ///
    /// # Errors
    /// When it cannot be started, or the walls cannot be had.
    pub fn start(&self, prepare: impl FnOnce(&mut Command) -> io::Result<()>) -> io::Result<Child> {
        let (mut ours, theirs) = UnixStream::pair()?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("imk").arg(keeper::WORD).env_clear().stdin(Stdio::from(OwnedFd::from(theirs)));
        prepare(&mut command)?;
        let mut child = command.spawn()?;
        // The other end of the line is to be the keeper's alone.
        drop(command);
        let begun = wire::send(&mut ours, self).and_then(|()| wire::receive::<Answer>(&mut ours));
        let why = match begun {
            Ok(Ok(())) => return Ok(child),
            Ok(Err(why)) => io::Error::other(why),
            Err(error) => io::Error::other(format!("the process that keeps it apart ended: {error}")),
        };
        let _ = child.kill();
        child.wait()?;
        Err(why)
    }
}

/// Tries the walls that a program would get; `at` is an empty folder.
///
/// # Errors
/// Why there are none.
pub fn tried(at: &Path) -> io::Result<()> {
    let confined = Confined {
        at: at.to_owned(),
        view: View::default(),
        words: Vec::new(),
        environment: Vec::new(),
        folder: "/".into(),
    };
    let mut child = confined.start(|command| {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        Ok(())
    })?;
    child.wait().map(drop)
}

/// Does what imk called itself for, if it did: the exit status then.
pub fn answered(first: &OsString) -> Option<u8> {
    if first == keeper::WORD {
        return Some(keeper::main());
    }
    (first == init::WORD).then(init::main)
}
