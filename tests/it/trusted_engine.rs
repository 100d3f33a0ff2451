//! An engine that the Imagefile names: what it is sent without the user's word, and with it.
//!
//! It is the engine of the tests, behind a recorder of every byte that it is sent.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use fs_err as fs;

use crate::registry_server::{PASSWORD, RegistryServer, USER, Wants};
use crate::sandbox::{Run, Sandbox, engine_or_skip};

const SECRET: &str = "s3cret-of-the-user";

/// An engine as an Imagefile names it.
struct Recorder {
    folder: tempfile::TempDir,
    /// The `host` of the Imagefile.
    host: String,
    /// What came by the socket.
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn folder() -> tempfile::TempDir {
        tempfile::Builder::new().prefix("imk-rec-").tempdir_in("/tmp").unwrap()
    }

    /// Behind a socket.
    fn socket(engine: &str) -> Self {
        let folder = Self::folder();
        let path = folder.path().join("docker.sock");
        let (listener, sent) = (UnixListener::bind(&path).unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (engine, kept) = (PathBuf::from(engine), Arc::clone(&sent));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (engine, kept) = (UnixStream::connect(&engine).unwrap(), Arc::clone(&kept));
                let (back, forth) = (engine.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || copy(back, forth, |_| {}));
                std::thread::spawn(move || copy(client, engine, |bytes| kept.lock().unwrap().extend(bytes)));
            }
        });
        Self { host: format!("unix://{}", path.display()), folder, sent }
    }

    /// Behind `ssh`, which is a script that passes everything on to the engine.
    fn ssh(engine: &str) -> Self {
        let folder = Self::folder();
        let (script, log) = (folder.path().join("ssh"), folder.path().join("sent"));
        let text = format!(
            "#!/bin/sh\ntee -a '{}' | DOCKER_HOST=unix://{engine} docker system dial-stdio\n",
            log.display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { host: "ssh://me@theirs.invalid".to_owned(), folder, sent: Arc::default() }
    }

    /// All that it was sent.
    fn sent(&self) -> Vec<u8> {
        let mut all = self.sent.lock().unwrap().clone();
        all.extend(fs::read(self.folder.path().join("sent")).unwrap_or_default());
        all
    }

    /// Whether it was shown the password, as it is or in a header.
    fn saw_password(&self) -> bool {
        let sent = String::from_utf8_lossy(&self.sent()).into_owned();
        let headers = sent.lines().filter_map(|line| line.split_once(": "));
        let logins = headers.filter(|(name, _)| name.eq_ignore_ascii_case("x-registry-auth"));
        let logins = logins.map(|(_, value)| URL_SAFE.decode(value.trim()).unwrap());
        assert!(!sent.to_lowercase().contains("x-registry-config"), "nothing of imk sends that header");
        sent.contains(PASSWORD)
            || logins.map(|login| String::from_utf8(login).unwrap()).any(|login| login.contains(PASSWORD))
    }

    fn saw_secret(&self) -> bool {
        String::from_utf8_lossy(&self.sent()).contains(SECRET)
    }
}

