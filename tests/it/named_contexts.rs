//! Named contexts: a name in a Dockerfile that stands for an image of the repository, or for one outside.

use fs_err as fs;

use crate::overlays::upstream::Upstream;
use crate::sandbox::{Sandbox, engine_or_skip};

const REPOSITORY: &str = r#"
    //- Imagefile.ron
    (
        images: {
            "core": (),
            "tool": (),
            "app": (contexts: {"acme/core": "core", "acme/tool:1": "tool", "build": "core"}),
        },
    )
    //- core/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    RUN ["/bin/busybox", "--install", "-s", "/bin"]
    COPY file /file
    ONBUILD COPY brought /brought
    //- core/file
    core
    //- tool/Dockerfile
    FROM scratch
    COPY tool.txt /
    //- tool/tool.txt
    tool
    //- app/Dockerfile
    FROM nowhere.invalid/nothing AS build
    RUN this is never run \
        and counts for nothing
    FROM acme/core
    COPY --from=acme/tool:1 /tool.txt /tool.txt
    COPY --from=build /file /copied
    RUN --mount=from=docker.io/acme/tool:1,source=/tool.txt,target=/m cat /m > /mounted
    //- app/brought
    brought
    "#;

#[test]
fn a_context_is_an_edge_wherever_an_image_can_be_named() {
    let Some(sandbox) = engine_or_skip("named contexts") else { return };
    sandbox.write_all(REPOSITORY);
    sandbox.place_busybox();
    let run = sandbox.imk("").code(0);
    assert!(!run.err().contains("warning"), "{}", run.err());
    assert_eq!(run.built().len(), 3);
    for (path, text) in
        [("/tool.txt", "tool"), ("/copied", "core"), ("/mounted", "tool"), ("/brought", "brought")]
    {
        assert_eq!(sandbox.file_in("app", path).trim(), text, "{path}");
    }
    sandbox.imk("").says("3 fresh, 0 built, 0 failed");

    // The stage that a context stands for counts for nothing, and a name counts by what it leads to.
    for (from, to) in [
        ("this is never run", "this neither"),
        ("nowhere.invalid/nothing", "elsewhere.invalid/nothing"),
        ("FROM acme/core", "FROM core"),
        ("--from=acme/tool:1", "--from=tool"),
    ] {
        let text = fs::read_to_string(sandbox.path("app/Dockerfile")).unwrap();
        sandbox.edit("app/Dockerfile", &text.replace(from, to));
        sandbox.imk("").says("3 fresh, 0 built, 0 failed");
    }
    sandbox.edit("tool/tool.txt", "2\n");
    assert!(sandbox.imk("plan").code(0).out().contains("app"), "its base is stale");
    let mut built = sandbox.imk("").code(0).built();
    built.sort_unstable();
    assert_eq!(built, ["app", "tool"]);
    assert_eq!(sandbox.file_in("app", "/mounted").trim(), "2");
    let why = sandbox.imk("log app").code(0).out();
    assert!(why.contains("tool"), "{why}");

    // A context that stands for another image makes another image.
    let file = fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit("Imagefile.ron", &file.replace(r#""acme/tool:1": "tool""#, r#""acme/tool:1": "core""#));
    let text = fs::read_to_string(sandbox.path("app/Dockerfile")).unwrap();
    sandbox.edit("app/Dockerfile", &text.replace("source=/tool.txt", "source=/file"));
    assert_eq!(sandbox.imk("").code(0).built(), ["app"]);
    assert_eq!(sandbox.file_in("app", "/mounted").trim(), "core");
}

#[test]
fn questions_know_the_images_behind_contexts() {
    let sandbox = Sandbox::with(REPOSITORY).without_engine();
    insta::assert_snapshot!(sandbox.imk("graph").code(0).out(), @r"
    core
    └── app
    tool
    └── app
    ");
    let json = sandbox.imk("graph --json app").code(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let app = json["images"].as_array().unwrap().iter().find(|image| image["name"] == "app").unwrap();
    assert_eq!(
        app["bases"].to_string(),
        r#"[{"image":"core","reference":"build","how":"from"},{"image":"core","reference":"acme/core","how":"from"},{"image":"tool","reference":"acme/tool:1","how":"copy"},{"image":"tool","reference":"docker.io/acme/tool:1","how":"mount"}]"#
    );
    assert!(sandbox.imk("who-uses tool").code(0).out().contains("app"));
    assert!(sandbox.imk("graph --json +app").code(0).stdout.contains("\"tool\""));

    // And back: what bake makes of the file is what imk makes of it.
    let bake = sandbox.imk("graph --bake").code(0).stdout;
    let bake: serde_json::Value = serde_json::from_str(&bake).unwrap();
    assert_eq!(
        bake["target"]["app"]["contexts"].to_string(),
        r#"{"build":"target:core","acme/core":"target:core","acme/tool:1":"target:tool"}"#
    );
}

#[test]
fn an_image_outside_behind_a_context_is_used_by_digest_and_counts() {
    let Some(sandbox) = engine_or_skip("a context outside") else { return };
    let base = format!("{}outside", sandbox.prefix());
    let folder = tempfile::tempdir().unwrap();
    let make = |text: &str| {
        fs::write(folder.path().join("Dockerfile"), format!("FROM scratch\nLABEL text={text}\n")).unwrap();
        sandbox.docker(&["build", "-q", "-t", &base, folder.path().to_str().unwrap()]);
    };
    make("one");
    sandbox.edit("app/Dockerfile", "FROM acme/base\nCOPY file /\n");
    sandbox.edit("app/file", "1\n");
    let file = |image: &str| {
        format!(r#"(images: {{"app": (contexts: {{"acme/base": "docker-image://{image}"}})}})"#)
    };
    sandbox.edit("Imagefile.ron", &file(&base));
    assert_eq!(sandbox.imk("--offline").code(0).built(), ["app"]);
    assert!(sandbox.imk("--offline").code(0).built().is_empty());
    make("two");
    assert_eq!(sandbox.imk("--offline").code(0).built(), ["app"]);
    let label = sandbox.docker(&[
        "image",
        "inspect",
        "-f",
        "{{.Config.Labels.text}}",
        &format!("{}app", sandbox.prefix()),
    ]);
    assert_eq!(label.trim(), "two");
    assert!(sandbox.imk("list --json --offline").code(0).stdout.contains(&base));
}

#[test]
fn imks_own_builder_follows_contexts() {
    let sandbox = Sandbox::with(
        r#"
        //- Imagefile.ron
        (images: {"core": (), "app": (contexts: {"acme/core": "core", "build": "core"})})
        //- core/Dockerfile
        FROM scratch
        COPY file /
        //- core/file
        1
        //- app/Dockerfile
        FROM nowhere.invalid/nothing AS build
        COPY nothing /
        FROM acme/core
        COPY --from=build /file /copied
        "#,
    )
    .embedded();
    assert_eq!(sandbox.imk("--progress plain").code(0).built().len(), 2);
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    sandbox.edit("core/file", "2\n");
    assert_eq!(sandbox.imk("--progress plain").code(0).built().len(), 2);
}

#[test]
fn mistakes_in_contexts_are_told_with_their_place_and_the_others_with_a_word() {
    let sandbox = Sandbox::with("//- core/Dockerfile\nFROM scratch\n//- app/Dockerfile\nFROM acme/core\n")
        .without_engine();
    let file = |pair: &str| format!("(images: {{\n\"core\": (),\n\"app\": (contexts: {{{pair}}}),\n}})\n");
    for (pair, told) in [
        (r#""acme/core": "oci-layout://out:""#, "what stands behind `:` is no tag"),
        (
            r#""acme/core": "./gone""#,
            "the context `acme/core` of image `app` is missing: there is no folder `gone`",
        ),
        (r#""acme/core": "cor""#, "no image here is named so"),
        (r#""acme/core": "app""#, "stands for the image itself"),
    ] {
        sandbox.edit("Imagefile.ron", &file(pair));
        let err = sandbox.imk("plan --offline").code(2).err();
        assert!(err.contains(told) && err.contains("Imagefile.ron:3:"), "{err}");
    }
    sandbox.edit("Imagefile.ron", &file(r#""acme/cor": "core""#));
    let err = sandbox.imk("plan --offline").code(0).err();
    assert!(err.contains("the context `acme/cor` is declared, and no FROM"), "{err}");
}

#[test]
fn an_import_says_that_any_tag_is_meant_where_a_dockerfile_leaves_it_open() {
    for (tags, from, any) in [
        (r#""acme/shared:1""#, "acme/shared:${VERSION}", true),
        (r#""acme/shared""#, "shared:$VERSION", true),
        (r#""acme/shared:1""#, "acme/shared:1", false),
        (r#""acme/shared:7""#, "acme/shared:${VERSION}", false),
        (r#""acme/shared:${V}""#, "acme/shared:${VERSION}", false),
        (r#""acme/shared:1""#, "other/shared:${VERSION}", false),
    ] {
        let sandbox = Sandbox::empty().without_engine();
        sandbox.edit(
            "docker-bake.hcl",
            &format!(
                "variable \"V\" {{ default = \"1\" }}\n\
                 target \"shared\" {{\n  context = \"shared\"\n  tags = [{tags}]\n}}\n\
                 target \"web\" {{\n  context = \"web\"\n  tags = [\"acme/web\"]\n}}\n"
            ),
        );
        sandbox.edit("shared/Dockerfile", "FROM scratch\n");
        sandbox.edit("web/Dockerfile", &format!("ARG VERSION=7\nFROM {from}\n"));
        let file = sandbox.imk("import --print").code(0).out();
        assert_eq!(file.contains("any_tag: true"), any, "{tags} {from}\n{file}");
    }
}

#[test]
fn links_between_targets_of_a_bake_file_are_edges() {
    let sandbox = Sandbox::with(
        r#"
        //- docker-bake.hcl
        target "core" { context = "core" }
        target "tool" {
          context = "tool"
          tags = ["acme/tool:1"]
        }
        target "app" {
          context = "app"
          contexts = {
            "acme/core" = "target:core"
            tool = "target:tool"
            lib = "./lib"
            golang = "docker-image://golang:1.25"
          }
        }
        //- core/Dockerfile
        FROM scratch
        //- tool/Dockerfile
        FROM scratch
        //- app/Dockerfile
        FROM golang
        COPY --from=acme/core / /
        COPY --from=tool / /
        "#,
    )
    .without_engine();
    let told = sandbox.imk("import").code(0).err();
    assert_eq!(told, "");
    let imagefile = fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    assert!(imagefile.contains(r#""lib": "./lib""#), "{imagefile}");
    insta::assert_snapshot!(sandbox.imk("graph").code(0).out(), @r"
    core
    └── app
    tool
    └── app
    ");
    let json = sandbox.imk("graph --json app").code(0).stdout;
    assert!(json.contains(r#""external": ["#) && json.contains("\"golang:1.25\""), "{json}");
}

/// An image that reads files of a folder, of a repository and of its own context.
fn of_files(sandbox: &Sandbox, upstream: &Upstream) {
    upstream.commit(&[("sub/far.txt", "far\n"), ("sub/unread.txt", "1\n"), (".dockerignore", "*\n")]);
    let git = upstream.path();
    sandbox.edit(
        "Imagefile.ron",
        &format!(
            r#"(images: {{"app": (contexts: {{
                "lib": "./lib", "acme/far:1": Git(url: "file://{git}", branch: "main", subdir: "sub"), "whole": "./whole",
            }})}})"#
        ),
    );
    sandbox.write_all(
        "
        //- app/Dockerfile
        FROM whole AS all
        FROM scratch
        COPY own.txt /
        COPY --from=lib src/*.txt /lib/
        COPY --from=acme/far:1 far.txt /
        COPY --from=all . /whole/
        //- app/own.txt
        own
        //- lib/src/a.txt
        a
        //- lib/src/hidden.txt
        hidden
        //- lib/src/b.c
        b
        //- lib/.dockerignore
        **/hidden*
        //- whole/x/y.txt
        y
        ",
    );
    std::os::unix::fs::symlink("src/a.txt", sandbox.path("lib/link")).unwrap();
}

/// The first number of the engine's version.
fn engine_major(sandbox: &Sandbox) -> u32 {
    let version = sandbox.docker(&["version", "-f", "{{.Server.Version}}"]);
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or_default()
}

/// The names in a folder of the image `app`.
fn names_in(sandbox: &Sandbox, folder: &str) -> Vec<String> {
    let container = sandbox.docker(&["create", &format!("{}app", sandbox.prefix()), "true"]);
    let to = tempfile::tempdir().unwrap();
    sandbox.docker(&["cp", &format!("{container}:{folder}"), to.path().join("copy").to_str().unwrap()]);
    sandbox.docker(&["rm", &container]);
    let entries = fs::read_dir(to.path().join("copy")).unwrap();
    let mut names: Vec<String> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_context_of_files_counts_by_what_is_read_of_it() {
    let Some(sandbox) = engine_or_skip("contexts of files") else { return };
    let upstream = Upstream::new();
    of_files(&sandbox, &upstream);
    let run = sandbox.imk("");
    if engine_major(&sandbox) < 23 {
        // Told by name, and nothing was sent.
        let err = run.code(2).err();
        assert!(err.contains("knows no contexts of files, such as `acme/far:1`"), "{err}");
        assert!(err.contains("`overlays`"), "{err}");
        return;
    }
    assert_eq!(run.code(0).built(), ["app"]);
    for (path, text) in
        [("/own.txt", "own"), ("/lib/a.txt", "a"), ("/far.txt", "far"), ("/whole/x/y.txt", "y")]
    {
        assert_eq!(sandbox.file_in("app", path).trim(), text, "{path}");
    }
    assert_eq!(names_in(&sandbox, "/lib"), ["a.txt"]);
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    // Beside what is read: files that no instruction names, that the folder's ignore file hides, commits.
    sandbox.edit("lib/src/b.c", "bb").edit("lib/src/hidden.txt", "2").edit("lib/new", "n");
    upstream.commit(&[("sub/unread.txt", "2\n")]);
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    for (path, text, at) in [("lib/src/a.txt", "aa", "/lib/a.txt"), ("whole/x/y.txt", "yy", "/whole/x/y.txt")]
    {
        sandbox.edit(path, text);
        let (context, rest) = path.split_once('/').unwrap();
        let plan = sandbox.imk("plan").code(0).out();
        assert!(plan.contains(&format!("`{context}//{rest}` changed")), "{plan}");
        assert_eq!(sandbox.imk("").code(0).built(), ["app"]);
        assert_eq!(sandbox.file_in("app", at).trim(), text);
    }
    sandbox.edit("lib/src/c.txt", "c");
    assert_eq!(sandbox.imk("").code(0).built(), ["app"]);
    upstream.commit(&[("sub/far.txt", "further\n")]);
    assert_eq!(sandbox.imk("").code(0).built(), ["app"]);
    assert_eq!(sandbox.file_in("app", "/far.txt").trim(), "further");
    // The folder may be another: its files count, and not where they are.
    fs::rename(sandbox.path("lib"), sandbox.path("moved")).unwrap();
    let file = fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit("Imagefile.ron", &file.replace("./lib", "./moved"));
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    // A context that was typed goes before.
    sandbox.edit("other/src/a.txt", "typed\n");
    assert_eq!(sandbox.imk("--build-context lib=other").code(0).built(), ["app"]);
    assert_eq!(sandbox.file_in("app", "/lib/a.txt").trim(), "typed");
}

#[test]
fn questions_know_the_files_of_contexts() {
    let sandbox = Sandbox::empty().without_engine();
    let upstream = Upstream::new();
    of_files(&sandbox, &upstream);
    let inputs = sandbox.imk("inputs app").code(0).out();
    for told in ["own.txt", "lib//src/a.txt", "acme/far:1//far.txt", "whole//x/y.txt"] {
        assert!(inputs.contains(told), "{told}\n{inputs}");
    }
    assert!(!inputs.contains("hidden") && !inputs.contains("unread"), "{inputs}");
    let bake = sandbox.imk("graph --bake").code(0).stdout;
    assert!(bake.contains(r#""lib": "./lib""#), "{bake}");
    fs::remove_file(sandbox.path("whole/x/y.txt")).unwrap();
    let dockerfile = fs::read_to_string(sandbox.path("app/Dockerfile")).unwrap();
    sandbox.edit("app/Dockerfile", &dockerfile.replace("--from=all . ", "--from=whole x/none "));
    let err = sandbox.imk("plan").code(2).err();
    assert!(err.contains("there is no `x/none` in the context `whole` of image `app`"), "{err}");
    let err = sandbox.imk("plan --build-context lib=/etc").code(2).err();
    assert!(err.contains("--build-context: `/etc`: it lies outside of the repository"), "{err}");
    // A question about the disk alone asks no repository.
    let file = r#"(images: {"app": (contexts: {"lib": "./lib"})})"#;
    sandbox
        .edit("Imagefile.ron", file)
        .edit("app/Dockerfile", "FROM scratch\nCOPY --from=lib src/*.txt /lib/\n");
    let uses = sandbox.imk("who-uses lib/src/a.txt").code(0).out();
    assert!(uses.contains("app: `COPY --from=lib src/*.txt /lib/` (app/Dockerfile:2)"), "{uses}");
    assert!(!sandbox.imk("who-uses lib/src/b.c").out().contains("app"));
}
