//! A file system's own clock, which says whether a stamp is too young to be trusted.
//!
//! The state folder shows the time; `source/stat` asks about stamps.

use std::io::{self, Write};

use rustix::fs::AtFlags;

use super::folder::StateFolder;

/// The file system's own clock, read before a scan: what is not older may
/// change once more without showing it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The device whose clock it is; nothing can be said of others.
    pub dev: u64,
    /// Nanoseconds since 1970.
    pub now: i64,
}

impl Clock {
    /// A clock that trusts nothing.
    pub const STOPPED: Self = Self { dev: 0, now: i64::MIN };
    /// The difference that clocks of other file systems may have, and how coarsely they may count.
    const MARGIN: i64 = 5_000_000_000;

    /// Whether a stamp of a device, in nanoseconds since 1970, is too young to be trusted.
    pub fn is_racy(&self, dev: u64, stamp: i64) -> bool {
        let now = if dev == self.dev { self.now } else { self.now.saturating_sub(Self::MARGIN) };
        stamp >= now
    }
}

impl StateFolder {
    /// The file system's own time, as a file written now shows it. The system's
    /// clock will not do: it runs ahead of the file system's.
    pub fn clock(&self) -> Clock {
        let read = || -> io::Result<rustix::fs::Stat> {
            let dir = self.made()?;
            let (new, mut file) = self.new_file(&dir, "clock")?;
            let written = file.write_all(b"now");
            rustix::fs::unlinkat(&dir, new.as_str(), AtFlags::empty())?;
            written?;
            Ok(rustix::fs::fstat(&file)?)
        };
        read().map_or(Clock::STOPPED, |at| {
            let nanos = i64::try_from(at.st_mtime_nsec).unwrap_or_default();
            let now = at.st_mtime.saturating_mul(1_000_000_000).saturating_add(nanos);
            let dev = u64::from(rustix::fs::major(at.st_dev)) << 32 | u64::from(rustix::fs::minor(at.st_dev));
            Clock { dev, now }
        })
    }

    /// Milliseconds that the file system's clock is ahead of the system's, if the folder is there.
    pub fn ahead(&self) -> Option<i64> {
        if !self.is_there() {
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
}
