//! Names and tags of images as bases, with the program and an engine.

use std::process::Command;

use fs_err as fs;
use imk::registry::Registry as _;

use crate::registry_server::RegistryServer;
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
    // With all state lost the mark on the result says what the base was: built once more, on the same base.
    for _ in 0..2 {
        sandbox.remove(".imk");
        sandbox.imk("--offline").code(0);
        assert_eq!(layers(&sandbox, &base_name), 2);
        let parent = sandbox.docker(&["image", "inspect", "-f", "{{json .RootFS.Layers}}", &base]);
        let all = sandbox.docker(&["image", "inspect", "-f", "{{json .RootFS.Layers}}", &base_name]);
        assert!(all.starts_with(parent.trim().trim_end_matches(']')), "{all} on {parent}");
    }
    assert!(sandbox.imk("--offline").code(0).built().is_empty());
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

const TWO_OF_ONE_REPOSITORY: &str = r#"
    //- Imagefile.ron
    (
        images: {
            "os:alp": (tags: ["{tag}-{V}", "{tag}-{time}"]),
            "os:deb": (context: "os/debian"),
            "web": (),
            "api": (),
        },
        vars: {"V": "3"},
        groups: {"all-os": ["os:*"]},
    )
    //- os/alp/Dockerfile
    FROM scratch
    LABEL os=alp
    COPY file /
    //- os/alp/file
    1
    //- os/debian/Dockerfile
    FROM scratch
    LABEL os=deb
    COPY file /
    //- os/debian/file
    1
    //- web/Dockerfile
    FROM os:alp
    LABEL web=1
    //- api/Dockerfile
    FROM os:deb
    LABEL api=1
    "#;

