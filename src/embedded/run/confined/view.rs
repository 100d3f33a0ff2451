//! The files that a confined program sees: a root in memory, with what is shown bound into it.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive};

use super::program::{View, during};
use crate::embedded::run::mounts::{self, settle};
use crate::embedded::run::root::Root;

/// Folders of a machine that hold its programs and their settings, and nothing of a person or a service.
pub const SYSTEM: [&str; 12] =
    ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc", "opt", "nix", "gnu", "snap"];
/// Folders that every program finds, empty.
const EMPTY: [&str; 8] = ["dev", "proc", "sys", "run", "tmp", "var", "var/tmp", "home"];
/// Room in memory for `/tmp` and the like; a job has its own folder for more.
const ROOM: &CStr = c"mode=755,size=1g";

/// How a path is shown.
#[derive(Clone, Copy)]
enum Shown {
    Readable,
    Hidden,
    Writable,
}

/// Lays the view out on an empty folder.
pub fn lay_out(at: &Path, view: &View) -> io::Result<()> {
    mount("view", at, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(ROOM))
        .map_err(io::Error::from)
        .map_err(during("mounting a folder in memory"))?;
    let mut root = Root::open(at)?;
    for name in EMPTY {
        root.folder(name, false)?;
    }
    for name in ["tmp", "var/tmp"] {
        fs::set_permissions(at.join(name), std::fs::Permissions::from_mode(0o1777))?;
    }
    for name in SYSTEM {
        let path = Path::new("/").join(name);
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => symlink(fs::read_link(&path)?, at.join(name))?,
            Ok(found) if found.is_dir() => bind(&mut root, &path, MountFlags::RDONLY)?,
            _ => {}
        }
    }
    mounts::devices(&at.join("dev")).map_err(during("giving the program its devices"))?;
    // Where it is not to be had a program does without.
    let _ = mount_bind_recursive("/sys", root.find("sys")?.path());
    // A user's own control groups could end the server, or freeze it.
    hide(&root, Path::new("/sys/fs/cgroup"))?;
    // A folder comes before what is in it.
    for (path, shown) in by_path(view) {
        match shown {
            Shown::Hidden => hide(&root, &path)?,
            // A folder of `PATH` need not be there.
            Shown::Readable if !path.exists() => {}
            Shown::Readable => bind(&mut root, &path, MountFlags::RDONLY)?,
            Shown::Writable => bind(&mut root, &path, MountFlags::empty())?,
        }
    }
    Ok(())
}

/// Every path once: one that is to be hidden is not readable, and what the program is given is its own.
fn by_path(view: &View) -> BTreeMap<PathBuf, Shown> {
    let mut all = BTreeMap::new();
    let lists =
        [(&view.readable, Shown::Readable), (&view.hidden, Shown::Hidden), (&view.writable, Shown::Writable)];
    for (paths, shown) in lists {
        all.extend(paths.iter().filter(|path| path.is_absolute()).map(|path| (path.clone(), shown)));
    }
    // The system would be hidden with it.
    let holds_system = |path: &Path| SYSTEM.iter().any(|name| Path::new("/").join(name).starts_with(path));
    all.retain(|path, shown| !matches!(shown, Shown::Hidden) || !holds_system(path));
    all
}

fn bind(root: &mut Root, path: &Path, flags: MountFlags) -> io::Result<()> {
    let what = || format!("showing `{}`", path.display());
    let target = path.to_str().ok_or_else(|| io::Error::other("its name is not UTF-8"))?;
    let mut bound = || -> io::Result<()> {
        let is_folder = fs::metadata(path)?.is_dir();
        let spot = if is_folder { root.folder(target, false)? } else { root.file(target)? };
        mount_bind_recursive(path, spot.path())?;
        // What is mounted there now, not what was below.
        settle(Path::new(&root.find(target)?.path()), MountFlags::NOSUID | flags)
    };
    bound().map_err(|error| during(&what())(error))
}

/// Covers what is seen at a path: a folder by an empty one, a file by nothing.
fn hide(root: &Root, path: &Path) -> io::Result<()> {
    let Some(Ok(spot)) = path.to_str().map(|path| root.find(path)) else { return Ok(()) };
    let hidden = match spot.is_folder()? {
        true => {
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            mount("hidden", spot.path(), "tmpfs", flags, Some(c"mode=755,size=1m"))
        }
        false => mount_bind(root.find("dev/null")?.path(), spot.path()),
    };
    hidden.map_err(io::Error::from).map_err(during(&format!("hiding `{}`", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_is_not_readable_and_never_the_system() {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect();
        let view = View {
            readable: paths(&["/opt/x/bin", "relative", "/opt/x"]),
            writable: paths(&["/opt/x/state/checkout"]),
            hidden: paths(&["/opt/x", "/opt/x/state", "/", "/usr", "/etc/imk"]),
        };
        let words: Vec<String> = by_path(&view)
            .into_iter()
            .map(|(path, shown)| {
                let word = match shown {
                    Shown::Readable => "readable",
                    Shown::Hidden => "hidden",
                    Shown::Writable => "writable",
                };
                format!("{word} {}", path.display())
            })
            .collect();
        let expected = [
            "hidden /etc/imk",
            "hidden /opt/x",
            "readable /opt/x/bin",
            "hidden /opt/x/state",
            "writable /opt/x/state/checkout",
        ];
        assert_eq!(words, expected);
    }
}
