//! A command of a job: in a process group of its own, within a time, with all its output in the order in which it came.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::process::{Pid, Signal, kill_process_group};

use super::confinement::Confinement;
use crate::embedded::Confined;
use crate::engine::Cancel;

/// How soon an end, or a wish to stop, is seen.
const TICK: Duration = Duration::from_millis(50);
/// How long a command has after it was asked to end.
const GRACE: Duration = Duration::from_secs(10);
/// How long what it left behind may hold its output open.
const DRAIN: Duration = Duration::from_secs(1);

/// A command to run.
pub struct Running<'a> {
    /// The program, and its arguments.
    pub words: &'a [OsString],
    /// Its folder, opened: a path could be made to lead elsewhere after it was looked at.
    pub folder: &'a OwnedFd,
    /// The whole environment.
    pub environment: &'a BTreeMap<OsString, OsString>,
    /// The walls around it.
    pub confinement: &'a Confinement,
    /// When its time is over.
    pub until: Instant,
    /// Tells when somebody wants it stopped.
    pub cancel: &'a Cancel,
}

/// The end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its own; the status as a shell tells it.
    Exited(i32),
    /// Its time was over.
    Overdue,
    /// Somebody wanted it stopped.
    Cancelled,
}

impl Running<'_> {
    /// Runs it to its end; `said` is handed its output. All that it started in its group ends with it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, said: &mut dyn FnMut(&[u8])) -> io::Result<End> {
        let (mut reader, writer) = io::pipe()?;
        let mut child = self.spawned(&writer)?;
        drop(writer);
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let end = |signal: Signal| group.map(|group| kill_process_group(group, signal));
        let mut is_open = true;
        let mut stopping: Option<(Instant, End)> = None;
        let status = loop {
            // A command that closed its output is waited for all the same, and not by asking without pause.
            if is_open {
                is_open = read_some(&mut reader, said);
            } else {
                std::thread::sleep(TICK);
            }
            if let Some(status) = child.try_wait()? {
                break status;
            }
            let now = Instant::now();
            match stopping {
                None if self.cancel.is_cancelled() || now > self.until => {
                    let why = if self.cancel.is_cancelled() { End::Cancelled } else { End::Overdue };
                    let _ = end(Signal::TERM);
                    stopping = Some((now + GRACE, why));
                }
                Some((kill, _)) if now > kill => {
                    let _ = end(Signal::KILL);
                }
                _ => {}
            }
        };
        let _ = end(Signal::KILL);
        let until = Instant::now() + DRAIN;
        while is_open && Instant::now() < until {
            is_open = read_some(&mut reader, said);
        }
        Ok(stopping.map_or_else(|| End::Exited(shell_status(status)), |(_, why)| why))
    }

    fn spawned(&self, writer: &io::PipeWriter) -> io::Result<Child> {
        let [program, arguments @ ..] = self.words else {
            return Err(io::Error::other("there is no command"));
        };
        let own = format!("/proc/self/fd/{}", self.folder.as_raw_fd());
        if let Confinement::Walls { at, view } = self.confinement {
            let confined = Confined {
                at: at.clone(),
                view: view.clone(),
                words: self.words.to_vec(),
                environment: self.environment.clone().into_iter().collect(),
                // Nothing runs that could put another in its place: all of the command before this one has ended.
                folder: fs_err::read_link(own)?,
            };
            return confined.start(|command| {
                command.stdout(writer.try_clone()?).stderr(writer.try_clone()?);
                Ok(())
            });
        }
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.environment)
            // The folder that was opened, whatever its name leads to by now.
            .current_dir(own)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer.try_clone()?)
            .process_group(0);
        if let Some(user) = self.confinement.user() {
            // With a user, the standard library also gives up the groups of this process.
            command.uid(user.id).gid(user.id);
        }
        command.spawn()
    }
}

/// Reads what is there, waiting for a moment; `false` at the end of it.
fn read_some(reader: &mut PipeReader, said: &mut dyn FnMut(&[u8])) -> bool {
    let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(TICK.subsec_nanos()) };
    let is_ready = poll(&mut [PollFd::new(reader, PollFlags::IN)], Some(&wait));
    if !matches!(is_ready, Ok(1..)) {
        return true;
    }
    let mut buffer = [0; 16 * 1024];
    match reader.read(&mut buffer) {
        Ok(0) => false,
        Ok(count) => {
            said(&buffer[..count]);
            true
        }
        Err(error) => error.kind() == io::ErrorKind::Interrupted,
    }
}

