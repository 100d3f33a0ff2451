//! Hints: the names that a repository has for its own images, slips in them, and other builders' files that lie unused.

use crate::sandbox::Sandbox;

const SHOP: &str = "
    //- core/Dockerfile
    FROM alpine
    //- web/Dockerfile
    FROM acme/core
    //- os/alpine/Dockerfile
    FROM alpine
    //- os/debian/Dockerfile
    FROM debian
    //- shared/Dockerfile
    FROM alpine
    //- app/Dockerfile
    ARG VERSION=1.2
    FROM acme/web
    COPY --from=acme/os:alpine /etc /etc
    //- late/Dockerfile
    ARG VERSION=1.2
    FROM acme/shared:${VERSION}
    ";

#[test]
fn init_writes_the_names_that_dockerfiles_have_for_the_images_here() {
    let sandbox = Sandbox::with(SHOP).without_engine();
    insta::assert_snapshot!(sandbox.imk("init --print").code(0).out(), @r#"
    // What `imk` builds here. `imk keys` explains every key.
    (
        prefix: "acme/",
        images: {
            "app": (),
            "core": (),
            "late": (),
            "os:alpine": (),
            "os:debian": (),
            "shared": (any_tag: true),
            "web": (),
        },
    )
    "#);
    let plan = || {
        let mut command = sandbox.command("", "plan --offline");
        // A prefix that is given leaves nothing to propose.
        command.env_remove("IMK_PREFIX");
        sandbox.run(command.output().unwrap()).code(0).err()
    };
    let proposed = plan();
    let line = "3 images are built on `acme/…`, which ends as images here are named and is the one outside now: `imk init` writes an Imagefile in which it is the one here";
    assert_eq!(proposed.matches(line).count(), 1, "{proposed}");
    let wrote = sandbox.imk("init").code(0);
    assert!(wrote.err().contains("`acme/…` in Dockerfiles"), "{}", wrote.err());
    let graph = sandbox.imk("graph").code(0);
    insta::assert_snapshot!(graph.out(), @r"
    core
    └── web
        └── app
    os:alpine
    └── app
    os:debian
    shared
    └── late
    ");
    assert!(!plan().contains("imk init"));
}

#[test]
fn a_repository_without_such_names_gets_no_prefix() {
    let sandbox = Sandbox::with(
        "
        //- python/Dockerfile
        FROM alpine
        //- web/Dockerfile
        FROM circleci/python:3.7
        COPY --from=python:3.7 / /
        ",
    )
    .without_engine();
    assert!(!sandbox.imk("init --print").code(0).out().contains("prefix"));
    assert!(!sandbox.imk("plan --offline").code(0).err().contains("imk init` writes an Imagefile in which"));
}

#[test]
fn names_that_are_nearly_those_of_images_or_stages_are_hinted_at() {
    for (dockerfile, told) in [
        ("FROM bsae\n", "`bsae` is the image outside, for no image here is named so; did you mean `base`?"),
        (
            "FROM scratch AS build\nFROM scratch\nCOPY --from=biuld / /\n",
            "`biuld` is the image outside, for no stage above is named so; did you mean the stage `build`?",
        ),
        (
            "FROM 6sense/python\n",
            "`6sense/python` is the image outside; if the image `python` here is meant, write `contexts: {\"6sense/python\": \"python\"}` for `web`, or `prefix: \"6sense/\"`",
        ),
    ] {
        let sandbox =
            Sandbox::with("//- base/Dockerfile\nFROM scratch\n//- python/Dockerfile\nFROM scratch\n")
                .without_engine();
        sandbox.edit("Imagefile.ron", r#"(images: {"base": (), "python": (), "web": ()})"#);
        sandbox.edit("web/Dockerfile", dockerfile);
        let err = sandbox.imk("plan --offline").code(0).err();
        assert!(err.contains(told), "{err}");
        assert!(sandbox.imk("graph").code(0).err().contains(told));
    }
    for dockerfile in
        ["FROM basement\n", "FROM base\n", "FROM 6sense/python:3.12\n", "FROM bsae:1\n", "FROM acme/other\n"]
    {
        let sandbox =
            Sandbox::with("//- base/Dockerfile\nFROM scratch\n//- python/Dockerfile\nFROM scratch\n")
                .without_engine();
        sandbox.edit("Imagefile.ron", r#"(images: {"base": (), "python": (), "web": ()})"#);
        sandbox.edit("web/Dockerfile", dockerfile);
        let err = sandbox.imk("plan --offline").code(0).err();
        assert!(!err.contains("is the image outside"), "{dockerfile}: {err}");
    }
}

#[test]
fn a_file_of_another_builder_that_lies_unused_is_named() {
    for (file, text, told) in [
        (".shipwright.json", "{\"namespace\": \"acme\"}", true),
        ("docker-bake.hcl", "target \"web\" {}", true),
        ("compose.yaml", "services: {web: {build: web}}", true),
        ("compose.yaml", "services: {db: {image: postgres}}", false),
        ("README.md", "build: x", false),
    ] {
        let sandbox = Sandbox::with("//- web/Dockerfile\nFROM scratch\n").without_engine();
        sandbox.edit(file, text);
        let err = sandbox.imk("plan --offline").code(0).err();
        assert_eq!(
            err.contains(&format!("`{file}` is here and was not read: `imk import`")),
            told,
            "{file}: {err}"
        );
        sandbox.imk("init").code(0);
        assert!(!sandbox.imk("plan --offline").code(0).err().contains("was not read"));
    }
}
