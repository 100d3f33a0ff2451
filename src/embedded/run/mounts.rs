//! Mounts of a command's root beside its files: devices, the machine's names, and `--mount`.
//!
//! As Docker gives them, and nothing of them gets into a layer: what is made to mount on is noted, and
//! removed again. Every target is found within the root, whatever links the image has.

use std::ffi::CString;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use fs_err as fs;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive, mount_remount};

use super::agent;
use super::caches::{self, First};
use super::job::{Job, Mount, MountKind};
use super::overlay::overlay;
use super::rights;
use super::root::{Root, Spot};
use super::rung::Rung;
use super::trees;
use crate::embedded::assemble::patch::absolute;
use crate::embedded::store::Store;
use crate::embedded::trouble::{During, Result};

/// The devices that every command may use: name, major and minor number.
pub const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];
/// Mounts that are there to be read or spoken to, and nothing else.
const QUIET: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// Puts everything over the root. Answers with the places where changes are none of the image's.
pub fn place(job: &Job, store: &Store, root: &mut Root) -> Result<Vec<Vec<u8>>> {
    let mut aside: Vec<Vec<u8>> = Vec::new();
    // BuildKit's executor makes a folder again that went since `WORKDIR` made it.
    root.begin_in(&job.folder, (job.uid, job.gid))
        .during(|| format!("going to the folder `{}`", job.folder))?;
    // Where a base lacks these they stay in its layer, empty: so it is with docker.
    for folder in ["dev", "proc", "sys"] {
        root.folder(folder, false).during(|| format!("making /{folder}"))?;
    }
    let dev = job.work.join("dev");
    fs::create_dir(&dev)
        .and_then(|()| devices(&dev))
        .map(|()| {
            if job.insecure {
                more_devices(&dev)
            }
        })
        .and_then(|()| Ok(mount_bind_recursive(&dev, root.folder("dev", false)?.path())?))
        .during(|| "giving the command its devices".into())?;
    system(job, root).during(|| "giving the command its /sys".into())?;
    for (path, text) in [("/etc/resolv.conf", &job.resolv), ("/etc/hosts", &job.hosts)] {
        let file = job.work.join(path.rsplit('/').next().unwrap_or_default());
        let mut put = || -> io::Result<()> {
            fs::write(&file, text)?;
            fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644))?;
            put(root, &file, path, QUIET | MountFlags::RDONLY)
        };
        put().during(|| format!("giving the command its {path}"))?;
    }
    for (number, one) in job.mounts.iter().enumerate() {
        one_mount(job, store, root, number, one).during(|| format!("mounting on `{}`", one.target))?;
        aside.push(absolute("/", &one.target));
    }
    let system = ["dev", "proc", "sys", "etc/resolv.conf", "etc/hosts"];
    aside.extend(system.iter().map(|path| path.as_bytes().to_vec()));
    Ok(aside)
}

/// Mounts devices on a folder.
pub fn devices(dev: &Path) -> io::Result<()> {
    // A command makes no devices, so these are all there are.
    mount("dev", dev, "tmpfs", MountFlags::NOSUID, Some(c"mode=755,size=64m"))?;
    for (name, major, minor) in DEVICES {
        let at = dev.join(name);
        let mode = Mode::from_raw_mode(0o666);
        // Its own: whoever changes the mode of the machine's `/dev/null` would change it for all.
        if mknodat(CWD, &at, FileType::CharacterDevice, mode, makedev(major, minor)).is_err() {
            fs::write(&at, "")?;
            mount_bind(Path::new("/dev").join(name), &at)?;
        }
    }
    for (name, target) in LINKS {
        symlink(target, dev.join(name))?;
    }
    for folder in ["pts", "shm", "mqueue"] {
        fs::create_dir(dev.join(folder))?;
    }
    let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
    let pts = |options| mount("devpts", dev.join("pts"), "devpts", quiet, Some(options));
    // The group of terminals may not be mapped.
    pts(c"newinstance,ptmxmode=0666,mode=0620,gid=5")
        .or_else(|_| pts(c"newinstance,ptmxmode=0666,mode=0620"))?;
    mount("shm", dev.join("shm"), "tmpfs", quiet | MountFlags::NODEV, Some(c"mode=1777,size=67108864"))?;
    // Message queues are not everywhere.
    let _ = mount("mqueue", dev.join("mqueue"), "mqueue", quiet | MountFlags::NODEV, None);
    Ok(())
}

/// Devices of the machine for a step without walls. Those that cannot be made it does without.
fn more_devices(dev: &Path) {
    let mode = Mode::from_raw_mode(0o666);
    for (name, major, minor) in rights::MORE_DEVICES {
        let _ = mknodat(CWD, dev.join(name), FileType::CharacterDevice, mode, makedev(major, minor));
    }
    let (major, count) = rights::LOOPS;
    for minor in 0..count {
        let at = dev.join(format!("loop{minor}"));
        let _ = mknodat(CWD, at, FileType::BlockDevice, mode, makedev(major, minor));
    }
}

fn system(job: &Job, root: &mut Root) -> io::Result<()> {
    let at = root.folder("sys", false)?;
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if !job.insecure {
        flags |= MountFlags::RDONLY;
    }
    match mount("sysfs", at.path(), "sysfs", flags, None) {
        // Whoever shares the machine's network as a mapped user has no `/sys` of its own.
        Err(_) if job.rung == Rung::User => Ok(()),
        done => Ok(done?),
    }
}

