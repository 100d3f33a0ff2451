//! One builder at a time in a repository: two `imk` take turns.
//!
//! The lock is the operating system's, so a killed process leaves none behind.
//! The file holds who has it, only to be told to those who wait.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};

use super::folder::StateFolder;

const FILE: &str = "lock";

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a state folder, telling `waiting` once who has it when it must wait.
    ///
    /// # Errors
    /// When the file cannot be made or the file system knows no locks.
    pub fn take(state: &StateFolder, waiting: impl FnOnce(&str)) -> std::io::Result<Self> {
        let mut file = state.open_file(FILE, false)?;
        if let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock => {
                    let mut holder = String::new();
                    // Who holds it is a courtesy: unreadable, it is just not named.
                    let _ = file.read_to_string(&mut holder);
                    waiting(holder.trim());
                    file.lock()?;
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
