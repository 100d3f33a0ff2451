//! Accidents at every place: a kill at each write, a full disk after each byte, an engine or a registry that hangs
//! up at each request, state with a flipped or a cut byte. After each one imk is simply run again.
//!
//! Then it ends with 0; nothing that was told as built is built again, nothing is stale, and nothing is left over:
//! no file half written, no name of a base's stand-in, no staging tag. A few dozen accidents by default;
//! `IMK_CAMPAIGN_SECONDS=3600 cargo test --test it -- campaign` goes on by chance for an hour.
//!
//! Faults come from outside: the kernel's limits, strace and relays. The program has no switch for them.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::differential::random::Random;
use crate::registry_server::RegistryServer;
use crate::sandbox::{Run, Sandbox, can_trace, engine_or_skip};

/// System calls by which state changes, or an engine is told something.
const WRITES: &str = "write,writev,sendto,sendmsg,renameat,renameat2,rename,fdatasync,fsync,openat,unlink,unlinkat,ftruncate,flock";

/// An accident.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The process is killed at its so-manieth call that writes.
    Kill(usize),
    /// No file can grow beyond so many bytes.
    Full(usize),
    /// The engine hangs up at the so-manieth request, and answers again when imk has ended.
    HangUp(usize),
    /// A byte of a file of state is another one, by the number of the file and the place in it.
    Flip(usize, usize),
    /// A file of state ends there.
    Cut(usize, usize),
}

/// Three images in a row, without a command, so that a build takes no time.
fn lay_out(sandbox: &Sandbox) {
    let label = format!("LABEL imk.test={}\n", sandbox.prefix());
    sandbox.edit("one/Dockerfile", &format!("FROM scratch\n{label}COPY f /one\n")).edit("one/f", "1\n");
    sandbox.edit("two/Dockerfile", "FROM one\nCOPY f /two\n").edit("two/f", "1\n");
    sandbox.edit("three/Dockerfile", "FROM two\nCOPY f /three\n").edit("three/f", "1\n");
}

