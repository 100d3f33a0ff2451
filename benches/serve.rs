//! Hooks of a service under load: how soon each is answered while a job keeps the processors busy.
//!
//!     cargo bench --bench serve                  200 hooks a second for 10 seconds
//!     cargo bench --bench serve -- RATE SECONDS  so many, so long
//!
//! Needs git and no engine. Each hook is signed, has a commit of its own, and is in the queue, durably, when it is answered. What
//! must hold: the median is below 50 ms on two processors while a job runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use fs_err as fs;
use imk::service::secrets::Secrets;
use ring::hmac;

const IMK: &str = env!("CARGO_BIN_EXE_imk");
/// Repositories among which the hooks are spread.
const REPOSITORIES: usize = 20;
/// Connections that send at once.
const SENDERS: usize = 32;

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let words: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let rate = words.first().copied().unwrap_or(200);
    let seconds = words.get(1).copied().unwrap_or(10);
    let folder = tempfile::tempdir().expect("a folder");
    let busy = origin(folder.path(), seconds);
    let mut settings =
        format!("\"busy\": (url: {busy:?}, do: \"publish\", time_limit: \"{}s\"),\n", seconds * 3 + 30);
    for number in 0..REPOSITORIES {
        settings += &format!(
            "\"r{number}\": (url: \"https://git.invalid/r{number}\", poll: \"never\", branches: \"**\"),\n"
        );
    }
    let file = folder.path().join("serve.ron");
    fs::write(&file, format!("(workers: 1, repositories: {{{settings}}})")).expect("the file is written");
    let state = folder.path().join("state");
    let mut child = Command::new(IMK);
    child
        .arg("serve")
        .arg("--config")
        .arg(&file)
        .arg("--state")
        .arg(&state)
        .args(["--listen", "127.0.0.1:0"]);
    let mut child = Ended(child.stderr(Stdio::piped()).spawn().expect("imk serves"));
    let lines = BufReader::new(child.0.stderr.take().expect("it is piped")).lines();
    let address = lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once("http://")?.1.split(',').next()?.to_owned()))
        .expect("it says where it listens");
    // The one worker has the busy job by then; what is offered waits.
    std::thread::sleep(Duration::from_secs(3));
    let secrets = Secrets::at(&state);
    let keys: Vec<hmac::Key> = (0..REPOSITORIES)
        .map(|number| {
            let pair = secrets.of(&format!("r{number}"), jiff::Timestamp::now()).expect("a secret");
            hmac::Key::new(hmac::HMAC_SHA256, pair.hook[0].shown().as_bytes())
        })
        .collect();
    let total = rate * seconds;
    let begun = Instant::now();
    let took = Mutex::new(Vec::new());
    let next = Mutex::new(0_u64);
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| {
                loop {
                    let number = {
                        let mut next = next.lock().expect("no sender panics");
                        *next += 1;
                        *next - 1
                    };
                    if number >= total {
                        return;
                    }
                    // The time is that since it was due, so that a service which falls behind is not flattered.
                    let due = begun
                        + Duration::from_secs(1) * u32::try_from(number).unwrap_or(0)
                            / u32::try_from(rate).unwrap_or(1);
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    let status = sent(&address, number, &keys);
                    took.lock().expect("no sender panics").push((due.elapsed(), status));
                }
            });
        }
    });
    let mut took = took.into_inner().expect("no sender panics");
    took.sort();
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].0.as_secs_f64() * 1000.0;
    let good = took.iter().filter(|(_, status)| *status == 202).count();
    report(&format!("{rate} hooks a second for {seconds} s: {good} of {total} taken"));
    report(&format!(
        "answered within {:.1} ms (median), {:.1} ms (90 %), {:.1} ms (99 %), {:.1} ms (all)",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    ));
}

#[expect(clippy::print_stdout, reason = "a bench's results")]
fn report(line: &str) {
    println!("{line}");
}

/// A repository whose one job keeps a processor busy.
fn origin(folder: &std::path::Path, seconds: u64) -> String {
    let root = folder.join("busy");
    fs::create_dir_all(&root).expect("a folder");
    let step = format!("step: busy\nshell: timeout {} sh -c 'while :; do :; done' || true\n", seconds + 10);
    fs::write(root.join("integration.yml"), step).expect("a file");
    for words in
        ["init -q -b main", "add -A", "-c user.name=imk -c user.email=imk@invalid commit -q -m first"]
    {
        let status = Command::new("git").args(words.split(' ')).current_dir(&root).status().expect("git");
        assert!(status.success());
    }
    root.display().to_string()
}

/// Sends one push; the status of the answer.
fn sent(address: &str, number: u64, keys: &[hmac::Key]) -> u16 {
    let repository = usize::try_from(number).unwrap_or(0) % REPOSITORIES;
    // A commit of noughts is a branch that was deleted.
    let commit = format!("{:040x}", number + 1);
    let body = format!(
        r#"{{"ref":"refs/heads/b{number}","after":"{commit}","deleted":false,"head_commit":{{"id":"{commit}","message":"a push"}},"repository":{{"default_branch":"main","full_name":"x/r{repository}"}}}}"#
    );
    let signature = hmac::sign(&keys[repository], body.as_bytes());
    let signature: String = signature.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = format!(
        "POST /hook/r{repository} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         X-GitHub-Event: push\r\nX-GitHub-Delivery: d{number}\r\nX-Hub-Signature-256: sha256={signature}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(request.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    answer().ok().and_then(|answer| answer.get(9..12)?.parse().ok()).unwrap_or(0)
}
