//! The folder `.imk`: made when something is first kept, and thrown away at will.
//!
//! Knows how to keep version control and backups out of it, how to replace a
//! file whole, and how to ask its file system for the time. Knows nothing of what is kept.

use std::fs::Metadata;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::clock::Clock;

const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n\
    # This folder was made by imk. It may be deleted at any time, at the cost of time.\n\
    # About these tags see https://bford.info/cachedir/\n";

/// A state folder, which may not exist yet.
#[derive(Clone, Debug)]
pub struct StateFolder(pub PathBuf);

impl StateFolder {
    /// Makes the folder and its two notices, unless they are there.
    pub fn make(&self) -> io::Result<&Path> {
        if !self.0.join("CACHEDIR.TAG").exists() {
            fs_err::create_dir_all(&self.0)?;
            fs_err::write(self.0.join(".gitignore"), "*\n")?;
            fs_err::write(self.0.join("CACHEDIR.TAG"), TAG)?;
        }
        Ok(&self.0)
    }

    /// The file system's own time, as a file written now shows it. The system's
    /// clock will not do: it runs ahead of the file system's.
    pub fn clock(&self) -> Clock {
        let read = || -> io::Result<Metadata> {
            let mut file = tempfile::tempfile_in(self.make()?)?;
            file.write_all(b"now")?;
            file.metadata()
        };
        let nanos = |at: &Metadata| at.mtime().saturating_mul(1_000_000_000).saturating_add(at.mtime_nsec());
        read().map_or(Clock::STOPPED, |at| {
            let dev = u64::from(rustix::fs::major(at.dev())) << 32 | u64::from(rustix::fs::minor(at.dev()));
            Clock { dev, now: nanos(&at) }
        })
    }

    /// Milliseconds that the file system's clock is ahead of the system's, if the folder is there.
    pub fn ahead(&self) -> Option<i64> {
        if !self.0.is_dir() {
            return None;
        }
        let system = || {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
        };
        let (before, clock) = (system(), self.clock());
        let after = system();
        let there = clock.now / 1_000_000;
        (clock.now != Clock::STOPPED.now).then(|| match there {
            _ if there < before => there - before,
            _ if there > after => there - after,
            _ => 0,
        })
    }

    /// A file of the folder; nothing if it cannot be read.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        fs_err::read(self.0.join(name)).ok()
    }

    /// Replaces a file whole, so that nobody sees half of it.
    pub fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = self.make()?;
        let mut file = tempfile::Builder::new().prefix(name).suffix(".new").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.persist(folder.join(name))?;
        Ok(())
    }
}
