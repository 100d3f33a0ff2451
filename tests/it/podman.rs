//! Podman behind Docker's API: what is built, what is refused, and that nothing is lost.
//!
//! `ci/engine --kind podman-5 run cargo test --test it podman` gives these an engine; on Docker they say that
//! they look at nothing.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, engine_or_skip, fixture_or_skip};

/// The version of the Podman that `DOCKER_HOST` leads to.
fn podman() -> Option<String> {
    let host = std::env::var("DOCKER_HOST").ok()?;
    let mut socket = UnixStream::connect(host.strip_prefix("unix://")?).ok()?;
    socket.write_all(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n").ok()?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).ok()?;
    let version = answer.lines().find_map(|line| line.strip_prefix("Server: Libpod/"))?;
    version.split_whitespace().next().map(str::to_owned)
}

/// A repository with these files, or `None` with a word where there is no Podman.
fn on_podman(test: &str, files: &str) -> Option<Sandbox> {
    engine_or_skip(test)?;
    if podman().is_none() {
        eprintln!("SKIPPED {test}: DOCKER_HOST leads to no Podman");
        return None;
    }
    let sandbox = Sandbox::with(files);
    sandbox.place_busybox();
    Some(sandbox)
}

const TOOLS: &str = "
    //- base/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
    ";

#[test]
fn podman_is_called_by_its_name_and_a_chain_is_built_once() {
    let Some(podman) = podman() else { return eprintln!("SKIPPED podman chain: there is no Podman") };
    let Some(chain) = fixture_or_skip("podman chain", "chain") else { return };
    let doctor = chain.imk("doctor").code(0).stdout;
    assert!(doctor.contains(&format!("Podman {podman}")) && !doctor.contains("BuildKit"), "{doctor}");
    assert_eq!(chain.imk("--progress plain").code(0).built().len(), 5);
    chain.imk("").says("5 fresh, 0 built, 0 failed");
    chain.append("app1/src/config.sh", "# edited\n");
    assert_eq!(chain.imk("--progress plain").code(0).built(), ["app1-prod"]);
}

#[test]
fn the_output_of_a_failing_command_is_in_the_log() {
    let Some(sandbox) = on_podman("podman log", TOOLS) else { return };
    sandbox.edit("base/f", "1");
    sandbox.append("base/Dockerfile", "RUN echo to-out; echo to-err >&2; exit 7\n");
    let failed = sandbox.imk("--progress plain").code(2);
    let told = [failed.stdout.as_str(), failed.stderr.as_str()].concat();
    assert!(told.contains("exit code 7"), "{told}");
    let log = fs_err::read_to_string(sandbox.path(".imk/logs/base.log")).unwrap();
    assert!(log.contains("to-out") && log.contains("to-err"), "{log}");
}

#[test]
fn what_podman_cannot_do_is_refused_by_name_before_anything_is_sent() {
    let Some(sandbox) = on_podman("podman refusals", TOOLS) else { return };
    sandbox.write_all("//- a/Dockerfile\nFROM scratch\nCOPY --exclude=x . /\n//- a/x\n1\n//- a/y\n1\n");
    let refused = sandbox.imk("a").code(2).stderr;
    assert!(
        refused.contains("Podman") && refused.contains("--exclude") && refused.contains("line 2"),
        "{refused}"
    );
    sandbox.write_all("//- b/Dockerfile\nFROM scratch\nCOPY <<EOF /x\nhello\nEOF\n");
    let heredoc = sandbox.imk("b");
    if podman().is_some_and(|version| version.starts_with("4.3")) {
        assert!(heredoc.stderr.contains("<<EOF"), "{}", heredoc.stderr);
    } else {
        heredoc.code(0);
        assert_eq!(sandbox.file_in("b", "/x"), "hello\n");
    }
}

#[test]
fn files_that_a_command_has_mounted_are_seen_when_they_change() {
    let Some(sandbox) = on_podman("podman mount", TOOLS) else { return };
    sandbox.edit("base/data/x", "one\n");
    sandbox.append("base/Dockerfile", "RUN --mount=type=bind,source=data,target=/d cp /d/x /copy\n");
    sandbox.imk("").success();
    assert_eq!(sandbox.file_in("base", "/copy"), "one\n");
    sandbox.edit("base/data/x", "two\n");
    sandbox.imk("").success();
    assert_eq!(sandbox.file_in("base", "/copy"), "two\n", "a cached layer of other files");
}

#[test]
fn a_context_with_an_ignore_file_of_its_own_is_copied_as_it_is() {
    let files = "
    //- a/Dockerfile
    FROM scratch
    COPY . /all/
    //- a/.dockerignore
    left-out
    //- a/left-out
    1
    //- a/kept
    1
    ";
    let Some(sandbox) = on_podman("podman ignore", files) else { return };
    sandbox.imk("").success();
    assert_eq!(sandbox.file_in("a", "/all/.dockerignore"), "left-out\n");
    let container = sandbox.docker(&["create", &format!("{}a", sandbox.prefix()), "true"]);
    let listed = sandbox.path("listing.tar");
    sandbox.docker(&["export", "-o", listed.to_str().unwrap(), &container]);
    sandbox.docker(&["rm", &container]);
    let listed = std::process::Command::new("tar").arg("tf").arg(&listed).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let mut all: Vec<&str> = listed.lines().filter_map(|line| line.strip_prefix("all/")).collect();
    all.sort_unstable();
    assert_eq!(all, ["", ".dockerignore", "Dockerfile", "kept"]);
}

#[test]
fn a_health_check_that_changes_makes_another_base() {
    let Some(sandbox) = on_podman(
        "podman health",
        "//- a/Dockerfile\nFROM scratch\nCOPY f /\nHEALTHCHECK CMD one\n//- a/f\n1\n//- b/Dockerfile\nFROM a\nCOPY f /g\n//- b/f\n2\n",
    ) else {
        return;
    };
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["a", "b"]);
    let text = "FROM scratch\nCOPY f /\nHEALTHCHECK CMD two\n";
    sandbox.edit("a/Dockerfile", text);
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["a", "b"]);
}

