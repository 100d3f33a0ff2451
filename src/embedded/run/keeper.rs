//! The keeper: makes the root of a command and the namespaces around it, waits, and takes what it changed.
//!
//! Runs as a process of its own and dies with the one that called it; its mounts die with it.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use fs_err as fs;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;

use super::job::{Job, Outcome, Task};
use super::mounts;
use super::root::{self, Root};
use super::rung::Rung;
use super::snapshot::Snapshot;
use super::{apart, chroot, diff, overlay, start, trees, walls, wire};
use crate::embedded::store::Store;
use crate::embedded::trouble::{During, Result};
use crate::engine::EngineError;

/// Does one task for whoever is at the other end of standard input.
pub fn main(rung: Option<&str>) -> u8 {
    let Some(rung) = rung.and_then(Rung::of_word) else { return 2 };
    let Some(mut line) = apart::line() else { return 2 };
    walls::leave_caller();
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if rung == Rung::User {
        if let Err(error) = apart::leave(UnshareFlags::NEWUSER) {
            let why = format!("this machine gives no user namespace: {error}");
            return u8::from(wire_trouble(&mut line, "setting a command apart", &why).is_err());
        }
        if line.write_all(b"m").is_err() {
            return 2;
        }
    }
    let Ok(task) = wire::receive::<Task>(&mut line) else { return 2 };
    rustix::process::umask(rustix::fs::Mode::empty());
    let outcome = match task {
        Task::Run(job) => run(&job),
        Task::Remove(path) => {
            fs::remove_dir_all(&path).during(|| "removing a folder".into()).map(|()| Outcome::Done)
        }
        Task::Probe(store) => probe(rung, &store),
    };
    let outcome = outcome.unwrap_or_else(|error| match error {
        EngineError::Refused { what, why } => Outcome::Trouble { what, why },
        other => Outcome::Trouble { what: "running a command".into(), why: other.to_string() },
    });
    u8::from(wire::send(&mut line, &outcome).is_err())
}

/// Before anything else can be said, the caller waits for one byte.
fn wire_trouble(line: &mut UnixStream, what: &str, why: &str) -> io::Result<()> {
    line.write_all(b"e")?;
    wire::send(line, &Outcome::Trouble { what: what.into(), why: why.into() })
}

fn namespaces(network: bool) -> Result<()> {
    let mut flags = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS | UnshareFlags::NEWPID;
    if !network {
        flags |= UnshareFlags::NEWNET;
    }
    apart::leave(flags).during(|| "making namespaces for a command".into())?;
    // Kernels without control groups have no names of them to hide.
    let _ = apart::leave(UnshareFlags::NEWCGROUP);
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).during(|| "making mounts private".into())
}

/// Tries what a command needs: namespaces, an overlay in the store, and walls.
fn probe(rung: Rung, store: &Path) -> Result<Outcome> {
    if rung == Rung::Chroot {
        return Ok(Outcome::Tried { overlay: None, sockets: false });
    }
    namespaces(true)?;
    let folder = tempfile::tempdir().during(|| "making a folder".into())?;
    let what = || "mounting a folder in memory".to_owned();
    mount("imk", folder.path(), "tmpfs", MountFlags::NODEV, None).during(what)?;
    unmount(folder.path(), UnmountFlags::DETACH).during(what)?;
    let overlay = match store.is_dir() {
        true => overlay::tried(rung, store).err().map(|error| match error {
            EngineError::Refused { why, .. } => why,
            other => other.to_string(),
        }),
        false => None,
    };
    if rung == Rung::Root {
        apart::leave(UnshareFlags::NEWUSER).during(|| "giving a command users of its own".into())?;
    }
    let sockets = walls::leave_sockets().is_ok();
    Ok(Outcome::Tried { overlay, sockets })
}

fn run(job: &Job) -> Result<Outcome> {
    let store = Store::at(job.store.clone());
    let view = trees::view(&store, &job.layers)?;
    if job.rung == Rung::Chroot {
        return chroot::run(job, &store, &view);
    }
    let mut names = trees::ready(&store, job.rung, &job.layers, job.time)?;
    mounts::agents(job).during(|| "standing in for an ssh agent".into())?;
    namespaces(job.network)?;
    let root = job.work.join("root");
    let upper = job.work.join("upper");
    for folder in [&root, &upper, &job.work.join("work")] {
        fs::create_dir_all(folder).during(|| "making the folders of a command".into())?;
    }
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(&upper, std::fs::Permissions::from_mode(0o755))
        .during(|| "making the folders of a command".into())?;
    if names.is_empty() {
        // An overlay stands on something.
        fs::create_dir_all(job.work.join("nothing")).during(|| "making the folders of a command".into())?;
        names.push(job.work.join("nothing").display().to_string());
    }
    let copied = match overlay::overlay(job, &names, Some((&upper, &job.work.join("work"))), &root) {
        Ok(()) => None,
        // The store lies on something that carries no overlay, such as another overlay: then a copy serves.
        Err(_) => {
            trees::spread_all(&store, job.rung, &view, &root, job.time)?;
            let bound = mount_bind(&root, &root).map_err(io::Error::from);
            let bound = bound.and_then(|()| mounts::settle(&root, MountFlags::NODEV));
            bound.during(|| "mounting the root of a command".into())?;
            Some(())
        }
    };
    let mut inside = Root::open(&root).during(|| "opening the root of a command".into())?;
    let targets = mounts::place(job, &store, &mut inside)?;
    let before = match copied {
        Some(()) => Some(Snapshot::take(&root)?),
        None => None,
    };
    let status = start::child(job, &root)?;
    unmount(&root, UnmountFlags::DETACH).during(|| "unmounting the root of a command".into())?;
    let made = inside.into_made();
    let layer = match (status, before) {
        (0, Some(before)) => before.layer(&store, &root, &targets, job.time)?,
        (0, None) => {
            root::clear(&upper, &made).during(|| "taking mount points away".into())?;
            let layer = diff::upper(&store, job.rung, &upper, &view, job.time)?;
            keep(&store, job, &upper, layer.as_deref());
            layer
        }
        _ => None,
    };
    Ok(Outcome::Ran { status, layer })
}

/// The folder of what a command changed serves the next one as that layer, unpacked.
fn keep(store: &Store, job: &Job, upper: &Path, layer: Option<&str>) {
    let Some(diff_id) = layer else { return };
    let place = store.root().join("trees").join(trees::name_on(job.rung, diff_id));
    let stamped = root::open_folder(upper).and_then(|folder| diff::stamp_all(&folder, job.time));
    // What cannot be kept is unpacked again.
    if stamped.is_ok() {
        let _ = fs::rename(upper, place);
    }
}
