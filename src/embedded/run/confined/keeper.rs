//! The keeper of a confined program: leaves the caller's namespaces, lays the view out, and waits.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use fs_err as fs;
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{Signal, getegid, geteuid, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, configure_capability_in_ambient_set,
    set_capabilities,
};

use super::program::{Confined, during};
use super::{init, view};
use crate::embedded::run::walls::Answer;
use crate::embedded::run::{apart, walls, wire};

/// The first word with which imk calls itself for it.
pub const WORD: &str = "__confined-keeper";

/// Keeps one program for whoever is at the other end of standard input; its exit status.
pub fn main() -> u8 {
    let Some(mut line) = apart::line() else { return 2 };
    walls::leave_caller();
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // Whoever stops the program tells its whole group; the keeper stays, to say how it ended.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::default());
    let Ok(confined) = wire::receive::<Confined>(&mut line) else { return 2 };
    let begun = begun(&confined);
    let answer: Answer = begun.as_ref().map(drop).map_err(ToString::to_string);
    if wire::send(&mut line, &answer).is_err() {
        return 2;
    }
    let Ok(mut child) = begun else { return 127 };
    drop(line);
    match child.wait() {
        Ok(status) => {
            let status = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
            u8::try_from(status).unwrap_or(u8::MAX)
        }
        Err(_) => 2,
    }
}

fn begun(confined: &Confined) -> io::Result<Child> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    apart::leave(UnshareFlags::NEWUSER).map_err(during("this machine gives no user namespace"))?;
    let mapped = |name: &str, text: String| fs::write(format!("/proc/self/{name}"), text);
    // A group can be mapped only by who gives up changing groups. Numbers stay as they are: nobody is root in here.
    mapped("setgroups", "deny".into())
        .and_then(|()| mapped("uid_map", format!("{uid} {uid} 1")))
        .and_then(|()| mapped("gid_map", format!("{gid} {gid} 1")))
        .map_err(during("the user namespace takes no users"))?;
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let flags = UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWPID;
    apart::leave(flags).map_err(during("this machine gives no namespaces"))?;
    // Kernels without control groups have no names of them to hide.
    let _ = apart::leave(UnshareFlags::NEWCGROUP);
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(io::Error::from).map_err(during("making mounts private"))?;
    view::lay_out(&confined.at, &confined.view)?;
    hand_on_rights().map_err(during("handing rights on to the init"))?;
    started(confined)
}

/// Has the init keep the rights of this namespace, until it gives them up: whoever is no root in here would lose them by
/// becoming another program.
fn hand_on_rights() -> io::Result<()> {
    let own = capabilities(None)?;
    set_capabilities(None, CapabilitySets { inheritable: own.permitted, ..own })?;
    for capability in CapabilitySet::all().iter().filter(|one| own.permitted.contains(*one)) {
        configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

/// Starts imk as the init of what is confined, and hears whether it could begin.
fn started(confined: &Confined) -> io::Result<Child> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0("imk").arg(init::WORD).env_clear().stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = command.spawn()?;
    drop(command);
    wire::send(&mut ours, confined)?;
    wire::receive::<Answer>(&mut ours)?.map_err(io::Error::other)?;
    Ok(child)
}
