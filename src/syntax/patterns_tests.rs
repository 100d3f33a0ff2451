//! Patterns of ignore files, as moby matches them.

use super::*;

/// Patterns between commas; paths with `+` match, those with `-` do not.
fn check(patterns: &str, paths: &str) {
    let list: Vec<&str> = patterns.split(',').collect();
    let patterns = Patterns::new(&list).unwrap_or_else(|bad| panic!("{bad}"));
    for path in paths.split(' ').filter(|path| !path.is_empty()) {
        let (wanted, path) = (path.starts_with('+'), &path[1..]);
        assert_eq!(patterns.matches(path), wanted, "{list:?} on {path}");
        let (verdict, _) = patterns.matches_below(path, &MatchInfo::default());
        assert_eq!(verdict, wanted, "{list:?} jumping to {path}");
    }
}

#[test]
fn one_pattern() {
    check("abc", "+abc +abc/d -ab -abcd -x/abc");
    check("a/b", "+a/b +a/b/c -a -b");
    check("*", "+a +a/b +.git");
    check("**", "+a +a/b/c");
    check("**/", "+a +a/b/c");
    check("**/*", "+a +a/b/c");
    check("*.c", "+x.c -a/x.c +x.c/y -x.h");
    check("**/*.c", "+x.c +a/x.c +a/b/x.c -a/x.h");
    check("a/**", "+a/b +a/b/c -a -b");
    check("a/**/", "+a/b -a");
    check("a/**/b", "+a/b +a/x/b +a/x/y/b -a/xb -b");
    check("**/b", "+b +a/b +a/c/b +a/b/c -ab -a/bc");
    check("**b", "+b +ab +a/b +a/xb -a/bc");
    check("**/.git", "+.git +a/.git +a/.git/config -a.git");
    check("a**", "+a +ab +a/b -b");
    check("a**b", "+ab +a/b -axb +a/x/b");
    check("*/*", "+a/b +a/b/c -a");
    check("*/b", "+a/b -b -a/c/b");
    check("?", "+a -ab +a/b");
    check("a?c", "+abc -ac -a/c");
    check("[ab]", "+a +b -c +a/x");
    check("[^ab]", "-a +c");
    check("[a-c]x", "+bx -dx");
    check("a[/]b", "+a/b");
    check("a\\*b", "+a*b -axb");
    check("a\\?b", "+a?b -axb");
    check("a\\[b", "+a[b");
    check("a]b", "+a]b");
    check("a.b", "+a.b -axb");
    check("a.b*", "+a.bc -axbc");
    check("a+b*", "+a+bx -aab");
    check("(a|b)*", "+(a|b)x -ax");
    check("a{1}*", "+a{1} -a");
    check("$a*", "+$ab");
    check("é*", "+éa -e");
    check("?", "+é");
    check("./a", "+a");
    check("a/./b/../c", "+a/c");
    check("a//b/", "+a/b");
    check("../a", "-a");
    check(" a ", "+a");
    check("", "-a");
    check("dir/*.txt", "+dir/a.txt -dir/sub/a.txt -a.txt");
    check("**/dir2/*", "+dir2/a +x/dir2/a +x/y/dir2/a/b -dir2");
    check("**/**/*.txt", "+a.txt +a/b/c.txt");
    check("a/**/*.txt", "+a/x.txt +a/b/c.txt -x.txt");
    check("**/a/**", "+a/b +x/a/b -a -x/a");
}

#[test]
fn a_regular_expression_shines_through() {
    // moby builds a Go expression and escapes neither `^` nor `\d`.
    check("^a*", "+ab");
    check("a^b*", "-a^bc -abc");
    check("^a", "+^a -a");
    check("\\d*", "+1a -da");
    check("[\\d]x", "+1x -dx");
    check("\\w", "+a +_ --");
    assert!(Patterns::new(&["\\q*"]).is_err());
    assert!(Patterns::new(&["[b-a]"]).is_err());
    assert!(Patterns::new(&["a\\"]).is_err());
}

