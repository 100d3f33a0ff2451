//! Leaving namespaces, and the line to whoever called this process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::thread::UnshareFlags;

/// Standard input as the line to the caller.
pub fn line() -> Option<UnixStream> {
    let fd: OwnedFd = io::stdin().as_fd().try_clone_to_owned().ok()?;
    Some(UnixStream::from(fd))
}

/// Leaves namespaces for new ones.
#[expect(deprecated, reason = "only the flag FILES, which is never given, can break what others rely on")]
pub fn leave(flags: UnshareFlags) -> io::Result<()> {
    Ok(rustix::thread::unshare(flags)?)
}
