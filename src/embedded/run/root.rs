//! A folder that is somebody else's root: every path in it is resolved by the kernel within it.
//!
//! A hostile image has links that lead out, and paths of the keeper's own making must not follow them:
//! so all goes through `openat2` with `RESOLVE_IN_ROOT`, or with no links at all.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid, chownat, mkdirat, open, openat, openat2, unlinkat,
};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;

/// A root of a command, seen from outside.
pub struct Root {
    fd: OwnedFd,
    /// Where it is.
    at: PathBuf,
    /// Files and folders made for mounts, below it: gone again afterwards.
    made: Vec<PathBuf>,
}

/// A file or folder inside a root, to be mounted on.
pub struct Spot(OwnedFd);

impl Spot {
    /// A path that means exactly this, whatever links there are.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> io::Result<bool> {
        let stat = rustix::fs::fstat(&self.0)?;
        Ok(rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir())
    }
}

impl AsFd for Spot {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Root {
    /// The root at a folder of the keeper's own.
    pub fn open(at: &Path) -> io::Result<Self> {
        let fd = open(at, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd, at: at.to_owned(), made: Vec::new() })
    }

    /// The spot at a path, links followed within the root.
    pub fn find(&self, path: &str) -> io::Result<Spot> {
        let path = if path.trim_matches('/').is_empty() { "." } else { path };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        Ok(Spot(openat2(&self.fd, path, flags, Mode::empty(), ResolveFlags::IN_ROOT)?))
    }

    /// A folder at a path; it is made where it is missing, and with `passing` removed again afterwards.
    pub fn folder(&mut self, path: &str, passing: bool) -> io::Result<Spot> {
        self.make(path, passing, (0, 0))
    }

    /// A folder that a command begins in; where it is missing it is made, of the command's own user.
    pub fn begin_in(&mut self, path: &str, owner: (u32, u32)) -> io::Result<()> {
        self.make(path, false, owner).map(drop)
    }

    fn make(&mut self, path: &str, passing: bool, (uid, gid): (u32, u32)) -> io::Result<Spot> {
        if path.split('/').any(|part| part == "..") {
            return Err(io::Error::other(format!("`{path}` has a `..` in it")));
        }
        let mut so_far = String::new();
        let mut spot = self.find("")?;
        for part in path.split('/').filter(|part| !matches!(*part, "" | ".")) {
            let above = format!("/{so_far}");
            so_far = if so_far.is_empty() { part.to_owned() } else { format!("{so_far}/{part}") };
            spot = match self.find(&so_far) {
                Ok(spot) => spot,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    let parent = self.find(&above)?;
                    mkdirat(&parent.0, part, Mode::from_raw_mode(0o755))?;
                    if passing {
                        self.remember(&parent, part)?;
                    }
                    if (uid, gid) != (0, 0) {
                        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
                        // Where one user is mapped, all is that user's.
                        let _ = chownat(&parent.0, part, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
                    }
                    self.find(&so_far)?
                }
                Err(error) => return Err(error),
            };
        }
        match spot.is_folder()? {
            true => Ok(spot),
            false => Err(io::Error::other(format!("`{path}` is no folder"))),
        }
    }

    /// A file at a path; an empty one is made where it is missing, and removed again afterwards. Where a
    /// link leads to nothing, the file is made where it leads.
    pub fn file(&mut self, path: &str) -> io::Result<Spot> {
        let mut path = path.trim_end_matches('/').to_owned();
        for _ in 0..LINKS_MAX {
            match self.find(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                found => return found,
            }
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let parent = self.folder(folder, true)?;
            let parent_fd = reopened(&parent)?;
            if let Ok(target) = rustix::fs::readlinkat(&parent_fd, name, Vec::new()) {
                let target = target.into_string().map_err(io::Error::other)?;
                path = self.led(&parent, &target)?;
                continue;
            }
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(&parent_fd, name, flags, Mode::from_raw_mode(0o644))?;
            self.remember(&parent, name)?;
            return self.find(&path);
        }
        Err(io::Error::other("its links lead to each other"))
    }

    /// The path that a link in a folder names, in words.
    fn led(&self, folder: &Spot, target: &str) -> io::Result<String> {
        let real = fs_err::read_link(folder.path())?;
        let inside =
            real.strip_prefix(&self.at).map_err(|_| io::Error::other("a path lies outside of its root"))?;
        let base = if target.starts_with('/') { "" } else { inside.to_str().unwrap_or_default() };
        let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
        for part in target.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        Ok(parts.join("/"))
    }

