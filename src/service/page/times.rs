//! Times in the words of a page: how long ago, how long it took, and the exact time beside them.
//!
//! Every time is one of UTC, as a page is read in many zones; the exact one stands in the markup for whoever asks.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

/// How long ago, with the exact time in UTC.
pub fn ago(now: Timestamp, then: Timestamp) -> Markup {
    let words = match seconds_between(then, now) {
        // A clock that was set back makes no riddle of a page.
        ..5 => "just now".to_owned(),
        past => format!("{} ago", rough(past)),
    };
    html! { time datetime=(exact(then)) title=(readable(then)) { (words) } }
}

/// The exact time in UTC, to be read.
pub fn at(then: Timestamp) -> Markup {
    html! { time datetime=(exact(then)) { (readable(then)) } }
}

/// How long something took, or has taken so far.
pub fn lasted(from: Timestamp, to: Timestamp) -> String {
    words(Duration::from_secs(u64::try_from(seconds_between(from, to)).unwrap_or_default()))
}

/// A length of time: `0 s`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub fn words(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |large: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {unit}"),
        small => format!("{large} {unit} {small} {small_unit}"),
    };
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn rough(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second().saturating_sub(from.as_second()).max(0)
}

fn exact(then: Timestamp) -> String {
    then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn readable(then: Timestamp) -> String {
    then.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_length_is_said_in_two_units_at_most() {
        let said = |seconds| words(Duration::from_secs(seconds));
        assert_eq!([said(0), said(59), said(60), said(185)], ["0 s", "59 s", "1 min", "3 min 5 s"]);
        assert_eq!([said(7800), said(86_400), said(273_600)], ["2 h 10 min", "1 d", "3 d 4 h"]);
        assert_eq!(lasted(second(100), second(90)), "0 s");
    }

    #[test]
    fn an_age_has_the_exact_time_beside_it() {
        let shown = ago(second(1_000_000_400), second(1_000_000_000)).into_string();
        assert_eq!(
            shown,
            "<time datetime=\"2001-09-09T01:46:40Z\" title=\"2001-09-09 01:46:40 UTC\">6 min ago</time>"
        );
        assert!(ago(second(0), second(900)).into_string().contains(">just now<"), "a clock set back");
    }
}