#[test]
fn what_bears_a_current_tag_stays_when_gc_keeps_nothing_else() {
    let Some(sandbox) = on_podman("podman gc", TOOLS) else { return };
    sandbox.write_all("//- b/Dockerfile\nFROM scratch\nCOPY f /\n//- b/f\n1\n");
    sandbox.imk("").success();
    let id = sandbox.id("b");
    sandbox.edit("b/f", "2");
    sandbox.imk("gc --keep 0").success();
    assert_eq!(sandbox.id("b"), id, "it bears the tag until it is built anew");
    sandbox.imk("").success();
    sandbox.imk("gc --keep 0").success();
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
}

#[test]
fn a_result_is_published_though_podman_tells_no_digest() {
    let Some(sandbox) = on_podman("podman push", "") else { return };
    let Some(registry) = RegistryServer::open("podman push") else { return };
    let sandbox = sandbox.prefixed(&registry.name("team/"));
    sandbox.write_all(&format!("//- b/Dockerfile\nFROM scratch\nCOPY f /\n//- b/f\n{}\n", registry.host()));
    sandbox.imk("push").says("0 fresh, 1 built, 1 published");
    sandbox.remove(".imk");
    sandbox.docker(&["rmi", "-f", &sandbox.id("b")]);
    sandbox.imk("").says("0 fresh, 0 built, 1 already published");
    // What is built on it needs its layers: over plain HTTP, from a registry on this machine.
    sandbox.write_all("//- c/Dockerfile\nFROM b\nCOPY f /g\n//- c/f\n1\n");
    sandbox.imk("c").success();
    assert_eq!(sandbox.file_in("c", "/f"), format!("{}\n", registry.host()));
}
