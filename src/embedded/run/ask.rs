//! Calling imk as a keeper: the process is started, told its task, listened to, and ended when somebody stops.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::job::{Outcome, Task};
use super::rung::{self, Rung};
use super::wire;
use crate::embedded::trouble::{During, Result, refusal};
use crate::engine::{Cancel, EngineError};

/// The first word with which imk calls itself.
pub const KEEPER: &str = "__embedded-keeper";

/// How often it is asked whether somebody wants to stop.
const LOOK: Duration = Duration::from_millis(20);

/// Calls imk as a keeper and hands it a task.
pub fn ask(rung: Rung, task: &Task, heard: &dyn Fn(&[u8]), cancel: &Cancel) -> Result<Outcome> {
    let what = || "starting the process that runs commands".to_owned();
    let (ours, theirs) = UnixStream::pair().during(what)?;
    let (mut reader, writer) = io::pipe().during(what)?;
    let mut command = Command::new("/proc/self/exe");
    std::os::unix::process::CommandExt::arg0(&mut command, "imk");
    let child = command
        .args([KEEPER, rung.word()])
        .env_clear()
        .stdin(Stdio::from(std::os::fd::OwnedFd::from(theirs)))
        .stdout(writer.try_clone().during(what)?)
        .stderr(writer)
        .spawn();
    // What `command` holds of the pipe must go, or its end never comes.
    drop(command);
    let mut child = child.during(what)?;
    let pid = child.id();
    let over = Over::default();
    let over = &over;
    let answer = std::thread::scope(|scope| {
        let conversation = scope.spawn(move || -> io::Result<Outcome> {
            let _end = OnEnd(over);
            let mut wire = ours;
            if rung == Rung::User {
                let mut word = [0];
                wire.read_exact(&mut word)?;
                rung::map(pid)?;
            }
            wire::send(&mut wire, task)?;
            wire::receive(&mut wire)
        });
        let stopper = scope.spawn(move || {
            while !over.within(LOOK) {
                if cancel.is_cancelled() {
                    rung::kill(rung, pid);
                    return;
                }
            }
        });
        let mut buffer = [0; 16 << 10];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => heard(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        let _ = stopper.join();
        conversation.join().unwrap_or_else(|_| Err(io::Error::other("the conversation broke off")))
    });
    let status = child.wait().during(what)?;
    if cancel.is_cancelled() {
        return Err(EngineError::Interrupted);
    }
    answer.map_err(|error| {
        let hint = format!("the process that keeps commands apart ended ({status}): {error}");
        refusal("running a command", hint)
    })
}

/// End of a conversation, of which whoever waits hears at once, so that a short command stays short.
#[derive(Default)]
struct Over {
    is_over: Mutex<bool>,
    told: Condvar,
}

impl Over {
    fn tell(&self) {
        *self.is_over.lock() = true;
        self.told.notify_all();
    }

    /// Waits so long at the most.
    fn within(&self, most: Duration) -> bool {
        let mut is_over = self.is_over.lock();
        if !*is_over {
            self.told.wait_for(&mut is_over, most);
        }
        *is_over
    }
}

/// Says that a conversation is over, however it ends.
struct OnEnd<'a>(&'a Over);

impl Drop for OnEnd<'_> {
    fn drop(&mut self) {
        self.0.tell();
    }
}
