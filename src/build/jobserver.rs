//! make's jobserver: how many things run at once under one `make -j`.
//!
//! Who is called by make owns one turn, and takes a byte out of make's pipe
//! for each further one; the same byte is put back afterwards. The protocol is
//! that of the GNU make manual, "POSIX Jobserver Interaction". Knows nothing
//! of images.

use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use parking_lot::Mutex;
use rustix::fs::OFlags;

use crate::engine::Cancel;

/// How long to wait before make's pipe is looked into again. A read that
/// blocks could not be interrupted.
const PAUSE: Duration = Duration::from_millis(20);

/// The flags that make passes to the programs it calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Makeflags {
    /// N of make's own `-jN`.
    pub jobs: Option<usize>,
    /// Where its jobserver is.
    pub jobserver: Option<Address>,
    /// `make -n`: nothing is to be done.
    pub dry_run: bool,
}

/// Where a jobserver is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A named pipe (make 4.4 and newer).
    Fifo(PathBuf),
    /// Two ends of a pipe that were handed down (make 4.3 and older); negative when make closed them.
    Pipe(i32, i32),
}

impl Makeflags {
    /// Reads the variable `MAKEFLAGS`. Of several addresses the last one counts.
    pub fn read(text: &str) -> Self {
        let mut flags = Self::default();
        // Behind `--` stand variables of the make file.
        for (at, word) in text.split_whitespace().take_while(|word| *word != "--").enumerate() {
            if at == 0 && !word.starts_with('-') && !word.contains('=') {
                flags.dry_run = word.contains('n');
            }
            if let Some(count) = word.strip_prefix("-j") {
                flags.jobs = count.parse().ok();
            }
            let address = word.strip_prefix("--jobserver-auth=");
            if let Some(address) = address.or_else(|| word.strip_prefix("--jobserver-fds=")) {
                flags.jobserver = Address::read(address);
            }
        }
        flags
    }
}

impl Address {
    fn read(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("fifo:") {
            return Some(Self::Fifo(path.into()));
        }
        let (read, write) = text.split_once(',')?;
        Some(Self::Pipe(read.parse().ok()?, write.parse().ok()?))
    }
}

/// A jobserver, opened.
#[derive(Debug)]
pub struct Jobserver {
    read: fs::File,
    write: fs::File,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The turn that is ours without asking is taken.
    own_taken: bool,
    /// The bytes that were taken, each to be put back as it was.
    tokens: Vec<u8>,
}

/// A turn, given back when it is dropped.
#[derive(Debug)]
pub struct Turn {
    jobserver: Arc<Jobserver>,
    is_own: bool,
}

impl Jobserver {
    /// Opens a jobserver.
    ///
    /// # Errors
    /// When it is not there. make hands the ends of its pipe only to lines of
    /// a recipe that begin with `+` or name `$(MAKE)`.
    pub fn open(address: &Address) -> io::Result<Self> {
        let (read, write) = match address {
            Address::Fifo(path) => (path.clone(), path.clone()),
            // A number is no more ours than a path is: opened by its path, it is a file of our own.
            Address::Pipe(read, write) => {
                let path = |end: &i32| PathBuf::from(format!("/proc/self/fd/{end}"));
                (path(read), path(write))
            }
        };
        // A named pipe that is opened for both never waits for somebody at its other end.
        let both = matches!(address, Address::Fifo(_));
        let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
        let open = |path: &PathBuf, read: bool, write: bool| {
            let file = fs::OpenOptions::new().read(read).write(write).custom_flags(flags).open(path)?;
            if file.metadata()?.file_type().is_fifo() {
                return Ok(file);
            }
            Err(io::Error::new(io::ErrorKind::NotFound, format!("`{}` is no pipe", path.display())))
        };
        let (read, write) = (open(&read, true, both)?, open(&write, both, true)?);
        Ok(Self { read, write, state: Mutex::default() })
    }

    /// Waits for a turn; `None` when it was cancelled before there was one.
    pub fn turn(self: &Arc<Self>, cancel: &Cancel) -> Option<Turn> {
        while !cancel.is_cancelled() {
            if let Some(is_own) = self.take() {
                return Some(Turn { jobserver: Arc::clone(self), is_own });
            }
            std::thread::sleep(PAUSE);
        }
        None
    }

    /// Takes a turn if there is one: true for our own, false for one of make's.
    fn take(&self) -> Option<bool> {
        let mut state = self.state.lock();
        if !state.own_taken {
            state.own_taken = true;
            return Some(true);
        }
        let mut token = [0];
        let read = (&self.read).read(&mut token);
        // Nothing to read is no error worth a word: another look may find a token.
        if !matches!(read, Ok(1)) {
            return None;
        }
        state.tokens.push(token[0]);
        Some(false)
    }

