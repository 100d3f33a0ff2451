//! Mistakes, as a person sees them told. None of these reaches an engine.

use fs_err as fs;

use crate::sandbox::Sandbox;

/// What `imk plan` says of one of the repositories of `fixtures/broken`.
fn told(fixture: &str) -> String {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/broken").join(fixture);
    let sandbox = Sandbox::empty().without_engine();
    let mut todo = vec![source.clone()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let below = path.strip_prefix(&source).unwrap().to_str().unwrap();
                sandbox.edit(below, &fs::read_to_string(&path).unwrap());
            }
        }
    }
    let run = sandbox.imk("build").code(2);
    assert_eq!(run.stdout, "");
    let err = run.err();
    // Mistakes come before the engine's absence, which they have in common.
    err.split("error: no engine").next().unwrap().to_owned()
}

#[test]
fn a_cycle_is_told_with_its_whole_path() {
    insta::assert_snapshot!(told("cycle"), @"
    error: images are built on each other in a circle: `a` -> `c` -> `b` -> `a`
     --> a/Dockerfile:1:6
      |
    1 | FROM c
      |      ^
      |
      = help: one of these FROM, COPY --from or --mount=from must name something else
    ");
}

#[test]
fn a_missing_source_is_told_before_any_build() {
    insta::assert_snapshot!(told("missing-source"), @r"
    error: there is no `sytle.css` in the context of image `web`
     --> web/Dockerfile:3:6
      |
    3 | COPY sytle.css \
      |      ^^^^^^^^^
      |
      = help: the context is `web`; is the path right, or does an ignore file hide it?
    ");
}

#[test]
fn a_missing_context_is_told_with_where_it_was_sought() {
    insta::assert_snapshot!(told("missing-context"), @"
    error: the context of image `web` is missing: there is no folder `wbe`
    --> wbe
     = help: make it, or point `context` in Imagefile.ron to where it is
    ");
}

#[test]
fn a_dockerfile_without_from_is_never_sent() {
    insta::assert_snapshot!(told("no-from"), @"
    error: a Dockerfile needs a FROM; imk does not send one without to the engine
     --> web/Dockerfile:1:1
      |
    1 | # Nothing but an argument
      | ^
      |
      = help: start with `FROM scratch`, or with the image to build on
    ");
}

#[test]
fn an_unknown_instruction_is_told_with_what_is_near() {
    insta::assert_snapshot!(told("unknown-instruction"), @"
    error: unknown instruction `COYP`
     --> web/Dockerfile:2:1
      |
    2 | COYP page.html /
      | ^^^^
      |
      = help: did you mean `COPY`?
    ");
}

#[test]
fn an_argument_that_cannot_be_expanded_is_told_where_it_stands() {
    insta::assert_snapshot!(told("bad-arg"), @"
    error: `example.invalid/alpine:${VERSON}` becomes `example.invalid/alpine:`, and this is not the name of an image
     --> web/Dockerfile:2:6
      |
    2 | FROM example.invalid/alpine:${VERSON} AS build
      |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: write `ARG VERSON=…` above the first FROM
    error: cannot expand `example.invalid/alpine:${VERSION:?say-which}`: VERSION: say-which
     --> web/Dockerfile:3:6
      |
    3 | FROM example.invalid/alpine:${VERSION:?say-which}
      |      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: give ARG VERSION a default, `args` in the Imagefile or --build-arg VERSION=…
    2 mistakes; nothing was built
    ");
}

#[test]
fn unknown_keys_are_told_together() {
    insta::assert_snapshot!(told("unknown-key"), @r#"
    error: an Imagefile has no key `prefx`
     --> Imagefile.ron:2:5
      |
    2 |     prefx: "example/",
      |     ^^^^^
      |
      = help: did you mean `prefix`?
    error: an image has no key `arg`
     --> Imagefile.ron:4:33
      |
    4 |         "web": (context: "web", arg: {"A": "1"}),
      |                                 ^^^
      |
      = help: did you mean `args`?
    error: an image has no key `contxt`
     --> Imagefile.ron:5:18
      |
    5 |         "site": (contxt: "web"),
      |                  ^^^^^^
      |
      = help: did you mean `context`?
    3 mistakes; nothing was built
    "#);
}

#[test]
fn two_images_of_one_name_are_told() {
    insta::assert_snapshot!(told("two-names"), @r#"
    error: two images are named `web`
     --> Imagefile.ron:4:9
      |
    4 |         "web": (context: "west"),
      |         ^^^^^
      |
      = help: rename or remove one of them
    "#);
}

#[test]
fn broken_ron_is_told_with_its_place() {
    insta::assert_snapshot!(told("syntax-error-ron"), @"
    error: not valid RON: Expected identifier
     --> Imagefile.ron:5:5
      |
    5 |     },
      |     ^
    ");
}

#[test]
fn an_unknown_image_is_told_with_what_is_near() {
    let sandbox = Sandbox::with("//- web/Dockerfile\nFROM scratch\n").without_engine();
    insta::assert_snapshot!(sandbox.imk("wbe").code(2).err(), @"
    error: there is no image `wbe`
     |
     = help: did you mean `web`?
    ");
    insta::assert_snapshot!(sandbox.imk("pln").code(2).err(), @"
    error: there is no image `pln`
     |
     = help: did you mean `plan`?
    ");
}

#[test]
fn an_empty_folder_has_nothing_to_build() {
    let sandbox = Sandbox::empty().without_engine();
    insta::assert_snapshot!(sandbox.imk("").code(2).err(), @"
    error: there is neither an Imagefile.ron nor a Dockerfile in `[ROOT]` or above
     |
     = help: write a Dockerfile, or name the place with -C DIR or -f FILE
    ");
}

#[test]
fn a_wrong_file_is_named() {
    let sandbox = Sandbox::empty().without_engine();
    insta::assert_snapshot!(sandbox.imk("-f nope.ron").code(2).err(), @"error: cannot read `nope.ron`: entity not found");
}
