//! Patterns of sources, as Go matches them.

use super::*;
use crate::syntax::error::Span;
use crate::syntax::reads::ReadSource;
use crate::syntax::selector::Selector;

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

fn source(text: &str) -> ReadSource {
    let (mut pattern, mut exclude, mut parents) = (String::new(), Vec::new(), false);
    for word in text.split(' ') {
        match word.strip_prefix('-') {
            Some("p") => parents = true,
            Some(word) => exclude.push(word.to_owned()),
            None => pattern = word.to_owned(),
        }
    }
    let wildcard = has_wildcards(&pattern);
    ReadSource { pattern, wildcard, exclude, parents, required: false, span: Span::default() }
}

/// What is read, `+` for a path that is and `-` for one that is not; `!` for a folder that is not walked.
fn check(text: &str, paths: &str) {
    let selector = Selector::new(&source(text)).unwrap();
    for path in paths.split_whitespace() {
        match path.split_at(1) {
            ("+", path) => assert!(selector.reads(path), "{text} must read {path}"),
            ("-", path) => assert!(!selector.reads(path), "{text} must not read {path}"),
            ("!", path) => assert!(selector.can_skip(path), "{text} must skip {path}"),
            ("/", path) => assert!(!selector.can_skip(path), "{text} must walk {path}"),
            _ => unreachable!(),
        }
    }
}

#[test]
fn a_source_selects_a_path_and_what_is_below() {
    check("a", "+a +a/b +a/b/c -b -ab -a.txt /a /a/b !b !ab");
    check("a/b", "+a/b +a/b/c -a -a/c -a/bc /a /a/b !a/c !b");
    check("", "+a +a/b /a /a/b");
    check("*.c", "+x.c +x.c/y -x.h -a/x.c !a");
    check("a/*.c", "+a/x.c -x.c -a/b/x.c -a /a !b !a/b /a/x.c");
    check("a/*/c", "+a/b/c +a/b/c/d -a/c -a/b /a /a/b !a/b/d");
    check("*", "+a +a/b");
    check("a/[^b]c", "+a//c +a/xc -a/bc /a");
}

#[test]
fn excluded_paths_are_relative_to_the_source() {
    check("a -*.o", "+a +a/x.c -a/x.o +a/b/x.o +x.o/.. /a".replace("+x.o/..", "-x.o").as_str());
    check("a -**/*.o", "+a/x.c -a/x.o -a/b/x.o");
    check("a -b", "+a -a/b -a/b/c +a/c !a/b /a/c");
    check("a -b -!b/keep", "-a/b -a/b/c +a/b/keep /a/b !a/b/other");
    // The source itself cannot be excluded (`fsutil/copy`).
    check("x.o -*.o", "+x.o");
    check("*.o -*.o", "+x.o");
    check(" -*.o", "-x.o +a/x.o");
    check("d* -*.png", "+d1 -d1/x.png +d1/y.txt +d2/e/x.png");
}

#[test]
fn parents_read_with_the_pattern_matcher() {
    check("a/b -p", "+a/b +a/b/c -a -a/c /a !b");
    check("a/**/*.c -p", "+a/x.c +a/b/c/x.c -x.c /a/b/c !b");
    check("**/*.c -p", "+x.c +a/b/x.c -a/x.h /a/b");
    check("a/b -p -a/b/*.o", "+a/b/x.c -a/b/x.o");
    check(" -p", "+a +a/b");
}

#[test]
fn bad_patterns_are_told() {
    assert!(Selector::new(&source("a[")).is_err());
    assert!(Selector::new(&source("a -b[")).is_err());
    assert!(Selector::new(&source("a -!")).is_err());
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
        if let Ok(selector) = Selector::new(&source(&pattern)) {
            let _ = (selector.reads(&name), selector.can_skip(&name));
        }
    }

    #[test]
    fn a_folder_that_is_skipped_holds_nothing_read(
        pattern in "[abc/*?]{0,6}", exclude in "!?[abc/*]{1,5}", parents: bool, path in "[abc](/[abc]){0,4}",
    ) {
        let source = ReadSource {
            pattern: crate::syntax::patterns::clean(&format!("/{pattern}"))[1..].to_owned(),
            wildcard: has_wildcards(&pattern), exclude: vec![exclude], parents, required: false, span: Span::default(),
        };
        if let Ok(selector) = Selector::new(&source) {
            for (at, _) in path.match_indices('/') {
                proptest::prop_assert!(
                    !(selector.can_skip(&path[..at]) && selector.reads(&path)),
                    "{source:?} skips {} and reads {path}", &path[..at]
                );
            }
        }
    }
}
