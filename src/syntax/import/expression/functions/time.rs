//! Functions of points in time that are given to them. The clock itself is not asked: see `timestamp`.
//!
//! Follows go-cty's `datetime` and Go's durations. Knows RFC 3339 alone.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::{SignedDuration, Timestamp};

use super::args::{Answer, Args, Function};
use crate::syntax::import::expression::value::Value;

pub(super) const TABLE: &[Function] = &[
    ("formatdate", 2, 2, |a| Moment::read(&a.text(1)?)?.formatted(&a.text(0)?).map(Value::Text)),
    ("formattimestamp", 2, 2, |a| {
        let moment = moment(a, 1)?;
        match a.text(0)?.as_str() {
            "X" => Ok(moment.seconds()?.to_string().into()),
            format => moment.formatted(format).map(Value::Text),
        }
    }),
    ("timeadd", 2, 2, |a| {
        let (moment, by) = (Moment::read(&a.text(0)?)?, duration(&a.text(1)?)?);
        let time = moment.time.checked_add(by).map_err(|_| "the result is too far away".to_owned())?;
        Ok(Moment { time, ..moment }.shown().into())
    }),
    ("unixtimestampparse", 1, 1, parts),
];

/// A time of day somewhere, and how far that is from UTC.
struct Moment {
    time: DateTime,
    /// Minutes.
    offset: i64,
}

/// A text in RFC 3339, or seconds since 1970.
fn moment(a: &Args<'_>, at: usize) -> Result<Moment, String> {
    if matches!(a.any(at), Value::Text(_)) {
        Moment::read(&a.text(at)?)
    } else {
        Moment::of_seconds(a.whole(at)?)
    }
}

impl Moment {
    fn read(text: &str) -> Result<Self, String> {
        Self::parts(text).ok_or_else(|| format!("`{text}` is no time such as 2006-01-02T15:04:05Z"))
    }

    fn parts(text: &str) -> Option<Self> {
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to)?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i16>().ok())?
        };
        let marks = [(4, "-"), (7, "-"), (10, "T"), (13, ":"), (16, ":")];
        if !marks.iter().all(|(at, mark)| text.get(*at..*at + 1) == Some(mark)) {
            return None;
        }
        let small = |from: usize, to: usize| number(from, to).and_then(|number| i8::try_from(number).ok());
        let mut rest = text.get(19..)?;
        let mut nanoseconds = 0;
        if let Some(fraction) = rest.strip_prefix('.') {
            let count = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, after) = fraction.split_at(count);
            nanoseconds = format!("{digits:0<9}").get(..9)?.parse().ok().filter(|_| count > 0)?;
            rest = after;
        }
        let offset = match rest.as_bytes() {
            b"Z" => 0,
            [sign @ (b'+' | b'-'), hours @ .., b':', m1, m2] if hours.len() == 2 && rest.is_ascii() => {
                let hours: i64 = std::str::from_utf8(hours).ok()?.parse().ok().filter(|hours| *hours < 24)?;
                let minutes: i64 = std::str::from_utf8(&[*m1, *m2]).ok()?.parse().ok().filter(|m| *m < 60)?;
                (hours * 60 + minutes) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => return None,
        };
        let (year, month, day) = (number(0, 4)?, small(5, 7)?, small(8, 10)?);
        let (hour, minute, second) = (small(11, 13)?, small(14, 16)?, small(17, 19)?);
        let time = DateTime::new(year, month, day, hour, minute, second, nanoseconds).ok()?;
        Some(Self { time, offset })
    }

    fn of_seconds(seconds: i64) -> Result<Self, String> {
        let far = |_| "the time is too far away".to_owned();
        let time = Timestamp::from_second(seconds).map_err(far)?.to_zoned(jiff::tz::TimeZone::UTC).datetime();
        Ok(Self { time, offset: 0 })
    }

    fn seconds(&self) -> Result<i64, String> {
        let utc = self.time.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| error.to_string())?;
        Ok(utc.timestamp().as_second() - self.offset * 60)
    }

    /// The offset, with a colon or without.
    fn zone(&self, colon: &str) -> String {
        let sign = if self.offset < 0 { '-' } else { '+' };
        format!("{sign}{:02}{colon}{:02}", self.offset.abs() / 60, self.offset.abs() % 60)
    }

    fn shown(&self) -> String {
        let zone = if self.offset == 0 { "Z".to_owned() } else { self.zone(":") };
        format!("{}{zone}", self.time.strftime("%Y-%m-%dT%H:%M:%S"))
    }

    /// In a form such as `YYYY-MM-DD'T'hh:mm`.
    fn formatted(&self, format: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = format;
        while let Some(first) = rest.chars().next() {
            if first == '\'' {
                let (text, after) = quoted(rest).ok_or("a quote of the format is not closed")?;
                out.push_str(&text);
                rest = after;
                continue;
            }
            let same = rest.find(|c| c != first).unwrap_or(rest.len());
            let same = if first.is_ascii_alphabetic() { same } else { first.len_utf8() };
            let (token, after) = rest.split_at(same);
            rest = after;
            match self.verb(token) {
                _ if !first.is_ascii_alphabetic() => out.push(first),
                Some(text) => out.push_str(&text),
                None => return Err(format!("`{token}` is no verb of a format")),
            }
        }
        Ok(out)
    }

    fn verb(&self, token: &str) -> Option<String> {
        let strftime = |format: &str| Some(self.time.strftime(format).to_string());
        match token {
            "YYYY" => strftime("%Y"),
            "YY" => strftime("%y"),
            "M" => strftime("%-m"),
            "MM" => strftime("%m"),
            "MMM" => strftime("%b"),
            "MMMM" => strftime("%B"),
            "D" => strftime("%-d"),
            "DD" => strftime("%d"),
            "EEE" => strftime("%a"),
            "EEEE" => strftime("%A"),
            "h" => strftime("%-H"),
            "hh" => strftime("%H"),
            "H" => strftime("%-I"),
            "HH" => strftime("%I"),
            "AA" => strftime("%p"),
            "aa" => strftime("%P"),
            "m" => strftime("%-M"),
            "mm" => strftime("%M"),
            "s" => strftime("%-S"),
            "ss" => strftime("%S"),
            "Z" | "ZZZ" if self.offset == 0 => Some(if token == "Z" { "Z" } else { "UTC" }.to_owned()),
            "Z" | "ZZZZZ" => Some(self.zone(":")),
            "ZZZ" | "ZZZZ" => Some(self.zone("")),
            _ => None,
        }
    }
}

