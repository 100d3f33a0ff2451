//! The state of one repository, held open: its handle, which is made when it is first needed.
//!
//! Knows how version control and backups are kept out, and reports what is not as imk leaves it, once. Knows no
//! file by name but the notices that a new folder begins with, and writes none: `folder.rs` does.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::beneath::{self, FOLDER};
use super::mark::{self, Mark};

const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder was made by imk. It may be deleted at any time, at the cost of time.\n\
    # About these tags see https://bford.info/cachedir/\n";

/// Takes a line for a person: something in the state is not as imk leaves it.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Files that a folder has from its beginning, each with its text.
pub(super) type Notices = Vec<(&'static str, String)>;

/// The state of one repository.
pub(super) struct Top {
    /// Its path, for messages and for programs that take paths; where nothing can be kept, why not.
    path: Result<PathBuf, String>,
    /// The handle, once the folder is there.
    fd: Mutex<Option<Arc<OwnedFd>>>,
    /// Left in the folder when it is made.
    mark: Option<Mark>,
    tell: Tell,
    /// Lines that were told already.
    pub(super) told: Mutex<BTreeSet<String>>,
}

impl Top {
    /// The folder at a path that was judged, with its handle if it is there.
    pub(super) fn at(path: PathBuf, fd: Option<OwnedFd>, mark: Option<Mark>, tell: Tell) -> Self {
        let fd = Mutex::new(fd.map(Arc::new));
        Self { path: Ok(path), fd, mark, tell, told: Mutex::default() }
    }

    /// No folder, and why there is none.
    pub(super) fn nowhere(why: String) -> Self {
        let (fd, told) = (Mutex::default(), Mutex::default());
        Self { path: Err(why), fd, mark: None, tell: Arc::new(|_| {}), told }
    }

    /// Its path.
    ///
    /// # Errors
    /// Why nothing is kept.
    pub(super) fn path(&self) -> Result<&Path, &str> {
        self.path.as_deref().map_err(String::as_str)
    }

    /// The handle, if the folder is there. Another imk may have made it meanwhile.
    pub(super) fn fd(&self) -> Option<Arc<OwnedFd>> {
        let mut held = self.fd.lock();
        if held.is_none() {
            *held = open_own(self.path().ok()?).ok().map(Arc::new);
        }
        held.clone()
    }

    /// The handle of the folder, which is made unless it is held, and the notices to be left in a new one.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn make(&self) -> io::Result<(Arc<OwnedFd>, Notices)> {
        let mut held = self.fd.lock();
        if let Some(fd) = &*held {
            return Ok((Arc::clone(fd), Notices::new()));
        }
        let path = self.path().map_err(|why| io::Error::other(why.to_owned()))?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(FOLDER.bits()).create(parent)?;
        let parent =
            rustix::fs::open(parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let name = path.file_name().ok_or(Errno::INVAL)?;
        match rustix::fs::mkdirat(&parent, name, FOLDER) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(error("make", &path.display().to_string(), errno)),
        }
        let fd = open_own(path).map_err(|errno| error("open", &path.display().to_string(), errno))?;
        let fd = Arc::new(fd);
        *held = Some(Arc::clone(&fd));
        drop(held);
        let mut notices = vec![(".gitignore", "*\n".to_owned()), ("CACHEDIR.TAG", TAG.to_owned())];
        if let Some(mark) = &self.mark {
            notices.extend(mark.text(fd.as_fd())?.map(|text| (mark::NAME, text)));
        }
        Ok((fd, notices))
    }

    /// Tells the first name of a path that is not what it should be; its last is to be `wanted`.
    pub(super) fn tell_way(&self, top: &OwnedFd, path: &str, wanted: &str) {
        let Ok(parts) = beneath::parts(path) else { return };
        let mut way = String::new();
        let mut here: Option<OwnedFd> = None;
        for (at, part) in parts.iter().enumerate() {
            way = if way.is_empty() { (*part).to_owned() } else { format!("{way}/{part}") };
            let dir = here.as_ref().unwrap_or(top);
            let wanted = if at + 1 == parts.len() { wanted } else { "a folder" };
            let shown = self.path().map(|top| top.join(&way).display().to_string());
            if self.tell_kind(dir, part, &shown.unwrap_or_default(), wanted) {
                return;
            }
            let Ok(next) = beneath::folder(dir.as_fd(), part) else { return };
            here = Some(next);
        }
    }

    /// Tells, once, that a name is not `wanted`; false when it is, or is not there.
    pub(super) fn tell_kind(&self, dir: &OwnedFd, name: &str, shown: &str, wanted: &str) -> bool {
        let Ok(kind) = beneath::kind(dir.as_fd(), name) else { return false };
        let noun = beneath::noun(kind);
        if noun == wanted {
            return false;
        }
        let line =
            format!("`{shown}` is {noun}, where imk keeps {wanted}: it counts as none, and is made anew");
        if self.told.lock().insert(line.clone()) {
            (self.tell)(&line);
        }
        true
    }
}

/// The error of an attempt on a path of the state.
pub(super) fn error(what: &str, shown: &str, errno: Errno) -> io::Error {
    let error = io::Error::from(errno);
    io::Error::new(error.kind(), format!("cannot {what} `{shown}`: {error}"))
}

/// Opens a folder that was made since it was looked for, by this user or not at all.
fn open_own(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    let is_own = rustix::fs::fstat(&fd)?.st_uid == rustix::process::geteuid().as_raw();
    if is_own { Ok(fd) } else { Err(Errno::PERM) }
}
