//! From any value to the characters that a tag can have.
//!
//! A tag has up to 128 of letters, digits, `_`, `.` and `-`, and begins with none
//! of the last two. A value of those alone stays as it is. Any other is made of
//! them and ends in a mark: a dash and the first digits of its hash. A value that
//! looks marked by itself is marked too, so two values that differ are never
//! spelled alike, but for two hashes that agree in `DIGITS` digits.

use crate::model::hash::FieldHasher;

/// The most characters of a tag.
pub const MOST: usize = 128;

/// Hexadecimal digits of a mark.
const DIGITS: usize = 10;

/// A value as a part of a tag; `first` when the tag begins with it.
pub fn part(value: &str, first: bool) -> String {
    let spelled: String = value
        .chars()
        .enumerate()
        .map(|(at, c)| match c {
            c if c.is_ascii_alphanumeric() || c == '_' => c,
            _ if first && at == 0 => '_',
            '.' => '.',
            _ => '-',
        })
        .collect();
    if spelled == value && value.len() <= MOST && !is_marked(value) {
        return spelled;
    }
    marked(&spelled, value, MOST)
}

/// A tag cut to `room` where it is longer; all in it can stand in a tag already.
pub fn fit(tag: &str, room: usize) -> String {
    if tag.len() < room || (tag.len() == room && !is_marked(tag)) {
        return tag.to_owned();
    }
    marked(tag, tag, room)
}

fn marked(spelled: &str, value: &str, room: usize) -> String {
    let kept = spelled.len().min(room.saturating_sub(DIGITS + 1));
    let hash = FieldHasher::new("imk tag v1").field(value).finish();
    format!("{}-{}", &spelled[..kept], hash.short(DIGITS))
}

fn is_marked(text: &str) -> bool {
    let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    text.len()
        .checked_sub(DIGITS + 1)
        .and_then(|at| text.as_bytes().get(at..))
        .is_some_and(|end| end[0] == b'-' && end[1..].iter().copied().all(digit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::name::check_tag;

    #[test]
    fn what_fits_stays_and_what_does_not_is_marked() {
        for fits in ["main", "v1.2.3", "release-20240101", "a_b", "x-deadbeef"] {
            assert_eq!(part(fits, true), fits);
        }
        for (value, first, spelled) in [
            ("feature/x#1", true, "feature-x-1-"),
            (".hidden", true, "_hidden-"),
            ("/x", true, "_x-"),
            ("/x", false, "-x-"),
            ("é", true, "_-"),
            ("a-0123456789", true, "a-0123456789-"),
        ] {
            let found = part(value, first);
            assert_eq!(found.len(), spelled.len() + DIGITS, "{found}");
            assert!(found.starts_with(spelled), "{found}");
        }
        assert_eq!(part(".5", false), ".5");
    }

    #[test]
    fn a_long_one_is_cut_and_keeps_what_tells_it_apart() {
        let (one, two) = (part(&"x".repeat(200), true), part(&"x".repeat(201), true));
        assert_eq!((one.len(), two.len()), (MOST, MOST));
        assert_ne!(one, two);
        assert_eq!(fit(&"x".repeat(128), MOST), "x".repeat(128));
    }

    /// Values that are near each other and near what is made of them.
    fn values() -> impl Strategy<Value = String> {
        let branch = "[a-c./#_é-]{1,8}";
        let mark = "[a-b/]{1,2}-[0-9a-f]{10}";
        let long = "[ab/]{120,135}";
        let other_made = branch.prop_map(|value| part(&value, true));
        prop_oneof![branch, mark, long, other_made, any::<String>().prop_filter("empty", |s| !s.is_empty())]
    }

    proptest! {
        #[test]
        fn every_value_makes_a_tag_and_no_two_make_the_same(one in values(), two in values()) {
            let (a, b) = (part(&one, true), part(&two, true));
            prop_assert_eq!(check_tag(&a), Ok(()), "{:?}", one);
            prop_assert!(one == two || a != b, "{:?} and {:?} are both {}", one, two, a);
            let (a, b) = (format!("x{}", part(&one, false)), format!("x{}", part(&two, false)));
            prop_assert!(one == two || a != b, "{:?} and {:?} are both {}", one, two, a);
            prop_assert_eq!(check_tag(&fit(&a, MOST)), Ok(()));
        }

        #[test]
        fn cut_tags_stay_apart(one in "[ab]{110,140}", two in "[ab]{110,140}", mark in "[0-9a-f]{10}") {
            let near = format!("{}-{mark}", "a".repeat(MOST - DIGITS - 1));
            for (one, two) in [(&one, &two), (&one, &near), (&fit(&one, MOST), &one)] {
                prop_assert!(one == two || one.len() <= MOST && fit(two, MOST) == *one || fit(one, MOST) != fit(two, MOST));
            }
            prop_assert_ne!(fit(&near, MOST), near);
        }
    }
}