/// A status as a shell tells it: 128 and the signal for one that a signal ended.
fn shell_status(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

/// Opens a folder below a checkout; no link leads out of it, also not one that is made a moment later.
///
/// # Errors
/// When there is no such folder, or it is elsewhere.
pub fn folder_in(checkout: &Path, folder: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(checkout, flags, Mode::empty())?;
    if folder.is_empty() {
        return Ok(root);
    }
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(&root, folder, flags, Mode::empty(), within) {
        Ok(found) => Ok(found),
        Err(rustix::io::Errno::XDEV | rustix::io::Errno::LOOP) => {
            Err(io::Error::other("a link leads out of the repository"))
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(folder: &Path, script: &str, limit: Duration, cancel: &Cancel) -> (End, String) {
        let environment = BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into()), ("A".into(), "1".into())]);
        let words: Vec<OsString> = ["/bin/sh", "-c", script].map(OsString::from).into();
        let mut output = Vec::new();
        let folder = folder_in(folder, "").unwrap();
        let running = Running {
            words: &words,
            folder: &folder,
            environment: &environment,
            confinement: &Confinement::Trusted,
            until: Instant::now() + limit,
            cancel,
        };
        let end = running.run(&mut |bytes| output.extend_from_slice(bytes)).unwrap();
        (end, String::from_utf8_lossy(&output).into_owned())
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_command_has_its_folder_its_variables_and_one_stream_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let script = "echo $A; echo b >&2; echo c; basename \"$PWD\"; env | grep -c CARGO; exit 3";
        let (end, output) = ran(folder.path(), script, LONG, &Cancel::default());
        let name = folder.path().file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!((end, output), (End::Exited(3), format!("1\nb\nc\n{name}\n0\n")));
        assert_eq!(ran(folder.path(), "kill -9 $$", LONG, &Cancel::default()).0, End::Exited(137));
        let closed = ran(folder.path(), "exec >&- 2>&-; sleep 0.2; exit 4", LONG, &Cancel::default());
        assert_eq!(closed.0, End::Exited(4));
    }

    #[test]
    fn what_it_leaves_running_ends_with_it_and_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        let script = "sleep 600 & echo $! > pid; echo a";
        assert_eq!(ran(folder.path(), script, LONG, &Cancel::default()), (End::Exited(0), "a\n".into()));
        let pid: i32 = fs_err::read_to_string(pid).unwrap().trim().parse().unwrap();
        let until = Instant::now() + Duration::from_secs(60);
        // A process that nobody waited for yet still has its number, and no longer a program.
        let lives = || {
            fs_err::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains("sleep"))
        };
        while lives() {
            assert!(Instant::now() < until, "it lives on");
            std::thread::sleep(TICK);
        }
        let (end, output) = ran(folder.path(), "setsid sleep 5 & echo a", LONG, &Cancel::default());
        assert_eq!((end, output.as_str()), (End::Exited(0), "a\n"));
    }

    #[test]
    fn one_that_takes_too_long_or_that_nobody_wants_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (end, output) =
            ran(folder.path(), "echo so far; sleep 600", Duration::from_millis(300), &Cancel::default());
        assert_eq!((end, output.as_str()), (End::Overdue, "so far\n"));
        let cancel = Cancel::default();
        cancel.cancel();
        assert_eq!(ran(folder.path(), "sleep 600", LONG, &cancel).0, End::Cancelled);
    }

    #[test]
    fn no_link_leads_out_of_a_checkout() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repo");
        fs_err::create_dir_all(root.join("app/src")).unwrap();
        for (name, target) in [
            ("in", "app/src"),
            ("up", ".."),
            ("abs", "/etc"),
            ("own", root.to_str().unwrap()),
            ("loop", "loop"),
        ] {
            fs_err::os::unix::fs::symlink(target, root.join(name)).unwrap();
        }
        for good in ["", "app", "app/src", "in"] {
            assert!(folder_in(&root, good).is_ok(), "{good}");
        }
        for bad in ["up", "abs", "own", "up/repo", "none", "loop", "app/../.."] {
            assert!(folder_in(&root, bad).is_err(), "{bad}");
        }
        assert!(folder_in(&root, "up").unwrap_err().to_string().contains("leads out"));
    }
}
