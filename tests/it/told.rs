//! Failures are told once, and warnings once for all their images; a run with nothing to build repeats none.

use std::process::Command;

use fs_err as fs;

use crate::registry_server::{RegistryServer, Wants};
use crate::sandbox::{Sandbox, engine_or_skip, fixture_or_skip};

/// How often a text stands on standard error.
#[track_caller]
fn told(stderr: &str, text: &str, times: usize) {
    assert_eq!(stderr.matches(text).count(), times, "{text}\n---\n{stderr}");
}

#[test]
fn a_failure_is_told_in_full_when_it_happens_and_named_at_the_end() {
    let Some(sandbox) = fixture_or_skip("told once", "diamond") else { return };
    sandbox.edit("left/Dockerfile", "FROM base\nRUN echo so it goes && exit 3\n");
    sandbox.edit("right/Dockerfile", "FROM base\nRUN echo and so && exit 4\n");
    let run = sandbox.imk("-j1 -k --progress plain").code(2);
    let err = run.err();
    told(&err, "ended with exit code 3", 1);
    told(&err, "ended with exit code 4", 1);
    told(&err, "| so it goes", 1);
    assert!(err.contains(
        "left: failed: [2/2] RUN echo so it goes && exit 3 ended with exit code 3 (left/Dockerfile:2)"
    ));
    let last: Vec<&str> = err.lines().rev().take(2).collect();
    assert_eq!(
        last,
        [
            "error: image `right` failed; the whole log: .imk/logs/right.log",
            "error: image `left` failed; the whole log: .imk/logs/left.log"
        ],
        "{err}"
    );
    // In silence there is one place alone, and it has everything.
    let err = sandbox.imk("-j1 -s left").code(2).err();
    told(&err, "ended with exit code 3", 1);
    told(&err, "| so it goes", 1);
    told(&err, "the whole log: .imk/logs/left.log", 1);
}

#[test]
fn a_mistake_beside_others_that_build_is_drawn_once() {
    let Some(sandbox) = fixture_or_skip("mistake once", "diamond") else { return };
    sandbox.edit("left/Dockerfile", "FROM base\nCOPY nothing /\n");
    let err = sandbox.imk("-k --progress plain base left right").code(2).err();
    told(&err, "there is no `nothing`", 1);
}

#[test]
fn a_tag_that_is_left_out_is_told_once_and_again_for_what_is_built() {
    let Some(sandbox) = engine_or_skip("left out once") else { return };
    sandbox.write_all(
        r#"
    //- Imagefile.ron
    (defaults: (tags: ["latest", "{git.branch}"]), images: {"a": (), "b": ()})
    //- a/Dockerfile
    FROM scratch
    COPY file /
    //- a/file
    1
    //- b/Dockerfile
    FROM scratch
    COPY Dockerfile /
"#,
    );
    let left_out = "the tag `{git.branch}` is left out";
    told(&sandbox.imk("").code(0).err(), left_out, 1);
    told(&sandbox.imk("").code(0).err(), left_out, 0);
    sandbox.edit("a/file", "2\n");
    told(&sandbox.imk("").code(0).err(), left_out, 1);
    told(&sandbox.imk("").code(0).err(), left_out, 0);
    // A question is answered in full.
    told(&sandbox.imk("plan").code(0).err(), left_out, 1);
}

/// Three images in a registry that wants a login, and none to be had.
fn locked_out(test: &str) -> Option<(Sandbox, RegistryServer)> {
    let registry = RegistryServer::start(test, Wants { login: true, ..Wants::default() })?;
    let sandbox = engine_or_skip(test)?.prefixed(&format!("{}/team/", registry.host()));
    for name in ["a", "b", "c"] {
        sandbox.edit(&format!("{name}/Dockerfile"), "FROM scratch\nCOPY file /\n");
        sandbox.edit(&format!("{name}/file"), &format!("{name} 1\n"));
    }
    Some((sandbox, registry))
}

#[test]
fn a_missing_login_is_told_once_for_all_images_of_its_host() {
    let Some((sandbox, registry)) = locked_out("missing login") else { return };
    let nobody = fs::canonicalize(sandbox.root()).unwrap().join("no-docker");
    let run = || {
        let mut command: Command = sandbox.command("", "");
        sandbox.run(command.env("DOCKER_CONFIG", &nobody).output().unwrap()).code(0).stderr
    };
    let err = run();
    let lines: Vec<&str> = err.lines().filter(|line| line.contains("without a login")).collect();
    let [only] = lines.as_slice() else { panic!("{err}") };
    assert!(only.contains("`team/a`, `team/b`, `team/c`"), "{only}");
    assert!(only.contains(&format!("`docker login {}` makes one", registry.host())), "{only}");
    told(&run(), "without a login", 0);
    sandbox.edit("b/file", "2\n");
    told(&run(), "without a login", 1);
}
