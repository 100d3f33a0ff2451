//! Files that are there and broken: never taken for absent, and told with place, cause and remedy.

use fs_err as fs;

use crate::sandbox::{Run, Sandbox};

const MERGE: &str = "<<<<<<< HEAD\nONE\n=======\nTWO\n>>>>>>> theirs\n";

fn repository() -> Sandbox {
    Sandbox::with("//- a/Dockerfile\nFROM scratch\nCOPY Dockerfile /\n").without_engine()
}

#[track_caller]
fn told(run: Run<'_>, message: &str, place: &str, remedy: &str) {
    let run = run.code(2);
    for text in [message, place, remedy] {
        assert_eq!(run.stderr.matches(text).count(), 1, "{text}: {}", run.stderr);
    }
}

#[test]
fn marks_of_a_merge_are_told_in_every_file_that_is_imks() {
    let sandbox = repository();
    let (message, remedy) = ("a merge left the lines of both sides here", "keep the lines of one side");
    sandbox.edit("a/Dockerfile", &MERGE.replace("ONE", "FROM scratch").replace("TWO", "FROM scratch AS a"));
    told(sandbox.imk("plan"), message, "a/Dockerfile:1:1", remedy);
    sandbox.edit("a/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    sandbox.edit("Imagefile.ron", &format!("(images: {{\n{}}})\n", MERGE.replace("ONE", "\"a\": (),")));
    told(sandbox.imk("plan"), message, "Imagefile.ron:2:1", remedy);
    sandbox.edit("Imagefile.ron", "(images: {\"a\": ()})\n");
    sandbox.edit("Imagefile.lock", &format!("version 1\n{MERGE}"));
    told(sandbox.imk("plan"), "a merge left the entries of both sides here", "Imagefile.lock:2:1", remedy);
}

#[test]
fn an_imagefile_in_another_language_is_told_as_that() {
    let sandbox = repository();
    for (language, text) in [
        ("YAML", "images:\n  a:\n    context: a\n"),
        ("TOML", "[images.a]\ncontext = \"a\"\n"),
        ("JSON", "{\"images\": {\"a\": {}}}\n"),
    ] {
        sandbox.edit("Imagefile.ron", text);
        let message = format!("error: this is {language}, and an Imagefile is RON");
        told(sandbox.imk("plan"), &message, "Imagefile.ron:1:1", "RON has keys in parentheses");
    }
    sandbox.remove("Imagefile.ron").edit("Imagefile.yaml", "images: {}\n");
    told(sandbox.imk("plan"), "`Imagefile.yaml` is not read", "--> Imagefile.yaml", "name it Imagefile.ron");
}

#[test]
fn dockers_configuration_that_is_no_json_is_no_absent_one() {
    let sandbox = repository();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.json");
    let run = |words: &str| {
        let mut command = sandbox.command("", words);
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT").env("DOCKER_CONFIG", folder.path());
        sandbox.run(command.output().unwrap())
    };
    fs::write(&file, "{\"auths\": {,}").unwrap();
    told(run("plan"), "the file is no valid JSON", "line 1, column 12", "mend it or set DOCKER_HOST");
    let doctor = run("doctor").code(2).stdout;
    assert_eq!(doctor.matches("the file is no valid JSON").count(), 1, "{doctor}");
    // Nothing is started by starting docker where the name or the address of an engine is none.
    for (name, value) in
        [("DOCKER_CONTEXT", "nope"), ("DOCKER_HOST", "npipe:////./pipe/docker"), ("DOCKER_HOST", "./sock")]
    {
        let mut command = sandbox.command("", "plan");
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT").env(name, value);
        let run = sandbox.run(command.output().unwrap()).code(2);
        assert!(run.stderr.contains("--engine or DOCKER_HOST names another"), "{}", run.stderr);
        assert!(!run.stderr.contains("systemctl"), "{}", run.stderr);
    }
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    told(
        run("plan"),
        "reading the docker context chosen in",
        &file.display().to_string(),
        "mend that or set DOCKER_HOST",
    );
}
