//! The mark in a state folder: that it was found to be its user's own.
//!
//! A checkout cannot bring a mark that holds: it names the folder's inode and the moment of its birth in
//! nanoseconds, which nobody knows before the folder is there. What git tracks can only change with git's index,
//! so the mark names the index's stat too: a pull that brings files below `.imk`, and overwrites ours, is
//! seen by the next run. Where a file system keeps no moment of birth no mark holds, and every run looks
//! itself. Knows neither who leaves it nor what is judged.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Statx, StatxFlags};

/// The mark's name in the folder.
pub(super) const NAME: &str = "mark";
const FIRST_LINE: &str = "imk marks with this that the folder was found to be its user's own";

/// The stamp of the file behind a name at one moment: two equal ones are the same, unchanged file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp(String);

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let wanted = StatxFlags::INO | StatxFlags::SIZE | StatxFlags::MTIME | StatxFlags::CTIME;
        let stat = rustix::fs::statx(CWD, path, AtFlags::empty(), wanted).ok()?;
        let (changed, written) = (stat.stx_ctime, stat.stx_mtime);
        Some(Self(format!(
            "{} {} {}.{} {}.{}",
            stat.stx_ino, stat.stx_size, written.tv_sec, written.tv_nsec, changed.tv_sec, changed.tv_nsec
        )))
    }
}

/// Git's index as it was when it said that it tracks nothing of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    index: PathBuf,
    stamp: Stamp,
}

impl Mark {
    /// The mark of an index as it is now, to be made before the index is read. `None` where there is none: one may
    /// come at another place, so no mark would hold, and each run looks itself.
    pub(super) fn of(index: &Path) -> Option<Self> {
        Some(Self { index: index.to_owned(), stamp: Stamp::of(index)? })
    }

    /// Its text for a folder that was found to be ours; `None` where none would hold.
    ///
    /// # Errors
    /// When the folder cannot be looked at.
    pub(super) fn text(&self, folder: BorrowedFd<'_>) -> io::Result<Option<String>> {
        let stat = stat(folder)?;
        let index = self.index.to_str().filter(|path| !path.contains('\n'));
        let lines = |(born, index)| format!("{FIRST_LINE}\n{born}\n{}\n{index}\n", self.stamp.0);
        Ok(birth(&stat).zip(index).map(lines))
    }
}

/// Whether a mark's text is of this folder, and git's index is as it was then.
pub(super) fn holds(text: &str, seen: &Statx) -> bool {
    let mut lines = text.lines().skip(1);
    let (Some(born), Some(stamp), Some(index)) = (lines.next(), lines.next(), lines.next()) else {
        return false;
    };
    let now = Stamp::of(Path::new(index));
    birth(seen).is_some_and(|birth| birth == born) && now.is_some_and(|now| now.0 == stamp)
}

/// The birth of a folder, which nobody knows before it is there.
fn birth(stat: &Statx) -> Option<String> {
    let known = StatxFlags::from_bits_truncate(stat.stx_mask).contains(StatxFlags::BTIME);
    let at = stat.stx_btime;
    known.then(|| format!("{} {}.{} {}", stat.stx_ino, at.tv_sec, at.tv_nsec, stat.stx_uid))
}

/// The stat of an open folder, its birth among it.
///
/// # Errors
/// When the system does not say.
pub(super) fn stat(fd: BorrowedFd<'_>) -> rustix::io::Result<Statx> {
    rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS | StatxFlags::BTIME)
}
