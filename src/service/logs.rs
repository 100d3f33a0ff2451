//! Logs of jobs: appended by whoever runs one, followed by whoever shows it.
//!
//! A log has ended when its job has. Knows no job but by its number, and nothing of what stands in a log.

use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;
use parking_lot::Mutex;

use super::model::JobId;

/// Logs of jobs.
pub trait Logs: Send + Sync {
    /// Adds to the log of a job; a log that is too long takes no more, and says so at its end.
    ///
    /// # Errors
    /// When it cannot be written.
    fn append(&self, job: JobId, bytes: &[u8]) -> io::Result<()>;

    /// At most so many bytes of a log from an offset on; none where it has no more, or there is no log.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_from(&self, job: JobId, offset: u64, most: usize) -> io::Result<Vec<u8>>;

    /// How long it is, in bytes.
    ///
    /// # Errors
    /// When it cannot be looked at.
    fn size(&self, job: JobId) -> io::Result<u64>;

    /// Removes a log.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    fn forget(&self, job: JobId) -> io::Result<()>;

    /// All logs with their sizes in bytes, the oldest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&self) -> io::Result<Vec<(JobId, u64)>>;
}

/// Logs in a folder, a file each.
pub struct FileLogs {
    folder: PathBuf,
    /// The most that one has, in bytes.
    most: u64,
    /// One appends at a time, so that a limit holds.
    turn: Mutex<()>,
}

impl FileLogs {
    /// Makes the folder where it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: &Path, most: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), most, turn: Mutex::new(()) })
    }

    fn path(&self, job: JobId) -> PathBuf {
        self.folder.join(format!("{job}.log"))
    }
}

/// The last line of a log that became too long.
const CUT: &[u8] = b"\n[the log is cut off here: it is as long as one may be]\n";

impl Logs for FileLogs {
    fn append(&self, job: JobId, bytes: &[u8]) -> io::Result<()> {
        let _turn = self.turn.lock();
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path(job))?;
        let size = file.metadata()?.len();
        let room = usize::try_from(self.most.saturating_sub(size)).unwrap_or(usize::MAX);
        if room >= bytes.len() {
            return file.write_all(bytes);
        }
        // The line that says so makes it longer than its limit, once.
        if room > 0 {
            file.write_all(&bytes[..room])?;
            return file.write_all(CUT);
        }
        Ok(())
    }

    fn read_from(&self, job: JobId, offset: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut file = match fs::File::open(self.path(job)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened?,
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn size(&self, job: JobId) -> io::Result<u64> {
        match fs::metadata(self.path(job)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
            metadata => Ok(metadata?.len()),
        }
    }

    fn forget(&self, job: JobId) -> io::Result<()> {
        match fs::remove_file(self.path(job)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn list(&self) -> io::Result<Vec<(JobId, u64)>> {
        let mut logs = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(Ok(job)) = name.strip_suffix(".log").map(str::parse) else { continue };
            logs.push((job, entry.metadata()?.len()));
        }
        logs.sort_unstable();
        Ok(logs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_followed_from_where_its_reader_was_and_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let logs = FileLogs::open(&folder.path().join("logs"), 20).unwrap();
        let job = JobId(7);
        assert_eq!(logs.read_from(job, 0, 100).unwrap(), b"");
        logs.append(job, b"one\n").unwrap();
        logs.append(job, b"two\n").unwrap();
        assert_eq!(logs.read_from(job, 4, 100).unwrap(), b"two\n");
        assert_eq!(logs.read_from(job, 0, 3).unwrap(), b"one");
        assert_eq!(logs.read_from(job, 100, 3).unwrap(), b"");
        logs.append(job, &[b'x'; 100]).unwrap();
        logs.append(job, &[b'y'; 100]).unwrap();
        let all = logs.read_from(job, 0, 1000).unwrap();
        assert_eq!(all, [&b"one\ntwo\nxxxxxxxxxxxx"[..], CUT].concat());
        logs.append(JobId(3), b"z").unwrap();
        assert_eq!(logs.list().unwrap(), [(JobId(3), 1), (job, all.len() as u64)]);
        logs.forget(job).unwrap();
        logs.forget(job).unwrap();
        assert_eq!(logs.size(job).unwrap(), 0);
    }
}
