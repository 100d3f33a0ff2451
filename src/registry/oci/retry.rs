//! How long to wait before asking again.
//!
//! Numbers in, durations out; waits for nothing itself.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::registry::options::Retry;

/// The wait after so many tries. Half of it is by chance, so that many clients do not come back at one moment.
pub(super) fn pause(retry: &Retry, tries: u32) -> Duration {
    let doubled = retry.first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(retry.longest);
    // A `RandomState` is seeded by the system.
    let chance = RandomState::new().hash_one(tries) % 1000;
    doubled / 2 + (doubled / 2).mul_f64(chance as f64 / 1000.0)
}

/// The wait that `Retry-After` asks for: seconds, or a date, which we compare with the server's own clock if it shows it.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp());
    let now = headers.get(DATE).and_then(|value| date(value.to_str().ok()?));
    let until = date(text)?.duration_since(now.unwrap_or_else(jiff::Timestamp::now));
    Some(Duration::try_from(until).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn pauses_grow_and_are_bounded() {
        let retry = Retry { tries: 9, first: Duration::from_secs(1), longest: Duration::from_secs(5) };
        for (tries, most) in [(1, 1), (2, 2), (3, 4), (4, 5), (60, 5)] {
            let pause = pause(&retry, tries);
            let most = Duration::from_secs(most);
            assert!(pause >= most / 2 && pause <= most, "{tries}: {pause:?}");
        }
    }

    #[test]
    fn a_registry_may_ask_for_seconds_or_until_a_date() {
        assert_eq!(retry_after(&headers(&[("retry-after", "7")])), Some(Duration::from_secs(7)));
        let date = headers(&[
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT"),
        ]);
        assert_eq!(retry_after(&date), Some(Duration::from_secs(30)));
        let past = headers(&[("retry-after", "Sun, 06 Nov 1994 08:50:07 GMT")]);
        assert_eq!(retry_after(&past), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
        assert_eq!(retry_after(&headers(&[])), None);
    }
}
