//! Odd things that docker builds: imk builds them too, to the same files.

use std::process::{Command, Stdio};

use crate::sandbox::{Sandbox, engine_or_skip};

/// A context with one of each kind of thing, as far as this user may make them.
fn odd_things(test: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox
        .edit("dir/f", "x")
        .edit("dir/g", "y")
        .edit("Imagefile.ron", "(images: {\"x\": (context: \".\")})");
    let made = Command::new("mkfifo").arg(sandbox.path("dir/pipe")).status().unwrap();
    assert!(made.success());
    let socket = std::os::unix::net::UnixListener::bind(sandbox.path("dir/sock")).unwrap();
    drop(socket);
    let device = |name: &str, kind: &str| {
        let mut command = Command::new("mknod");
        command.arg(sandbox.path(name)).args([kind, "1", "3"]).stderr(Stdio::null());
        if !command.status().unwrap().success() {
            eprintln!("SKIPPED a device: none may be made here");
        }
    };
    device("dir/null", "c");
    device("dir/block", "b");
    Some(sandbox)
}

/// Kind, mode, size and name of all that an image has, but for what every container gets.
fn files(sandbox: &Sandbox, reference: &str) -> Vec<String> {
    let container = sandbox.docker(&["create", reference, "x"]);
    let mut export =
        Command::new("docker").args(["export", &container]).stdout(Stdio::piped()).spawn().unwrap();
    let list = Command::new("tar").args(["tvf", "-"]).stdin(export.stdout.take().unwrap()).output().unwrap();
    export.wait().unwrap();
    sandbox.docker(&["rm", &container]);
    let own = [" dev/", " proc/", " sys/", " etc/", " .dockerenv"];
    let text = String::from_utf8(list.stdout).unwrap();
    let lines = text.lines().filter(|line| !own.iter().any(|name| line.contains(name)));
    // Times of folders are those of the build.
    lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            format!("{} {} {}", words[0], words[2], words[5..].join(" "))
        })
        .collect()
}

/// Docker's own client, where it speaks to BuildKit by itself.
fn docker_builds(sandbox: &Sandbox, tag: &str, words: &[&str]) -> Option<bool> {
    let mut command = Command::new("/usr/bin/docker");
    command.args(["build", "--no-cache", "-t", tag]).args(words).arg(sandbox.root());
    let output = command.env("DOCKER_BUILDKIT", "1").output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr);
    (!said.contains("buildx component")).then_some(output.status.success())
}

#[test]
fn odd_things_build_as_docker_builds_them() {
    let Some(sandbox) = odd_things("odd_things_build_as_docker_builds_them") else { return };
    let cases = [
        ("a folder with a socket, a pipe and devices", "FROM scratch\nCOPY dir /d\n", ""),
        ("a socket", "FROM scratch\nCOPY dir/sock /s\n", ""),
        ("a mode for all of them", "FROM scratch\nCOPY --chmod=600 dir /d\n", ""),
        ("ADD", "FROM scratch\nADD dir/sock dir/f /d/\n", ""),
        (
            "two stages of one name",
            "FROM scratch AS a\nCOPY dir/f /one\nFROM scratch AS a\nCOPY dir/f /two\nFROM scratch\nCOPY --from=a / /\n",
            "",
        ),
        (
            "two stages of the name that is asked for",
            "FROM scratch AS a\nCOPY dir/f /one\nFROM scratch AS a\nCOPY dir/g /two\nFROM scratch\nCOPY dir/f /x\n",
            "a",
        ),
        (
            "a stage on one of its own name",
            "FROM scratch AS a\nCOPY dir/f /one\nFROM a AS a\nCOPY dir/f /two\nFROM a\nCOPY dir/f /three\n",
            "",
        ),
        (
            "a later stage in one that nobody needs",
            "FROM scratch AS dead\nCOPY --from=fin /x /x\nFROM scratch AS fin\nCOPY dir/f /x\n",
            "",
        ),
        ("a wildcard that matches nothing", "FROM scratch\nCOPY dir/f dir/*.none /x/\n", ""),
    ];
    let (by_docker, by_imk) = (format!("{}docker", sandbox.prefix()), format!("{}x", sandbox.prefix()));
    for (about, dockerfile, target) in cases {
        sandbox.edit("Dockerfile", dockerfile);
        let words: &[&str] = if target.is_empty() { &[] } else { &["--target", target] };
        let typed = format!("-B --no-cache {}", words.join(" "));
        sandbox.imk(&typed).success().imk(&words.join(" ")).says("1 fresh, 0 built");
        let ours = files(&sandbox, &by_imk);
        assert!(!ours.is_empty(), "{about}");
        match docker_builds(&sandbox, &by_docker, words) {
            None => eprintln!("SKIPPED a comparison: docker's client here speaks to no BuildKit"),
            Some(built) => {
                assert!(built, "{about}: docker builds it");
                assert_eq!(ours, files(&sandbox, &by_docker), "{about}");
            }
        }
    }
}

#[test]
fn the_plan_tells_what_copies_nothing_and_what_is_no_mode() {
    let sandbox = Sandbox::with(
        "
        //- Imagefile.ron
        (images: {\"x\": (context: \".\")})
        //- dir/f
        x
        //- Dockerfile
        FROM scratch
        COPY --chmod=99 dir/*.none dir/f* /x/
        ",
    )
    .without_engine();
    for run in 1..=2 {
        let plan = sandbox.imk("plan").code(0);
        let told = plan.stderr.matches("nothing matches `dir/*.none`").count();
        assert_eq!(told, 1, "run {run}: {}", plan.stderr);
        assert!(plan.stderr.contains("`--chmod=99` is no octal number"), "{}", plan.stderr);
    }
    sandbox.edit("dir/a.none", "x");
    assert!(!sandbox.imk("plan").code(0).stderr.contains("nothing matches"));
    let target = sandbox.imk("plan --target 0").code(2);
    assert!(target.stderr.contains("write `AS name` behind FROM"), "{}", target.stderr);
}
