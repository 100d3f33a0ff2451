//! The process that watches: one question at a time, and news in between.
//!
//! Vouches for nothing across an overflow, a step of the clock, a mount below the root or an asker who sees another
//! tree: then it begins anew under another name, and every token from before is worth nothing. Once in a while it
//! asks for a look at everything, so that what nobody can hear of does not last. Knows no selection.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::super::stat;
use super::socket::{Place, is_own};
use super::watches::{Watches, tells};
use super::wire::{self, Reply, Request, Status, Token, VERSION, View};

/// Everything is looked at once more after so long.
const LOOK_AGAIN: Duration = Duration::from_secs(600);
/// An asker who says nothing for so long is let go.
const SILENCE: Duration = Duration::from_secs(5);
/// The system's clock was set when it differs by more from the one that is never set.
const STEP_NS: i128 = 500_000_000;
/// Stamps of files are older than the moment by a tick of the kernel's clock at most.
const TICK_NS: i64 = 100_000_000;
/// The monitor looks after its own place so often.
const ROUND_S: i64 = 30;

/// Why no monitor could be started.
#[derive(Debug)]
pub enum StartError {
    /// There is one already.
    Running,
    /// The file system does not tell all its changes.
    Untold,
    /// The system did not let it.
    System(io::Error),
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// A monitor that has its place and is ready to answer.
pub struct Serving {
    root: Arc<OwnedFd>,
    path: PathBuf,
    socket: PathBuf,
    listener: UnixListener,
    watches: Watches,
    instance: [u8; 16],
    started: Instant,
    started_ns: i128,
    clock: WallClock,
    mounts: Vec<String>,
    room: usize,
    questions: u64,
    resets: u64,
    reset: Option<String>,
    /// Held as long as it lives.
    _lock: File,
}

/// Nanoseconds since 1970 by the system's clock, which somebody may set.
type WallClock = Box<dyn Fn() -> i128 + Send>;

/// The end of a conversation.
enum End {
    Goes,
    Stops,
}

impl Serving {
    /// Takes its place for the repository at `root`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(root: &Path, place: &Place) -> Result<Self, StartError> {
        Self::start_with(root, place, Box::new(now_ns))
    }

