//! The threads of tokio that what awaits runs on: an engine's client, a registry's.
//!
//! Knows nothing of what runs on them.

use std::io;
use std::os::unix::net::UnixStream;

use tokio::runtime::{Builder, Runtime};

/// Pairs of sockets that must be there before a runtime is made: more than its own pipes and pollers take.
const PAIRS: usize = 4;

/// Starts two worker threads: they only pass bytes on, and files are read on threads of their own.
///
/// # Errors
/// When the system gives no threads, or the process may open no more files. tokio makes the pipe of its
/// signals with an `expect`, so under a small `ulimit -n` it would panic; that is found out before.
pub fn start() -> io::Result<Runtime> {
    let room: Vec<_> = (0..PAIRS).map(|_| UnixStream::pair()).collect::<io::Result<_>>()?;
    drop(room);
    Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
