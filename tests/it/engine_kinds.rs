//! Engines that change under a running user: an upgrade on the same data, a store that is switched and switched back,
//! another program behind the same socket.
//!
//! Each is an engine of a kind of its own (`ci/engine --kind`), whose packages may have to be fetched: `ci/wide` asks for these
//! tests with IMK_TEST_KINDS=1.

use std::path::Path;

use crate::sandbox::{Run, Sandbox, engine_or_skip};

/// A repository whose engines share a socket and, where they can, their data.
struct Changing {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
}

impl Changing {
    fn new(test: &str) -> Option<Self> {
        let sandbox = engine_or_skip(test)?;
        if std::env::var_os("IMK_TEST_KINDS").is_none() {
            eprintln!("SKIPPED {test}: IMK_TEST_KINDS is not set");
            return None;
        }
        sandbox.write_all(
            "
            //- Imagefile.ron
            (images: {\"base\": (), \"web\": ()})
            //- base/Dockerfile
            FROM scratch
            COPY busybox /bin/busybox
            //- web/Dockerfile
            FROM base
            RUN [\"/bin/busybox\", \"cp\", \"/proc/sys/kernel/random/uuid\", \"/made\"]
            ",
        );
        sandbox.place_busybox();
        let folder = tempfile::Builder::new().prefix("imk-kinds-").tempdir_in("/tmp").unwrap();
        Some(Self { sandbox, folder })
    }

    /// Runs a shell's words, with imk as `"$@"`, on an engine of a kind that has this data. `None` where its packages cannot
    /// be had.
    fn on(&self, kind: &str, data: &str, script: &str) -> Option<Run<'_>> {
        let socket = self.folder.path().join("docker.sock");
        let script = format!(
            "ln -sfn \"${{DOCKER_HOST#unix://}}\" {socket} && export DOCKER_HOST=unix://{socket} && {script}",
            socket = socket.display()
        );
        let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/engine").display().to_string();
        let before = ["--kind", kind, "run", "sh", "-c", &script, "sh"];
        let mut command = self.sandbox.under(&engine, &before, "--progress plain");
        let output = command.env("IMK_ENGINE_DATA", self.folder.path().join(data)).output().unwrap();
        let run = self.sandbox.run(output);
        if matches!(run.status, 3 | 4) && run.stdout.is_empty() {
            eprintln!("SKIPPED: no engine of kind {kind}: {}", run.stderr);
            return None;
        }
        Some(run)
    }
}

#[test]
fn what_an_engine_that_was_upgraded_or_switched_still_has_is_not_built_again() {
    let Some(changing) = Changing::new("upgraded") else { return };
    let Some(first) = changing.on("20.10", "data", "\"$@\"") else { return };
    first.says("0 fresh, 2 built, 0 failed");
    // Upgraded: another engine by its id, with the images under their old ids. Said in one line.
    let Some(run) = changing.on("28", "data", "\"$@\" && \"$@\"") else { return };
    assert_eq!(run.stderr.matches("the engine was Docker 20.10").count(), 1, "{}", run.stderr);
    assert_eq!(run.stdout.matches("2 fresh, 0 built, 0 failed").count(), 2, "{}", run.stdout);
    // The other store has none of them.
    let Some(run) = changing.on("28-containerd", "data", "\"$@\" && \"$@\"") else { return };
    assert!(run.stdout.contains("0 fresh, 2 built, 0 failed"), "{}", run.stdout);
    assert!(run.stdout.contains("2 fresh, 0 built, 0 failed"), "{}", run.stdout);
    assert_eq!(run.stderr.matches("the engine was Docker").count(), 1, "{}", run.stderr);
    // And back: the older results are found again.
    let Some(run) = changing.on("28", "data", "\"$@\" && \"$@\"") else { return };
    assert!(!run.stdout.contains("1 built") && !run.stdout.contains("2 built"), "{}", run.stdout);
    assert_eq!(run.stdout.matches("2 fresh, 0 built, 0 failed").count(), 2, "{}", run.stdout);
    // Images that go behind imk's back are missed, and nothing else.
    let prune = "docker image rm \"${IMK_PREFIX}web\" >/dev/null && \"$@\" && docker image prune -af >/dev/null && \"$@\"";
    let Some(run) = changing.on("28", "data", prune) else { return };
    assert!(run.stdout.contains("1 fresh, 1 built, 0 failed"), "{}", run.stdout);
    assert!(run.stdout.contains("0 fresh, 2 built, 0 failed"), "{}", run.stdout);
}

#[test]
fn another_program_behind_the_same_socket_is_known_for_what_it_is() {
    let Some(changing) = Changing::new("swapped") else { return };
    let Some(first) = changing.on("28", "docker", "\"$@\"") else { return };
    first.says("0 fresh, 2 built, 0 failed");
    let Some(run) = changing.on("podman-5", "podman", "\"$@\" && \"$@\"") else { return };
    assert!(run.stderr.contains("Podman"), "{}", run.stderr);
    assert!(run.stdout.contains("0 fresh, 2 built, 0 failed"), "{}", run.stdout);
    assert!(run.stdout.contains("2 fresh, 0 built, 0 failed"), "{}", run.stdout);
    // Docker again, with what it had.
    let Some(run) = changing.on("28", "docker", "\"$@\"") else { return };
    run.says("2 fresh, 0 built, 0 failed");
}

#[test]
fn two_that_give_one_name_at_once_both_succeed() {
    let Some(changing) = Changing::new("one_name") else { return };
    // Each has a state of its own, so neither waits for the other.
    let script = "for round in 1 2 3 4; do \
                  \"$@\" -B --state-dir one >one.log 2>&1 & first=$!; \
                  \"$@\" -B --state-dir two >two.log 2>&1 & second=$!; \
                  wait $first && wait $second || { cat one.log two.log; exit 9; }; done";
    let Some(run) = changing.on("28-containerd", "data", script) else { return };
    run.code(0);
}
