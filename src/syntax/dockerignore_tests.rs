//! Ignore files in, verdicts out.

use super::*;
use crate::syntax::reads::ReadSource;

fn patterns(text: &str) -> String {
    match parse(text) {
        Ok(file) => Vec::from(file).join(" "),
        Err(errors) => {
            let all: Vec<_> = errors
                .iter()
                .map(|error| {
                    let (line, column) = error.span.line_and_column(text);
                    format!("{line}:{column} {}", error.message)
                })
                .collect();
            all.join("; ")
        }
    }
}

#[test]
fn lines_are_read_as_moby_reads_them() {
    for (text, wanted) in [
        ("", ""),
        ("\n\n", ""),
        ("a\nb", "a b"),
        ("a\r\nb\r\n", "a b"),
        ("\u{feff}a\nb", "a b"),
        ("# a\nb", "b"),
        (" # a", "# a"),
        ("#a\n!#b", "!#b"),
        ("  a  \n\tb", "a b"),
        ("/a\n/a/b/", "a a/b"),
        ("/", "/"),
        ("//a", "a"),
        ("./a\na/../b\n../c", "a b ../c"),
        ("/../a", "a"),
        ("!a\n! b\n!/c/", "!a !b !c"),
        ("a/**/b/", "a/**/b"),
        ("*.md\n!README.md", "*.md !README.md"),
        ("[", "1:1 bad pattern `[` in .dockerignore"),
        (
            "a\n  [x\nb\n!\n",
            "2:3 bad pattern `[x` in .dockerignore; 4:1 `!` needs a pattern behind it in .dockerignore",
        ),
    ] {
        assert_eq!(patterns(text), wanted, "{text:?}");
    }
}

#[test]
fn an_empty_file_ignores_nothing() {
    let file = parse("# nothing\n").unwrap();
    assert!(file.is_empty() && !file.matches("a") && !file.can_skip("a"));
}

#[test]
fn a_file_survives_being_stored() {
    let file = parse("*\n!a/b\n").unwrap();
    let text = serde_json::to_string(&file).unwrap();
    assert_eq!(serde_json::from_str::<Dockerignore>(&text).unwrap(), file);
}

#[test]
fn a_source_that_is_ignored_can_never_be_found() {
    for (text, pattern, hidden) in [
        ("a", "a", true),
        ("a", "a/b", true),
        ("a", "b", false),
        ("a\n!a/b", "a/c", false),
        ("*", "", true),
        ("**", "", true),
        ("a", "", false),
        ("*", "x*", false),
    ] {
        let source = ReadSource {
            pattern: pattern.into(),
            wildcard: true,
            exclude: Vec::new(),
            include: None,
            required: true,
            span: Span::default(),
        };
        assert_eq!(parse(text).unwrap().hides(&source), hidden, "{text:?} {pattern}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_panics(text in "[ab*!#/\\[\\]\\\\ \\r\\n.?^-]{0,40}", path in "[ab/.]{0,12}") {
        if let Ok(file) = parse(&text) {
            let _ = (file.matches(&path), file.can_skip(&path));
        }
    }
}

#[test]
fn the_line_with_the_last_word_is_told() {
    let text = "# comment\n*.log\n\n docs/ \n!docs/keep\ndocs/keep/out\n";
    let told = |path| deciding(text, path).map(|(line, pattern)| format!("{line} {pattern}"));
    assert_eq!(told("a.log").as_deref(), Some("2 *.log"));
    assert_eq!(told("docs/a/b").as_deref(), Some("4 docs/"));
    assert_eq!(told("docs/keep/out").as_deref(), Some("6 docs/keep/out"));
    assert_eq!(told("docs/keep/in"), None);
    assert_eq!(told("src/a"), None);
}
