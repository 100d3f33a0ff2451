//! The child: goes into a root that was made for it, gives up what a command must not have, and becomes it.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Gid, Mode, Uid};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use rustix::process::{Signal, chdir, chroot, pivot_root, set_parent_process_death_signal, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_thread_gid, set_thread_groups, set_thread_uid,
};
use serde::{Deserialize, Serialize};

use super::job::Job;
use super::rights;
use super::root::{Root, Spot};
use super::rung::Rung;
use super::walls::{self, Said};
use super::{apart, wire};

/// The name of the machine that commands believe to be on, as BuildKit has it.
const HOST: &str = "buildkitsandbox";

/// Capabilities that docker leaves to a container's root (`oci/caps/defaults.go`).
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Files of `/proc` that tell or do too much (docker's masked paths).
const MASKED: [&str; 11] = [
    "proc/asound",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/timer_list",
    "proc/timer_stats",
    "proc/sched_debug",
    "proc/acpi",
    "proc/scsi",
    "sys/devices/virtual/powercap",
    "sys/firmware",
];
/// Folders of `/proc` that can be read only.
const READ_ONLY: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// The orders of a child.
#[derive(Debug, Serialize, Deserialize)]
pub struct Orders {
    root: PathBuf,
    rung: Rung,
    insecure: bool,
    network: bool,
    words: Vec<String>,
    environment: Vec<(String, String)>,
    folder: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Orders {
    /// The orders for a job, whose root lies there.
    pub fn of(job: &Job, root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            rung: job.rung,
            insecure: job.insecure,
            network: job.network,
            words: job.words.clone(),
            environment: job.environment.clone(),
            folder: job.folder.clone(),
            uid: job.uid,
            gid: job.gid,
            groups: job.groups.clone(),
        }
    }
}

/// Becomes the command of whoever is at the other end of standard input.
pub fn main() -> u8 {
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    walls::leave_caller();
    let Some(mut line) = apart::line() else { return 2 };
    let Ok(orders) = wire::receive::<Orders>(&mut line) else { return 2 };
    let why = become_command(&orders, &mut line);
    let _ = wire::send(&mut line, &Said::Cannot(why));
    127
}

/// Comes back only when it could not; says why.
fn become_command(orders: &Orders, line: &mut UnixStream) -> String {
    let told = |what: &str, error: io::Error| format!("{what}: {error}");
    walls::leave_keys();
    let users = match enter(orders) {
        Ok(users) => users,
        Err(error) => return told("going into the root", error),
    };
    if let Some(users) = users {
        if !orders.insecure
            && let Err(error) = walls::raise(orders.rung, orders.network, &users, line)
        {
            return told("giving the command users of its own", error);
        }
        if !orders.network {
            // Without it a command cannot speak to itself either; some do.
            let _ = loopback();
        }
        if !orders.insecure {
            // Kernels before 6.12 have no such wall; `doctor` says so.
            let _ = walls::leave_sockets();
        }
    }
    // As runc does: by root first, since a folder may be nobody else's to enter.
    let there = chdir(orders.folder.as_str());
    if let Err(error) = give_up(orders) {
        return told("giving up rights", error);
    }
    if let Err(error) = there.or_else(|_| chdir(orders.folder.as_str())) {
        return told(&format!("going to the folder `{}`", orders.folder), error.into());
    }
    // The kernel forgets it whenever rights change; and whoever died before heard nothing of it.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if let Err(error) = walls::say(line, &Said::Ready) {
        return told("speaking to the keeper", error);
    }
    let Some((program, words)) = orders.words.split_first() else { return "there is no command".into() };
    let mut command = Command::new(program);
    command.args(words).env_clear().envs(orders.environment.iter().cloned());
    let error = command.stdin(Stdio::null()).exec();
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no program `{program}` in the image, or no interpreter for it")
        }
        _ => told(&format!("running `{program}`"), error),
    }
}

