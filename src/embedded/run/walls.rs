//! Walls around a command, beside namespaces.
//!
//! A root of the machine's own could use its keys and make devices, whatever else is taken from it. So a
//! command has users of its own even where root builds, whose numbers are those of the machine: files keep
//! their owners, and rights end at the namespace. It can make no users of its own in turn, is in no session
//! of its caller, and has neither its caller's keys nor its open files. There is no seccomp filter: none can
//! be had without no_new_privs in safe code, and that would take `sudo` from images which use it.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use fs_err as fs;
use landlock::{CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr, Scope};
use rustix::fs::{Mode, OFlags, openat};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

use super::apart;
use super::root::Spot;
use super::rung::Rung;
use super::wire;

/// A child's words to its keeper, which answers each.
#[derive(Debug, Serialize, Deserialize)]
pub enum Said {
    /// It waits in a user namespace that has no users yet.
    Apart,
    /// It is about to become the command.
    Ready,
    /// It cannot, and why. This is the last.
    Cannot(String),
}

/// The answer: nothing, or why not.
pub type Answer = std::result::Result<(), String>;

/// Says something to the keeper and waits for its answer.
pub fn say(line: &mut UnixStream, said: &Said) -> io::Result<()> {
    wire::send(line, said)?;
    wire::receive::<Answer>(line)?.map_err(io::Error::other)
}

/// Goes behind the walls. `users` is `/proc/sys/user` of the command's own `/proc`, opened before it was
/// made read-only.
pub fn raise(rung: Rung, network: bool, users: &Spot, line: &mut UnixStream) -> io::Result<()> {
    if rung == Rung::Root {
        let mut flags = UnshareFlags::NEWUSER;
        if !network {
            // An empty network of its own, whose owner it is.
            flags |= UnshareFlags::NEWNET;
        }
        apart::leave(flags)?;
        say(line, &Said::Apart)?;
    }
    let open = |name: &str| openat(users.as_fd(), name, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
    // None below this one: what a command may not do here it may not do as a root of its own making either.
    std::fs::File::from(open("max_user_namespaces")?).write_all(b"0")?;
    Ok(())
}

/// Leaves the keys of the caller's session. Where keys may not be spoken of at all there are none to leave.
pub fn leave_keys() {
    let _ = keyutils::Keyring::join_anonymous_session();
}

/// Keeps a command from sockets of the machine that have no path: they belong to the network, which it
/// shares. Kernels before 6.12 cannot.
pub fn leave_sockets() -> std::result::Result<(), String> {
    let rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    let made = rules.scope(Scope::AbstractUnixSocket).and_then(|rules| rules.create());
    let restricted = made.and_then(|made| made.no_new_privs(false).restrict_self());
    restricted.map(drop).map_err(|error| error.to_string())
}

/// Sees to it that no program started from here has files that the caller left open, nor its terminal.
pub fn leave_caller() {
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    // Whoever leads a group already cannot; then there is no terminal to lose either.
    let _ = rustix::process::setsid();
}

/// Gives the child, which waits in a user namespace, the users and groups that are here, with their numbers.
pub fn same_users(child: u32) -> io::Result<()> {
    for map in ["uid_map", "gid_map"] {
        let own = fs::read_to_string(format!("/proc/self/{map}"))?;
        fs::write(format!("/proc/{child}/{map}"), identity(&own))?;
    }
    Ok(())
}

/// The map of a namespace, as one for a namespace below it in which all have the same numbers.
fn identity(map: &str) -> String {
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [first, _, count] = words.as_slice() else { return None };
        Some(format!("{first} {first} {count}\n"))
    };
    map.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_of_users_is_handed_on_as_it_looks_from_inside() {
        assert_eq!(identity("         0          0 4294967295\n"), "0 0 4294967295\n");
        assert_eq!(identity("0 1000 1\n1 100000 65536\n"), "0 0 1\n1 1 65536\n");
        assert_eq!(identity("nonsense\n"), "");
    }
}
