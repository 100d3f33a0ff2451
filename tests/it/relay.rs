//! A socket before the engine that passes everything on and notes what was asked.
//!
//! What it is for: an engine's processor is one that a run with nothing to do needs for its files.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::sandbox::{Run, Sandbox, fixture_or_skip};

struct Relay {
    folder: tempfile::TempDir,
    engine: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    /// Before the engine of the tests; nothing when that is not behind a socket.
    fn start() -> Option<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
        let Some(engine) = host.strip_prefix("unix://") else {
            eprintln!("SKIPPED: {host} is no socket");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("imk-relay-").tempdir_in("/tmp").unwrap();
        let relay = Self { folder, engine: engine.into(), asked: Arc::default() };
        relay.listen();
        Some(relay)
    }

    /// Makes the socket anew, as an engine does that is started again.
    fn listen(&self) {
        let path = self.folder.path().join("docker.sock");
        let _ = fs_err::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        let (engine, asked) = (self.engine.clone(), Arc::clone(&self.asked));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (engine, asked) = (engine.clone(), Arc::clone(&asked));
                std::thread::spawn(move || pass_on(&client, &UnixStream::connect(engine).unwrap(), &asked));
            }
        });
    }

    /// Runs `imk` through it; with what the engine was asked meanwhile, without versions and options.
    fn imk<'a>(&self, sandbox: &'a Sandbox, words: &str) -> (Run<'a>, Vec<String>) {
        self.asked.lock().unwrap().clear();
        let host = format!("unix://{}", self.folder.path().join("docker.sock").display());
        let output = sandbox.command("", words).env("DOCKER_HOST", host).output().unwrap();
        let asked = self.asked.lock().unwrap().clone();
        (sandbox.run(output), asked)
    }
}

/// Both ways until both ends are done.
fn pass_on(client: &UnixStream, engine: &UnixStream, asked: &Mutex<Vec<String>>) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            copy(engine, client, |_| {});
        });
        copy(client, engine, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let lines = text.lines().filter_map(|line| line.strip_suffix(" HTTP/1.1"));
            let lines = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
            asked.lock().unwrap().extend(lines.map(|line| line.split('?').next().unwrap().to_owned()));
        });
    });
}

fn copy(mut from: &UnixStream, mut to: &UnixStream, mut note: impl FnMut(&[u8])) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        note(&buffer[..length]);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn is_about_images(asked: &[String]) -> bool {
    !asked.is_empty() && asked.iter().all(|line| line.starts_with("GET /images/"))
}

fn asks_who_it_is(asked: &[String]) -> bool {
    asked.iter().any(|line| line == "GET /info")
}

#[test]
fn a_run_with_nothing_to_do_asks_the_engine_for_its_images_alone() {
    let Some(chain) = fixture_or_skip("relay", "chain") else { return };
    let Some(relay) = Relay::start() else { return };
    let (run, asked) = relay.imk(&chain, "");
    run.says("0 fresh, 5 built, 0 failed");
    assert!(asks_who_it_is(&asked), "{asked:#?}");
    for words in ["", "plan", "check"] {
        let (run, asked) = relay.imk(&chain, words);
        run.success();
        assert!(is_about_images(&asked), "{words}: {asked:#?}");
    }
    // Before something is built, the engine itself says who it is.
    chain.append("app1/src/main.sh", "# more\n");
    let (run, asked) = relay.imk(&chain, "");
    run.says("4 fresh, 1 built, 0 failed");
    assert!(asks_who_it_is(&asked), "{asked:#?}");
}

#[test]
fn an_engine_that_may_be_another_is_asked_who_it_is() {
    let Some(chain) = fixture_or_skip("relay restart", "chain") else { return };
    let Some(relay) = Relay::start() else { return };
    relay.imk(&chain, "").0.says("0 fresh, 5 built, 0 failed");
    // A socket that was made anew.
    relay.listen();
    let (run, asked) = relay.imk(&chain, "");
    run.says("5 fresh, 0 built, 0 failed");
    assert!(asks_who_it_is(&asked), "{asked:#?}");
    let (run, asked) = relay.imk(&chain, "");
    run.says("5 fresh, 0 built, 0 failed");
    assert!(is_about_images(&asked), "{asked:#?}");
    // One of whose images something is gone.
    let id = chain.id("app1-prod");
    chain.docker(&["rmi", "--force", &id]);
    let (run, asked) = relay.imk(&chain, "plan");
    assert!(run.stdout.contains("4 fresh, 1 to build"), "{}", run.stdout);
    assert!(asks_who_it_is(&asked), "{asked:#?}");
}
