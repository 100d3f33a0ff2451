//! One builder at a time in a repository: two `imk` take turns.
//!
//! The lock is the operating system's, so a killed process leaves none behind.
//! The file holds who has it, only to be told to those who wait.

use std::io::{Read, Seek, Write};
use std::path::Path;

use fs_err as fs;

/// Held until dropped.
#[derive(Debug)]
pub struct Lock {
    _file: fs::File,
}

impl Lock {
    /// Takes the lock at `path`, telling `waiting` once who has it when it must wait.
    ///
    /// # Errors
    /// When the file cannot be made or the file system knows no locks.
    pub fn take(path: &Path, waiting: impl FnOnce(&str)) -> std::io::Result<Self> {
        let mut file =
            fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        if let Err(error) = file.file().try_lock() {
            match error {
                std::fs::TryLockError::WouldBlock => {
                    let mut holder = String::new();
                    // Who holds it is a courtesy: unreadable, it is just not named.
                    let _ = file.read_to_string(&mut holder);
                    waiting(holder.trim());
                    file.file().lock()?;
                }
                std::fs::TryLockError::Error(error) => return Err(error),
            }
        }
        let words: Vec<String> = std::env::args().skip(1).collect();
        file.set_len(0)?;
        file.rewind()?;
        write!(file, "`{}` (process {})", format!("imk {}", words.join(" ")).trim(), std::process::id())?;
        Ok(Self { _file: file })
    }
}
