//! What works and deserves a word.

use crate::sandbox::Sandbox;

fn told(files: &str) -> String {
    told_of("", files)
}

fn told_of(words: &str, files: &str) -> String {
    let sandbox = Sandbox::with(files).without_engine();
    let err = sandbox.imk(&format!("plan {words}")).code(0).err();
    let about_images = |line: &&str| {
        line.starts_with("warning: ") && !line.contains("no engine") && !line.contains("the plan believes")
    };
    err.lines().filter(about_images).map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_argument_that_nobody_declares() {
    insta::assert_snapshot!(told("
    //- Imagefile.ron
    (images: {\"web\": (args: {\"VERSOIN\": \"1\"})})
    //- web/Dockerfile
    FROM scratch
    ARG VERSION
    "), @"warning: web: the argument `VERSOIN` is given, and nothing declares it");
}

#[test]
fn an_argument_for_all_images_that_one_of_them_declares_is_no_mistake() {
    let files = "
    //- base/Dockerfile
    FROM scratch
    //- web/Dockerfile
    FROM base
    ARG VERSION
    ";
    assert_eq!(told_of("--build-arg VERSION=1", files), "");
    insta::assert_snapshot!(
        told_of("--build-arg VERSOIN=1", files),
        @"warning: the argument `VERSOIN` is given, and none of the images declares it"
    );
}

#[test]
fn a_copy_that_the_ignore_file_leaves_nothing_of() {
    insta::assert_snapshot!(told("
    //- web/Dockerfile
    FROM scratch
    COPY . /
    //- web/.dockerignore
    *
    "), @"warning: web: nothing of `.` is ever copied: the ignore file hides all of it");
}

#[test]
fn a_frontend_that_imk_does_not_know_is_announced_once() {
    insta::assert_snapshot!(told("
    //- api/Dockerfile
    # syntax=example.org/mine:1
    FROM anything at all
    //- web/Dockerfile
    # syntax=example.org/mine:1
    SOMETHING else
    "), @"warning: api, web: `example.org/mine:1` reads the Dockerfile, and imk does not know how: the whole context counts");
}

#[test]
fn an_image_that_only_a_trigger_of_a_base_copies_from() {
    insta::assert_snapshot!(told("
    //- tool/Dockerfile
    FROM scratch
    COPY Dockerfile /
    //- base/Dockerfile
    FROM scratch
    ONBUILD COPY --from=tool / /
    //- web/Dockerfile
    FROM base
    "), @"warning: web: `COPY --from=tool` comes from an ONBUILD trigger of its base: imk builds `tool` first, and the engine takes what bears that name then");
}
