//! The table of what counts, row by row and in both directions, end to end: a
//! real engine, the real binary, and after each change whether it builds.
//!
//! Filled below from one list: a change, and whether `app` is due after it.

use std::os::unix::fs::PermissionsExt;

use fs_err as fs;

use crate::sandbox::{Sandbox, engine_or_skip};

const REPOSITORY: &str = r#"
    //- Imagefile.ron
    (
        images: {
            "base": (),
            "app": (target: "app", args: {"USED": "1", "UNUSED": "1"}, labels: {"a": "1"}, tags: ["latest"]),
        },
    )
    //- base/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    RUN ["/bin/busybox", "--install", "-s", "/bin"]
    //- app/Dockerfile
    # a comment
    ARG GLOBAL=1
    FROM base AS app
    ARG USED
    COPY file.txt script.sh /app/
    COPY folder/ /folder/
    RUN --mount=type=bind,source=mounted.txt,target=/m.txt cat /m.txt > /m2.txt
    RUN echo one \
        two > /three
    FROM base AS later
    COPY later.txt /
    //- app/.dockerignore
    folder/ignored*
    //- app/file.txt
    1
    //- app/script.sh
    1
    //- app/mounted.txt
    1
    //- app/later.txt
    1
    //- app/beside.txt
    1
    //- app/folder/a.txt
    1
    //- app/folder/ignored.txt
    1
"#;