    /// Where a new name really is, links of its folder aside.
    fn remember(&mut self, parent: &Spot, name: &str) -> io::Result<()> {
        let real = fs_err::read_link(parent.path())?;
        let inside =
            real.strip_prefix(&self.at).map_err(|_| io::Error::other("a path lies outside of its root"))?;
        self.made.push(inside.join(OsStr::from_bytes(name.as_bytes())));
        Ok(())
    }

    /// Files and folders made for mounts, the innermost first.
    pub fn into_made(self) -> Vec<PathBuf> {
        let mut made = self.made;
        made.reverse();
        made
    }
}

/// An `O_PATH` of a folder, opened for use.
fn reopened(spot: &Spot) -> io::Result<OwnedFd> {
    Ok(openat(&spot.0, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// Removes from a folder what was made for mounts and is still empty; no link is followed.
pub fn clear(folder: &Path, made: &[PathBuf]) -> io::Result<()> {
    let root = open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    for path in made {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { continue };
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let Ok(parent) = openat2(&root, parent, flags, Mode::empty(), within) else { continue };
        let Ok(stat) = rustix::fs::statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        // A folder that is not empty stays, and so does a file that somebody wrote to.
        if kind.is_dir() {
            let _ = unlinkat(&parent, name, AtFlags::REMOVEDIR);
        } else if kind.is_socket() || kind.is_file() && stat.st_size == 0 {
            let _ = unlinkat(&parent, name, AtFlags::empty());
        }
    }
    Ok(())
}

/// Opens a file of a folder for reading; no link is followed, and nothing outside is found.
pub fn open_within(folder: &OwnedFd, path: &[u8]) -> io::Result<fs_err::File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let fd = openat2(folder, OsStr::from_bytes(path), flags, Mode::empty(), within)?;
    Ok(fs_err::File::from_parts(std::fs::File::from(fd), PathBuf::from(OsStr::from_bytes(path))))
}

/// Opens a folder of the keeper's own.
pub fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_of_an_image_lead_nowhere_outside_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let (root, out) = (folder.path().join("root"), folder.path().join("out"));
        fs_err::create_dir_all(root.join("etc")).unwrap();
        fs_err::create_dir_all(&out).unwrap();
        symlink(&out, root.join("run")).unwrap();
        symlink("../../../../out", root.join("up")).unwrap();
        symlink("/etc", root.join("conf")).unwrap();
        let mut view = Root::open(&root).unwrap();
        // `/run` leads to a path that is not there in the root: no file is made outside.
        assert!(view.file("/run/secrets/x").is_err());
        assert!(view.folder("/up/x", true).is_err());
        view.file("/conf/hosts").unwrap();
        assert!(root.join("etc/hosts").exists());
        assert_eq!(fs_err::read_dir(&out).unwrap().count(), 0);
        assert!(view.folder("/a/../../b", true).is_err());
        let made = view.into_made();
        assert_eq!(made, [PathBuf::from("etc/hosts")]);
        clear(&root, &made).unwrap();
        assert!(!root.join("etc/hosts").exists() && root.join("etc").exists());
    }

    #[test]
    fn a_link_that_leads_to_nothing_gets_its_file_within_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs_err::create_dir_all(root.join("etc")).unwrap();
        symlink("../run/systemd/resolve/stub-resolv.conf", root.join("etc/resolv.conf")).unwrap();
        symlink("../../../../x/y", root.join("etc/hosts")).unwrap();
        symlink("round", root.join("etc/round")).unwrap();
        let mut view = Root::open(&root).unwrap();
        view.file("/etc/resolv.conf").unwrap();
        view.file("/etc/hosts").unwrap();
        assert!(view.file("/etc/round").is_err());
        assert!(root.join("run/systemd/resolve/stub-resolv.conf").is_file() && root.join("x/y").is_file());
        let made = view.into_made();
        clear(&root, &made).unwrap();
        assert!(!root.join("run").exists() && !root.join("x").exists());
    }

    #[test]
    fn what_was_made_for_a_mount_goes_unless_somebody_used_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let mut view = Root::open(&root).unwrap();
        view.file("/a/b/c").unwrap();
        view.folder("/x/y", true).unwrap();
        fs_err::write(root.join("x/z"), "1").unwrap();
        let made = view.into_made();
        clear(&root, &made).unwrap();
        assert!(!root.join("a").exists() && root.join("x").exists() && !root.join("x/y").exists());
    }
}
