//! Formatting of Imagefiles: what changes, what stays, and that nothing is lost.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::syntax::imagefile::read;

#[track_caller]
fn formatted(text: &str) -> String {
    let once = format(text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
    let twice = format(&once, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{once}\n{errors:#?}"));
    assert_eq!(once, twice, "of\n{text}");
    once
}

#[test]
fn spaces_commas_and_empty_lines_are_put_in_order() {
    let text = "#![enable(implicit_some)]\n\n\n( prefix :\"a/\",\n  images: {\n\n\"web\":(context:\"web\" ,),\n\n\n  \
                \"api\" : ( tags:[ \"a\",\"b\", ], secrets: {\"t\": Env ( \"T\" )} )})";
    insta::assert_snapshot!(formatted(text), @r#"
    #![enable(implicit_some)]

    (prefix: "a/",
        images: {
            "web": (context: "web"),

            "api": (tags: ["a", "b"], secrets: {"t": Env("T")}),
        })
    "#);
}

#[test]
fn keys_get_the_names_that_they_have_now() {
    let text = r#"(defaults: (needs: "gpu"), images: {"needs": (args: {"needs": "needs"}, /* needs */ needs: ["a"])})"#;
    insta::assert_snapshot!(formatted(text), @r#"(defaults: (engine_labels: "gpu"), images: {"needs": (args: {"needs": "needs"}, /* needs */ engine_labels: ["a"])})"#);
}

#[test]
fn comments_stay_where_they_are() {
    let text = r#"
// What we build.
(
      // first
  images: { // all of them
    "web": (), // the site
    "api": (   // the service
        context: "api" // its folder
        , target: /* not test */ "prod" // last
    )
    // nothing more
  } /* the end */
) // really
"#;
    insta::assert_snapshot!(formatted(text), @r#"
    // What we build.
    (
        // first
        images: { // all of them
            "web": (), // the site
            "api": (   // the service
                context: "api", // its folder
                target: /* not test */ "prod", // last
            ),
            // nothing more
        }, /* the end */
    ) // really
    "#);
}

#[test]
fn texts_are_left_as_they_are() {
    let text =
        r##"(images: {"a": (description: r#"say "hi" // no comment"#), "b": (description: "a\"(,")})"##;
    assert_eq!(formatted(text).trim_end(), text);
}

#[test]
fn two_brackets_of_one_line_indent_once() {
    let text = "(images: {\n\"a\": (context: \"x\",\ntarget: \"y\"),\n})";
    insta::assert_snapshot!(formatted(text), @r#"
    (images: {
        "a": (context: "x",
            target: "y"),
    })
    "#);
}

#[test]
fn an_empty_bracket_over_two_lines_does_not_part_what_was_opened_together() {
    let text = "(images: {\"d\": (labels: {\n}, args: {\"A\": \"x\",\n}\n)})";
    insta::assert_snapshot!(formatted(text), @r#"
    (images: {"d": (labels: {}, args: {"A": "x",
    })})
    "#);
}

#[test]
fn a_text_with_mistakes_is_left_alone() {
    let errors = format("(imags: {})", &BTreeMap::new()).unwrap_err();
    assert_eq!(errors[0].message, "an Imagefile has no key `imags`");
}

/// The meaning of a text, without the places it was read from.
fn meaning(text: &str) -> String {
    let mut out = String::new();
    let read = read(text, &BTreeMap::new()).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
    for word in format!("{read:?}").split(' ') {
        let is_place = word.trim_end_matches([',', '}', ']', ')']).bytes().all(|byte| byte.is_ascii_digit());
        out += if is_place { "#" } else { word };
    }
    out
}

fn comments(text: &str) -> Vec<&str> {
    tokens(text).iter().filter(|token| is_comment(token)).map(|token| token.text).collect()
}

/// A valid Imagefile as tokens, with something between each two of them.
fn imagefile() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b-c", "d"]);
    let field = prop::sample::select(vec![
        vec!["context", ":", "\"x\""],
        vec!["target", ":", "\"{{//}}\""],
        vec!["args", ":", "{", "\"A\"", ":", "r#\"1\"2\"#", "}"],
        vec!["tags", ":", "[", "\"1\"", ",", "\"2\"", "]"],
        vec!["tags", ":", "[", "\"1\"", ",", "]"],
        vec!["upstream", ":", "Every", "(", "\"7d\"", ")"],
        vec!["secrets", ":", "{", "\"t\"", ":", "Env", "(", "\"T\"", ",", ")", ",", "}"],
        vec!["labels", ":", "{", "}"],
    ]);
    let image = (name, prop::collection::vec(field, 0..4), any::<bool>());
    let trivia = prop::sample::select(vec![
        "",
        "",
        " ",
        "   ",
        "\n",
        "\r\n",
        "\n\n\n",
        "\t",
        " // note\n",
        "\n    // \"note\" (\n",
        "/* b */",
        "\n/* two\n  lines */\n",
    ]);
    let images = prop::collection::vec(image, 0..3);
    (images, any::<bool>(), prop::collection::vec(trivia, 120)).prop_map(|(images, comma, trivia)| {
        let mut words = vec!["(", "images", ":", "{"];
        let mut names = Vec::new();
        for (name, fields, comma) in &images {
            if names.contains(name) {
                continue;
            }
            if !names.is_empty() {
                words.push(",");
            }
            names.push(name);
            words.extend(["\"", name, "\"", ":", "("]);
            let mut keys = Vec::new();
            for field in fields {
                if !keys.contains(&field[0]) {
                    if !keys.is_empty() {
                        words.push(",");
                    }
                    keys.push(field[0]);
                    words.extend(field);
                }
            }
            if *comma && !keys.is_empty() {
                words.push(",");
            }
            words.push(")");
        }
        words.extend(if comma { vec!["}", ",", ")"] } else { vec!["}", ")"] });
        let mut text = String::new();
        let mut trivia = trivia.iter().cycle();
        let mut inside = false;
        for word in words {
            if !inside {
                text += trivia.next().unwrap();
            }
            inside ^= word == "\"";
            // Nothing comes between a name and the quotes around it.
            text += word;
        }
        text + trivia.next().unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn meaning_and_comments_survive_and_twice_is_once(text in imagefile()) {
        let once = formatted(&text);
        prop_assert_eq!(meaning(&text), meaning(&once));
        prop_assert_eq!(comments(&text), comments(&once), "{}", once);
        prop_assert!(once.lines().all(|line| line == line.trim_end() || once.contains("/* two")));
    }
}
