//! One builder at a time in a repository: two `imk` take turns.
//!
//! The lock is the operating system's, so a killed process leaves none behind.
//! The file holds who has it, only to be told to those who wait.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read, Seek, Write};
use std::time::Duration;

use super::folder::StateFolder;

const FILE: &str = "lock";

/// How long a free lock may go unnoticed, and somebody's wish to stop unheard.
const LOOK: Duration = Duration::from_millis(50);

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a state folder, telling `waiting` once who has it when it must wait.
    ///
    /// # Errors
    /// When the file cannot be made or the file system knows no locks, and [`ErrorKind::Interrupted`] when
    /// somebody asked to stop before it was free.
    pub fn take(
        state: &StateFolder,
        is_cancelled: impl Fn() -> bool,
        waiting: impl FnOnce(&str),
    ) -> std::io::Result<Self> {
        let mut file = state.open_file(FILE, false)?;
        if let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock => {
                    let mut holder = String::new();
                    // Who holds it is a courtesy: unreadable, it is just not named.
                    let _ = file.read_to_string(&mut holder);
                    waiting(holder.trim());
                    wait(&file, is_cancelled)?;
                }
                TryLockError::Error(error) => return Err(error),
            }
        }
        let words: Vec<String> = std::env::args().skip(1).collect();
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "`{}` (process {})", format!("imk {}", words.join(" ")).trim(), std::process::id())?;
        Ok(Self { _file: file })
    }
}

/// The turn of a command that runs one at a time. Held until dropped; the default one is everybody's.
#[derive(Debug, Default)]
pub struct Turn {
    file: Option<File>,
}

impl Turn {
    /// Takes the turn of a name; `None` when another has it and this one does not wait.
    ///
    /// # Errors
    /// As [`Lock::take`].
    pub fn take(
        state: &StateFolder,
        name: &str,
        waits: bool,
        is_cancelled: impl Fn() -> bool,
    ) -> std::io::Result<Option<Self>> {
        let file = state.open_file(name, false)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) if waits => wait(&file, is_cancelled)?,
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Some(Self { file: Some(file) }))
    }

    /// Its file, for a child that is to keep the turn as long as it lives, whatever becomes of this process: a lock is
    /// held until the last who has the open file has ended.
    ///
    /// # Errors
    /// When the process has no room for another file.
    pub fn for_child(&self) -> std::io::Result<Option<File>> {
        self.file.as_ref().map(File::try_clone).transpose()
    }
}

/// Waits until the lock is free and takes it. A call that blocks would sleep through every signal, since
/// these are heard on another thread.
fn wait(file: &File, is_cancelled: impl Fn() -> bool) -> std::io::Result<()> {
    loop {
        if is_cancelled() {
            return Err(ErrorKind::Interrupted.into());
        }
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn who_waits_and_is_asked_to_stop_stops() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let held = Lock::take(&state, || false, |_| panic!("nobody holds it")).unwrap();
        let cancelled = Cell::new(false);
        let mut told = String::new();
        let waited = Lock::take(
            &state,
            || cancelled.get(),
            |holder| {
                holder.clone_into(&mut told);
                cancelled.set(true);
            },
        );
        assert_eq!(waited.unwrap_err().kind(), ErrorKind::Interrupted);
        assert!(told.contains("process"), "{told}");
        drop(held);
        Lock::take(&state, || true, |_| panic!("it is free")).unwrap();
    }

    #[test]
    fn who_waits_gets_it_when_it_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(folder.path());
        let mut held = Some(Lock::take(&state, || false, |_| {}).unwrap());
        Lock::take(&state, || false, |_| drop(held.take())).unwrap();
    }
}