#[test]
fn images_that_differ_by_tag_are_chosen_as_all_others() {
    let sandbox = Sandbox::with(TWO_OF_ONE_REPOSITORY).without_engine();
    insta::assert_snapshot!(sandbox.imk("graph").code(0).out(), @r"
    os:alp
    └── web
    os:deb
    └── api
    ");
    for (words, order) in [
        ("os:alp", "os:alp"),
        ("os:*", "os:alp os:deb"),
        ("all-os", "os:alp os:deb"),
        ("+web", "os:alp web"),
        ("os:alp+", "os:alp web"),
        ("os:?eb+", "os:deb api"),
    ] {
        let json = sandbox.imk(&format!("graph --json {words}")).code(0).stdout;
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let names: Vec<&str> =
            json["images"].as_array().unwrap().iter().map(|image| image["name"].as_str().unwrap()).collect();
        assert_eq!(names.join(" "), order, "{words}");
    }
    let unknown = sandbox.imk("plan os:apl --offline").code(2).err();
    assert!(unknown.contains("did you mean `os:alp`"), "{unknown}");
}

#[test]
fn an_image_with_a_tag_in_its_name_bears_that_and_no_latest() {
    let Some(sandbox) = engine_or_skip("images that differ by tag") else { return };
    sandbox.write_all(TWO_OF_ONE_REPOSITORY);
    let built = sandbox.imk("").code(0).built();
    assert_eq!(built.len(), 4, "{built:?}");
    let reference = format!("{}os", sandbox.prefix());
    let tags = sandbox.docker(&["images", "--format", "{{.Tag}}", &reference]);
    let mut tags: Vec<&str> = tags.lines().collect();
    tags.sort_unstable();
    assert!(
        matches!(tags.as_slice(), ["alp", time, "alp-3", "deb"] | ["alp", "alp-3", time, "deb"] if time.starts_with("alp-2")),
        "{tags:?}"
    );
    assert_ne!(sandbox.id("os:alp"), sandbox.id("os:deb"));
    assert_eq!(sandbox.id("os:alp"), sandbox.id("os:alp-3"));
    assert!(sandbox.imk("tags os:alp --newest").code(0).stdout.contains("os:alp-2"));
    sandbox.imk("").says("4 fresh, 0 built, 0 failed");
    assert!(sandbox.path(".imk/logs/os%3Aalp.log").exists());

    sandbox.edit("os/alp/file", "2\n");
    let mut built = sandbox.imk("").code(0).built();
    built.sort_unstable();
    assert_eq!(built, ["os:alp", "web"]);
    let why = sandbox.imk("log os:alp").code(0).out();
    assert!(why.contains("file"), "{why}");
    sandbox.imk("clean os:alp").code(0);
    assert!(!sandbox.path(".imk/logs/os%3Aalp.log").exists());
    sandbox.id("os:deb");
}

#[test]
fn two_images_that_could_bear_one_tag_are_told_with_both_places() {
    for (first, second, tag) in [
        (r#""os": (context: ".", tags: ["alp"])"#, r#""os:alp": (context: ".")"#, "os:alp"),
        (r#""os:alp": (context: ".", tags: ["x"])"#, r#""os:deb": (context: ".", tags: ["x"])"#, "os:x"),
        (r#""os": (context: ".")"#, r#""os:latest": (context: ".")"#, "os:latest"),
        (
            r#""os:alp": (context: ".", tags: [When(branch: "never", tag: "x")])"#,
            r#""os:deb": (context: ".", tags: [When(branch: "nowhere", tag: "x")])"#,
            "os:x",
        ),
    ] {
        let sandbox = Sandbox::with("//- Dockerfile\nFROM scratch\n").without_engine();
        sandbox.edit("Imagefile.ron", &format!("(images: {{\n{first},\n{second},\n}})\n"));
        let told = sandbox.imk("plan --offline").code(2).err();
        assert!(
            told.contains(&format!("would both be tagged `{tag}`")) || told.contains(&format!("{tag}`")),
            "{told}"
        );
        assert!(told.contains("Imagefile.ron:3:") && told.contains("Imagefile.ron:2"), "{told}");
    }
}

#[test]
fn a_bare_time_does_not_tell_images_of_one_repository_apart() {
    let sandbox = Sandbox::with("//- Dockerfile\nFROM scratch\n").without_engine();
    for (image, told) in [
        (r#""os:alp": (context: ".", tags: ["{time}"])"#, "write `{tag}-{time}`"),
        (r#""os": (context: ".", tags: ["{tag}-{time}"])"#, "the image's name has no tag"),
    ] {
        sandbox.edit("Imagefile.ron", &format!("(images: {{{image}}})\n"));
        let err = sandbox.imk("plan --offline").code(2).err();
        assert!(err.contains(told), "{err}");
    }
}

#[test]
fn images_that_differ_by_tag_are_pushed_locked_and_compared_as_all_others() {
    let Some(server) = RegistryServer::open("images that differ by tag, and a registry") else { return };
    let Some(sandbox) = engine_or_skip("images that differ by tag, and a registry") else { return };
    let sandbox = sandbox.prefixed(&server.name("shop/"));
    sandbox.write_all(TWO_OF_ONE_REPOSITORY);
    // Images of its own: what another test takes away at its end must be none of these.
    sandbox.edit("os/alp/file", "pushed alp\n");
    sandbox.edit("os/debian/file", "pushed deb\n");
    // Of the same repository, and not ours: outside.
    server.put_image("shop/os:old", "old");
    let outside = server.name("shop/os:old");
    sandbox.edit("old/Dockerfile", &format!("FROM {outside}\nLABEL old=1\n"));
    let file = fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit("Imagefile.ron", &file.replace("\"web\": (),", "\"web\": (), \"old\": (),"));
    sandbox.edit(".gitignore", ".imk\n");
    for words in ["init -q .", "add -A", "-c user.name=a -c user.email=a@b.example commit -qm one"] {
        let done = Command::new("git").args(words.split(' ')).current_dir(sandbox.root()).status().unwrap();
        assert!(done.success(), "git {words}");
    }

    let pushed = sandbox.imk("push").code(0);
    assert!(pushed.err().contains("is the image outside"), "{}", pushed.err());
    let client = server.client();
    for tag in ["os:alp", "os:deb", "os:alp-3", "web:latest", "api:latest", "old:latest"] {
        assert!(client.manifest(&server.at(&format!("shop/{tag}"))).unwrap().is_some(), "{tag}");
    }
    assert!(client.manifest(&server.at("shop/os:latest")).unwrap().is_none());
    assert!(sandbox.imk("push").code(0).stdout.contains("(0 tags moved)"));
    sandbox.imk("update").code(0);
    let lock = fs::read_to_string(sandbox.path("Imagefile.lock")).unwrap();
    assert!(lock.contains("shop/os:old") && !lock.contains("os:alp"), "{lock}");
    sandbox.imk("--locked").says("5 fresh, 0 built, 0 failed");

    // What differs from a commit, and what is built on it.
    sandbox.edit("os/alp/file", "2\n");
    let plan = sandbox.imk("plan --since HEAD").code(0).out();
    assert!(
        plan.contains("os:alp: stale") && plan.contains("web: waits") && !plan.contains("os:deb"),
        "{plan}"
    );
    let affected = sandbox.imk("affected --since HEAD --worktree").code(0).stdout;
    let affected: Vec<&str> = affected.split_whitespace().collect();
    assert!(affected.contains(&"os:alp") && affected.contains(&"web"), "{affected:?}");
    assert!(!affected.contains(&"os:deb") && !affected.contains(&"api"), "{affected:?}");
}
