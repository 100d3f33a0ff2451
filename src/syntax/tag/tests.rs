//! Templates as text in, tags out.

use super::*;

/// Each fact as its own kind says, and `V` as the variable.
fn value(fact: &Fact) -> Result<String, String> {
    Ok(match fact {
        Fact::Sha => "0123456789abcdef0123456789abcdef01234567".into(),
        Fact::Branch => "feature/x".into(),
        Fact::Time => "20180923T082316Z".into(),
        Fact::Env(name) => format!("of-{name}"),
        Fact::Build => return Err("no number".into()),
        other => format!("{other:?}").to_lowercase(),
    })
}

fn variables(name: &str) -> Option<&'static str> {
    match name {
        "V" => Some("1.0"),
        "ODD" => Some("a/b"),
        _ => None,
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let found = match Template::parse(text, variables, &["V", "ODD"]) {
        Ok(template) => template.fill(value).map_or_else(|why| format!("lacks: {why}"), |filled| filled.tag),
        Err(mistakes) => {
            let told = mistakes.iter().map(|(what, hint)| match hint {
                Some(hint) => format!("{what} ({hint})"),
                None => what.clone(),
            });
            told.collect::<Vec<_>>().join("; ")
        }
    };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn facts_and_variables_are_filled_in() {
    check("latest", "latest");
    check("v{V}", "v1.0");
    check("{git.sha:12}", "0123456789ab");
    check("{git.sha}-{env.WHO}", "0123456789abcdef0123456789abcdef01234567-of-WHO");
    check("{time}", "20180923T082316Z");
    check("{build}", "lacks: no number");
    check("{git.branch}", &spelling::part("feature/x", true));
    check("{ODD}", &spelling::part("a/b", true));
}

#[test]
fn mistakes_are_told_with_what_was_meant() {
    check("{git.sah}", "there is no fact `git.sah` (did you mean `git.sha`?)");
    check("{biuld}", "there is no variable `biuld` (did you mean `build`?)");
    check("{W2}", "there is no variable `W2` (declare it: vars: {\"W2\": \"…\"})");
    check("{git.branch:4}", "`{git.branch}` cannot be cut (`{git.sha:12}` and `{key:16}` can)");
    check("{git.sha:99}", "`git.sha` has 4 to 40 digits, not `99`");
    check("{time}{time}", "`{time}` stands here twice");
    check("{", "a lone `{` (a tag can have no braces)");
    let rule = "use letters, digits, `_`, `.` and `-`, beginning with none of the last two";
    check("a b", &format!("`a b` cannot be a tag: {rule}"));
    check("a/{git.sha}", &format!("`a/{{git.sha}}` cannot be a tag: {rule}"));
    check("-{git.sha}", &format!("`-{{git.sha}}` cannot be a tag: {rule}"));
    check("", &format!("`` cannot be a tag: {rule}"));
    check(
        &"x".repeat(129),
        &format!("`{}` cannot be a tag: it is longer than 128 characters", "x".repeat(129)),
    );
}

#[test]
fn a_variable_called_like_a_fact_is_a_mistake() {
    let mistakes = Template::parse("{build}", |_| Some("7"), &["build"]).unwrap_err();
    assert_eq!(mistakes[0].0, "`{build}` is a fact in a tag, and a variable is called so too");
}

#[test]
fn a_time_is_found_between_what_surrounds_it() {
    let template = Template::parse("{git.branch}-{time}", variables, &[]).unwrap();
    let filled = template.fill_with(value, "-dirty-1").unwrap();
    let (before, behind) = filled.around_time.as_ref().unwrap();
    assert_eq!(time_in(&filled.tag, (before, behind)), Some("20180923T082316Z"));
    for not in ["20180923T082316", "20180923T08231Z6", "x20180923T082316Z", "20180923T082316é", ""] {
        assert_eq!(time_in(not, ("", "")), None, "{not}");
    }
}

#[test]
fn a_long_tag_keeps_its_time() {
    let long = Template::parse(&format!("{}-{{time}}", "{env.A}".repeat(30)), variables, &[]).unwrap();
    let filled = long.fill(value).unwrap();
    assert!(filled.tag.len() <= 128 && filled.tag.ends_with("20180923T082316Z"), "{}", filled.tag);
}

#[test]
fn globs_let_branches_in_and_take_them_out_again() {
    let lets =
        |globs: &str, name: &str| lets_in(&globs.split(' ').map(str::to_owned).collect::<Vec<_>>(), name);
    assert!(lets("main", "main") && !lets("main", "main2"));
    assert!(lets("main release/*", "release/1/x"));
    assert!(lets("!main", "dev") && !lets("!main", "main"));
    assert!(!lets("* !dev/*", "dev/x") && lets("* !dev/*", "main"));
    assert!(glob("a[").is_err());
}
