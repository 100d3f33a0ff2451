//! Moments in whole seconds since 1970, as the ledger and answers of registries bear them.
//!
//! Knows no calendar and no time zone: those are `cli/`'s.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Whole seconds since 1970. A plain number in files and in JSON.
///
/// ```
/// use imk::model::time::UnixSeconds;
/// use std::time::Duration;
///
/// let built = UnixSeconds(1_537_690_996);
/// assert_eq!(UnixSeconds(1_537_690_999).since(built), Duration::from_secs(3));
/// // A clock that was put back makes no negative time.
/// assert_eq!(UnixSeconds(0).since(built), Duration::ZERO);
/// assert_eq!(built.timestamp().to_string(), "2018-09-23T08:23:16Z");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// By the system's clock.
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
    }

    /// Time that went by since an earlier moment; none when that is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }

    /// True if an answer of `then` may still be used: it is not older than `most`, and not of the future,
    /// as one would be that was written before the clock was put back.
    pub fn is_within(self, most: Duration, then: Self) -> bool {
        then <= self && self.since(then) < most
    }

    /// For the calendar. The last moment that a calendar has stands for all later ones.
    pub fn timestamp(self) -> jiff::Timestamp {
        let seconds = i64::try_from(self.0).unwrap_or(i64::MAX);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX)
    }
}
