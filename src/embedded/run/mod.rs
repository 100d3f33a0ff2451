//! `RUN`: commands in the files of a stage, kept apart from this machine.
//!
//! A command needs folders, namespaces and a root of its own, which a process can only get by giving up
//! what it has. So imk calls itself: a *keeper* makes the namespaces and the folders and waits, and a
//! *child* of it goes into the root and becomes the command. Both die with imk. No code here is unsafe.

mod child;
mod chroot;
mod command;
mod diff;
mod job;
mod keeper;
mod mounts;
mod root;
mod rung;
mod snapshot;
mod trees;
mod wire;

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use job::Job;
use job::{Outcome, Task};
pub use rung::{Rung, machine};

use super::store::Store;
use super::trouble::{During, Result, refusal, refused};
use crate::engine::{Cancel, EngineError};

/// The first word with which imk calls itself.
pub const KEEPER: &str = "__embedded-keeper";
/// The first word of the process that becomes a command.
pub const CHILD: &str = "__embedded-child";

/// How commands are kept apart from the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// By namespaces; what a machine that gives none cannot run is refused.
    #[default]
    Namespaces,
    /// By a changed root and nothing else: never chosen unless somebody asks for it.
    Chroot,
}

/// Runs commands of one build.
pub struct Runner<'a> {
    store: &'a Store,
    isolation: Isolation,
    cancel: &'a Cancel,
}

impl<'a> Runner<'a> {
    /// For a store.
    pub fn new(store: &'a Store, isolation: Isolation, cancel: &'a Cancel) -> Self {
        Self { store, isolation, cancel }
    }

    /// What this machine gives to commands.
    ///
    /// # Errors
    /// Why it gives nothing, and what to do.
    pub fn rung(&self) -> Result<Rung> {
        rung::of(self.isolation).map_err(|why| refusal("running a command without a Docker engine", why))
    }

    /// Runs a job; `heard` gets what the command says. Answers with its status and the layer it made.
    pub fn run(&self, job: Job, heard: &dyn Fn(&[u8])) -> Result<(i32, Option<String>)> {
        let rung = job.rung;
        match ask(rung, &Task::Run(Box::new(job)), heard, self.cancel)? {
            Outcome::Ran { status, layer } => Ok((status, layer)),
            Outcome::Trouble { what, why } => refused(what, why),
            Outcome::Done => refused("running a command", "the keeper answered something else"),
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.store
    }
}

/// Calls imk as a keeper and hands it a task.
fn ask(rung: Rung, task: &Task, heard: &dyn Fn(&[u8]), cancel: &Cancel) -> Result<Outcome> {
    let what = || "starting the process that runs commands".to_owned();
    let (ours, theirs) = UnixStream::pair().during(what)?;
    let (mut reader, writer) = io::pipe().during(what)?;
    let mut command = Command::new("/proc/self/exe");
    std::os::unix::process::CommandExt::arg0(&mut command, "imk");
    let child = command
        .args([KEEPER, rung.word()])
        .env_clear()
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(writer.try_clone().during(what)?)
        .stderr(writer)
        .spawn();
    // What `command` holds of the pipe must go, or its end never comes.
    drop(command);
    let mut child = child.during(what)?;
    let pid = child.id();
    let over = AtomicBool::new(false);
    let over = &over;
    let answer = std::thread::scope(|scope| {
        let conversation = scope.spawn(move || -> io::Result<Outcome> {
            let _end = OnEnd(over);
            let mut wire = ours;
            if rung == Rung::User {
                let mut word = [0];
                wire.read_exact(&mut word)?;
                rung::map(pid)?;
            }
            wire::send(&mut wire, task)?;
            wire::receive(&mut wire)
        });
        let stopper = scope.spawn(move || {
            while !over.load(Ordering::SeqCst) {
                if cancel.is_cancelled() {
                    rung::kill(pid);
                    return;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let mut buffer = [0; 16 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => heard(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = stopper.join();
        conversation.join().unwrap_or_else(|_| Err(io::Error::other("the conversation broke off")))
    });
    let status = child.wait().during(what)?;
    if cancel.is_cancelled() {
        return Err(EngineError::Interrupted);
    }
    answer.map_err(|error| {
        let hint = format!("the process that keeps commands apart ended ({status}): {error}");
        refusal("running a command", hint)
    })
}

/// Says that a conversation is over, however it ends.
struct OnEnd<'a>(&'a AtomicBool);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Does what imk called itself for, if it did: the exit status then.
pub fn answered() -> Option<u8> {
    let mut words = std::env::args_os().skip(1);
    let first = words.next()?;
    if first == KEEPER {
        return Some(keeper::main(words.next().and_then(|word| word.into_string().ok()).as_deref()));
    }
    (first == CHILD).then(child::main)
}

/// The name of an unpacked layer's folder, by its diff id.
pub fn tree_name(diff_id: &str) -> String {
    trees::name(diff_id)
}

/// Removes a folder or a file of the store, and says how many bytes went. What belongs to mapped users is
/// removed by a keeper.
pub fn remove(path: &Path) -> io::Result<u64> {
    let size = trees::size(path);
    let removed = if path.is_dir() { fs_err::remove_dir_all(path) } else { fs_err::remove_file(path) };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let task = Task::Remove(path.to_owned());
            match ask(Rung::User, &task, &|_| {}, &Cancel::default()) {
                Ok(Outcome::Done) => Ok(size),
                Ok(_) | Err(_) => Err(error),
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        removed => removed.map(|()| size),
    }
}