/// Answers with `/proc/sys/user` of the new root, where there is a `/proc`.
fn enter(orders: &Orders) -> io::Result<Option<Spot>> {
    umask(Mode::from_raw_mode(0o022));
    if orders.rung == Rung::Chroot {
        chdir(&orders.root)?;
        chroot(".")?;
        chdir("/")?;
        return Ok(None);
    }
    // The keeper must keep the root that it has, so this one goes away from it.
    apart::leave(UnshareFlags::NEWNS)?;
    rustix::system::sethostname(HOST.as_bytes())?;
    let root = Root::open(&orders.root)?;
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", root.find("proc")?.path(), "proc", quiet, None)?;
    let users = root.find("proc/sys/user")?;
    if !orders.insecure {
        mask(&root)?;
    }
    chdir(&orders.root)?;
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    Ok(Some(users))
}

/// Hides what a command must not see of the machine, and makes what it must not change read-only.
fn mask(root: &Root) -> io::Result<()> {
    for path in MASKED {
        let Ok(spot) = root.find(path) else { continue };
        if spot.is_folder()? {
            let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            mount("mask", spot.path(), "tmpfs", flags, Some(c"size=0"))?;
        } else {
            mount_bind(root.find("dev/null")?.path(), spot.path())?;
        }
    }
    for path in READ_ONLY {
        let Ok(spot) = root.find(path) else { continue };
        mount_bind(spot.path(), spot.path())?;
        let flags = MountFlags::BIND
            | MountFlags::RDONLY
            | MountFlags::NOSUID
            | MountFlags::NODEV
            | MountFlags::NOEXEC;
        mount_remount(root.find(path)?.path(), flags, "")?;
    }
    Ok(())
}

fn give_up(orders: &Orders) -> io::Result<()> {
    let own = rustix::thread::capabilities(None)?;
    let kept = if orders.insecure { own.permitted } else { KEPT };
    for capability in CapabilitySet::all().iter().filter(|one| !kept.contains(*one)) {
        // Not every kernel knows every one.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let _ = clear_ambient_capability_set();
    // The first group is among the others, as engines have it since CVE-2022-36109.
    let groups: BTreeSet<u32> = orders.groups.iter().copied().chain([orders.gid]).collect();
    let groups: Vec<Gid> = groups.into_iter().map(Gid::from_raw).collect();
    match set_thread_groups(&groups) {
        // Where one user is mapped nobody may change groups, and there is one group only.
        Err(_) if orders.rung == Rung::User => {}
        done => done?,
    }
    let only_one = |error: rustix::io::Errno| match error {
        rustix::io::Errno::INVAL => io::Error::other(
            "this user is not mapped: rung `user` with one user only knows root; `imk doctor` says what is lacking",
        ),
        other => other.into(),
    };
    set_thread_gid(Gid::from_raw(orders.gid)).map_err(only_one)?;
    if orders.insecure {
        return rights::keep(own.permitted, orders.uid).map_err(only_one);
    }
    let rest = own.permitted & KEPT;
    let sets = CapabilitySets { effective: rest, permitted: rest, inheritable: CapabilitySet::empty() };
    if orders.uid == 0 {
        return Ok(set_capabilities(None, sets)?);
    }
    // The kernel takes all away from whoever stops being root.
    set_thread_uid(Uid::from_raw(orders.uid)).map_err(only_one)
}

/// Brings up the loopback interface of a network of one's own (rtnetlink(7), RTM_NEWLINK of interface 1).
fn loopback() -> io::Result<()> {
    use rustix::net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
    };
    // Protocol 0 of netlink is NETLINK_ROUTE.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let (length, new_link, request_ack, up) = (32_u32, 16_u16, 5_u16, 1_u32);
    let mut message = Vec::with_capacity(32);
    message.extend(length.to_ne_bytes());
    message.extend(new_link.to_ne_bytes());
    message.extend(request_ack.to_ne_bytes());
    message.extend([0; 8]);
    // Family, padding and type; then which interface, its flags, and which of them are meant.
    message.extend([0; 4]);
    message.extend(1_u32.to_ne_bytes());
    message.extend(up.to_ne_bytes());
    message.extend(up.to_ne_bytes());
    send(&socket, &message, SendFlags::empty())?;
    let mut answer = [0; 256];
    recv(&socket, &mut answer[..], RecvFlags::empty())?;
    Ok(())
}
