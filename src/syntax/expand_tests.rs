//! Variables in words, as BuildKit's shell lexer expands them.

use super::*;

fn variables() -> BTreeMap<String, String> {
    let pairs = [
        ("HOME", "/home"),
        ("EMPTY", ""),
        ("FOO", "xxyy"),
        ("TWO", "a  b"),
        ("STAR", "*"),
        ("한", "글"),
        ("FILE", "/tmp/tmp/bar.txt"),
        ("LINES", "ab\ncb"),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// One word in, one text out; `ERROR` where it cannot be read.
fn check(cases: &[(&str, &str)]) {
    for (word, wanted) in cases {
        let found = Lexer::new('\\').expand(word, &variables());
        match (&found, *wanted) {
            (Err(_), "ERROR") => {}
            (Ok(found), wanted) => assert_eq!(found.text, wanted, "{word}"),
            (Err(error), _) => panic!("{word}: {error}"),
        }
    }
}

#[test]
fn quotes_and_escapes() {
    check(&[
        ("", ""),
        ("hello", "hello"),
        ("he'll'o", "hello"),
        ("he'llo", "ERROR"),
        ("he\\'llo", "he'llo"),
        ("he\\\\'llo", "ERROR"),
        ("abc\\tdef", "abctdef"),
        ("\"abc\\tdef\"", "abc\\tdef"),
        ("\"abc\\\\tdef\"", "abc\\tdef"),
        ("'abc\\tdef'", "abc\\tdef"),
        ("hello\\", "hello"),
        ("hello\\\\", "hello\\"),
        ("\"hello", "ERROR"),
        ("\"hello\\\"", "ERROR"),
        ("\"hel'lo\"", "hel'lo"),
        ("'hello\\'", "hello\\"),
        ("'hel\"lo'", "hel\"lo"),
        ("\"''\"", "''"),
        ("a\"b c\"d", "ab cd"),
        ("''", ""),
        ("\"\"", ""),
        ("한'국'어", "한국어"),
        ("<a", "<a"),
        ("<<EOF", "<<EOF"),
        ("a # b", "a # b"),
    ]);
}

#[test]
fn plain_variables() {
    check(&[
        ("$HOME", "/home"),
        ("a$HOME.b", "a/home.b"),
        ("${HOME}b", "/homeb"),
        ("$HOMEb", ""),
        ("$NOPE", ""),
        ("${NOPE}x", "x"),
        ("'$HOME'", "$HOME"),
        ("\"$HOME\"", "/home"),
        ("\\$HOME", "$HOME"),
        ("\"\\$HOME\"", "$HOME"),
        ("\\\\$HOME", "\\/home"),
        ("$", "$"),
        ("a$", "a$"),
        ("$.", "$."),
        ("$/x", "$/x"),
        ("$한", "글"),
        ("$1", ""),
        ("$1x", "x"),
        ("$12x", "x"),
        ("$@x", "x"),
        ("$$", ""),
        ("$$$$", ""),
        ("$?a$!b$-c$*d$#e", "abcde"),
        ("${@}", ""),
        ("${1:-one}", "one"),
        ("\\${}", "${}"),
        ("${}", "ERROR"),
        ("${", "ERROR"),
        ("${HOME", "ERROR"),
        ("${:}", "ERROR"),
        ("${{x}", "ERROR"),
        ("${.}", "ERROR"),
        ("${HOME}}", "/home}"),
        ("$HOME$HOME", "/home/home"),
    ]);
}

#[test]
fn modifiers() {
    check(&[
        ("${NOPE:-d}", "d"),
        ("${NOPE-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${HOME:-d}", "/home"),
        ("${HOME-d}", "/home"),
        ("${NOPE:+d}", ""),
        ("${NOPE+d}", ""),
        ("${EMPTY:+d}", ""),
        ("${EMPTY+d}", "d"),
        ("${HOME:+d}", "d"),
        ("${HOME+d}", "d"),
        ("${NOPE:-}", ""),
        ("${NOPE:-$HOME}", "/home"),
        ("${NOPE:-${NOPE2:-y}}", "y"),
        ("${NOPE:-${NOPE2-${NOPE3:-z}}}", "z"),
        ("${NOPE:-a b}", "a b"),
        ("${NOPE:-'a}b'}", "a}b"),
        ("${NOPE:-\"$HOME\"}", "/home"),
        ("${NOPE:-\\}}", "}"),
        ("${NOPE:-\\$HOME}", "$HOME"),
        ("${NOPE:-{x}", "{x"),
        ("${HOME:+${HOME}:}x", "/home:x"),
        ("${NOPE?}", "ERROR"),
        ("${NOPE:?text}", "ERROR"),
        ("${EMPTY?}", ""),
        ("${EMPTY:?}", "ERROR"),
        ("${HOME:?}", "/home"),
        ("${HOME=x}", "ERROR"),
        ("${HOME:=x}", "ERROR"),
        ("${HOME:x}", "ERROR"),
        ("${HOME:", "ERROR"),
        ("${HOME:-", "ERROR"),
        ("${HOME^^}", "ERROR"),
        ("${HOME:#x}", "ERROR"),
        ("${HOME:%x}", "ERROR"),
        ("${:-x}", "ERROR"),
    ]);
    let error = |word: &str| Lexer::new('\\').expand(word, &variables()).unwrap_err();
    assert_eq!(error("${NOPE:?say $HOME}"), "NOPE: say /home");
    assert_eq!(error("${NOPE?}"), "NOPE: is not allowed to be unset");
    assert_eq!(error("${EMPTY:?}"), "EMPTY: is not allowed to be empty");
}

#[test]
fn patterns() {
    check(&[
        ("${FOO#x}", "xyy"),
        ("${FOO#*x}", "xyy"),
        ("${FOO##*x}", "yy"),
        ("${FOO#*}", "xxyy"),
        ("${FOO##*}", ""),
        ("${FOO#}", "xxyy"),
        ("${FOO#y}", "xxyy"),
        ("${FOO#?}", "xyy"),
        ("${FOO#??y}", "y"),
        ("${FOO#*x*y}", "y"),
        ("${FOO%y}", "xxy"),
        ("${FOO%y*}", "xxy"),
        ("${FOO%%y*}", "xx"),
        ("${FOO%%x*}", ""),
        ("${FOO%}", "xxyy"),
        ("${FOO%%*}", ""),
        ("${FOO%x}", "xxyy"),
        ("${STAR#\\*}", ""),
        ("${FOO#\\*}", "xxyy"),
        ("${FOO#\\x}", "ERROR"),
        ("${FOO#$STAR}", "xxyy"),
        ("${FOO##$STAR}", ""),
        ("${NOPE#x}", ""),
        ("${FILE##*/}", "bar.txt"),
        ("${FILE%/*}", "/tmp/tmp"),
        ("${FILE%%.*}", "/tmp/tmp/bar"),
        ("${FILE#*.}", "txt"),
        ("${LINES##*b}", "\ncb"),
        ("${HOME#[a/]}", "/home"),
        ("${FOO/x/z}", "zxyy"),
        ("${FOO//x/z}", "zzyy"),
        ("${FOO/x*/z}", "z"),
        ("${FOO//y/}", "xx"),
        ("${FOO/q/z}", "xxyy"),
        ("${FOO/?/z}", "zxyy"),
        ("${FOO//?/z}", "zzzz"),
        ("${FILE//\\//-}", "-tmp-tmp-bar.txt"),
        ("${FILE/\\/tmp/}", "/tmp/bar.txt"),
        ("${FILE//tmp/$FOO}", "/xxyy/xxyy/bar.txt"),
        ("${NOPE/a/b}", ""),
        ("${FOO/$EMPTY/w}", "wxxyy"),
        ("${FOO//$EMPTY/-}", "-x-x-y-y-"),
        ("${FOO///}", "xxyy"),
        ("${FOO//x}", "ERROR"),
        ("${FOO//}", "ERROR"),
        ("${FOO/}", "ERROR"),
        ("${FOO/x/z", "ERROR"),
        ("${FOO//x/\\$0\\$\\$}", "\\x\\$\\$\\x\\$\\$yy"),
    ]);
}

#[test]
fn another_escape_character() {
    let expand = |word: &str| Lexer::new('`').expand(word, &variables()).unwrap().text;
    assert_eq!(expand("C:\\dir\\$FOO"), "C:\\dir\\xxyy");
    assert_eq!(expand("`$FOO"), "$FOO");
    assert_eq!(expand("\"a`\"b\""), "a\"b");
}

#[test]
fn words_are_split_at_blanks_that_no_quote_holds() {
    for (text, wanted) in [
        ("a b", "a|b"),
        ("  a   b ", "a|b"),
        ("a\\ b", "a b"),
        ("'a b' c", "a b|c"),
        ("$TWO", "a|b"),
        ("x${TWO}y", "xa|by"),
        ("\"$TWO\"", "a  b"),
        ("$NOPE a", "a"),
        ("80/tcp $NOPE", "80/tcp"),
        ("'' a", "a"),
        ("a << EOF", "a|<< EOF"),
        ("", ""),
    ] {
        assert_eq!(Lexer::new('\\').expand(text, &variables()).unwrap().words.join("|"), wanted, "{text}");
    }
}

#[test]
fn unset_variables_can_be_kept() {
    let lexer = Lexer { keep_unset: true, ..Lexer::new('\\') };
    for (word, wanted) in [
        ("$NOPE/$FOO", "$NOPE/xxyy"),
        ("${NOPE}", "${NOPE}"),
        ("${NOPE:-$FOO}", "${NOPE:-xxyy}"),
        ("${NOPE#x}", "${NOPE#x}"),
        ("${NOPE/a/$FOO}", "${NOPE/a/xxyy}"),
    ] {
        assert_eq!(lexer.expand(word, &variables()).unwrap().text, wanted, "{word}");
    }
}

struct Base;

impl Variables for Base {
    fn get(&self, name: &str) -> Lookup<'_> {
        match name {
            "FOO" => Lookup::Set("foo"),
            "MIXED" => Lookup::Set("\0{PATH}:/bin"),
            _ => Lookup::Unknown,
        }
    }
}

#[test]
fn what_a_base_may_set_stays_open() {
    for (word, wanted) in [
        ("$FOO", "foo"),
        ("$PATH:/x", "?{PATH}:/x"),
        ("${PATH}", "?{PATH}"),
        ("\\$PATH", "$PATH"),
        ("${PATH:-$FOO}", "?{PATH:-foo}"),
        ("${PATH-x}", "?{PATH-x}"),
        ("${PATH##*:}", "?{PATH##*:}"),
        ("${PATH/a/b}", "?{PATH/a/b}"),
        ("${PATH//a/b}", "?{PATH//a/b}"),
        ("$MIXED", "?{PATH}:/bin"),
        ("${MIXED%:*}", "?{?{PATH}:/bin%:*}"),
        ("${MIXED+x}", "x"),
        ("${MIXED:+x}", "?{?{PATH}:/bin:+x}"),
        ("${FOO#$PATH}", "?{foo#?{PATH}}"),
        ("${FOO:-$PATH}", "foo"),
    ] {
        let text = Lexer::new('\\').expand(word, &Base).unwrap().text;
        assert_eq!(text.replace(UNKNOWN, "?"), wanted, "{word}");
    }
}

#[test]
fn used_names_are_told() {
    let found = Lexer::new('\\').expand("$FOO ${NOPE:-$HOME} '$TWO'", &variables()).unwrap();
    assert_eq!(found.matched.into_iter().collect::<Vec<_>>(), ["FOO", "HOME"]);
    assert_eq!(found.unmatched.into_iter().collect::<Vec<_>>(), ["NOPE"]);
}

#[test]
fn hostile_words_end_in_an_error() {
    let deep = "${a:-".repeat(100_000) + &"}".repeat(100_000);
    assert!(Lexer::new('\\').expand(&deep, &NoVariables).is_err());
    let mut all = variables();
    all.insert("BIG".into(), "x".repeat(200_000));
    assert!(Lexer::new('\\').expand(&"$BIG".repeat(50), &all).is_err());
    assert!(Lexer::new('\\').expand(&format!("\"{}\"", "$BIG".repeat(50)), &all).is_err());
    assert!(Lexer::new('\\').expand(&format!("${{BIG//{}/y}}", "*x".repeat(1000)), &all).is_err());
    assert_eq!(Lexer::new('\\').expand("${BIG//x/yy}", &all).unwrap().text.len(), 400_000);
}

proptest::proptest! {
    #[test]
    fn nothing_panics(word in "[$(){}:+\\-?#%/a'\"\\\\* <é]{0,30}") {
        for escape in ['\\', '`'] {
            let _ = Lexer::new(escape).expand(&word, &variables());
            let _ = Lexer::new(escape).expand(&word, &Base);
        }
    }

    #[test]
    fn what_needs_no_expansion_stays(word in "[a-z0-9/._ -]{0,20}") {
        proptest::prop_assert_eq!(Lexer::new('\\').expand(&word, &NoVariables).unwrap().text, word);
    }

    #[test]
    fn a_pattern_takes_what_the_shell_takes(value in "[ab]{0,8}", pattern in "[ab*?]{0,5}") {
        // By the plainest means: try every end.
        fn matches(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern, text) {
                ([], []) => true,
                ([b'*', rest @ ..], text) => (0..=text.len()).any(|at| matches(rest, &text[at..])),
                ([b'?', rest @ ..], [_, text @ ..]) => matches(rest, text),
                ([c, rest @ ..], [d, text @ ..]) => c == d && matches(rest, text),
                _ => false,
            }
        }
        let ends: Vec<_> = (0..=value.len()).filter(|at| matches(pattern.as_bytes(), &value.as_bytes()[..*at])).collect();
        let cut = |at: Option<&usize>| value[at.copied().unwrap_or(0)..].to_owned();
        proptest::prop_assert_eq!(shell_pattern::trim_prefix(&pattern, &value, false), Ok(cut(ends.first())));
        proptest::prop_assert_eq!(shell_pattern::trim_prefix(&pattern, &value, true), Ok(cut(ends.last())));
        let starts: Vec<_> = (0..=value.len()).filter(|at| matches(pattern.as_bytes(), &value.as_bytes()[*at..])).collect();
        let cut = |at: Option<&usize>| value[..at.copied().unwrap_or(value.len())].to_owned();
        proptest::prop_assert_eq!(shell_pattern::trim_suffix(&pattern, &value, false), Ok(cut(starts.last())));
        proptest::prop_assert_eq!(shell_pattern::trim_suffix(&pattern, &value, true), Ok(cut(starts.first())));
    }
}
