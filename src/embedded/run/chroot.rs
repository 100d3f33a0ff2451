//! The rung without namespaces: a copy of the root, a changed root, and a look at what changed.
//!
//! There is no `/proc`, no wall around the command, and mounts are copies. It is never chosen unless
//! somebody asks for it, and never works in the root that it runs in.

use std::io;
use std::os::unix::fs::PermissionsExt;

use fs_err as fs;
use rustix::fs::{FileType, Mode, OFlags, makedev, mknodat, openat};

use super::job::{Job, Mount, MountKind, Outcome};
use super::mounts::DEVICES;
use super::root::{Root, Spot};
use super::snapshot::Snapshot;
use super::{agent, start, trees};
use crate::embedded::assemble::patch::absolute;
use crate::embedded::layer::view::View;
use crate::embedded::store::Store;
use crate::embedded::trouble::{During, Result};

/// Runs a command in a copy of a stage.
pub fn run(job: &Job, store: &Store, view: &View) -> Result<Outcome> {
    let what = || "making a copy of the root for the command".to_owned();
    let root = job.work.join("root");
    fs::create_dir_all(&root).during(what)?;
    trees::spread_all(store, job.rung, view, &root, job.time)?;
    let mut inside = Root::open(&root).during(what)?;
    let before_mounts = Snapshot::take(&root)?;
    inside.begin_in(&job.folder, (job.uid, job.gid)).during(what)?;
    // Where a base lacks these they stay in its layer, empty, as on the other rungs.
    for folder in ["dev", "proc", "sys"] {
        inside.folder(folder, false).during(what)?;
    }
    let mut aside: Vec<Vec<u8>> =
        DEVICES.iter().map(|(name, ..)| format!("dev/{name}").into_bytes()).collect();
    devices(&mut inside).during(what)?;
    for (path, text) in [("/etc/resolv.conf", &job.resolv), ("/etc/hosts", &job.hosts)] {
        let spot = inside.file(path).during(what)?;
        fs::write(spot.path(), text).during(what)?;
        aside.push(absolute("/", path));
    }
    let mut borrowed = Vec::new();
    for one in &job.mounts {
        lay(job, store, &mut inside, one, &mut borrowed)
            .during(|| format!("mounting on `{}`", one.target))?;
        aside.push(absolute("/", &one.target));
    }
    end_with_this_process().during(what)?;
    let ran = start::child(job, &root);
    end_all();
    let status = ran?;
    for (cache, spot) in &borrowed {
        // What cannot be given back is lost, and a cache may be.
        let _ = fs::rename(fs::read_link(spot.path()).during(what)?, cache);
    }
    let made: Vec<_> = inside.into_made();
    if status != 0 {
        return Ok(Outcome::Ran { status, layer: None });
    }
    super::root::clear(&root, &made).during(what)?;
    for path in &made {
        use std::os::unix::ffi::OsStrExt as _;
        aside.push(path.as_os_str().as_bytes().to_vec());
    }
    let layer = before_mounts.layer(store, &root, &aside, job.time)?;
    Ok(Outcome::Ran { status, layer })
}

/// Processes that the command leaves become this one's, and end with it: without a namespace the kernel ends
/// nothing by itself.
fn end_with_this_process() -> io::Result<()> {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own))?;
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            end_all();
            let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
        }
    });
    // Before this it was the signal that nobody can hear.
    Ok(rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM))?)
}

/// Ends all that is left of a command.
fn end_all() {
    let own = format!("/proc/self/task/{}/children", rustix::process::getpid().as_raw_nonzero());
    for _ in 0..1000 {
        let text = fs::read_to_string(&own).unwrap_or_default();
        let left: Vec<i32> = text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        if left.is_empty() {
            return;
        }
        for pid in left.into_iter().filter_map(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            let _ = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty());
        }
    }
}

fn devices(root: &mut Root) -> io::Result<()> {
    let dev = root.folder("dev", false)?;
    let folder = openat(
        rustix::fs::CWD,
        dev.path(),
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    for (name, major, minor) in DEVICES {
        let mode = Mode::from_raw_mode(0o666);
        match mknodat(&folder, name, FileType::CharacterDevice, mode, makedev(major, minor)) {
            // The base has it, or this process may make none.
            Ok(()) | Err(rustix::io::Errno::EXIST | rustix::io::Errno::PERM) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Lays a copy where other rungs mount.
fn lay(
    job: &Job,
    store: &Store,
    root: &mut Root,
    one: &Mount,
    borrowed: &mut Vec<(std::path::PathBuf, Spot)>,
) -> io::Result<()> {
    match &one.kind {
        MountKind::Memory(_) => drop(root.folder(&one.target, true)?),
        MountKind::Socket { socket, mode, uid, gid } => {
            let (folder, name) = one.target.rsplit_once('/').unwrap_or(("", &one.target));
            let at = fs::read_link(root.folder(folder, true)?.path())?;
            agent::stand_in((&at, name), socket.clone(), (*mode, *uid, *gid))?;
        }
        MountKind::Secret { value, mode, uid, gid } => {
            let spot = root.file(&one.target)?;
            fs::write(spot.path(), value)?;
            fs::set_permissions(spot.path(), std::fs::Permissions::from_mode(*mode))?;
            std::os::unix::fs::chown(spot.path(), Some(*uid), Some(*gid))?;
        }
        MountKind::Cache { folder: cache, .. } => {
            super::mounts::cache(job, store, one)?;
            let spot = root.folder(&one.target, true)?;
            fs::rename(cache, fs::read_link(spot.path())?)?;
            borrowed.push((cache.clone(), root.folder(&one.target, true)?));
        }
        MountKind::Tree { layers, path } => {
            let view = trees::view(store, layers).map_err(io::Error::other)?;
            let copy = tempfile::tempdir_in(&job.work)?;
            trees::spread_all(store, job.rung, &view, copy.path(), job.time).map_err(io::Error::other)?;
            let source = Root::open(copy.path())?.find(&path.display().to_string())?;
            let from = fs::read_link(source.path())?;
            let spot =
                if source.is_folder()? { root.folder(&one.target, true)? } else { root.file(&one.target)? };
            fs::rename(from, fs::read_link(spot.path())?)?;
        }
    }
    Ok(())
}
