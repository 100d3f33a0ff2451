//! A socket before the engine that passes everything on and notes what was asked.
//!
//! What it is for: an engine's processor is one that a run with nothing to do needs for its files.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::sandbox::{Run, Sandbox, engine_or_skip, fixture_or_skip};

struct Relay {
    folder: tempfile::TempDir,
    engine: PathBuf,
    asked: Arc<Mutex<Vec<String>>>,
    /// Whether it holds everything back from now on, and takes connections all the same.
    is_stuck: Arc<AtomicBool>,
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
        let relay = Self { folder, engine: engine.into(), asked: Arc::default(), is_stuck: Arc::default() };
        relay.listen();
        Some(relay)
    }

    /// Makes the socket anew, as an engine does that is started again.
    fn listen(&self) {
        let path = self.folder.path().join("docker.sock");
        let _ = fs_err::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        let engine = self.engine.clone();
        let (asked, is_stuck) = (Arc::clone(&self.asked), Arc::clone(&self.is_stuck));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let engine = engine.clone();
                let (asked, is_stuck) = (Arc::clone(&asked), Arc::clone(&is_stuck));
                std::thread::spawn(move || {
                    pass_on(&client, &UnixStream::connect(engine).unwrap(), &asked, &is_stuck);
                });
            }
        });
    }

    fn host(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }

    /// Runs `imk` through it; with what the engine was asked meanwhile, without versions and options.
    fn imk<'a>(&self, sandbox: &'a Sandbox, words: &str) -> (Run<'a>, Vec<String>) {
        self.asked.lock().unwrap().clear();
        let output = sandbox.command("", words).env("DOCKER_HOST", self.host()).output().unwrap();
        let asked = self.asked.lock().unwrap().clone();
        (sandbox.run(output), asked)
    }
}

/// Both ways until both ends are done.
fn pass_on(client: &UnixStream, engine: &UnixStream, asked: &Mutex<Vec<String>>, is_stuck: &AtomicBool) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            copy(engine, client, is_stuck, |_| {});
        });
        copy(client, engine, is_stuck, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let lines = text.lines().filter_map(|line| line.strip_suffix(" HTTP/1.1"));
            let lines = lines.filter(|line| line.starts_with(|first: char| first.is_ascii_uppercase()));
            asked.lock().unwrap().extend(lines.map(|line| line.split('?').next().unwrap().to_owned()));
        });
    });
}

fn copy(mut from: &UnixStream, mut to: &UnixStream, is_stuck: &AtomicBool, mut note: impl FnMut(&[u8])) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        while is_stuck.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(20));
        }
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

/// An image whose one step says that it runs, and then nothing for a while.
fn quiet_step(test: &str, seconds: u32) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.place_busybox();
    sandbox.write_all(
        r#"
    //- Imagefile.ron
    (images: {"base": (), "app": ()})
    //- base/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    RUN ["/bin/busybox", "--install", "-s", "/bin"]
"#,
    );
    sandbox.place_busybox();
    // An engine that has the step already would not run it.
    let mark = sandbox.prefix();
    sandbox.edit("app/Dockerfile", &format!("FROM base\nRUN echo begun {mark} && sleep {seconds}\n"));
    Some(sandbox)
}

#[test]
fn a_step_that_says_nothing_for_longer_than_the_limit_is_no_silence_of_the_engine() {
    let Some(sandbox) = quiet_step("quiet step", 9) else { return };
    let mut command = sandbox.command("", "--progress plain");
    let run = sandbox.run(command.env("IMK_TIMEOUT", "1").output().unwrap());
    assert!(!run.stderr.contains("waiting for the engine"), "{}", run.stderr);
    run.says("0 fresh, 2 built, 0 failed");
}

#[test]
fn an_engine_that_falls_silent_while_it_builds_is_waited_for_as_told_and_then_given_up() {
    let Some(sandbox) = quiet_step("silent in a build", 97) else { return };
    let Some(relay) = Relay::start() else { return };
    let mut command = sandbox.command("", "--progress plain");
    command.env("IMK_TIMEOUT", "1").env("DOCKER_HOST", relay.host());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut said: Vec<String> = Vec::new();
    for line in lines.by_ref() {
        let begins = line.contains("| begun");
        said.push(line);
        if begins {
            break;
        }
    }
    relay.is_stuck.store(true, Ordering::SeqCst);
    said.extend(lines);
    let said = said.join("\n");
    assert_eq!(child.wait().unwrap().code(), Some(2), "{said}");
    assert_eq!(said.matches("waiting for the engine at unix://").count(), 1, "{said}");
    assert!(said.contains("no answer within 3 seconds, to a ping neither"), "{said}");
    relay.is_stuck.store(false, Ordering::SeqCst);
}
