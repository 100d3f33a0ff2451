//! A folder of the state, and the files in it: read, replaced whole, made, appended to.
//!
//! Every file is reached through the handle of the state (`top.rs`). No link is followed, at no depth, and
//! nothing that is no file is waited on: a pipe, a device or a folder in a file's place is reported once, counts
//! as absent, and gives way to the next write. Knows nothing of what is kept, nor where: see `place.rs`.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{self, FILE, FOLDER};
use super::mark::Mark;
pub use super::top::Tell;
use super::top::{self, Top};

/// How often a name is made anew before somebody else's insistence wins.
const TRIES: usize = 4;

/// A state folder, which may not exist yet, or a folder in it.
#[derive(Clone)]
pub struct StateFolder {
    top: Arc<Top>,
    /// Path below the top; empty for the top itself.
    below: String,
}

impl fmt::Debug for StateFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateFolder({:?}, {})", self.top.path(), self.below)
    }
}

impl StateFolder {
    /// The folder at a path that is nobody else's, made when something is first kept.
    pub fn at(path: &Path) -> Self {
        Self::opened_at(path.to_owned(), None, None, Arc::new(|_| {}))
    }

    /// A folder that keeps nothing, and says `why` to whoever must keep something.
    pub fn nowhere(why: impl Into<String>) -> Self {
        Self::whole(Top::nowhere(why.into()))
    }

    /// The folder at a path that was judged, with its handle if it is there.
    pub(super) fn opened_at(path: PathBuf, fd: Option<OwnedFd>, mark: Option<Mark>, tell: Tell) -> Self {
        Self::whole(Top::at(path, fd, mark, tell))
    }

    fn whole(top: Top) -> Self {
        Self { top: Arc::new(top), below: String::new() }
    }

    /// A folder in this one.
    pub fn sub(&self, name: &str) -> Self {
        let below = if self.below.is_empty() { name.to_owned() } else { format!("{}/{name}", self.below) };
        Self { top: Arc::clone(&self.top), below }
    }

    /// Its path, for messages and for programs that take paths; `None` where nothing is kept.
    pub fn path(&self) -> Option<PathBuf> {
        let top = self.top.path().ok()?;
        Some(if self.below.is_empty() { top.to_owned() } else { top.join(&self.below) })
    }

    /// The path of a name in it, as messages show it.
    pub fn shown(&self, name: &str) -> String {
        self.path().map_or_else(|| name.to_owned(), |path| path.join(name).display().to_string())
    }

    /// Whether the folder is there.
    pub fn is_there(&self) -> bool {
        self.opened().is_ok_and(|fd| fd.is_some())
    }

