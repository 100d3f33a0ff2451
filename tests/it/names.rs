//! Names and tags of images as bases, with the program and an engine.

use fs_err as fs;

use crate::sandbox::{Sandbox, busybox, engine_or_skip};

const PYTHON_AND_WEB: &str = "
    //- python/Dockerfile
    FROM scratch
    //- web/Dockerfile
    FROM python:3.12
    ";

#[test]
fn a_tag_that_the_image_here_does_not_have_means_the_one_outside() {
    let sandbox = Sandbox::with(PYTHON_AND_WEB).without_engine();
    let run = sandbox.imk("graph").code(0);
    insta::assert_snapshot!(run.out(), @r"
    python
    web
    ");
    insta::assert_snapshot!(run.err(), @r#"warning: web: `python:3.12` is the image outside, for the image `python` here has no tag `3.12`; if `python` is meant, write `tags: ["latest", "3.12"]` or `any_tag: true` for it in the Imagefile that `imk init` writes"#);
    let plan = sandbox.imk("plan --offline").code(0).err();
    assert!(plan.contains("`python:3.12` is the image outside"), "{plan}");
}

#[test]
fn the_line_that_the_warning_names_makes_the_edge() {
    for line in [r#"tags: ["latest", "3.12"]"#, "any_tag: true"] {
        let sandbox = Sandbox::with(PYTHON_AND_WEB).without_engine();
        for file in [
            format!(r#"(images: {{"python": ({line}), "web": ()}})"#),
            format!(r#"(templates: {{"t": ({line})}}, images: {{"python": (like: "t"), "web": ()}})"#),
            format!(r#"(defaults: ({line}), images: {{"python": (), "web": ()}})"#),
        ] {
            sandbox.edit("Imagefile.ron", &file);
            let run = sandbox.imk("graph").code(0);
            assert_eq!((run.out().trim(), run.err().trim()), ("python\n└── web", ""), "{file}");
        }
    }
}

#[test]
fn tags_of_rules_make_edges_and_tags_of_facts_never_do() {
    for (tags, edge) in [
        (r#"[When(branch: "never", tag: "3.12")]"#, true),
        (r#"["{V}"]"#, true),
        (r#"["{V}-{git.branch}"]"#, false),
        (r#"["{env.V}"]"#, false),
        (r#"["{build}"]"#, false),
    ] {
        let sandbox = Sandbox::with(PYTHON_AND_WEB).without_engine();
        let file = format!(r#"(vars: {{"V": "3.12"}}, images: {{"python": (tags: {tags}), "web": ()}})"#);
        sandbox.edit("Imagefile.ron", &file);
        let mut command = sandbox.command("", "graph");
        command.env("V", "3.12").env("IMK_BUILD_NUMBER", "3.12");
        let run = sandbox.run(command.output().unwrap()).code(0);
        assert_eq!(run.out().contains("└── web"), edge, "{tags}: {}", run.out());
    }
}

/// How many layers an image has.
fn layers(sandbox: &Sandbox, image: &str) -> usize {
    let all =
        sandbox.docker(&["image", "inspect", "-f", "{{range .RootFS.Layers}}{{println .}}{{end}}", image]);
    all.lines().filter(|line| !line.trim().is_empty()).count()
}

#[test]
fn an_image_on_a_base_of_its_own_name_is_fresh_afterwards_and_never_stacks() {
    let Some(sandbox) = engine_or_skip("an image on a base of its own name") else { return };
    let base_name = format!("{}own", sandbox.prefix());
    sandbox.write_all(&format!("//- own/Dockerfile\nFROM {base_name}\nCOPY file /\n//- own/file\n1\n"));
    let folder = tempfile::tempdir().unwrap();
    fs::copy(busybox(), folder.path().join("sh")).unwrap();
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY sh /bin/sh\n").unwrap();
    sandbox.docker(&["build", "-q", "-t", &base_name, folder.path().to_str().unwrap()]);
    let base = sandbox.id("own");

    let first = sandbox.imk("--offline").code(0);
    assert_eq!(first.built(), ["own"]);
    assert!(first.err().contains("the result is tagged"), "{}", first.err());
    let result = sandbox.id("own");
    assert_ne!(result, base);
    assert_eq!(layers(&sandbox, &base_name), 2);
    for forgotten in ["", ".imk/snapshot"] {
        if !forgotten.is_empty() {
            sandbox.remove(forgotten);
        }
        assert!(sandbox.imk("--offline").code(0).built().is_empty(), "after {forgotten}");
        assert_eq!(sandbox.id("own"), result);
    }
    sandbox.edit("own/file", "2\n");
    assert_eq!(sandbox.imk("--offline").code(0).built(), ["own"]);
    assert_eq!(layers(&sandbox, &base_name), 2);

    // The base is nowhere any more: nothing is built on the result in its place.
    sandbox.docker(&["rmi", "-f", &base]);
    sandbox.edit("own/file", "3\n");
    let gone = sandbox.imk("--offline").code(2).err();
    assert!(gone.contains("leads to imk's own result"), "{gone}");
    sandbox.docker(&["rmi", "-f", &base_name]);
}
