//! Hosts that take a connection and say nothing: a registry, an engine, a git server, a server of files. Each is waited
//! for once in a run, whoever asks, and told.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sandbox::{Run, Sandbox};

/// A host that says nothing to anybody.
struct Silent {
    address: String,
    connections: Arc<AtomicUsize>,
}

impl Silent {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                count.fetch_add(1, Ordering::SeqCst);
                held.push(stream);
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// One second, however many ask.
fn hurried(sandbox: &Sandbox, words: &str) -> (i32, String, String) {
    let run: Run<'_> = sandbox.run(sandbox.command("", words).env("IMK_TIMEOUT", "1").output().unwrap());
    (run.status, run.stdout, run.stderr)
}

#[track_caller]
fn waits_once(stderr: &str, who: &str) {
    let waiting = stderr.lines().filter(|line| line.starts_with("waiting for ")).collect::<Vec<_>>();
    assert_eq!(waiting, [format!("waiting for {who} …")], "{stderr}");
    assert!(stderr.contains("no answer within 1 second"), "{stderr}");
}

#[test]
fn a_silent_registry_is_waited_for_once_by_all_that_are_built_on_it() {
    let registry = Silent::start();
    let sandbox = Sandbox::with("").without_engine();
    for number in 0..40 {
        let base = format!("FROM {}/team/base{number}:1\n", registry.address);
        sandbox.edit(&format!("image{number}/Dockerfile"), &base);
    }
    let (status, stdout, stderr) = hurried(&sandbox, "plan");
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("40 to build"), "{stdout}");
    waits_once(&stderr, &registry.address);
    let told = |stderr: &str| stderr.matches("warning: registry").count();
    assert_eq!(told(&stderr), 1, "{stderr}");
    assert!(registry.connections() <= 8, "{} connections", registry.connections());
    // Another host is another matter: those that answer are asked, and this one is left in peace for a while.
    let before = registry.connections();
    let (_, _, stderr) = hurried(&sandbox, "plan");
    assert!(!stderr.contains("waiting"), "{stderr}");
    assert_eq!(told(&stderr), 1, "{stderr}");
    assert_eq!(registry.connections(), before);
}

#[test]
fn a_silent_engine_is_waited_for_once() {
    let engine = Silent::start();
    let mut files = String::new();
    for number in 0..8 {
        files += &format!("//- image{number}/Dockerfile\nFROM scratch\nCOPY Dockerfile /\n");
    }
    let sandbox = Sandbox::with(&files).on(&format!("tcp://{}", engine.address));
    for (words, expected) in [("plan", 0), ("", 2), ("list", 0), ("check", 1)] {
        let (status, _, stderr) = hurried(&sandbox, words);
        assert_eq!(status, expected, "imk {words}: {stderr}");
        let told = stderr.matches("no answer within").count();
        assert!(told <= 1, "imk {words}: {stderr}");
        assert_eq!(stderr.matches("waiting for the engine").count(), 1, "imk {words}: {stderr}");
    }
}

#[test]
fn a_silent_git_server_and_a_silent_server_of_files_are_waited_for_once() {
    let (git, web) = (Silent::start(), Silent::start());
    let sandbox = Sandbox::with("").without_engine();
    let mut images = String::new();
    for number in 0..6 {
        let overlay = format!("git://{}/r{number}.git#main", git.address);
        images += &format!("\"image{number}\": (context: \"a\", overlays: {{\"lib\": {overlay:?}}}),\n");
    }
    sandbox.edit("Imagefile.ron", &format!("(images: {{{images}}})"));
    sandbox.edit("a/Dockerfile", "FROM scratch\nCOPY lib /lib\n");
    let (_, _, stderr) = hurried(&sandbox, "plan");
    waits_once(&stderr, &git.address);
    assert!(git.connections() <= 6, "{} connections", git.connections());

    let sandbox = Sandbox::with("").without_engine();
    for number in 0..12 {
        let text = format!("FROM scratch\nADD http://{}/file{number} /\n", web.address);
        sandbox.edit(&format!("image{number}/Dockerfile"), &text);
    }
    let (status, stdout, stderr) = hurried(&sandbox, "plan");
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("12 to build"), "{stdout}");
    waits_once(&stderr, &web.address);
    assert!(web.connections() <= 8, "{} connections", web.connections());
}

/// A credential helper that hangs, first in the search path, and docker's configuration that names it.
fn hanging_helper(host: &str) -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let config = format!(r#"{{"credHelpers": {{"{host}": "hangs"}}}}"#);
    fs_err::write(folder.path().join("config.json"), config).unwrap();
    let helper = folder.path().join("docker-credential-hangs");
    fs_err::write(&helper, "#!/bin/sh\nexec sleep 600\n").unwrap();
    fs_err::set_permissions(&helper, PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn a_credential_helper_that_hangs_is_waited_for_once_names_itself_and_is_stopped() {
    // Somebody has to ask for a login before the helper is run.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let answer = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let folder = hanging_helper(&host);
    let sandbox = Sandbox::with("").without_engine();
    for number in 0..6 {
        sandbox.edit(&format!("image{number}/Dockerfile"), &format!("FROM {host}/team/base{number}:1\n"));
    }
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let mut command = sandbox.command("", "plan");
    command.env("IMK_TIMEOUT", "1").env("PATH", path).env("DOCKER_CONFIG", folder.path());
    let run = sandbox.run(command.output().unwrap()).code(0);
    waits_once(&run.stderr, "credential helper `docker-credential-hangs`");
    let named = "credential helper `docker-credential-hangs` gave no answer within 1 second";
    assert!(run.stderr.contains(named), "{}", run.stderr);
}
