//! Patterns of sources, as Go matches them.

use super::*;

#[test]
fn names_match_as_in_go() {
    for (pattern, name, wanted) in [
        ("abc", "abc", Some(true)),
        ("abc", "ab", Some(false)),
        ("abc", "abcd", Some(false)),
        ("", "", Some(true)),
        ("", "a", Some(false)),
        ("*", "", Some(true)),
        ("*", "abc", Some(true)),
        ("*", "a/b", Some(false)),
        ("**", "abc", Some(true)),
        ("**", "a/b", Some(false)),
        ("*c", "abc", Some(true)),
        ("a*", "a", Some(true)),
        ("a*", "ab/c", Some(false)),
        ("a*/b", "abc/b", Some(true)),
        ("a*/b", "a/c/b", Some(false)),
        ("*/*", "a/b", Some(true)),
        ("*/*", "a", Some(false)),
        ("*/*/", "a/b", Some(false)),
        ("*.go", "main.go", Some(true)),
        ("*.go", ".go", Some(true)),
        (".*", ".git", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", Some(true)),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", Some(false)),
        ("a*b?c*x", "abxbbxdbxebxczzx", Some(true)),
        ("a*b?c*x", "abxbbxdbxebxczzy", Some(false)),
        ("ab[c]", "abc", Some(true)),
        ("ab[b-d]", "abc", Some(true)),
        ("ab[e-g]", "abc", Some(false)),
        ("ab[^c]", "abc", Some(false)),
        ("ab[^e-g]", "abc", Some(true)),
        ("a[^x]b", "a/b", Some(true)),
        ("a[.-0]b", "a/b", Some(true)),
        ("[d-a]", "b", Some(false)),
        ("a\\*b", "a*b", Some(true)),
        ("a\\*b", "ab", Some(false)),
        ("a?b", "a☺b", Some(true)),
        ("a???b", "a☺b", Some(false)),
        ("?", "/", Some(false)),
        ("[a-ζ]*", "α", Some(true)),
        ("*[a-ζ]", "A", Some(false)),
        ("[\\]a]", "]", Some(true)),
        ("[\\-]", "-", Some(true)),
        ("[x\\-]", "-", Some(true)),
        ("[[]x", "[x", Some(true)),
        ("arr[[]0].txt", "arr[0].txt", Some(true)),
        ("[!a]", "!", Some(true)),
        ("[!a]", "b", Some(false)),
        ("*x", "xxx", Some(true)),
        ("*☺", "a☺", Some(true)),
        ("{a,b}", "a", Some(false)),
        ("{a,b}", "{a,b}", Some(true)),
        ("[]a]", "]", None),
        ("[-]", "-", None),
        ("[x-]", "x", None),
        ("[a-b-c]", "a", None),
        ("[", "a", None),
        ("[^", "a", None),
        ("[^bc", "a", None),
        ("a[", "a", None),
        ("a[", "ab", None),
        ("zzz[", "a", None),
        ("\\", "a", None),
        ("b\\", "a", None),
    ] {
        assert_eq!(matches(pattern, name).ok(), wanted, "{pattern} on {name}");
    }
}

#[test]
fn the_part_before_a_wildcard() {
    for (pattern, prefix, wild) in [
        ("", "", false),
        ("a", "a", false),
        ("a/b/", "a/b", false),
        ("a/b*/c", "a", true),
        ("*/a", "", true),
        ("a/b/[c]", "a/b", true),
        ("a?b/c", "", true),
        ("a/\\*b/c", "a/\\*b/c", false),
        ("a\\\\*", "", true),
    ] {
        assert_eq!((static_prefix(pattern), has_wildcards(pattern)), (prefix, wild), "{pattern}");
    }
}

#[test]
fn bad_patterns_are_told() {
    assert!(check("a[").is_err());
    assert!(check("a[]").is_err());
}

#[test]
fn hostile_patterns_take_no_time() {
    let pattern = "*a".repeat(3000) + "b";
    let name = "a".repeat(20_000);
    assert_eq!(matches(&pattern, &name), Ok(false));
}

proptest::proptest! {
    #[test]
    fn nothing_panics(pattern in ".{0,40}", name in ".{0,40}") {
        let _ = matches(&pattern, &name);
        let _ = static_prefix(&pattern);
    }
}
