//! `RUN`: commands in the files of a stage, kept apart from this machine.
//!
//! A command needs folders, namespaces and a root of its own, which a process can only get by giving up
//! what it has. So imk calls itself: a *keeper* makes the namespaces and the folders and waits, and a
//! *child* of it goes into the root and becomes the command. Both die with imk. No code here is unsafe.

mod agent;
mod apart;
mod ask;
mod caches;
mod child;
mod chroot;
mod command;
mod confined;
mod diff;
mod job;
mod keeper;
mod machine;
mod mounts;
mod overlay;
mod rights;
mod root;
mod rung;
mod snapshot;
mod start;
mod trees;
mod walls;
mod wire;
mod wishes;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ask::ask;
pub use confined::{Confined, View, tried};
pub use job::Job;
use job::{Outcome, Task};
pub use machine::machine;
pub use rung::{Isolation, Rung};

use super::store::Store;
use super::trouble::{Result, refusal, refused};
use crate::engine::Cancel;

/// Runs commands of one build.
pub struct Runner<'a> {
    store: &'a Store,
    isolation: Isolation,
    told: &'a AtomicBool,
    cancel: &'a Cancel,
}

impl<'a> Runner<'a> {
    /// For a store. `told` is set once somebody has read what a command lacks.
    pub fn new(store: &'a Store, (isolation, told): (Isolation, &'a AtomicBool), cancel: &'a Cancel) -> Self {
        Self { store, isolation, told, cancel }
    }

    /// The rung of isolation that this machine gives to commands.
    ///
    /// # Errors
    /// Why it gives nothing, and what to do.
    pub fn rung(&self) -> Result<Rung> {
        rung::of(self.isolation).map_err(|why| refusal("running a command without a Docker engine", why))
    }

    /// The words on what a command lacks on a rung, the first time that one runs there.
    fn lacks(&self, rung: Rung) -> Option<&'static str> {
        let first = rung == Rung::Chroot && !self.told.swap(true, Ordering::Relaxed);
        first.then_some(
            "--isolation chroot: RUN has a copy of the root, no /proc and no wall around it; what it runs can reach all that \
             imk can reach on this machine",
        )
    }

    /// Runs a job; `heard` gets what the command says. Answers with its status and the layer it made.
    pub fn run(&self, job: Job, heard: &dyn Fn(&[u8])) -> Result<(i32, Option<String>)> {
        let rung = job.rung;
        match ask(rung, &Task::Run(Box::new(job)), heard, self.cancel)? {
            Outcome::Ran { status, layer } => Ok((status, layer)),
            Outcome::Trouble { what, why } => refused(what, why),
            Outcome::Done | Outcome::Tried { .. } => {
                refused("running a command", "the keeper answered something else")
            }
        }
    }

    /// The store.
    pub fn store(&self) -> &Store {
        self.store
    }
}

/// Does what imk called itself for, if it did: the exit status then.
pub fn answered() -> Option<u8> {
    let mut words = std::env::args_os().skip(1);
    let first = words.next()?;
    if first == ask::KEEPER {
        return Some(keeper::main(words.next().and_then(|word| word.into_string().ok()).as_deref()));
    }
    if first == start::CHILD {
        return Some(child::main());
    }
    confined::answered(&first)
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
