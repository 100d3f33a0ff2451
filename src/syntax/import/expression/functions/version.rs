//! `semvercmp`: whether a version satisfies a constraint.
//!
//! Follows Masterminds' semver, which is more lenient than the standard: `v1.2` is a version, `1.x` a constraint.

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease, Version};

use super::args::{Answer, Args};

/// One comparison, such as `>=1.2`.
struct Comparison {
    operator: String,
    version: Version,
    /// Parts that were left out, or were `x`.
    open: Open,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Patch,
    Minor,
    Everything,
}

pub(super) fn semvercmp(a: &Args<'_>) -> Answer {
    let (version, constraint) = (a.text(0)?, a.text(1)?);
    let (version, open) = parse(&version).ok_or_else(|| format!("`{version}` is no version"))?;
    if open == Open::Everything {
        return Err("`x` is no version".into());
    }
    let mut holds = false;
    for group in constraint.split("||") {
        let group = comparisons(group).ok_or_else(|| format!("`{constraint}` is no constraint"))?;
        // A version before its release is meant only by a constraint that names one.
        let early = group.iter().any(|one| !one.version.pre.is_empty());
        let allowed = version.pre.is_empty() || early;
        holds |= allowed && group.iter().all(|one| one.holds(&version));
    }
    Ok(holds.into())
}

/// A version, some of whose parts may be left out or open.
fn parse(text: &str) -> Option<(Version, Open)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = text.split_once('+').unwrap_or((text, ""));
    let (numbers, early) = text.split_once('-').unwrap_or((text, ""));
    let (mut parts, mut open, mut count) = ([0_u64; 3], None, 0);
    for part in numbers.split('.') {
        if count >= 3 {
            return None;
        }
        if matches!(part, "x" | "X" | "*") {
            open = open.or(Some(count));
        } else {
            let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
            parts[count] = part.parse().ok().filter(|_| plain)?;
        }
        count += 1;
    }
    let open = match open.unwrap_or(count).min(count) {
        0 => Open::Everything,
        1 => Open::Minor,
        2 => Open::Patch,
        _ => Open::Nothing,
    };
    let [major, minor, patch] = parts;
    let (pre, build) = (Prerelease::new(early).ok()?, BuildMetadata::new(build).ok()?);
    let version = match open {
        Open::Everything => Version { pre, build, ..Version::new(0, 0, 0) },
        Open::Minor => Version { pre, build, ..Version::new(major, 0, 0) },
        Open::Patch => Version { pre, build, ..Version::new(major, minor, 0) },
        Open::Nothing => Version { major, minor, patch, pre, build },
    };
    Some((version, open))
}

/// Comparisons that must hold together; `1.2 - 1.4` is two of them.
fn comparisons(group: &str) -> Option<Vec<Comparison>> {
    let group = group.replace(',', " ");
    let words: Vec<&str> = group.split_whitespace().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words.get(at + 1) == Some(&"-") {
            found.push(comparison(">=", words[at])?);
            found.push(comparison("<=", words.get(at + 2)?)?);
            at += 3;
            continue;
        }
        let end = words[at].find(|c: char| !"=!<>~^".contains(c)).unwrap_or(words[at].len());
        let (operator, version) = words[at].split_at(end);
        at += 1;
        let version = if version.is_empty() && at < words.len() {
            at += 1;
            words[at - 1]
        } else {
            version
        };
        found.push(comparison(operator, version)?);
    }
    if found.is_empty() {
        found.push(comparison("", "*")?);
    }
    Some(found)
}

fn comparison(operator: &str, version: &str) -> Option<Comparison> {
    let known =
        matches!(operator, "" | "=" | "!=" | ">" | "<" | ">=" | "=>" | "<=" | "=<" | "~" | "~>" | "^");
    let (version, open) = parse(version).filter(|_| known)?;
    Some(Comparison { operator: operator.to_owned(), version, open })
}

impl Comparison {
    fn holds(&self, other: &Version) -> bool {
        let (own, open) = (&self.version, self.open);
        let order = other.cmp_precedence(own);
        let same_major = other.major == own.major;
        let same_minor = same_major && other.minor == own.minor;
        let tilde = || {
            let everything = *own == Version::new(0, 0, 0) && !matches!(open, Open::Minor | Open::Patch);
            order.is_ge() && (everything || same_major && (same_minor || open == Open::Minor))
        };
        match self.operator.as_str() {
            "" | "=" if open == Open::Nothing => order.is_eq(),
            "" | "=" | "~" | "~>" => tilde(),
            "!=" => match open {
                Open::Nothing => order.is_ne(),
                Open::Patch => !same_minor,
                Open::Minor => !same_major,
                Open::Everything => other.cmp_precedence(own) != Ordering::Equal,
            },
            ">" => match open {
                Open::Nothing | Open::Everything => order.is_gt(),
                Open::Minor => other.major > own.major,
                Open::Patch => (other.major, other.minor) > (own.major, own.minor),
            },
            "<" => order.is_lt(),
            ">=" | "=>" => order.is_ge(),
            "<=" | "=<" => match open {
                Open::Nothing => order.is_le(),
                Open::Minor => other.major <= own.major,
                Open::Patch | Open::Everything => (other.major, other.minor) <= (own.major, own.minor),
            },
            "^" => {
                let within = if own.major > 0 || matches!(open, Open::Minor | Open::Everything) {
                    same_major
                } else if own.minor > 0 || open == Open::Patch {
                    same_minor
                } else {
                    same_minor && other.patch == own.patch
                };
                order.is_ge() && within
            }
            _ => false,
        }
    }
}
