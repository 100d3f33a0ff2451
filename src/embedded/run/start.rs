//! Starting the child of a keeper, and waiting for its end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use super::child::Orders;
use super::job::Job;
use super::wire;
use crate::embedded::trouble::{During, Result, refusal};

/// The first word of the process that becomes a command.
pub const CHILD: &str = "__embedded-child";

/// Starts the child, which becomes the command, and waits for its end.
pub fn child(job: &Job, root: &Path) -> Result<i32> {
    let what = || "starting the command".to_owned();
    let (mut ours, theirs) = UnixStream::pair().during(what)?;
    let mut command = Command::new("/proc/self/exe");
    let spawned = command.arg0("imk").arg(CHILD).stdin(Stdio::from(OwnedFd::from(theirs))).spawn();
    drop(command);
    let mut child = spawned.during(what)?;
    let orders = Orders::of(job, root);
    let told = wire::send(&mut ours, &orders).and_then(|()| match wire::receive::<String>(&mut ours) {
        // It became the command, and its end of the line is closed.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        said => said.map(Some),
    });
    let status = child.wait().during(what)?;
    if let Ok(Some(why)) = told {
        return Err(refusal("starting the command", why));
    }
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
}