fn one_mount(job: &Job, store: &Store, root: &mut Root, number: usize, one: &Mount) -> io::Result<()> {
    match &one.kind {
        MountKind::Memory(size) => {
            let size = size.map_or(String::new(), |size| format!(",size={size}"));
            let options = CString::new(format!("mode=1777{size}")).map_err(io::Error::other)?;
            let at = root.folder(&one.target, true)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("tmpfs", at.path(), "tmpfs", flags, Some(options.as_c_str()))?;
        }
        MountKind::Cache { folder, .. } => {
            cache(job, store, one)?;
            put(root, folder, &one.target, written(one))?;
        }
        MountKind::Socket { .. } => put(root, &job.work.join(agent_name(number)), &one.target, QUIET)?,
        MountKind::Secret { value, mode, uid, gid } => {
            let folder = job.work.join(format!("secret{number}"));
            fs::create_dir(&folder)?;
            // In memory: it is never on the disk.
            mount("secret", &folder, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=700"))?;
            let file = folder.join("value");
            fs::write(&file, value)?;
            fs::set_permissions(&file, std::fs::Permissions::from_mode(*mode))?;
            std::os::unix::fs::chown(&file, Some(*uid), Some(*gid))?;
            put(root, &file, &one.target, QUIET | MountFlags::RDONLY)?;
        }
        MountKind::Tree { layers, path } => tree(job, store, root, number, (layers, path), one)?,
    }
    Ok(())
}

/// A folder or file of other layers, which what is written to never reaches.
fn tree(
    job: &Job,
    store: &Store,
    root: &mut Root,
    number: usize,
    (layers, path): (&[String], &Path),
    one: &Mount,
) -> io::Result<()> {
    let work = job.work.join(format!("tree{number}"));
    let folder = |name: &str| -> io::Result<std::path::PathBuf> {
        let folder = work.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    };
    let at = folder("at")?;
    let mut names = trees::ready(store, job.rung, layers, job.time).map_err(io::Error::other)?;
    if names.is_empty() {
        names.push(folder("nothing")?.display().to_string());
    }
    let (upper, over) = (folder("upper")?, folder("work")?);
    fs::set_permissions(&upper, std::fs::Permissions::from_mode(0o755))?;
    if overlay(job, &names, Some((&upper, &over)), &at).is_err() {
        let view = trees::view(store, layers).map_err(io::Error::other)?;
        trees::spread_all(store, job.rung, &view, &at, job.time).map_err(io::Error::other)?;
    }
    let source = Root::open(&at)?.find(&path.display().to_string())?;
    put(root, Path::new(&source.path()), &one.target, written(one))
}

fn agent_name(number: usize) -> String {
    format!("agent{number}")
}

/// Makes the sockets that stand for agents. Before this process leaves its namespaces: whoever has left that
/// of processes starts no more threads.
pub fn agents(job: &Job) -> io::Result<()> {
    for (number, one) in job.mounts.iter().enumerate() {
        if let MountKind::Socket { socket, mode, uid, gid } = &one.kind {
            let place = (job.work.as_path(), agent_name(number));
            agent::stand_in((place.0, &place.1), socket.clone(), (*mode, *uid, *gid))?;
        }
    }
    Ok(())
}

/// Sees to it that a cache is there, with what it begins with.
pub fn cache(job: &Job, store: &Store, one: &Mount) -> io::Result<()> {
    let MountKind::Cache { folder, from, mode, uid, gid } = &one.kind else { return Ok(()) };
    if !folder.is_dir() {
        match from {
            None => caches::ready(folder, &job.work, &First::Nothing(*mode, *uid, *gid))?,
            Some((layers, path)) => {
                let copy = tempfile::tempdir_in(&job.work)?;
                let view = trees::view(store, layers).map_err(io::Error::other)?;
                trees::spread_all(store, job.rung, &view, copy.path(), job.time).map_err(io::Error::other)?;
                let source =
                    fs::read_link(Root::open(copy.path())?.find(&path.display().to_string())?.path())?;
                if !source.is_dir() {
                    return Err(io::Error::other("a cache can begin with a folder, and this is none"));
                }
                caches::ready(folder, &job.work, &First::Folder(&source))?;
            }
        }
    }
    caches::used(folder)
}

/// The flags of a mount that a command may write to, or not.
fn written(one: &Mount) -> MountFlags {
    if one.read_only { MountFlags::NODEV | MountFlags::RDONLY } else { MountFlags::NODEV }
}

/// Binds a folder or a file of ours onto a place in the root.
fn put(root: &mut Root, source: &Path, target: &str, flags: MountFlags) -> io::Result<()> {
    let is_folder = source.metadata()?.is_dir();
    let at: Spot = if is_folder { root.folder(target, true)? } else { root.file(target)? };
    mount_bind(source, at.path())?;
    // What is mounted there now, not what was below.
    settle(Path::new(&root.find(target)?.path()), flags)
}

/// Gives a bound mount its flags. One that has stricter ones from the machine keeps them, as the kernel wants
/// of mapped users.
pub fn settle(at: &Path, flags: MountFlags) -> io::Result<()> {
    let mut last = rustix::io::Errno::PERM;
    let (quiet, still) = (MountFlags::NOSUID | MountFlags::NOEXEC, MountFlags::NOATIME);
    let stricter =
        [MountFlags::empty(), MountFlags::NOSUID, quiet, still, MountFlags::NOSUID | still, quiet | still];
    for more in stricter {
        match mount_remount(at, MountFlags::BIND | MountFlags::NODEV | flags | more, "") {
            Err(error) if error == rustix::io::Errno::PERM => last = error,
            done => return Ok(done?),
        }
    }
    Err(last.into())
}
