//! Settings that are handed on to the builder: agents, hosts, limits, annotations.

use std::os::unix::net::UnixListener;
use std::process::Command;

use crate::sandbox::{Sandbox, engine_or_skip};

/// A base with busybox, and an image on it whose one step is `step`.
fn with_step(test: &str, keys: &str, step: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.write_all(
        "
    //- base/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    ",
    );
    sandbox.edit("web/Dockerfile", &format!("FROM base\nRUN {step}\n"));
    imagefile(&sandbox, keys);
    sandbox.place_busybox();
    Some(sandbox)
}

fn imagefile(sandbox: &Sandbox, keys: &str) {
    sandbox.edit("Imagefile.ron", &format!("(images: {{\"base\": (), \"web\": ({keys})}})\n"));
}

#[test]
fn a_host_of_the_imagefile_is_found_by_steps_and_counts() {
    let keys = r#"extra_hosts: {"db": "10.9.8.7"}"#;
    let step = r#"["/bin/busybox", "grep", "10.9.8.7.*db", "/etc/hosts"]"#;
    let Some(sandbox) = with_step("hosts", keys, step) else { return };
    sandbox.imk("").says("0 fresh, 2 built, 0 failed");
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    // As BuildKit's own cache has it: an address is where something is today.
    imagefile(&sandbox, r#"extra_hosts: {"db": "10.9.8.6"}"#);
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    imagefile(&sandbox, r#"extra_hosts: {"db": "10.9.8.7", "more": "10.9.8.5"}"#);
    let plan = sandbox.imk("plan").code(0).out();
    assert!(plan.contains("host more"), "{plan}");
    sandbox.imk("").says("1 fresh, 1 built, 0 failed");
}

#[test]
fn an_agent_reaches_the_steps_that_ask_for_it_and_no_key() {
    let step = r#"--mount=type=ssh ["/bin/busybox", "test", "-S", "/run/buildkit/ssh_agent.0"]"#;
    let Some(sandbox) = with_step("agent", "", step) else { return };
    let refused = sandbox.imk("--ssh nope web");
    assert_eq!(refused.status, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("SSH_AUTH_SOCK is not set"), "{}", refused.stderr);
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let _agent = UnixListener::bind(&socket).unwrap();
    let mut command = sandbox.command("", "--ssh default");
    command.env("SSH_AUTH_SOCK", &socket);
    sandbox.run(command.output().unwrap()).success();
    // Whose agent it was makes no difference.
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
}

#[test]
fn keys_are_kept_by_an_agent_of_their_own() {
    let step = r#"--mount=type=ssh,id=deploy ["/bin/busybox", "test", "-S", "/run/buildkit/ssh_agent.0"]"#;
    let Some(sandbox) = with_step("keys", r#"ssh: ["deploy=keys/deploy"]"#, step) else { return };
    let make = |path: &str, passphrase: &str| {
        fs_err::create_dir_all(sandbox.path("keys")).unwrap();
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", passphrase, "-f"])
            .arg(sandbox.path(path))
            .status();
        made.is_ok_and(|status| status.success())
    };
    if !make("keys/deploy", "") {
        eprintln!("SKIPPED: there is no ssh-keygen");
        return;
    }
    sandbox.imk("").says("0 fresh, 2 built, 0 failed");
    assert!(make("keys/locked", "secret"));
    imagefile(&sandbox, r#"ssh: ["deploy=keys/locked"]"#);
    let run = sandbox.imk("-B web");
    assert!(run.stderr.contains("does not take the key"), "{}", run.stderr);
    assert_eq!(run.status, 2);
}

#[test]
fn limits_reach_the_steps_or_are_refused_by_name() {
    let step = r#"["/bin/busybox", "sh", "-c", "test $(/bin/busybox sh -c 'ulimit -n') = 77"]"#;
    let Some(sandbox) = with_step("limits", r#"ulimits: ["nofile=77:77"]"#, step) else { return };
    let run = sandbox.imk("");
    if run.status != 0 {
        assert!(run.stderr.contains("leave `ulimits` out"), "{}", run.stderr);
        return;
    }
    imagefile(&sandbox, r#"ulimits: ["nofile=78:78"]"#);
    sandbox.imk("").code(2);
}