    /// Makes the folder, and the state's two notices, unless they are there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(&self) -> io::Result<()> {
        self.made().map(drop)
    }

    /// The handle of the folder, which is made unless it is there.
    pub(super) fn made(&self) -> io::Result<Arc<OwnedFd>> {
        let top = self.make_top()?;
        if self.below.is_empty() {
            return Ok(top);
        }
        if let Ok(fd) = beneath::folder(top.as_fd(), &self.below) {
            return Ok(Arc::new(fd));
        }
        let mut here = top;
        for part in beneath::parts(&self.below)? {
            here = Arc::new(self.make_folder(&here, part)?);
        }
        Ok(here)
    }

    fn make_folder(&self, dir: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
        let mut last = Errno::LOOP;
        for _ in 0..TRIES {
            match rustix::fs::mkdirat(dir, name, FOLDER) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.error("make", "", errno)),
            }
            match beneath::folder(dir.as_fd(), name) {
                Ok(fd) => return Ok(fd),
                Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => {
                    self.top.tell_kind(dir, name, &self.shown(""), "a folder");
                    beneath::remove(dir.as_fd(), name.as_bytes())?;
                    last = errno;
                }
                Err(Errno::NOENT) => last = Errno::NOENT,
                Err(errno) => return Err(self.error("open", "", errno)),
            }
        }
        Err(self.error("make", "", last))
    }

    fn make_top(&self) -> io::Result<Arc<OwnedFd>> {
        let (fd, notices) = self.top.make()?;
        let top = Self { top: Arc::clone(&self.top), below: String::new() };
        for (name, text) in notices {
            top.replace(name, text.as_bytes())?;
        }
        Ok(fd)
    }

    /// The handle of the folder; `None` when it is not there. A link or a file in its place is told.
    pub(super) fn opened(&self) -> io::Result<Option<Arc<OwnedFd>>> {
        let Some(top) = self.top.fd() else { return Ok(None) };
        if self.below.is_empty() {
            return Ok(Some(top));
        }
        match beneath::folder(top.as_fd(), &self.below) {
            Ok(fd) => Ok(Some(Arc::new(fd))),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                self.top.tell_way(&top, &self.below, "a folder");
                Ok(None)
            }
            Err(errno) => Err(self.error("open", "", errno)),
        }
    }

    /// The folder that a path below this one ends in, and the last name.
    pub(super) fn split<'a>(&self, path: &'a str) -> (Self, &'a str) {
        match path.rsplit_once('/') {
            Some((folder, name)) => (self.sub(folder), name),
            None => (self.clone(), path),
        }
    }

    /// A file of the folder; nothing if there is none or it cannot be read.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        self.try_read(name).ok().flatten()
    }

    /// A file of the folder; `None` when there is none, or no file in its place, which is told.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn try_read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(top) = self.top.fd() else { return Ok(None) };
        let path = self.sub(name).below;
        let fd = match beneath::open(top.as_fd(), &path, OFlags::RDONLY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP | Errno::NXIO) => {
                self.top.tell_way(&top, &path, "a file");
                return Ok(None);
            }
            Err(errno) => return Err(self.error("read", name, errno)),
        };
        let stat = rustix::fs::fstat(&fd).map_err(|errno| self.error("read", name, errno))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            self.top.tell_way(&top, &path, "a file");
            return Ok(None);
        }
        let size = usize::try_from(stat.st_size).unwrap_or_default();
        read_whole(&fd, size).map(Some).map_err(|errno| self.error("read", name, errno))
    }

    /// Replaces a file whole, so that nobody sees half of it.
    ///
    /// # Errors
    /// When it cannot be written; the old file stays then.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.replace_with(name, false, |file| file.write_all(bytes))
    }

    /// Replaces a file whole by what `write` writes, which is on the disk before it counts if `sync` is set.
    ///
    /// # Errors
    /// When it cannot be written; the old file stays then.
    pub fn replace_with(
        &self,
        name: &str,
        sync: bool,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> io::Result<()> {
        let (folder, last) = self.split(name);
        let dir = folder.made()?;
        let (new, mut file) = self.new_file(&dir, last)?;
        let written = write(&mut file).and_then(|()| if sync { file.sync_data() } else { Ok(()) });
        let moved = written.and_then(|()| {
            let moved = rustix::fs::renameat(&dir, new.as_str(), &dir, last);
            match moved {
                Err(Errno::ISDIR) => {
                    self.top.tell_kind(&dir, last, &self.shown(name), "a file");
                    beneath::remove(dir.as_fd(), last.as_bytes())?;
                    Ok(rustix::fs::renameat(&dir, new.as_str(), &dir, last)?)
                }
                moved => moved.map_err(|errno| self.error("write", name, errno)),
            }
        });
        if moved.is_err() {
            let _ = rustix::fs::unlinkat(&dir, new.as_str(), AtFlags::empty());
        }
        moved
    }

    /// A file under a name that nobody uses, beside the one that it is to replace.
    pub(super) fn new_file(&self, dir: &OwnedFd, name: &str) -> io::Result<(String, File)> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        beneath::parts(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let new = format!("{name}.{}-{number}.new", std::process::id());
            match beneath::open(dir.as_fd(), &new, flags, FILE) {
                Ok(fd) => return Ok((new, File::from(fd))),
                // A killed process of that number left it, or a container of the same folder has it now.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(self.error("write", name, errno)),
            }
        }
    }

    /// A file of ours, made if need be, to be read and written. Whatever else has the name gives way, and so
    /// does a file that has another name elsewhere: what is written here must not be written there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open_file(&self, name: &str, append: bool) -> io::Result<File> {
        let (folder, last) = self.split(name);
        let dir = folder.made()?;
        beneath::parts(last)?;
        let mut flags = OFlags::RDWR | OFlags::CREATE;
        flags.set(OFlags::APPEND, append);
        for _ in 0..TRIES {
            match beneath::open(dir.as_fd(), last, flags, FILE) {
                Ok(fd) => {
                    let stat = rustix::fs::fstat(&fd)?;
                    let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                    if is_file && stat.st_nlink == 1 {
                        return Ok(File::from(fd));
                    }
                    if is_file && stat.st_nlink > 1 {
                        let bytes = read_whole(&fd, usize::try_from(stat.st_size).unwrap_or_default())?;
                        self.replace(name, &bytes)?;
                        continue;
                    }
                    if is_file {
                        // Removed between the two calls.
                        continue;
                    }
                }
                Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::NODEV) => {}
                Err(errno) => return Err(self.error("open", name, errno)),
            }
            self.top.tell_kind(&dir, last, &self.shown(name), "a file");
            beneath::remove(dir.as_fd(), last.as_bytes())?;
        }
        Err(self.error("open", name, Errno::LOOP))
    }

    /// A new, empty file. One that has the name goes.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, name: &str) -> io::Result<File> {
        let (folder, last) = self.split(name);
        let dir = folder.made()?;
        beneath::parts(last)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        for _ in 0..TRIES {
            match beneath::open(dir.as_fd(), last, flags, FILE) {
                Ok(fd) => return Ok(File::from(fd)),
                Err(Errno::EXIST) => {
                    self.top.tell_kind(&dir, last, &self.shown(name), "a file");
                    beneath::remove(dir.as_fd(), last.as_bytes())?;
                }
                Err(errno) => return Err(self.error("make", name, errno)),
            }
        }
        Err(self.error("make", name, Errno::EXIST))
    }

    pub(super) fn error(&self, what: &str, name: &str, errno: Errno) -> io::Error {
        let own = || self.path().unwrap_or_default().display().to_string();
        top::error(what, &if name.is_empty() { own() } else { self.shown(name) }, errno)
    }
}

/// All bytes of an open file of about this size, from where it stands.
fn read_whole(fd: &OwnedFd, size: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::with_capacity(size.saturating_add(1));
    loop {
        if bytes.capacity() == bytes.len() {
            bytes.reserve(32 * 1024);
        }
        match rustix::io::read(fd, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(bytes),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
