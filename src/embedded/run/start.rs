//! Starting the child of a keeper, and waiting for its end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Stdio};

use fs_err as fs;
use rustix::mount::mount_bind;

use super::child::Orders;
use super::job::Job;
use super::mounts::settle;
use super::rung::Rung;
use super::walls::{self, Answer, Said};
use super::wire;
use crate::embedded::trouble::{During, Result, refusal};

/// The first word of the process that becomes a command.
pub const CHILD: &str = "__embedded-child";

/// Starts the child, which becomes the command, and waits for its end.
pub fn child(job: &Job, root: &Path) -> Result<i32> {
    let what = || "starting the command".to_owned();
    let (mut ours, theirs) = UnixStream::pair().during(what)?;
    let mut command = match own_program(job).during(what)? {
        Some(program) => Command::new(program),
        None => Command::new("/proc/self/exe"),
    };
    let spawned = command.arg0("imk").arg(CHILD).stdin(Stdio::from(OwnedFd::from(theirs))).spawn();
    drop(command);
    let mut child = spawned.during(what)?;
    let orders = Orders::of(job, root);
    let told = match wire::send(&mut ours, &orders) {
        Ok(()) => listen(&mut ours, child.id()),
        Err(error) => Err(error),
    };
    drop(ours);
    let status = child.wait().during(what)?;
    if let Ok(Some(why)) = told {
        return Err(refusal("starting the command", why));
    }
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
}

/// Answers a child until it has become the command, or says why it cannot.
fn listen(line: &mut UnixStream, child: u32) -> io::Result<Option<String>> {
    loop {
        let answer: Answer = match wire::receive::<Said>(line) {
            // It became the command, and its end of the line is closed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
            Ok(Said::Cannot(why)) => return Ok(Some(why)),
            Ok(Said::Ready) => Ok(()),
            Ok(Said::Apart) => walls::same_users(child).map_err(|error| error.to_string()),
        };
        wire::send(line, &answer)?;
    }
}

/// This program where it cannot be written to: a command finds it as `/proc/self/exe` of the child, and
/// whoever is root could write to the file of the machine through that.
fn own_program(job: &Job) -> io::Result<Option<std::path::PathBuf>> {
    if job.rung == Rung::Chroot {
        return Ok(None);
    }
    // By its name: what a process runs hangs on the mounts that it came from, which are not this one's.
    let named = fs::read_link("/proc/self/exe")?;
    let same = |a: std::fs::Metadata, b: std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    let is_named = fs::metadata(&named).and_then(|there| Ok(same(there, fs::metadata("/proc/self/exe")?)));
    if !is_named.unwrap_or(false) {
        // Its file was removed or replaced meanwhile, and so there is none of it to write to.
        return Ok(None);
    }
    let at = job.work.join("imk");
    fs::write(&at, "")?;
    mount_bind(&named, &at)?;
    settle(&at, rustix::mount::MountFlags::RDONLY).map(|()| Some(at))
}
