//! `imk tools push`: a Dockerfile is built and pushed under a name that no Imagefile has, as steps have always done it.

use std::process::Command;

use imk::registry::Registry;

use crate::registry_server::RegistryServer;
use crate::sandbox::{Run, Sandbox, engine_or_skip};

fn digest(registry: &RegistryServer, name: &str) -> Option<String> {
    registry.client().head(&registry.at(name)).unwrap().map(|found| found.digest)
}

#[test]
fn a_dockerfile_is_pushed_under_any_name_and_not_built_twice() {
    if engine_or_skip("tools-push").is_none() {
        return;
    }
    let Some(registry) = RegistryServer::open("tools-push") else { return };
    let unique = registry.host();
    let sandbox = Sandbox::with(&format!(
        r#"
        //- Imagefile.ron
        (images: {{"other": (context: "elsewhere")}})
        //- elsewhere/Dockerfile
        FROM scratch
        COPY file /
        //- elsewhere/file
        x {unique}
        //- app/Dockerfile
        FROM scratch
        COPY file /
        //- app/file
        one {unique}
        "#
    ));
    let cache = tempfile::tempdir().unwrap();
    let state = || cache.path().join("state");
    let push = |words: &str| {
        // By the name that steps know.
        let tools = cache.path().join("tools");
        if !tools.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_imk"), &tools).unwrap();
        }
        let like = sandbox.command("app", "");
        let mut command = Command::new(tools);
        command.current_dir(sandbox.path("app")).env("IMK_STATE_DIR", state());
        for (name, value) in
            like.get_envs().filter(|(name, _)| *name != "IMK_STATE_DIR" && *name != "IMK_PREFIX")
        {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let words = format!("push {words} {}", registry.name("team/app"));
        let output = command.args(words.split_whitespace()).output().unwrap();
        let run: Run<'_> = sandbox.run(output);
        run
    };
    let first = push("-t 1,2 -t 3 -d").code(0);
    assert!(
        first.out().contains("1 built") || first.err().contains("1 built"),
        "{}{}",
        first.out(),
        first.err()
    );
    let one = digest(&registry, "team/app:1").unwrap();
    for tag in ["2", "3"] {
        assert_eq!(digest(&registry, &format!("team/app:{tag}")).as_ref(), Some(&one), "{tag}");
    }
    assert_eq!(digest(&registry, "team/app:latest"), None);
    let again = push("").code(0);
    assert!(!(again.out() + &again.err()).contains("1 built"), "{}{}", again.out(), again.err());
    assert_eq!(digest(&registry, "team/app:latest").as_ref(), Some(&one));
    sandbox.edit("app/file", "two\n");
    push("").code(0);
    assert_ne!(digest(&registry, "team/app:latest").as_ref(), Some(&one));
    assert!(!sandbox.path("app/.imk").exists() && !sandbox.path(".imk").exists());
}

#[test]
fn a_name_that_is_none_and_a_tool_without_a_job_are_told() {
    let sandbox = Sandbox::with("//- Dockerfile\nFROM scratch\n").without_engine();
    for (words, said) in [
        ("tools push Team/App", "small letters"),
        ("tools push team/app:1", "-t TAG gives it"),
        ("tools push -t a/b team/app", "a/b"),
        ("tools jenkins job/x", "there is nobody to ask"),
        ("tools hipchat 1 hello", "there is nobody to ask"),
    ] {
        let run = sandbox.imk(words).code(2);
        assert!(run.err().contains(said), "{words}: {}", run.err());
    }
}
