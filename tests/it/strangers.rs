//! Logins and files that are somebody else's: what goes to whom, and what is taken up.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::chown;
use std::sync::{Arc, Mutex};

use crate::sandbox::Sandbox;

#[test]
fn a_user_without_a_registry_is_an_error_that_names_the_variable() {
    let sandbox = Sandbox::with("//- Dockerfile\nFROM r.invalid/app:1\n").without_engine();
    for verb in ["plan", "build", "outdated"] {
        let mut command = sandbox.command("", verb);
        command.env("IMK_REGISTRY_USER", "me").env("IMK_REGISTRY_PASSWORD", "hunter2hunter2");
        let run = sandbox.run(command.output().unwrap());
        assert_eq!(run.status, 2, "{verb}: {}", run.stderr);
        assert!(
            run.stderr.contains("IMK_REGISTRY_HOST") && !run.stderr.contains("hunter2"),
            "{}",
            run.stderr
        );
    }
}

/// A server that answers everything with 404 and keeps what it was sent.
fn listener() -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut bytes = [0; 16 << 10];
            let count = stream.read(&mut bytes).unwrap_or_default();
            kept.lock().unwrap().extend(&bytes[..count]);
            let _ =
                stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (port, heard)
}

#[test]
fn an_address_keeps_its_password_in_every_verb() {
    let (port, _) = listener();
    let sandbox = Sandbox::with("").without_engine();
    sandbox
        .edit("Imagefile.ron", "(images: {\"web\": (context: \".\")})")
        .edit("Dockerfile", &format!("FROM scratch\nADD https://me:hunter2hunter2@127.0.0.1:{port}/x /x\n"));
    for verb in [
        "plan --trace",
        "plan --json",
        "why web",
        "inputs web",
        "inputs web --json",
        "list --json",
        "check",
        "graph --json",
    ] {
        let run = sandbox.imk(verb);
        assert!(
            !run.stdout.contains("hunter2") && !run.stderr.contains("hunter2"),
            "{verb}: {} {}",
            run.stdout,
            run.stderr
        );
    }
    for host in ["ssh://me:hunter2hunter2@h.invalid", "tcp://me:hunter2hunter2@h.invalid:1"] {
        let mut command = sandbox.command("", "build");
        let run = sandbox.run(command.env("DOCKER_HOST", host).output().unwrap());
        assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    }
}

#[test]
fn an_imagefile_above_the_work_tree_decides_nothing_and_is_told() {
    let sandbox =
        Sandbox::with("//- Imagefile.ron\n(images: {\"evil\": ()})\n//- x/repo/Dockerfile\nFROM scratch\n")
            .without_engine();
    fs_err::create_dir(sandbox.path("x/repo/.git")).unwrap();
    let run = sandbox.imk_in("x/repo", "plan").code(0);
    assert!(run.stdout.contains("repo: stale") && !run.stdout.contains("evil"), "{}", run.stdout);
    assert!(run.stderr.contains("is not used; -f names it"), "{}", run.stderr);
    let named = sandbox.imk_in("x/repo", "list -f ../../Imagefile.ron").code(0);
    assert!(named.stdout.contains("evil"), "{}", named.stdout);
}

#[test]
fn an_imagefile_of_another_user_is_not_taken_up_unasked() {
    let sandbox =
        Sandbox::with("//- Imagefile.ron\n(images: {\"web\": ()})\n//- web/Dockerfile\nFROM scratch\n")
            .without_engine();
    if chown(sandbox.path("Imagefile.ron"), Some(12345), None).is_err() {
        eprintln!("SKIPPED an_imagefile_of_another_user_is_not_taken_up_unasked: only root gives files away");
        return;
    }
    for verb in ["plan", "list", "check", "build"] {
        let run = sandbox.imk_in("web", verb).code(2);
        assert!(run.stderr.contains("belongs to another user (number 12345)"), "{}", run.stderr);
        assert!(run.stderr.contains("safe.directory"), "{}", run.stderr);
    }
    sandbox.imk_in("web", "plan -f ../Imagefile.ron").code(0);
    sandbox.imk_in("web", "plan -C ..").code(0);
    let mut command = sandbox.command("web", "plan");
    let run = sandbox.run(command.env("SUDO_UID", "12345").output().unwrap());
    assert_eq!(run.status, 0, "{}", run.stderr);
    // Nothing is offered at a Tab either.
    let mut command = sandbox.command("web", "");
    command.args(["--", "imk", "plan", ""]).env("IMK_COMPLETE", "fish");
    let run = sandbox.run(command.output().unwrap());
    assert!(!run.stdout.contains("web") && run.stderr.is_empty(), "{} {}", run.stdout, run.stderr);
}

