//! A file system's own clock, which says whether a stamp is too young to be trusted.
//!
//! Knows nothing of files: the state folder reads the time, `source/look` asks about stamps.

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
    /// What clocks of other file systems may differ by, and how coarsely they may count.
    const MARGIN: i64 = 5_000_000_000;

    /// Whether a stamp of a device, in nanoseconds since 1970, is too young to be trusted.
    pub fn is_racy(&self, dev: u64, stamp: i64) -> bool {
        let now = if dev == self.dev { self.now } else { self.now.saturating_sub(Self::MARGIN) };
        stamp >= now
    }
}
