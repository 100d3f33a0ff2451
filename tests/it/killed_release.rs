//! `imk publish` that is killed on a real registry: the next run of any machine leaves all tags new.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use imk::registry::Registry;
use imk::syntax::reference;

use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, engine_or_skip};

const FILES: &str = "
    //- Imagefile.ron
    (images: {\"base\": (), \"web\": (tags: [\"latest\", \"edge\"])})
    //- base/Dockerfile
    FROM scratch
    COPY file /base
    //- base/file
    one
    //- web/Dockerfile
    FROM base
    COPY file /web
    //- web/file
    web
    ";

/// A relay before a registry that kills a process at one of the manifests that it puts, from its claim on.
struct Relay {
    address: String,
    /// The group of processes that is killed.
    victim: Arc<AtomicI32>,
    /// At which.
    at: Arc<AtomicUsize>,
    /// The names under which manifests were put.
    put: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    fn start(registry: &RegistryServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let relay = Self {
            address: listener.local_addr().unwrap().to_string(),
            victim: Arc::new(AtomicI32::new(0)),
            at: Arc::new(AtomicUsize::new(usize::MAX)),
            put: Arc::default(),
        };
        let (victim, at, put) = (Arc::clone(&relay.victim), Arc::clone(&relay.at), Arc::clone(&relay.put));
        let host = registry.host();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (victim, at, put) = (Arc::clone(&victim), Arc::clone(&at), Arc::clone(&put));
                let Ok(server) = TcpStream::connect(&host) else { continue };
                std::thread::spawn(move || {
                    pass(&client, &server, |name| {
                        let mut put = put.lock().unwrap();
                        if put.is_empty() && !name.starts_with("imk-claim-") {
                            return true;
                        }
                        put.push(name.to_owned());
                        if put.len() <= at.load(Ordering::Relaxed) {
                            return true;
                        }
                        let group = rustix::process::Pid::from_raw(victim.load(Ordering::Relaxed)).unwrap();
                        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                        false
                    })
                });
            }
        });
        relay
    }
}

/// Passes on until one end is done, or until a manifest is put that `let_through` does not want.
fn pass(client: &TcpStream, server: &TcpStream, let_through: impl Fn(&str) -> bool + Send) {
    std::thread::scope(|scope| {
        scope.spawn(|| copy(server, client, |_| true));
        copy(client, server, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let name = text.strip_prefix("PUT ").and_then(|rest| rest.split_once("/manifests/"));
            let name = name.filter(|(path, _)| !path.contains([' ', '\n'])).map(|(_, rest)| rest);
            name.and_then(|rest| rest.split([' ', '?']).next()).is_none_or(&let_through)
        });
    });
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, is_wanted: impl Fn(&[u8]) -> bool) {
    let mut bytes = [0; 1 << 16];
    while let Ok(count) = from.read(&mut bytes) {
        if count == 0 || !is_wanted(&bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = (to.shutdown(Shutdown::Both), from.shutdown(Shutdown::Both));
}

#[test]
fn killed_at_any_step_it_is_completed_by_the_next_run_of_any_machine() {
    let test = "release-killed";
    if engine_or_skip(test).is_none() {
        return;
    }
    let Some(registry) = RegistryServer::open(test) else { return };
    let relay = Relay::start(&registry);
    let prefix = format!("{}/team/", relay.address);
    let sandbox = Sandbox::with(FILES).prefixed(&prefix);
    let tags = || {
        ["base:latest", "web:edge", "web:latest"].map(|name| {
            let name = reference::parse(&registry.name(&format!("team/{name}"))).unwrap();
            registry.client().head(&name).unwrap().map(|found| found.digest)
        })
    };
    sandbox.edit("base/file", &format!("zero {}\n", registry.host()));
    sandbox.imk("publish").code(0);
    let mut steps = 0;
    loop {
        sandbox.edit("base/file", &format!("{steps} {}\n", registry.host()));
        let before = tags();
        relay.put.lock().unwrap().clear();
        let mut command: Command = sandbox.command("", "publish");
        let mut child = command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        relay.victim.store(i32::try_from(child.id()).unwrap(), Ordering::Relaxed);
        relay.at.store(steps, Ordering::Relaxed);
        let status = child.wait().unwrap();
        relay.at.store(usize::MAX, Ordering::Relaxed);
        let put = relay.put.lock().unwrap().clone();
        if status.success() {
            // The claim, three tags and the record: each was a moment to die.
            assert!(steps >= 5, "{put:?}");
            break;
        }
        let killed = tags();
        if steps > 0 {
            let history = sandbox.imk("publish --history").code(0);
            assert!(history.err().contains(" is under way, or was cut off"), "{put:?}: {}", history.err());
        }
        // The next run is of another machine every second time: it has no state of the one that was killed.
        if steps % 2 == 1 {
            sandbox.remove(".imk");
        }
        let next = sandbox.imk("publish --release-wait 1").code(0);
        let now = tags();
        assert!(before.iter().zip(&now).all(|(before, now)| before != now), "{put:?}: {killed:?} {now:?}");
        let is_half = killed != before && killed != now;
        if is_half {
            assert!(next.err().contains("was cut off, and is complete now"), "{put:?}: {}", next.err());
        }
        // A record for each, and nothing left to be done.
        let again = sandbox.imk("publish --release-wait 1").code(0);
        assert_eq!(again.err(), "", "{put:?}");
        assert!(again.out().ends_with("every tag stands for its result already\n"), "{}", again.out());
        let history = sandbox.imk("publish --history").code(0).out();
        assert_eq!(history.matches("\n    web ").count(), steps + 2, "{put:?}\n{history}");
        steps += 1;
    }
}