    /// Puts back every token at once, before the process ends without dropping its turns.
    pub fn give_back(&self) {
        let tokens = std::mem::take(&mut self.state.lock().tokens);
        // A make that is gone needs none back.
        let _ = (&self.write).write_all(&tokens);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.jobserver.state.lock();
        if self.is_own {
            state.own_taken = false;
        } else if let Some(token) = state.tokens.pop() {
            let _ = (&self.jobserver.write).write_all(&[token]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[track_caller]
    fn check(text: &str, jobs: Option<usize>, jobserver: Option<Address>, dry_run: bool) {
        assert_eq!(Makeflags::read(text), Makeflags { jobs, jobserver, dry_run }, "{text:?}");
    }

    #[test]
    fn makeflags_are_read_as_makes_of_all_ages_write_them() {
        check("", None, None, false);
        check("n", None, None, true);
        check("kn -j4 --jobserver-auth=3,4", Some(4), Some(Address::Pipe(3, 4)), true);
        check(
            " -j2 --jobserver-auth=fifo:/tmp/GMfifo7",
            Some(2),
            Some(Address::Fifo("/tmp/GMfifo7".into())),
            false,
        );
        check(" --jobserver-fds=5,6 -j", None, Some(Address::Pipe(5, 6)), false);
        check(" -j2 --jobserver-auth=-2,-2", Some(2), Some(Address::Pipe(-2, -2)), false);
        check(" -j2 -- CC=gcc --jobserver-auth=1,2", Some(2), None, false);
        check("CFLAGS=-n", None, None, false);
    }

    /// A pipe with so many tokens in it, as make would hand it down.
    fn pipe(tokens: &[u8]) -> (io::PipeReader, io::PipeWriter, Arc<Jobserver>) {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(tokens).unwrap();
        let jobserver = Jobserver::open(&Address::Pipe(reader.as_raw_fd(), writer.as_raw_fd())).unwrap();
        (reader, writer, Arc::new(jobserver))
    }

    fn left(mut reader: io::PipeReader, writer: io::PipeWriter, jobserver: Arc<Jobserver>) -> String {
        drop((writer, jobserver));
        let mut left = String::new();
        reader.read_to_string(&mut left).unwrap();
        left
    }

    #[test]
    fn the_first_turn_is_ours_and_each_other_one_takes_a_token() {
        let (reader, writer, jobserver) = pipe(b"ab");
        let cancel = Cancel::default();
        let turns: Vec<Turn> = (0..3).map(|_| jobserver.turn(&cancel).unwrap()).collect();
        assert_eq!(jobserver.take(), None, "all are taken");
        drop(turns);
        let mut left: Vec<char> = left(reader, writer, jobserver).chars().collect();
        left.sort_unstable();
        assert_eq!(left, ['a', 'b'], "the bytes that were taken are back");
    }

    #[test]
    fn a_turn_that_ends_lets_another_begin() {
        let (_reader, _writer, jobserver) = pipe(b"");
        let cancel = Cancel::default();
        let first = jobserver.turn(&cancel);
        assert_eq!(jobserver.take(), None);
        drop(first);
        assert!(jobserver.turn(&cancel).is_some());
    }

    #[test]
    fn who_is_cancelled_waits_no_longer() {
        let (_reader, _writer, jobserver) = pipe(b"");
        let cancel = Cancel::default();
        let _first = jobserver.turn(&cancel);
        cancel.cancel();
        assert!(jobserver.turn(&cancel).is_none());
    }

    #[test]
    fn tokens_are_given_back_before_a_sudden_end() {
        let (reader, writer, jobserver) = pipe(b"ab");
        let cancel = Cancel::default();
        let turns: Vec<Turn> = (0..3).map(|_| jobserver.turn(&cancel).unwrap()).collect();
        jobserver.give_back();
        std::mem::forget(turns);
        let mut reader = reader;
        let mut tokens = [0; 2];
        reader.read_exact(&mut tokens).unwrap();
        assert_eq!(tokens.len(), 2);
        drop(writer);
    }

    #[test]
    fn a_pipe_that_make_closed_is_an_error() {
        assert!(Jobserver::open(&Address::Pipe(-2, -2)).is_err());
        assert!(Jobserver::open(&Address::Fifo("/dev/null".into())).is_err());
    }
}
