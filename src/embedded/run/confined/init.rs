//! The init of a confined program: goes into the view, gives up every right, and starts the program.
//!
//! It is the first process in there. When the program ends it ends too, and the kernel ends all that is left.

use std::io;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitOptions, chdir, pivot_root, set_dumpable_behavior,
    set_parent_process_death_signal, wait,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities,
};

use super::program::{Confined, during};
use crate::embedded::run::root::Root;
use crate::embedded::run::walls::Answer;
use crate::embedded::run::{apart, walls, wire};

/// The first word with which imk calls itself for it.
pub const WORD: &str = "__confined-init";

/// Starts the program of whoever is at the other end of standard input; its exit status.
pub fn main() -> u8 {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let Some(mut line) = apart::line() else { return 2 };
    let Ok(confined) = wire::receive::<Confined>(&mut line) else { return 2 };
    let begun = entered(&confined).and_then(|()| started(&confined));
    let answer: Answer = begun.as_ref().map(drop).map_err(ToString::to_string);
    let told = wire::send(&mut line, &answer);
    let _ = line.shutdown(std::net::Shutdown::Both);
    drop::<UnixStream>(line);
    match (begun, told) {
        (Ok(Some(child)), Ok(())) => waited(&child),
        (Ok(None), Ok(())) => 0,
        _ => 127,
    }
}

fn entered(confined: &Confined) -> io::Result<()> {
    let root = Root::open(&confined.at)?;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // The machine shows its processes in full, or this is refused: a `/proc` with parts covered, as in some containers,
    // would come out uncovered.
    mount("proc", root.find("proc")?.path(), "proc", quiet, None)
        .map_err(io::Error::from)
        .map_err(during("this machine gives no /proc of its own"))?;
    chdir(&confined.at)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    walls::leave_keys();
    // Kernels before 6.12 have no such wall.
    let _ = walls::leave_sockets();
    // Rights end at the namespace, and a program of no root needs none of them.
    for capability in CapabilitySet::all().iter() {
        // Not every kernel knows every one.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    // The program has the same user, and is to have no look at this process.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    chdir(&confined.folder)
        .map_err(io::Error::from)
        .map_err(during(&format!("going to the folder `{}`", confined.folder.display())))
}

fn started(confined: &Confined) -> io::Result<Option<Child>> {
    let Some((program, words)) = confined.words.split_first() else { return Ok(None) };
    let mut command = Command::new(program);
    command.args(words).env_clear().envs(confined.environment.iter().cloned()).stdin(Stdio::null());
    command.spawn().map(Some).map_err(during(&format!("running `{}`", program.display())))
}

/// Waits for the program, and for all that nobody else waits for.
fn waited(child: &Child) -> u8 {
    let wanted = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if Some(pid) == wanted => {
                let signal = || 128 + status.terminating_signal().unwrap_or_default();
                let status = status.exit_status().unwrap_or_else(signal);
                return u8::try_from(status).unwrap_or(u8::MAX);
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => return 2,
        }
    }
}