    /// As [`Self::start`], by another clock.
    pub(super) fn start_with(root: &Path, place: &Place, clock: WallClock) -> Result<Self, StartError> {
        let path = fs_err::canonicalize(root)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&path, flags, Mode::empty()).map_err(io::Error::from)?;
        if !tells(&root)? {
            return Err(StartError::Untold);
        }
        let lock = place.take()?.ok_or(StartError::Running)?;
        let socket = place.socket();
        match fs_err::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let root = Arc::new(root);
        // Half of what the system lets this user watch, since others watch too.
        let most = fs_err::read_to_string("/proc/sys/fs/inotify/max_user_watches");
        let room = most.ok().and_then(|text| text.trim().parse::<usize>().ok()).unwrap_or(0) / 2;
        let watches = Watches::new(Arc::clone(&root), room)?;
        Ok(Self {
            watches,
            mounts: mounts_below(&path)?,
            listener: UnixListener::bind(&socket)?,
            root,
            path,
            socket,
            instance: random()?,
            started: Instant::now(),
            started_ns: clock(),
            clock,
            room,
            questions: 0,
            resets: 0,
            reset: None,
            _lock: lock,
        })
    }

    /// Answers until somebody ends it, or its repository or its place is gone.
    ///
    /// # Errors
    /// When it cannot wait any more.
    pub fn serve(mut self) -> io::Result<()> {
        self.listener.set_nonblocking(true)?;
        while self.is_wanted() {
            let news = self.watches.handle();
            let mut waiting = [
                PollFd::new(&*news, PollFlags::IN),
                PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
            ];
            match poll(&mut waiting, Some(&Timespec { tv_sec: ROUND_S, tv_nsec: 0 })) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            self.watches.drain();
            self.begin_anew_if_need_be()?;
            let Ok((stream, _)) = self.listener.accept() else { continue };
            // A conversation that breaks off concerns nobody else.
            if let Ok(End::Stops) = self.converse(stream) {
                break;
            }
        }
        let _ = fs_err::remove_file(&self.socket);
        Ok(())
    }

    /// Whether root and socket are still where askers look for them.
    fn is_wanted(&self) -> bool {
        let here = stat::stat_open(&*self.root).ok().map(|seen| (seen.dev, seen.ino));
        let there = stat::stat(rustix::fs::CWD, self.path.as_os_str().as_encoded_bytes());
        there.ok().map(|seen| (seen.dev, seen.ino)) == here && fs_err::symlink_metadata(&self.socket).is_ok()
    }

    fn converse(&mut self, mut stream: UnixStream) -> io::Result<End> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        if !is_own(&stream) {
            wire::send(&mut stream, &Reply::No("this is another user's".into()))?;
            return Ok(End::Goes);
        }
        let Some(request) = wire::receive(&mut stream)? else { return Ok(End::Goes) };
        let reply = match request {
            Request::Status => Reply::Status(self.status()),
            Request::Stop => Reply::Stopping,
            Request::Ask { version, view, .. } | Request::Watch { version, view, .. }
                if self.stranger(version, view).is_some() =>
            {
                Reply::No(self.stranger(version, view).unwrap_or_default().into())
            }
            Request::Ask { token, .. } => self.answer(token)?,
            Request::Watch { folders, .. } => {
                let refused = self.watches.watch_all(folders);
                self.begin_anew_if_need_be()?;
                Reply::Watching { instance: self.instance, refused }
            }
        };
        wire::send(&mut stream, &reply)?;
        Ok(if matches!(reply, Reply::Stopping) { End::Stops } else { End::Goes })
    }

    /// The reason why this asker would misunderstand an answer.
    fn stranger(&self, version: u32, view: View) -> Option<&'static str> {
        let root = stat::stat_open(&*self.root).ok().map(|seen| (seen.dev, seen.ino));
        match () {
            () if version != VERSION => Some("the monitor is of another version of imk"),
            () if root != Some(view.root) => Some("the monitor watches another folder"),
            () if namespace() != Some(view.namespace) => Some("the monitor sees other mounts"),
            () => None,
        }
    }

    fn answer(&mut self, token: Option<Token>) -> io::Result<Reply> {
        self.questions += 1;
        let at_ns = i64::try_from((self.clock)()).unwrap_or(i64::MAX);
        self.watches.drain();
        self.begin_anew_if_need_be()?;
        let age_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let walk_is_due =
            |token: &Token| age_ms.saturating_sub(token.walked_ms) > LOOK_AGAIN.as_millis() as u64;
        let known = token.filter(|token| token.instance == self.instance && !walk_is_due(token));
        let folders = known.map(|token| {
            self.watches.look_at_doubts(token.at_ns.saturating_sub(TICK_NS));
            self.watches.changed_since(token.seq)
        });
        let walked_ms = known.map_or(age_ms, |token| token.walked_ms);
        let token = Token { instance: self.instance, seq: self.watches.seq(), at_ns, walked_ms };
        Ok(Reply::Changed { token, folders })
    }

    /// Forgets everything when news may be missing.
    fn begin_anew_if_need_be(&mut self) -> io::Result<()> {
        let mounts = mounts_below(&self.path)?;
        let passed = i128::try_from(self.started.elapsed().as_nanos()).unwrap_or(i128::MAX);
        let why = match self.watches.lost() {
            Some(why) => why,
            None if mounts != self.mounts => "something was mounted or unmounted below the root",
            None if ((self.clock)() - self.started_ns - passed).abs() > STEP_NS => {
                "the clock was set, or the machine slept"
            }
            None => return Ok(()),
        };
        self.watches = Watches::new(Arc::clone(&self.root), self.room)?;
        self.instance = random()?;
        (self.started, self.started_ns, self.mounts) = (Instant::now(), (self.clock)(), mounts);
        self.resets += 1;
        self.reset = Some(why.to_owned());
        Ok(())
    }

    fn status(&self) -> Status {
        let (folders, files, doubtful) = self.watches.counts();
        Status {
            root: self.path.display().to_string(),
            pid: std::process::id(),
            age_s: self.started.elapsed().as_secs(),
            folders,
            files,
            doubtful,
            whole: self.watches.is_whole(),
            changes: self.watches.seq(),
            questions: self.questions,
            resets: self.resets,
            reset: self.reset.clone(),
        }
    }
}

/// The mounts below a folder, as the kernel lists them.
fn mounts_below(root: &Path) -> io::Result<Vec<String>> {
    let all = fs_err::read_to_string("/proc/self/mountinfo")?;
    let root = root.display().to_string();
    // The fifth field; blanks in it are written as octal numbers.
    let below = |line: &&str| {
        let at = line.split(' ').nth(4).unwrap_or_default();
        unescaped(at).strip_prefix(&root).is_some_and(|rest| rest.starts_with('/') || root == "/")
    };
    Ok(all.lines().filter(below).map(str::to_owned).collect())
}

fn unescaped(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The mount namespace of this process.
pub(super) fn namespace() -> Option<(u64, u64)> {
    let seen = rustix::fs::stat("/proc/self/ns/mnt").ok()?;
    Some((seen.st_dev, seen.st_ino))
}

fn now_ns() -> i128 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
        Err(_) => 0,
    }
}

fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    io::Read::read_exact(&mut fs_err::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}
