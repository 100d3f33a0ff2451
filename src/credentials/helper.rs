//! Docker's credential helpers: programs that are asked for a login, and how long they may take.
//!
//! A helper gets the name of a registry on its input and answers with JSON, as `docker-credential-helpers` has it.
//! It may ask its user, or hang; so who is waited for is told, and one that says nothing is stopped.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use docker_credential::DockerCredential;
use serde::Deserialize;

use crate::patience::{Patience, TICK};

/// How often a helper that has answered is looked at for its end.
const ENDING: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks `docker-credential-NAME` for the login of a registry; `None` when it has none.
///
/// # Errors
/// Why there is no answer. What a failed helper wrote may hold a secret, so only its name is told.
pub(super) fn ask(
    name: &str,
    registry: &str,
    patience: &Patience,
) -> Result<Option<DockerCredential>, String> {
    let program = format!("docker-credential-{name}");
    let who = format!("credential helper `{program}`");
    let waiting = patience.begin(&who).map_err(|why| format!("{who} gave {why}"))?;
    let cannot = |error: std::io::Error| format!("{who} cannot be run: {error}");
    let mut command = Command::new(&program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Stopped(command.spawn().map_err(cannot)?);
    if let Some(mut input) = child.0.stdin.take() {
        // One that ends without reading says why in its answer. The name is shorter than any pipe.
        let _ = input.write_all(registry.as_bytes());
    }
    let (out, err) = (collected(child.0.stdout.take()), collected(child.0.stderr.take()));
    let late = |why| format!("{who} gave {why}; --timeout SECONDS waits longer");
    let mut said = Vec::new();
    for stream in [out, err] {
        let bytes = loop {
            match stream.recv_timeout(TICK) {
                Ok(bytes) => break bytes,
                Err(RecvTimeoutError::Timeout) => waiting.check().map_err(late)?,
                Err(RecvTimeoutError::Disconnected) => break Vec::new(),
            }
        };
        said.push(bytes);
    }
    let status = loop {
        match child.0.try_wait().map_err(cannot)? {
            Some(status) => break status,
            None => waiting.check().map_err(late)?,
        }
        std::thread::sleep(ENDING);
    };
    waiting.heard();
    if !status.success() {
        // One that has no login for a registry fails with this sentence.
        let has_none = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).contains("credentials not found");
        return if said.iter().any(has_none) { Ok(None) } else { Err(format!("{who} failed")) };
    }
    let answer: Answer = serde_json::from_slice(&said[0]).map_err(|_| format!("{who} answered nonsense"))?;
    Ok(Some(match answer.username.as_str() {
        "<token>" => DockerCredential::IdentityToken(answer.secret),
        _ => DockerCredential::UsernamePassword(answer.username, answer.secret),
    }))
}

/// All that a stream says, when it ends.
fn collected(stream: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is judged as it is.
        let _ = stream.map(|mut stream| stream.read_to_end(&mut bytes));
        // Nobody may be waiting any more.
        let _ = sender.send(bytes);
    });
    receiver
}

/// A program that does not outlive the question.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        // One that has ended is not there to be stopped.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