#[test]
fn campaign_of_accidents() {
    let Some(_) = engine_or_skip("campaign") else { return };
    let traced = can_trace();
    let mut faults: Vec<Fault> = Vec::new();
    if traced {
        faults.extend([1, 3, 6, 10, 15, 22, 30, 45, 60, 80].map(Fault::Kill));
    }
    faults.extend([0, 1, 100, 400, 900, 3000].map(Fault::Full));
    faults.extend([1, 2, 3, 4, 5, 7, 9, 12].map(Fault::HangUp));
    faults.extend([(0, 40), (1, 300), (2, 9), (3, 70)].map(|(file, at)| Fault::Flip(file, at)));
    faults.extend([(0, 40), (1, 300), (2, 0)].map(|(file, at)| Fault::Cut(file, at)));
    let mut sandbox = Case::new();
    let mut wrong: Vec<String> = faults.iter().flat_map(|fault| sandbox.suffer(*fault)).collect();
    let seconds = std::env::var("IMK_CAMPAIGN_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random::new(u64::from(std::process::id()));
    let mut count = faults.len();
    while Instant::now() < end && wrong.len() < 20 {
        let fault = match random.below(5) {
            0 | 1 if traced => Fault::Kill(random.below(150) + 1),
            2 => Fault::HangUp(random.below(25) + 1),
            3 => Fault::Full(random.below(6000)),
            4 => Fault::Cut(random.below(12), random.below(3000)),
            _ => Fault::Flip(random.below(12), random.below(3000)),
        };
        wrong.extend(sandbox.suffer(fault));
        count += 1;
    }
    eprintln!("{count} accidents, {} of which ended a run", sandbox.bitten);
    // Later calls than a run makes, and damage that costs a build, end none; without any the faults would be none.
    assert!(sandbox.bitten >= 5, "{} of {count} accidents ended a run", sandbox.bitten);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A repository that goes from accident to accident.
struct Case {
    sandbox: Sandbox,
    round: usize,
    /// Runs that did not end as if nothing had been.
    bitten: usize,
}

impl Case {
    fn new() -> Self {
        let sandbox = Sandbox::empty();
        lay_out(&sandbox);
        sandbox.imk("").success();
        Self { sandbox, round: 0, bitten: 0 }
    }

    /// Changes something, lets it happen, and sees what the next run makes of it.
    fn suffer(&mut self, fault: Fault) -> Vec<String> {
        self.round += 1;
        let image = ["one", "two", "three"][self.round % 3];
        let text = format!("{}\n", self.round);
        self.sandbox.edit(&format!("{image}/f"), &text);
        let first = self.run_with(fault);
        let was_well = first.status == 0;
        let again = self.sandbox.imk("");
        let mut wrong = Vec::new();
        let told =
            format!("first:\n{}{}again:\n{}{}", first.stdout, first.stderr, again.stdout, again.stderr);
        if again.status != 0 {
            wrong.push(format!("ends with {}\n{told}", again.status));
        }
        if first.stderr.contains("panicked") || again.stderr.contains("panicked") {
            wrong.push(format!("panics\n{told}"));
        }
        let known: BTreeSet<String> = first.built().into_iter().collect();
        // What lost its line in the ledger costs a build.
        if !matches!(fault, Fault::Flip(..) | Fault::Cut(..)) {
            for name in again.built().iter().filter(|name| known.contains(*name)) {
                wrong.push(format!("`{name}` is built twice\n{told}"));
            }
        }
        for word in ["damaged", "gone from", "warning", "error"] {
            if again.stderr.contains(word) {
                wrong.push(format!("says {word:?} after all is well again\n{told}"));
            }
        }
        if self.sandbox.imk("check").status != 0 {
            wrong.push(format!("is stale after it was built\n{told}"));
        }
        if self.sandbox.file_in("three", &format!("/{image}")) != text {
            wrong.push(format!("`three` has an old `/{image}`\n{told}"));
        }
        wrong.extend(self.leftovers());
        self.bitten += usize::from(!was_well);
        wrong.into_iter().map(|what| format!("{fault:?} in round {}: {what}", self.round)).collect()
    }

    fn run_with(&self, fault: Fault) -> Run<'_> {
        let wrapped = |program: &str, words: &[&str]| {
            self.sandbox.run(self.sandbox.under(program, words, "-j1").output().unwrap())
        };
        match fault {
            Fault::Kill(number) => {
                let (trace, kill) =
                    (format!("trace={WRITES}"), format!("inject={WRITES}:signal=KILL:when={number}"));
                let words = [
                    "-f",
                    "--seccomp-bpf",
                    "-qq",
                    "-o",
                    "/dev/null",
                    "-e",
                    trace.as_str(),
                    "-e",
                    kill.as_str(),
                ];
                wrapped("strace", &words)
            }
            Fault::Full(bytes) => {
                // A signal that is ignored here is ignored by imk, and the write fails instead, part of it done.
                let script = "trap '' XFSZ; exec prlimit --fsize=$0 \"$@\"";
                wrapped("sh", &["-c", script, &bytes.to_string()])
            }
            Fault::HangUp(number) => {
                let relay = Relay::before_the_engine(number);
                let Some(relay) = relay else { return self.sandbox.imk("") };
                let output =
                    self.sandbox.command("", "-j1").env("DOCKER_HOST", relay.address()).output().unwrap();
                self.sandbox.run(output)
            }
            Fault::Flip(file, at) => {
                self.damage(file, |bytes| {
                    let place = at % bytes.len().max(1);
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte ^= 1 << (at % 7);
                    }
                });
                self.sandbox.imk("")
            }
            Fault::Cut(file, at) => {
                self.damage(file, |bytes| bytes.truncate(at % (bytes.len() + 1)));
                self.sandbox.imk("")
            }
        }
    }

    /// Changes the bytes of a file of state.
    fn damage(&self, file: usize, change: impl FnOnce(&mut Vec<u8>)) {
        let files = self.state();
        let path = &files[file % files.len()];
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    /// The files of state, the ledger in front.
    fn state(&self) -> Vec<std::path::PathBuf> {
        let mut files = Vec::new();
        let mut todo = vec![self.sandbox.path(".imk")];
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                if entry.path().is_dir() { todo.push(entry.path()) } else { files.push(entry.path()) }
            }
        }
        files.sort_by_key(|path| (!path.ends_with("ledger"), path.clone()));
        files
    }

    /// Files that are half written, and names on the engine that are not ours to give.
    fn leftovers(&self) -> Vec<String> {
        let mut left: Vec<String> = self
            .state()
            .iter()
            .filter_map(|path| path.file_name()?.to_str())
            .filter(|name| name.starts_with(".tmp") || name.ends_with(".new"))
            .map(|name| format!("`{name}` is left in the state folder"))
            .collect();
        let filter = format!("label=imk.test={}", self.sandbox.prefix());
        let format = "{{.Repository}}:{{.Tag}}";
        let names = self.sandbox.docker(&["images", "--filter", &filter, "--format", format]);
        let odd = |name: &&str| !name.starts_with(self.sandbox.prefix()) && !name.starts_with("<none>");
        left.extend(names.lines().filter(odd).map(|name| format!("`{name}` is left on the engine")));
        left
    }
}