/// A change of the repository, and whether the image `app` is due after it.
type Row = (&'static str, bool, fn(&Sandbox));

const ROWS: &[Row] = &[
    ("a file's content", true, |s| {
        s.edit("app/file.txt", "2\n");
    }),
    ("a file's time", false, |s| touch(s, "app/file.txt")),
    ("a file's mode", true, |s| chmod(s, "app/script.sh", 0o755)),
    ("a file of a copied folder", true, |s| {
        s.edit("app/folder/a.txt", "2\n");
    }),
    ("a new file in a copied folder", true, |s| {
        s.edit("app/folder/b.txt", "1\n");
    }),
    ("a new folder in a copied folder", true, |s| fs::create_dir(s.path("app/folder/c")).unwrap()),
    ("a renamed file", true, |s| {
        fs::rename(s.path("app/folder/b.txt"), s.path("app/folder/z.txt")).unwrap();
    }),
    ("a removed file", true, |s| {
        s.remove("app/folder/z.txt");
    }),
    ("an ignored file", false, |s| {
        s.edit("app/folder/ignored.txt", "2\n");
    }),
    ("a new ignored file", false, |s| {
        s.edit("app/folder/ignored2.txt", "2\n");
    }),
    ("the ignore file's text", false, |s| {
        s.append("app/.dockerignore", "# nothing\nnothing\n");
    }),
    ("a file beside what is copied", false, |s| {
        s.edit("app/beside.txt", "2\n");
    }),
    ("a new file beside what is copied", false, |s| {
        s.edit("app/beside2.txt", "2\n");
    }),
    ("a bind-mounted file", true, |s| {
        s.edit("app/mounted.txt", "2\n");
    }),
    ("a file of a stage not reached", false, |s| {
        s.edit("app/later.txt", "2\n");
    }),
    ("a link in a copied folder", true, |s| link(s, "a.txt", "app/folder/link")),
    ("a link's target", true, |s| {
        s.remove("app/folder/link");
        link(s, "nowhere", "app/folder/link");
    }),
    ("an instruction", true, |s| replace(s, "app/Dockerfile", "echo one", "echo uno")),
    ("a comment", false, |s| replace(s, "app/Dockerfile", "# a comment", "# another comment\n\n")),
    ("keyword case", false, |s| replace(s, "app/Dockerfile", "COPY folder/", "copy folder/")),
    ("a line join", false, |s| {
        replace(s, "app/Dockerfile", "COPY file.txt script.sh", "COPY file.txt \\\n  script.sh");
    }),
    ("an instruction of a stage not reached", false, |s| {
        replace(s, "app/Dockerfile", "COPY later.txt /", "COPY later.txt /later");
    }),
    ("a stage's name", false, |s| replace(s, "app/Dockerfile", "AS later", "AS much-later")),
    ("a global argument nobody uses", false, |s| replace(s, "app/Dockerfile", "GLOBAL=1", "GLOBAL=2")),
    ("a declared argument", true, |s| replace(s, "Imagefile.ron", "\"USED\": \"1\"", "\"USED\": \"2\"")),
    ("an argument nobody declares", false, |s| {
        replace(s, "Imagefile.ron", "\"UNUSED\": \"1\"", "\"UNUSED\": \"2\"");
    }),
    ("a label", true, |s| replace(s, "Imagefile.ron", "\"a\": \"1\"", "\"a\": \"2\"")),
    ("a description", false, |s| {
        replace(s, "Imagefile.ron", "target: \"app\"", "target: \"app\", description: \"x\"");
    }),
    ("the Imagefile's own text", false, |s| {
        replace(s, "Imagefile.ron", "(\n    images", "// hello\n(\n    images");
    }),
    ("the base", true, |s| {
        s.append("base/Dockerfile", "ENV X=1\n");
    }),
    ("the base's name, spelled in full", false, |s| {
        replace(s, "app/Dockerfile", "FROM base AS app", "FROM docker.io/library/base:latest AS app");
    }),
    ("any tag of the base", false, |s| {
        replace(s, "Imagefile.ron", "\"base\": ()", "\"base\": (any_tag: true)")
    }),
    ("another tag of the same base", false, |s| replace(s, "app/Dockerfile", "base:latest", "base:7")),
    ("the base's comments", false, |s| {
        s.append("base/Dockerfile", "# x\n");
    }),
];

#[test]
fn every_row_of_the_table_in_both_directions() {
    let Some(sandbox) = engine_or_skip("freshness") else { return };
    sandbox.write_all(REPOSITORY);
    sandbox.place_busybox();
    sandbox.imk("").success();
    for (what, due, change) in ROWS {
        change(&sandbox);
        let planned = sandbox.imk("-q app").status == 1;
        assert_eq!(planned, *due, "{what}: the plan");
        let run = sandbox.imk("app --progress plain").code(0);
        assert_eq!(run.built().contains(&"app".to_owned()), *due, "{what}: {}", run.stderr);
        let again = sandbox.imk("app").code(0);
        assert!(again.stdout.contains("2 fresh, 0 built"), "{what}, then nothing: {}", again.stdout);
    }
}

#[test]
fn a_tag_is_added_without_a_build() {
    let Some(sandbox) = engine_or_skip("tag") else { return };
    sandbox.write_all(REPOSITORY);
    sandbox.place_busybox();
    sandbox.imk("").success();
    replace(&sandbox, "Imagefile.ron", "tags: [\"latest\"]", "tags: [\"latest\", \"v1\"]");
    sandbox.imk("").says("1 fresh, 0 built, 1 retagged, 0 failed");
    assert_eq!(sandbox.id("app:v1"), sandbox.id("app"));
}

#[test]
fn a_same_size_edit_with_its_time_put_back_reaches_the_image() {
    let Some(sandbox) = engine_or_skip("same size") else { return };
    sandbox.write_all(REPOSITORY);
    sandbox.place_busybox();
    sandbox.imk("").success();
    let path = sandbox.path("app/file.txt");
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    sandbox.edit("app/file.txt", "9\n");
    fs::File::options().write(true).open(&path).unwrap().file().set_modified(time).unwrap();
    let run = sandbox.imk("--progress plain").code(0);
    assert_eq!(run.built(), ["app"]);
    assert_eq!(sandbox.file_in("app", "/app/file.txt"), "9\n");
}

#[test]
fn switching_branches_and_back_builds_nothing() {
    let Some(sandbox) = engine_or_skip("branches") else { return };
    sandbox.write_all(REPOSITORY);
    sandbox.place_busybox();
    let git = |words: &[&str]| {
        let config = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"];
        let run =
            std::process::Command::new("git").args(config).args(words).current_dir(sandbox.root()).output();
        assert!(run.unwrap().status.success(), "git {words:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "-A"]);
    git(&["commit", "-qm", "one"]);
    sandbox.imk("").success();
    git(&["switch", "-qc", "other"]);
    sandbox.edit("app/file.txt", "other\n");
    git(&["commit", "-qam", "two"]);
    git(&["switch", "-q", "main"]);
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
}

fn touch(sandbox: &Sandbox, path: &str) {
    let file = fs::File::options().write(true).open(sandbox.path(path)).unwrap();
    file.file().set_modified(std::time::SystemTime::now()).unwrap();
}

fn chmod(sandbox: &Sandbox, path: &str, mode: u32) {
    fs::set_permissions(sandbox.path(path), std::fs::Permissions::from_mode(mode)).unwrap();
}

fn link(sandbox: &Sandbox, target: &str, path: &str) {
    fs_err::os::unix::fs::symlink(target, sandbox.path(path)).unwrap();
}

#[track_caller]
fn replace(sandbox: &Sandbox, path: &str, from: &str, to: &str) {
    let text = fs::read_to_string(sandbox.path(path)).unwrap();
    assert!(text.contains(from), "{path} holds no {from:?}");
    sandbox.edit(path, &text.replacen(from, to, 1));
}