fn copy(mut from: UnixStream, mut to: UnixStream, note: impl Fn(&[u8])) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        note(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Images that want a login to be pulled and pushed, and one that wants a secret, on such an engine.
struct Scene {
    sandbox: Sandbox,
    registry: RegistryServer,
    recorder: Recorder,
    /// `XDG_CONFIG_HOME`.
    own: tempfile::TempDir,
}

impl Scene {
    fn set(test: &str, recorder: fn(&str) -> Recorder) -> Option<Self> {
        engine_or_skip(test)?;
        let registry = RegistryServer::start(test, Wants { login: true, tls: false })?;
        registry.put_image("private/base:1", test);
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
        let Some(engine) = host.strip_prefix("unix://") else {
            eprintln!("SKIPPED {test}: {host} is no socket");
            return None;
        };
        let recorder = recorder(engine);
        let sandbox = Sandbox::with(
            "
            //- plain/Dockerfile
            FROM scratch
            COPY file /file
            //- pulls/Dockerfile
            FROM REGISTRY/private/base:1
            COPY file /file
            //- secret/Dockerfile
            FROM scratch
            COPY busybox /bin/busybox
            COPY file /file
            RUN --mount=type=secret,id=key [\"/bin/busybox\", \"wc\", \"-c\", \"/run/secrets/key\"]
            ",
        )
        .prefixed(&registry.name("team/"));
        let imagefile = format!(
            "(engines: {{\"theirs\": (host: \"{}\", labels: [\"theirs\"])}},\n defaults: (engine_labels: \"theirs\"),\n \
             images: {{\"plain\": (), \"pulls\": (), \"secret\": (secrets: {{\"key\": Env(\"KEY\")}})}})",
            recorder.host
        );
        sandbox.edit("Imagefile.ron", &imagefile);
        // Of this test alone, or the engine remembers the other's step and asks for no secret.
        for folder in ["plain", "pulls", "secret"] {
            sandbox.edit(&format!("{folder}/file"), &format!("{test} {}\n", registry.host()));
        }
        let text = fs::read_to_string(sandbox.path("pulls/Dockerfile")).unwrap();
        sandbox.edit("pulls/Dockerfile", &text.replace("REGISTRY", &registry.host()));
        sandbox.place_busybox();
        Some(Self { sandbox, registry, recorder, own: tempfile::tempdir().unwrap() })
    }

    fn imk(&self, words: &str) -> Run<'_> {
        let mut command: Command = self.sandbox.command("", words);
        let path = std::env::var("PATH").unwrap();
        command
            .env("IMK_REGISTRY_USER", USER)
            .env("IMK_REGISTRY_PASSWORD", PASSWORD)
            .env("IMK_REGISTRY_HOST", self.registry.host())
            .env("DOCKER_CONFIG", self.sandbox.path("no-docker"))
            .env("KEY", SECRET)
            .env("XDG_CONFIG_HOME", self.own.path())
            .env("PATH", format!("{}:{path}", self.recorder.folder.path().display()));
        self.sandbox.run(command.output().unwrap())
    }

    fn configure(&self, host: &str, repository: &str) {
        fs::create_dir_all(self.own.path().join("imk")).unwrap();
        let text = format!("(engines: [(host: \"{host}\", repository: \"{repository}\")])");
        fs::write(self.own.path().join("imk/config.ron"), text).unwrap();
    }

    /// Without the user's word: what needs neither login nor secret is built there, nothing else.
    #[track_caller]
    fn is_sent_nothing(&self) {
        let run = self.imk("push -k");
        assert_eq!(run.status, 2, "{}", run.stderr);
        assert!(run.stderr.contains("it gets no secrets"), "{}", run.stderr);
        let sent = self.recorder.sent();
        let text = String::from_utf8_lossy(&sent);
        assert!(text.contains("POST /build") || text.contains("POST /v"), "it was asked to build");
        assert!(!self.recorder.saw_password(), "the login went to the engine of the Imagefile");
        assert!(!self.recorder.saw_secret(), "the secret went to the engine of the Imagefile");
    }

    #[track_caller]
    fn is_sent_both(&self, words: &str) {
        let run = self.imk(words);
        assert_eq!(run.status, 0, "{}", run.stderr);
        assert!(self.recorder.saw_password(), "the engine got no login:\n{}", run.stderr);
        assert!(self.recorder.saw_secret(), "the engine got no secret:\n{}", run.stderr);
        self.registry.read_back("team/pulls:latest");
    }
}

#[test]
fn an_engine_of_the_imagefile_gets_logins_and_secrets_when_it_is_typed() {
    let Some(scene) = Scene::set("trusted-typed", Recorder::socket) else { return };
    scene.is_sent_nothing();
    scene.is_sent_both("push --engine theirs");
}

#[test]
fn an_engine_behind_ssh_gets_logins_and_secrets_by_a_line_of_the_users_own() {
    let Some(scene) = Scene::set("trusted-line", Recorder::ssh) else { return };
    let root = fs::canonicalize(scene.sandbox.root()).unwrap().display().to_string();
    // Another repository's line, and another engine's.
    scene.configure(&scene.recorder.host, &format!("{root}/plain"));
    scene.is_sent_nothing();
    scene.configure("ssh://me@other.invalid", &root);
    scene.is_sent_nothing();
    scene.configure(&scene.recorder.host, &root);
    scene.is_sent_both("push");
}

#[test]
fn the_users_own_file_is_strict_and_never_a_checkouts() {
    let sandbox = Sandbox::with("//- Dockerfile\nFROM scratch\nCOPY . /\n").without_engine();
    let run = |words: &str, own: &PathBuf| {
        sandbox.run(sandbox.command("", words).env("XDG_CONFIG_HOME", own).output().unwrap())
    };
    let own = tempfile::tempdir().unwrap();
    let (home, file) = (own.path().to_owned(), own.path().join("imk/config.ron"));
    let doctor = run("doctor --offline", &home).stdout;
    assert!(doctor.contains(&format!("there is no `{}`: defaults", file.display())), "{doctor}");
    fs::create_dir(own.path().join("imk")).unwrap();
    fs::write(&file, "(\n    engine: [],\n)\n").unwrap();
    for verb in ["plan", "build", "check", "list"] {
        let run = run(verb, &home).code(2);
        assert!(run.stderr.contains("config.ron has no key `engine`"), "{verb}: {}", run.stderr);
        assert!(run.stderr.contains("did you mean `engines`?"), "{verb}: {}", run.stderr);
        assert!(run.stderr.contains("imk/config.ron:2:5"), "{verb}: {}", run.stderr);
    }
    fs::write(&file, "(engines: [(host: \"tcp://h:1\", repository: \"/src\")])").unwrap();
    let doctor = run("doctor --offline", &home).stdout;
    assert!(doctor.contains(&format!("`{}` is read", file.display())), "{doctor}");
    // Everybody may write it.
    fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let open = run("plan", &home).code(2);
    assert!(
        open.stderr.contains("everybody may write") && open.stderr.contains("chmod o-w"),
        "{}",
        open.stderr
    );
    fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    // Another user's.
    if std::os::unix::fs::chown(&file, Some(12345), None).is_ok() {
        let foreign = run("plan", &home).code(2);
        assert!(foreign.stderr.contains("belongs to another user (number 12345)"), "{}", foreign.stderr);
    }
    // A checkout that brings one, and has the variable point at it.
    sandbox.edit("imk/config.ron", "(nonsense: 1)");
    let inside = sandbox.root().to_owned();
    run("plan", &inside).code(0);
    let doctor = run("doctor --offline", &inside).stdout;
    assert!(doctor.contains("is inside the repository and is not read"), "{doctor}");
}