/// A server that gives everybody a file.
fn giver() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 16 << 10]);
            let answer = b"HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx";
            let _ = stream.write_all(answer);
        }
    });
    port
}

/// All files below a folder; what zlib packed is unpacked.
fn all_bytes(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(all_bytes(&entry.path()));
            continue;
        }
        let bytes = fs_err::read(entry.path()).unwrap();
        // The envelope before it has no length that is known here: each place may be the beginning.
        for at in (0..bytes.len().saturating_sub(1)).filter(|at| bytes[*at] == 0x78) {
            let mut unpacked = Vec::new();
            let _ = flate2::read::ZlibDecoder::new(&bytes[at..]).read_to_end(&mut unpacked);
            found.push((entry.path(), unpacked));
        }
        found.push((entry.path(), bytes));
    }
    found
}

#[test]
fn after_a_build_no_file_and_no_verb_has_the_password_of_an_address() {
    let name = "after_a_build_no_file_and_no_verb_has_the_password_of_an_address";
    let Some(sandbox) = crate::sandbox::engine_or_skip(name) else { return };
    let address = format!("http://me:hunter2hunter2@127.0.0.1:{}/x", giver());
    sandbox
        .edit("Imagefile.ron", "(images: {\"web\": (context: \".\"), \"app\": (context: \"app\")})")
        .edit("Dockerfile", &format!("FROM scratch\nADD {address} /x\nCOPY a /a\n"))
        .edit("app/Dockerfile", "FROM web\nCOPY b /b\n")
        .edit("app/b", "b\n")
        .edit(".gitignore", ".imk\n*.out\n")
        .edit("a", &format!("{}\n", sandbox.prefix()));
    let git = |words: &[&str]| {
        let identity = ["-c", "user.name=t", "-c", "user.email=t@t.invalid", "-c", "commit.gpgsign=false"];
        let mut git = std::process::Command::new("git");
        let output = git.args(identity).args(words).current_dir(sandbox.root()).output().unwrap();
        assert!(output.status.success(), "{words:?}");
    };
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "one"]);
    let summary = sandbox.path("summary.out");
    let run = |words: &str| {
        let mut command = sandbox.command("", words);
        let run = sandbox.run(command.env("GITHUB_STEP_SUMMARY", &summary).output().unwrap());
        for said in [&run.stdout, &run.stderr] {
            assert!(!said.contains("hunter2"), "{words}: {said}");
        }
        run.status
    };
    assert_eq!(run("build --progress plain --metadata-file meta.out"), 0);
    assert_eq!(run("build"), 0, "and once more with nothing to do");
    fs_err::write(sandbox.path("a"), format!("more {}\n", sandbox.prefix())).unwrap();
    for words in [
        "why web",
        "plan --trace",
        "plan --json",
        "inputs web",
        "inputs web --json",
        "list --json",
        "log web",
        "check",
        "diff HEAD",
        "graph --json",
        "graph --format bake",
        "tags",
        "doctor --offline",
        "replay --html replay.out",
        "replay --json",
        "why-not web a",
        "who-uses a",
        "gc --dry-run",
    ] {
        run(words);
    }
    assert_eq!(run("build --progress json --metadata-file meta.out"), 0);
    git(&["commit", "-qam", "two"]);
    run("replay --html replay.out");
    let kept = all_bytes(&sandbox.path(".imk"));
    assert!(kept.iter().any(|(path, _)| path.ends_with("logs/web.log")), "{:?}", kept.len());
    let packed = kept.iter().filter(|(path, bytes)| {
        path.parent().is_some_and(|it| it.ends_with("evidence"))
            && String::from_utf8_lossy(bytes).contains("ADD [\"http")
    });
    assert!(packed.count() > 0, "evidence is looked into");
    let written = ["meta.out", "replay.out", "summary.out"].map(|name| sandbox.path(name));
    let written = written
        .into_iter()
        .filter(|path| path.exists())
        .map(|path| (path.clone(), fs_err::read(path).unwrap()));
    for (path, bytes) in kept.into_iter().chain(written) {
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"), "{}", path.display());
    }
}