#[test]
fn the_last_word_counts() {
    check("**,!a", "-a -a/b +b");
    check("*,!a", "-a -a/b +b");
    check("*,!a/b", "+a -a/b -a/b/c +a/c");
    check("*,!a,a/b", "-a -a/c +a/b +b");
    check("a,!a/b,a/b/c", "+a -a/b +a/b/c -a/b/d");
    check("!a", "-a -b");
    check("!a,a", "+a");
    check("a,!a", "-a -a/b");
    check("*.md,!README.md", "+x.md -README.md");
    check("*.md,!README*.md,README-secret.md", "-README.md +README-secret.md +x.md");
    check("**/*.log,!keep/**", "+a.log -keep/a.log +b/keep/a.log");
    check("**,!dist/*.whl", "+dist -dist/x.whl +dist/x.txt");
    check("!a/b,a", "+a/b");
    check("a/*,!a/b/c", "+a/b -a/b/c +a/x");
}

#[test]
fn the_walk_decides_where_moby_contradicts_itself() {
    let patterns = Patterns::new(&["?/b", "!a"]).unwrap();
    assert!(patterns.matches("a/b"));
    assert!(!patterns.matches_below("a/b", &MatchInfo::default()).0);
}

#[test]
fn an_ignored_folder_is_walked_only_if_something_may_be_excepted() {
    for (patterns, dir, skipped) in [
        ("a", "a", true),
        ("a", "a/b", true),
        ("a", "b", false),
        ("a,!a/b", "a", false),
        ("a,!a/b", "a/c", true),
        ("a,!b", "a", true),
        ("a,!ab", "a", true),
        ("*,!a/b/c", "a", false),
        ("*,!a/b/c", "a/b", false),
        ("*,!a/b/c", "x", true),
        ("a,!**/keep", "a", false),
        ("a,!*.txt", "a", false),
        ("a,!a/*", "a", false),
        ("a,!b/*", "a", true),
        ("a,!b/**", "a", true),
        ("**/node_modules", "x/node_modules", true),
        ("a,!a", "a", false),
    ] {
        let list: Vec<&str> = patterns.split(',').collect();
        assert_eq!(Patterns::new(&list).unwrap().can_skip(dir), skipped, "{patterns} on {dir}");
    }
}

#[test]
fn bad_patterns_are_found() {
    for (index, list) in
        [(0, vec!["["]), (1, vec!["a", "[^"]), (0, vec!["!"]), (1, vec!["", "a["]), (0, vec!["[]"])]
    {
        assert_eq!(Patterns::new(&list).map_err(|bad| bad.index), Err(index), "{list:?}");
    }
}

#[test]
fn paths_are_cleaned_as_in_go() {
    for (path, wanted) in [
        ("", "."),
        (".", "."),
        ("./", "."),
        ("a", "a"),
        ("a/", "a"),
        ("a//b", "a/b"),
        ("a/./b", "a/b"),
        ("a/..", "."),
        ("a/../..", ".."),
        ("../a", "../a"),
        ("/", "/"),
        ("//", "/"),
        ("/..", "/"),
        ("/../a", "/a"),
        ("/a/../b", "/b"),
        ("../../a/b/..", "../../a"),
    ] {
        assert_eq!(clean(path), wanted, "{path}");
    }
}

#[test]
fn hostile_patterns_take_no_time() {
    let patterns = Patterns::new(&["**/a*".repeat(60) + "b"]).unwrap();
    assert!(!patterns.matches(&"a/".repeat(300)));
    let many: Vec<String> = (0..2000).map(|n| format!("**/x{n}/*/y")).collect();
    assert!(!Patterns::new(&many).unwrap().matches("a/b/c/d"));
}

proptest::proptest! {
    #[test]
    fn nothing_panics(list in proptest::collection::vec(".{0,20}", 0..4), path in ".{0,30}") {
        if let Ok(patterns) = Patterns::new(&list) {
            let _ = (patterns.matches(&path), patterns.can_skip(&path));
        }
    }

    #[test]
    fn a_folder_that_is_skipped_holds_nothing_kept(list in proptest::collection::vec("!?[ab*/?]{1,6}", 0..5), path in "[ab](/[ab]){0,4}") {
        let Ok(patterns) = Patterns::new(&list) else { return Ok(()) };
        let verdict = patterns.matches(&path);
        for (at, _) in path.match_indices('/') {
            if patterns.can_skip(&path[..at]) {
                proptest::prop_assert!(verdict, "{:?} skips {} and keeps {}", list, &path[..at], path);
            }
        }
    }
}
