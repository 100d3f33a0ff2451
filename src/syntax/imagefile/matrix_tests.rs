//! The images that a matrix makes of an entry of `images`, and the mistakes that one can have.

use std::collections::BTreeMap;

use crate::syntax::imagefile::{names, read};

/// The images of a file as `name ARG=value …`, or its mistakes.
fn found(text: &str) -> String {
    match read(text, &BTreeMap::new()) {
        Ok(file) => {
            let shown = file.images.iter().map(|image| {
                let args = image.args.iter().map(|(name, value)| format!(" {name}={value}"));
                let tags = image.tags.iter().map(|rule| match rule.template.fixed() {
                    Some(tag) if tag != "latest" => format!(" :{tag}"),
                    _ => String::new(),
                });
                format!("{}{}{}", image.name.text, args.collect::<String>(), tags.collect::<String>())
            });
            shown.collect::<Vec<_>>().join("\n")
        }
        Err(errors) => {
            let told = errors.iter().map(|error| match &error.hint {
                Some(hint) => format!("{} ({hint})", error.message),
                None => error.message.clone(),
            });
            told.collect::<Vec<_>>().join("\n")
        }
    }
}

#[test]
fn a_matrix_makes_an_image_for_each_choice() {
    insta::assert_snapshot!(
        found(r#"(images: {"app-{py}-{os}": (
            context: "app", args: {"PY": "{py}", "OS": "{os}"}, tags: ["{py}"],
            matrix: {"py": ["3.12", "3.13"], "os": ["alp", "deb"]},
            exclude: [{"py": "3.12", "os": "alp"}],
        ), "web": ()})"#),
        @r"
    app-3.12-deb OS=deb PY=3.12 :3.12
    app-3.13-alp OS=alp PY=3.13 :3.13
    app-3.13-deb OS=deb PY=3.13 :3.13
    web
    "
    );
}

#[test]
fn a_value_can_be_several_that_belong_together() {
    insta::assert_snapshot!(
        found(r#"(vars: {"V": "1.25"}, images: {"tool:{go.name}": (
            args: {"GO": "{go.version}"}, tags: ["go{go.version}"],
            matrix: {"go": [{"name": "new", "version": "{V}"}, {"name": "old", "version": "1.24"}]},
        )})"#),
        @r"
    tool:new GO=1.25 :new :go1.25
    tool:old GO=1.24 :old :go1.24
    "
    );
}

#[test]
fn a_matrix_is_inherited_axis_by_axis_and_its_values_reach_templates() {
    insta::assert_snapshot!(
        found(r#"(
            templates: {"t": (matrix: {"v": ["1", "2"], "x": ["a"]}, args: {"V": "{v}{x}"})},
            images: {"app-{v}": (like: "t", matrix: {"x": ["b"]}), "one-{v}": (like: "t", matrix: {"v": ["9"]})},
        )"#),
        @r"
    app-1 V=1b
    app-2 V=2b
    one-9 V=9a
    "
    );
}

#[test]
fn images_of_a_matrix_are_named_by_contexts_and_groups() {
    insta::assert_snapshot!(
        found(r#"(groups: {"all": ["py-1", "app-*"], "bad": ["py-3"]}, images: {
            "py-{v}": (matrix: {"v": ["1", "2"]}),
            "app-{v}": (matrix: {"v": ["1", "2"]}, contexts: {"py": "py-{v}"}),
        })"#),
        @"the group `bad` has `py-3`, which is neither an image nor a group (did you mean `py-1`?)"
    );
}

#[test]
fn mistakes_of_a_matrix_are_told() {
    for (image, told) in [
        (
            r#""a": (matrix: {"v": ["1", "2"]})"#,
            "the matrix of `a` makes `a` twice (put {v} into the image's name, or exclude one of the choices)",
        ),
        (
            r#""a-{v}": (matrix: {"v": ["1", "1"]})"#,
            "the matrix of `a-{v}` makes `a-1` twice (two of its values are the same)",
        ),
        (
            r#""a-{v}": (matrix: {"v": []})"#,
            "the matrix of `a-{v}` makes no image (give each of its axes a value that `exclude` leaves)",
        ),
        (
            r#""a-{v}": (matrix: {"v": ["1"]}, exclude: [{"v": "1"}])"#,
            "the matrix of `a-{v}` makes no image (give each of its axes a value that `exclude` leaves)",
        ),
        (
            r#""a-{v}": (matrix: {"v": ["1"]}, exclude: [{"w": "1"}])"#,
            "the matrix has no axis `w` (did you mean `v`?)",
        ),
        (
            r#""a-{v}": (matrix: {"v": ["alp"]}, exclude: [{"v": "alb"}])"#,
            "the axis `v` has no value `alb` (did you mean `alp`?)",
        ),
        (
            r#""a-{v}": ()"#,
            "`a-{v}` cannot name an image: use lower-case letters and digits, with `.`, `_`, `-` or `/` between them",
        ),
        (r#""a-{w}": (matrix: {"v": ["1"]})"#, "there is no variable `w` (did you mean `W`?)"),
        (
            r#""a-{v}": (matrix: {"v": ["X"]})"#,
            "`a-X` cannot name an image: registries take lower-case names only",
        ),
        (
            r#""a": (exclude: [{"v": "1"}])"#,
            "`a` excludes choices of a matrix and has none (give it `matrix`, or remove `exclude`)",
        ),
        (
            r#""a-{b c}": (matrix: {"b c": ["1"]})"#,
            "`b c` cannot name an axis of a matrix (use letters, digits, `_` and `-`)",
        ),
        (
            r#""a-{time}": (matrix: {"time": ["1"]})"#,
            "`time` is a fact of tags, and no value of a matrix can be named so (rename the axis)",
        ),
        (
            r#""a-{env.X}": (matrix: {"env": [{"X": "1"}]})"#,
            "`env.X` is a fact of tags, and no value of a matrix can be named so (rename the axis)",
        ),
        (
            r#""a-{W}": (matrix: {"W": ["1"]})"#,
            "the axis `W` has the name of a variable (rename one of them: texts could mean either)",
        ),
        (
            r#""a-1": (), "a-{v}": (matrix: {"v": ["1"]})"#,
            "two images are named `a-1` (one of them is made by a matrix)",
        ),
    ] {
        assert_eq!(found(&format!(r#"(vars: {{"W": "w"}}, images: {{{image}}})"#)), told, "{image}");
    }
}

#[test]
fn a_matrix_without_end_is_refused() {
    let values = (0..40).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(",");
    let text = format!(r#"(images: {{"a-{{x}}-{{y}}": (matrix: {{"x": [{values}], "y": [{values}]}})}})"#);
    assert_eq!(found(&text), "the matrix of `a-{x}-{y}` makes more than 1000 images (give it fewer values)");
}

#[test]
fn completion_offers_the_images_that_a_matrix_makes() {
    let text =
        r#"(images: {"a-{v}": (matrix: {"v": ["1", "2"]}), "web": (target: 1)}, groups: {"g": ["web"]})"#;
    assert_eq!(names(text), ["a-1", "a-2", "web", "g"]);
}