/// A quoted part of a format, with two quotes for one; and what comes after it.
fn quoted(text: &str) -> Option<(String, &str)> {
    if let Some(after) = text.strip_prefix("''") {
        return Some(("'".into(), after));
    }
    let (mut out, mut rest) = (String::new(), text.strip_prefix('\'')?);
    loop {
        let (before, after) = rest.split_once('\'')?;
        out.push_str(before);
        match after.strip_prefix('\'') {
            Some(more) => {
                out.push('\'');
                rest = more;
            }
            None => return Some((out, after)),
        }
    }
}

/// A duration as Go writes it: `1h30m`, `-1.5s`.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("`{text}` is no duration such as 1h30m");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    let mut nanoseconds: i128 = 0;
    while !rest.is_empty() || nanoseconds == 0 && text.len() < 2 {
        let count = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let (digits, after) = rest.split_at(count);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit: i128 = match unit {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(wrong()),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let number = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<i128>().ok() };
        let scale = 10_i128.checked_pow(u32::try_from(fraction.len()).unwrap_or(u32::MAX));
        let (Some(whole), Some(part), Some(scale), false) =
            (number(whole), number(fraction), scale, digits.is_empty() || digits == ".")
        else {
            return Err(wrong());
        };
        let part = part.checked_mul(unit).ok_or_else(wrong)? / scale;
        nanoseconds = whole
            .checked_mul(unit)
            .and_then(|n| n.checked_add(part)?.checked_add(nanoseconds))
            .ok_or_else(wrong)?;
        rest = after;
    }
    let nanoseconds = if negative { -nanoseconds } else { nanoseconds };
    i64::try_from(nanoseconds).map(SignedDuration::from_nanos).map_err(|_| wrong())
}

fn parts(a: &Args<'_>) -> Answer {
    let moment = Moment::of_seconds(a.whole(0)?)?;
    let (time, week) = (moment.time, moment.time.date().iso_week_date());
    let number = |number: i16| Value::from(i64::from(number));
    let small = |number: i8| Value::from(i64::from(number));
    let name = |format: &str| Value::from(time.strftime(format).to_string());
    let parts = [
        ("year", number(time.year())),
        ("year_day", number(time.date().day_of_year())),
        ("day", small(time.day())),
        ("month", small(time.month())),
        ("month_name", name("%B")),
        ("weekday", small(time.date().weekday().to_sunday_zero_offset())),
        ("weekday_name", name("%A")),
        ("hour", small(time.hour())),
        ("minute", small(time.minute())),
        ("second", small(time.second())),
        ("rfc3339", moment.shown().into()),
        ("iso_year", number(week.year())),
        ("iso_week", small(week.week())),
    ];
    Ok(Value::Object(
        parts.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<BTreeMap<_, _>>(),
    ))
}