/// Stands before a server, and hangs up on whoever sends the request of a number.
struct Relay {
    folder: tempfile::TempDir,
}

impl Relay {
    /// Before the engine of the tests; nothing when that is not behind a socket.
    fn before_the_engine(number: usize) -> Option<Self> {
        let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
        let engine = host.strip_prefix("unix://")?.to_owned();
        let folder = tempfile::Builder::new().prefix("imk-cut-").tempdir_in("/tmp").unwrap();
        let count: Arc<AtomicUsize> = Arc::default();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = UnixStream::connect(&engine) else { continue };
                let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
                pass_on(Arc::clone(&count), number, client, server, move || {
                    let _ = (ends.0.shutdown(Shutdown::Both), ends.1.shutdown(Shutdown::Both));
                });
            }
        });
        Some(Self { folder })
    }

    fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("docker.sock").display())
    }
}

/// Both ways until one end hangs up, or the request of that number comes by.
fn pass_on<S>(
    count: Arc<AtomicUsize>,
    number: usize,
    client: S,
    server: S,
    hang_up: impl Fn() + Send + Sync + 'static,
) where
    S: Send + Sync + 'static,
    for<'a> &'a S: Read + Write,
{
    let (client, server) = (Arc::new(client), Arc::new(server));
    let (client_too, server_too) = (Arc::clone(&client), Arc::clone(&server));
    let hang_up = Arc::new(hang_up);
    let hang_up_too = Arc::clone(&hang_up);
    std::thread::spawn(move || {
        copy(&*server_too, &*client_too, |_| true);
        hang_up_too();
    });
    std::thread::spawn(move || {
        copy(&*client, &*server, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let starts = text.lines().filter(|line| {
                line.ends_with(" HTTP/1.1") && line.starts_with(|first: char| first.is_ascii_uppercase())
            });
            let new = starts.count();
            let before = count.fetch_add(new, Ordering::Relaxed);
            !(before < number && number <= before + new)
        });
        hang_up();
    });
}

fn copy<S>(mut from: S, mut to: S, mut goes_on: impl FnMut(&[u8]) -> bool)
where
    S: Read + Write,
{
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if !goes_on(&buffer[..length]) || to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
}

/// Before a registry; the port to use instead of its own.
fn before_the_registry(host: &str, number: usize) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    let (count, host): (Arc<AtomicUsize>, _) = (Arc::default(), host.to_owned());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(&host) else { continue };
            let ends = (client.try_clone().unwrap(), server.try_clone().unwrap());
            pass_on(Arc::clone(&count), number, client, server, move || {
                let _ = (ends.0.shutdown(Shutdown::Both), ends.1.shutdown(Shutdown::Both));
            });
        }
    });
    own
}

#[test]
fn campaign_of_a_registry_that_hangs_up_during_a_push() {
    let Some(sandbox) = engine_or_skip("campaign, registry") else { return };
    let Some(server) = RegistryServer::open("campaign, registry") else { return };
    let long = std::env::var_os("IMK_CAMPAIGN_SECONDS").is_some();
    let numbers: Vec<usize> = if long { (1..60).collect() } else { vec![1, 2, 4, 7, 11, 16, 22] };
    for number in numbers {
        let port = before_the_registry(&server.host(), number);
        let sandbox = Sandbox::empty().prefixed(&format!("127.0.0.1:{port}/{}", sandbox.prefix()));
        lay_out(&sandbox);
        let first = sandbox.imk("push");
        let again = sandbox.imk("push");
        let told =
            format!("first:\n{}{}again:\n{}{}", first.stdout, first.stderr, again.stdout, again.stderr);
        assert_eq!(again.status, 0, "hung up at request {number}\n{told}");
        let known: BTreeSet<String> = first.built().into_iter().collect();
        assert!(!again.built().iter().any(|name| known.contains(name)), "built twice, {number}\n{told}");
        sandbox.imk("check").success();
        let images = sandbox.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
        let ours = format!("127.0.0.1:{port}/");
        for name in images.lines().filter(|name| name.starts_with(&ours)) {
            assert!(!name.contains("imk-staging"), "{name} is left, {number}");
        }
    }
}
