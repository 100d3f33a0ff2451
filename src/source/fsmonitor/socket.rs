//! Where a monitor's socket is: in a folder of this user alone, by a name that stands for the repository.
//!
//! Checks the folder, the socket's other end, and who holds the place. Says nothing over it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::model::hash::{ContentHash, FieldHasher};

/// The place of one repository's monitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    folder: PathBuf,
    name: String,
}

impl Place {
    /// The place for the repository at `root`. `runtime` is `$XDG_RUNTIME_DIR`; without one a folder of this user's
    /// below `/tmp` stands for it.
    ///
    /// # Errors
    /// When there is no repository.
    pub fn of(root: &Path, runtime: Option<PathBuf>) -> io::Result<Self> {
        let root = fs_err::canonicalize(root)?;
        let user = rustix::process::geteuid().as_raw();
        let folder =
            runtime.map_or_else(|| PathBuf::from(format!("/tmp/imk-{user}")), |path| path.join("imk"));
        let hash: ContentHash =
            FieldHasher::new("imk fsmonitor v1").field(root.as_os_str().as_encoded_bytes()).finish();
        Ok(Self { folder, name: format!("fsmonitor-{}", hash.short(16)) })
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join(format!("{}.sock", self.name))
    }

    /// Connects to the monitor; `None` when there is none, and when it is not this user's.
    pub fn connect(&self) -> Option<UnixStream> {
        let is_socket = |it: std::fs::Metadata| it.file_type().is_socket();
        if !is_private(&self.folder) || !fs_err::symlink_metadata(self.socket()).is_ok_and(is_socket) {
            return None;
        }
        let stream = UnixStream::connect(self.socket()).ok()?;
        is_own(&stream).then_some(stream)
    }

    /// Takes the place, as long as the handle is held; `None` when a monitor has it already.
    ///
    /// # Errors
    /// When the folder cannot be made, or is not this user's alone.
    pub fn take(&self) -> io::Result<Option<File>> {
        match std::fs::DirBuilder::new().mode(0o700).create(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !is_private(&self.folder) {
            let message = format!("`{}` is not a folder of this user alone", self.folder.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        let path = self.folder.join(format!("{}.lock", self.name));
        let file = fs_err::OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
        let file: File = file.into_parts().0;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Whether a folder is this user's, no link, and nobody else gets in.
fn is_private(folder: &Path) -> bool {
    fs_err::symlink_metadata(folder).is_ok_and(|it| {
        it.is_dir() && it.uid() == rustix::process::geteuid().as_raw() && it.mode() & 0o077 == 0
    })
}

/// Whether this user is at the other end.
pub fn is_own(stream: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(stream).is_ok_and(|peer| peer.uid == rustix::process::geteuid())
}
