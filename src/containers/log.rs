//! The log of a command that is run again and again: whole lines, rotated by size and count, in multilog's layout.
//!
//! `current` is written; full files are named by the time (`@` and TAI64N, then `.s`), so that names sort as they came.
//! `lock` is held for each write, so that two runs mix lines and never halves of them. Knows no container.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fs_err as fs;

use crate::syntax::container::LogRules;

/// The file that is written.
pub const CURRENT: &str = "current";
/// Bytes of an unfinished line that are held back; a longer one is broken.
const MOST_HELD: usize = 64 * 1024;
/// How long another writer may hold the log. One of ours holds it for a write; multilog and svlogd for as long as they run.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon it is looked at again.
const LOOK: Duration = Duration::from_millis(5);
/// Seconds that daemontools' clock is ahead: TAI64 begins at 2^62, and ten leap seconds before 1972.
const TAI: u64 = (1 << 62) + 10;

/// A log in a folder of its own.
pub struct RotatingLog {
    folder: PathBuf,
    rules: LogRules,
    lock: File,
    current: File,
    held: Vec<u8>,
}

impl RotatingLog {
    /// Opens the log of a folder, which is made if need be.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn open(folder: &Path, rules: LogRules) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = append(&folder.join("lock"))?;
        let current = append(&folder.join(CURRENT))?;
        Ok(Self { folder: folder.to_owned(), rules, lock, current, held: Vec::new() })
    }

    /// Takes output as it comes; what is no whole line yet waits.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.held.extend_from_slice(bytes);
        let end = match self.held.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            None if self.held.len() >= MOST_HELD => self.held.len(),
            None => return Ok(()),
        };
        let rest = self.held.split_off(end);
        let lines = std::mem::replace(&mut self.held, rest);
        self.lines(&lines)
    }

    /// Writes what is held back, as a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let mut line = std::mem::take(&mut self.held);
        line.push(b'\n');
        self.lines(&line)
    }

    fn lines(&mut self, lines: &[u8]) -> io::Result<()> {
        self.take_lock()?;
        let written = self.locked(lines);
        self.lock.unlock()?;
        written
    }

    fn take_lock(&self) -> io::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lock.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(LOOK),
                Err(TryLockError::WouldBlock) => {
                    let why = format!("another program holds `{}`", self.folder.join("lock").display());
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn locked(&mut self, lines: &[u8]) -> io::Result<()> {
        let path = self.folder.join(CURRENT);
        // Another run may have rotated meanwhile.
        let is_same = fs::metadata(&path)
            .is_ok_and(|there| self.current.metadata().is_ok_and(|it| it.ino() == there.ino()));
        if !is_same {
            self.current = append(&path)?;
        }
        let mut size = self.current.metadata()?.len();
        let mut rest = lines;
        while !rest.is_empty() {
            let room = usize::try_from(self.rules.size.saturating_sub(size)).unwrap_or(usize::MAX);
            // As many whole lines as there is room for; into an empty file at least one.
            let fits = rest[..rest.len().min(room)].iter().rposition(|byte| *byte == b'\n').map(|at| at + 1);
            let first = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
            let count = match fits {
                Some(count) => count,
                None if size == 0 => first,
                None => {
                    self.rotate()?;
                    size = 0;
                    continue;
                }
            };
            self.current.write_all(&rest[..count])?;
            size += count as u64;
            rest = &rest[count..];
        }
        Ok(())
    }

    /// The full file gets its name, a new one begins, the oldest go. A reader keeps the file that it has open.
    fn rotate(&mut self) -> io::Result<()> {
        let path = self.folder.join(CURRENT);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("@{:016x}{:08x}.s", TAI + now.as_secs(), now.subsec_nanos());
        // multilog marks a file that is whole so.
        fs::set_permissions(&path, PermissionsExt::from_mode(0o744))?;
        fs::rename(&path, self.folder.join(name))?;
        self.current = append(&path)?;
        let files = rotated(&self.folder)?;
        for old in &files[..files.len().saturating_sub(self.rules.count)] {
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    Ok(fs::OpenOptions::new().create(true).append(true).open(path)?.into_parts().0)
}

/// The full files of a log's folder, the oldest first.
///
/// # Errors
/// When the folder cannot be read.
pub fn rotated(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('@') && (name.ends_with(".s") || name.ends_with(".u")) {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// The logs below a folder, by the names of their folders: those that have a `current`.
///
/// # Errors
/// When the folder cannot be read; one that is not there has none.
pub fn logs(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().join(CURRENT).is_file() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}

/// Everything that a log has, the oldest line first, piece by piece; and then, as long as `goes_on` says so, what is added.
///
/// # Errors
/// When it cannot be read.
pub fn follow(
    folder: &Path,
    mut show: impl FnMut(&[u8]),
    mut goes_on: impl FnMut() -> bool,
) -> io::Result<()> {
    for file in rotated(folder)? {
        show(&fs::read(file)?);
    }
    let path = folder.join(CURRENT);
    let mut current = fs::File::open(&path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match io::Read::read(&mut current, &mut buffer)? {
            0 => {
                if !goes_on() {
                    return Ok(());
                }
                let is_same = fs::metadata(&path)
                    .is_ok_and(|there| current.metadata().is_ok_and(|it| it.ino() == there.ino()));
                if !is_same {
                    // It was rotated, and all of the old one is read.
                    if let Ok(file) = fs::File::open(&path) {
                        current = file;
                    }
                }
            }
            count => show(&buffer[..count]),
        }
    }
}

/// Whether a variable of this name is shown in a log with its value.
pub fn is_shown(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL", "AUTH", "PRIVATE"]
        .iter()
        .all(|word| !name.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(folder: &Path) -> String {
        let mut text = Vec::new();
        follow(folder, |piece| text.extend_from_slice(piece), || false).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn lines_are_never_torn_and_old_files_go() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = RotatingLog::open(folder.path(), LogRules { size: 20, count: 2 }).unwrap();
        for number in 0..20 {
            // Half a line at a time.
            log.write(format!("line {number:02}").as_bytes()).unwrap();
            log.write(b" .\n").unwrap();
        }
        log.write(b"no end").unwrap();
        log.finish().unwrap();
        let files = rotated(folder.path()).unwrap();
        assert_eq!(files.len(), 2);
        for file in &files {
            let text = fs::read_to_string(file).unwrap();
            assert!(text.len() <= 20 && text.ends_with('\n') && text.starts_with("line"), "{text:?}");
        }
        assert!(whole(folder.path()).ends_with("line 19 .\nno end\n"));
    }

    #[test]
    fn two_writers_mix_lines_and_lose_none() {
        let folder = tempfile::tempdir().unwrap();
        let rules = LogRules { size: 500, count: 1000 };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = folder.path();
                scope.spawn(move || {
                    let mut log = RotatingLog::open(path, rules).unwrap();
                    for number in 0..50 {
                        log.write(format!("writer {writer} line {number}\n").as_bytes()).unwrap();
                    }
                });
            }
        });
        let text = whole(folder.path());
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 200);
        assert!(lines.iter().all(|line| line.starts_with("writer ") && line.split(' ').count() == 4));
    }

    #[test]
    fn what_looks_like_a_secret_is_not_shown() {
        assert!(is_shown("MODE") && is_shown("DATADIR"));
        for name in ["API_TOKEN", "db_password", "AWS_SECRET_ACCESS_KEY", "AUTHORIZATION"] {
            assert!(!is_shown(name), "{name}");
        }
    }
}
