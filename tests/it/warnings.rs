//! What works and deserves a word.

use crate::history::History;
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

#[test]
fn an_old_name_of_a_key_is_told_once_in_the_work_tree_and_never_of_a_commit() {
    let history = History::with(
        "
    //- Imagefile.ron
    (defaults: (needs: \"gpu\"), images: {\"api\": (needs: [\"gpu\"]), \"web\": ()})
    //- api/Dockerfile
    FROM scratch
    //- web/Dockerfile
    FROM scratch
    ",
    );
    let sandbox = &history.sandbox;
    let told = |words: &str| {
        let run = sandbox.imk(words);
        assert_eq!(run.status, 0, "imk {words}: {}", run.stderr);
        let err = run.err();
        err.lines().filter(|line| line.contains("needs")).map(str::to_owned).collect::<Vec<_>>()
    };
    let once =
        "warning: Imagefile.ron:1: the key `needs` is called `engine_labels` now; `imk fmt` rewrites it";
    assert_eq!(told("plan"), [once]);
    sandbox.imk("fmt --check").code(1);
    sandbox.imk("fmt").code(0);
    history.commit("the key's new name");
    let text = fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    assert!(text.contains("engine_labels") && !text.contains("needs"), "{text}");
    // The commit before has the old name. Labels never count: nothing differs.
    let before = ["plan", "plan --rev HEAD~1", "plan --since HEAD~1", "replay HEAD~1..HEAD"];
    for words in before {
        assert_eq!(told(words), [""; 0], "imk {words}");
    }
    insta::assert_snapshot!(sandbox.imk("diff HEAD~1 HEAD").code(0).out(), @"nothing that counts is different");
    insta::assert_snapshot!(sandbox.imk("affected --since HEAD~1").code(0).out(), @"");
}
