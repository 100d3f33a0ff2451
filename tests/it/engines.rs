//! Several real engines and a real registry: bases travel by digest, and an engine may die.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use fs_err as fs;

use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, engine_or_skip};
use crate::second_engine::SecondEngine;

/// The command with the test's own engine and another, which has a label.
fn command(sandbox: &Sandbox, other: &SecondEngine, words: &str) -> Command {
    let mut command = sandbox.command("", words);
    command.env("IMK_ENGINE", format!("default {},labels=big,jobs=2", other.host()));
    command
}

fn images(engine: &SecondEngine) -> String {
    engine.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"])
}

#[test]
fn an_image_is_built_where_it_fits_and_its_base_comes_through_the_registry() {
    if engine_or_skip("travel").is_none() {
        return;
    }
    let Some(registry) = RegistryServer::open("travel") else { return };
    let other = SecondEngine::start();
    let sandbox = Sandbox::with(
        "
        //- Imagefile.ron
        (images: {\"base\": (), \"api\": (engine_labels: [\"big\"]), \"web\": (engine_labels: [\"big\"])})
        //- base/Dockerfile
        FROM scratch
        COPY file /base
        //- api/Dockerfile
        FROM base
        COPY file /api
        //- api/file
        api
        //- web/Dockerfile
        FROM base
        COPY file /web
        //- web/file
        web
        ",
    )
    .prefixed(&registry.name("team/"));
    sandbox.edit("base/file", &format!("travel {}\n", registry.host()));
    let run = |words: &str| sandbox.run(command(&sandbox, &other, words).output().unwrap());

    let first = run("");
    assert!(first.stderr.contains("api: on engine `unix://"), "{}", first.stderr);
    first.says("0 fresh, 3 built, 0 failed");
    let there = images(&other);
    assert!(there.contains("team/api:latest") && there.contains("team/web:latest"), "{there}");
    assert!(!there.contains("team/base:latest"), "{there}");
    let asked = registry.requests();
    let count = |what: &str| asked.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!(count("PUT /v2/team/base/manifests/imk-staging-"), 1, "it is sent once: {asked:#?}");
    assert_eq!(count("PUT /v2/team/api/") + count("PUT /v2/team/web/"), 0, "and nothing else: {asked:#?}");
    assert!(count("GET /v2/team/base/manifests/sha256:") > 0, "and fetched by digest: {asked:#?}");

    // Nothing is to be done, and no registry is asked.
    let before = registry.requests().len();
    run("").says("3 fresh, 0 built, 0 failed");
    assert_eq!(registry.requests().len(), before);
    // Alone, the test's own engine has what it built, and one is told what it lacks.
    let alone = sandbox.imk("api").code(2);
    assert!(
        alone.err().contains("image `api` needs an engine with `big`, and there is none"),
        "{}",
        alone.err()
    );
    assert!(alone.err().contains("Imagefile.ron:1:"), "{}", alone.err());
    // Asked for here, it comes through the registry too.
    run("--load api").says("1 fresh, 0 built, 1 retagged, 0 failed");
    sandbox.id("api");
    run("").says("3 fresh, 0 built, 0 failed");

    // Doctor, gc and clean look at both.
    let doctor = run("doctor").code(0).out();
    for wanted in ["`default`: builder BuildKit", "labels big", &format!("`{}`: version", other.host())] {
        assert!(doctor.contains(wanted), "no {wanted:?} in\n{doctor}");
    }
    let count = || other.docker(&["images", "-aq"]).lines().count();
    sandbox.edit("web/file", "web, once more\n");
    run("").says("2 fresh, 1 built, 0 failed");
    let before = count();
    let swept = run("gc --keep 1").code(0).out();
    let line = format!(") on engine `{}` removed, up to", other.host());
    assert!(swept.lines().any(|told| told.starts_with("web ") && told.contains(&line)), "{swept}");
    assert_eq!(count(), before - 1, "{swept}");
    run("").says("3 fresh, 0 built, 0 failed");
    let cleaned = run("clean --images").code(0).out();
    assert_eq!(count(), 0, "{cleaned}");
}

#[test]
fn an_engine_that_is_killed_in_the_middle_of_a_build_loses_its_job_to_the_other() {
    if engine_or_skip("killed-engine").is_none() {
        return;
    }
    let mut other = SecondEngine::start();
    let sandbox = Sandbox::with(
        "
        //- Imagefile.ron
        (images: {\"a\": (), \"b\": ()})
        //- a/Dockerfile
        FROM scratch
        COPY busybox /bin/busybox
        RUN [\"/bin/busybox\", \"sleep\", \"15\"]
        //- b/Dockerfile
        FROM scratch
        COPY busybox /bin/busybox
        RUN [\"/bin/busybox\", \"sleep\", \"15\"]
        ",
    );
    sandbox.place_busybox();
    let mut imk = command(&sandbox, &other, "-j 2");
    let mut imk = imk.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(imk.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut told: Vec<String> = Vec::new();
    let mark = format!("on engine `{}`", other.host());
    let victim = loop {
        let Some(line) = lines.next() else { panic!("no job came to the other engine: {told:#?}") };
        told.push(line.clone());
        let Some(name) = told.iter().find_map(|line| line.strip_suffix(&mark)) else { continue };
        // Its command runs.
        if line.starts_with(name) && line.contains("RUN ") {
            break name.trim_end_matches(": ").to_owned();
        }
    };
    other.kill();
    told.extend(lines);
    let run = sandbox.run(imk.wait_with_output().unwrap());
    let lost = format!("{victim}: engine `{}` stopped answering, another one builds it", other.host());
    assert!(told.iter().any(|line| line.starts_with(&lost)), "{told:#?}");
    run.says("0 fresh, 2 built, 0 failed");
    assert_ne!(sandbox.id("a"), "");
    assert_ne!(sandbox.id("b"), "");
}

#[test]
fn layers_that_an_image_carries_serve_another_engine_and_count_for_nothing() {
    if engine_or_skip("caches").is_none() {
        return;
    }
    let Some(registry) = RegistryServer::open("caches") else { return };
    let other = SecondEngine::start();
    let files = "
        //- Imagefile.ron
        (images: {\"web\": ()})
        //- web/Dockerfile
        FROM scratch
        COPY busybox /bin/busybox
        RUN [\"/bin/busybox\", \"touch\", \"/made\"]
        COPY file /file
        //- web/file
        one
        ";
    let prefix = registry.name("team/");
    let first = Sandbox::with(files).prefixed(&prefix);
    first.place_busybox();
    first.imk("push --cache-to type=inline").says("0 fresh, 1 built, 1 published");
    first.imk("").says("1 fresh, 0 built, 0 failed");

    let second = Sandbox::with(files).prefixed(&prefix).on(other.host());
    second.place_busybox();
    second.edit("web/file", "another\n");
    second
        .imk(&format!("--cache-from type=registry,ref={prefix}web:latest"))
        .says("0 fresh, 1 built, 0 failed");
    let log = fs::read_to_string(second.path(".imk/logs/web.log")).unwrap();
    // The other engine may be of another release, whose BuildKit knows `RUN` by another key.
    assert!(log.lines().any(|line| line.contains("COPY busybox") && line.ends_with(": cached")), "{log}");
    second.imk("").says("1 fresh, 0 built, 0 failed");

    second.append("web/file", "more\n");
    let refused = second.imk("--cache-to type=s3,bucket=b,region=r").code(2);
    assert!(refused.err().contains("s3"), "{}", refused.err());
    second.edit("Imagefile.ron", "(images: {\"web\": (cache_from: [\"type=floppy,src=x\"])})\n");
    let refused = second.imk("").code(2);
    assert!(
        refused.err().contains("Imagefile.ron:1:") && refused.err().contains("no cache of type `floppy`"),
        "{}",
        refused.err()
    );
}
