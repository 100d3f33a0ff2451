//! The ladder: what this machine gives to commands, and why it gives no more.
//!
//! | rung | needs | gives |
//! |---|---|---|
//! | root | CAP_SYS_ADMIN | namespaces of its own, an overlay |
//! | user | user namespaces, best with newuidmap and a range in /etc/subuid | the same, with this user as root |
//! | chroot | CAP_SYS_CHROOT, and somebody who asks for it | a copy of the root, and no wall |
//! | none | | `COPY`, `ADD` and all that describes |

use std::io;
use std::process::Command;

use fs_err as fs;
use rustix::process::{Pid, Signal, getegid, geteuid, kill_process};
use rustix::thread::CapabilitySet;
use serde::{Deserialize, Serialize};

/// How commands are kept apart from the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// By namespaces; what a machine that gives none cannot run is refused.
    #[default]
    Namespaces,
    /// By a changed root and nothing else: never chosen unless somebody asks for it.
    Chroot,
}

/// How commands are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rung {
    /// Namespaces, by root.
    Root,
    /// Namespaces, by anybody.
    User,
    /// A changed root.
    Chroot,
}

impl Rung {
    /// As it is said to a keeper.
    pub fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
            Self::Chroot => "chroot",
        }
    }

    /// The rung of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Root, Self::User, Self::Chroot].into_iter().find(|rung| rung.word() == word)
    }
}

fn has(capability: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

/// The highest rung that is allowed and that this machine should have. What it lacks shows when it is used.
///
/// # Errors
/// Why there is none, as a sentence.
pub fn of(isolation: Isolation) -> Result<Rung, String> {
    if isolation == Isolation::Chroot {
        return match has(CapabilitySet::SYS_CHROOT) {
            true => Ok(Rung::Chroot),
            false => {
                Err("`--isolation chroot` needs CAP_SYS_CHROOT, which this process does not have".into())
            }
        };
    }
    if has(CapabilitySet::SYS_ADMIN) {
        // Root's commands have users of their own, too.
        return match has_no_user_namespaces() {
            Some(why) => Err(format!("{why}; {}", way_out())),
            None => Ok(Rung::Root),
        };
    }
    match refusal() {
        None => Ok(Rung::User),
        Some(why) => Err(format!("{why}; {}", way_out())),
    }
}

/// The remedy where there is no rung.
pub fn way_out() -> &'static str {
    match has(CapabilitySet::SYS_CHROOT) {
        true => "`--isolation chroot` runs commands in a copy of the root, without any wall around them",
        false => "a Docker engine runs them (`--engine`)",
    }
}

fn says(path: &str, value: &str) -> bool {
    fs::read_to_string(path).is_ok_and(|text| text.trim() == value)
}

fn has_no_user_namespaces() -> Option<String> {
    says("/proc/sys/user/max_user_namespaces", "0")
        .then(|| "this machine forbids user namespaces (user.max_user_namespaces is 0)".into())
}

/// The setting that forbids user namespaces to whoever is not root here, as far as files of the kernel tell.
fn refusal() -> Option<String> {
    if let Some(why) = has_no_user_namespaces() {
        return Some(why);
    }
    if says("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        return Some("this machine forbids user namespaces (kernel.unprivileged_userns_clone is 0)".into());
    }
    if says("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") {
        return Some(
            "AppArmor forbids user namespaces to programs without a profile (kernel.apparmor_restrict_unprivileged_userns is 1)"
                .into(),
        );
    }
    None
}

/// The first range of ids that this user may use, for users and for groups: first id and count.
pub fn ranges() -> Option<((u32, u32), (u32, u32))> {
    let uid = geteuid().as_raw();
    let name = name_of(uid).unwrap_or_default();
    let first = |path: &str| {
        let text = fs::read_to_string(path).ok()?;
        text.lines().find_map(|line| {
            let parts: Vec<&str> = line.split(':').collect();
            let [who, start, count] = parts.as_slice() else { return None };
            let mine = *who == name || who.parse() == Ok(uid);
            mine.then_some((start.parse().ok()?, count.parse().ok()?))
        })
    };
    let programs = ["newuidmap", "newgidmap"].iter().all(|program| {
        ["/usr/bin", "/bin", "/usr/sbin", "/usr/local/bin"]
            .iter()
            .any(|folder| std::path::Path::new(folder).join(program).exists())
    });
    programs.then(|| Some((first("/etc/subuid")?, first("/etc/subgid")?)))?
}

fn name_of(uid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/passwd").ok()?;
    text.lines().find_map(|line| {
        let mut parts = line.split(':');
        let (name, number) = (parts.next()?, parts.nth(1)?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Gives a keeper, which waits in a user namespace of its own, its users and groups.
pub fn map(pid: u32) -> io::Result<()> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if let Some(((first_uid, uids), (first_gid, gids))) = ranges() {
        let mapped = |program: &str, own: u32, first: u32, count: u32| -> io::Result<bool> {
            let words = [pid, 0, own, 1, 1, first, count].map(|number| number.to_string());
            Ok(Command::new(program).args(words).output()?.status.success())
        };
        if mapped("newuidmap", uid, first_uid, uids)? && mapped("newgidmap", gid, first_gid, gids)? {
            return Ok(());
        }
    }
    // One user is better than none. A group can be mapped only by who gives up changing groups.
    fs::write(format!("/proc/{pid}/setgroups"), "deny")?;
    fs::write(format!("/proc/{pid}/uid_map"), format!("0 {uid} 1"))?;
    fs::write(format!("/proc/{pid}/gid_map"), format!("0 {gid} 1"))
}

/// Ends a keeper; its command goes with it: by the kernel where there are namespaces, else by the keeper.
pub fn kill(rung: Rung, pid: u32) {
    let signal = if rung == Rung::Chroot { Signal::TERM } else { Signal::KILL };
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}
