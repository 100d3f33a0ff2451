//! Where the state of a repository lies: in its `.imk`, or in the user's cache, or where the user says.
//!
//! `.imk` is the user's only if it did not come with the checkout: see `trust.rs`. Where it is not, and where a
//! checkout cannot be written, the state lies in `$XDG_CACHE_HOME/imk/HASH`, by the repository's real path.
//! An Imagefile has no say in this. Root uses no state but root's, not even that of the user behind `sudo`: what root
//! left there the user could not change, and what the user left there root would rely on. Git lets `sudo` pass,
//! for it only reads; in a container whose checkout belongs to another number, root makes a `.imk` of its own.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType};

use super::folder::{StateFolder, Tell};
use super::trust::{self, Distrust, Place};
use crate::model::hash::ContentHash;

/// The folder of all state, below a repository's root.
pub const STATE: &str = ".imk";

/// The user's wish for it, by command line and environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The folder that the user named; it holds a folder for each repository.
    pub named: Option<PathBuf>,
    /// The user's folder for caches, absolute.
    pub cache: Option<PathBuf>,
}

/// The state of the repository at `root`, which need not be there yet. `tell` takes a line when `.imk` is there
/// and is not used.
///
/// # Errors
/// When the folder that the user named cannot be used.
pub fn find(root: &Path, wish: &Wish, tell: &Tell) -> io::Result<StateFolder> {
    if let Some(named) = &wish.named {
        let path = std::path::absolute(named)?.join(hash(root));
        let place = path.clone();
        return own(root, path, tell).map_err(|why| {
            io::Error::other(format!("the state cannot be kept in `{}`: {why}", place.display()))
        });
    }
    let path = root.join(STATE);
    let why = match in_checkout(root, path, tell) {
        Ok(folder) => return Ok(folder),
        Err(why) => why,
    };
    let elsewhere = match &wish.cache {
        Some(cache) => own(root, cache.join("imk").join(hash(root)), tell),
        None => Err(Distrust::Unwritable("neither XDG_CACHE_HOME nor HOME is set".into())),
    };
    let kept = match &elsewhere {
        Ok(folder) => format!("imk keeps its state in `{}`", folder.shown("").trim_end_matches('/')),
        Err(why) => format!("imk keeps no state, for in the user's cache {why}; --state-dir names a place"),
    };
    // That a checkout is read-only is no news.
    if !matches!((&why, &elsewhere), (Distrust::Unwritable(_), Ok(_))) {
        tell(&format!("`{STATE}` is not used: {why}; {kept}"));
    }
    Ok(elsewhere.unwrap_or_else(|other| {
        StateFolder::nowhere(format!("`{STATE}` is not used: {why}; in the user's cache: {other}"))
    }))
}

/// Tells two repositories apart in one folder.
fn hash(root: &Path) -> String {
    let root = fs_err::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    ContentHash::of(root.as_os_str().as_encoded_bytes()).short(32)
}

fn is_link(path: &Path) -> bool {
    rustix::fs::lstat(path).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn in_checkout(root: &Path, path: PathBuf, tell: &Tell) -> Result<StateFolder, Distrust> {
    let place = Place { root, below: STATE };
    match trust::open(&path)? {
        Some(fd) => judged(fd, path, STATE, Some(&place), tell),
        None => {
            let flags = AtFlags::EACCESS;
            rustix::fs::accessat(CWD, root, Access::WRITE_OK, flags)
                .map_err(|errno| Distrust::Unwritable(io::Error::from(errno).to_string()))?;
            let mark = trust::untracked(&place)?;
            Ok(StateFolder::opened_at(path, None, mark, tell.clone()))
        }
    }
}

/// A folder outside of `.imk`, with the same demands. One that lies in the checkout all the same must not be tracked.
fn own(root: &Path, path: PathBuf, tell: &Tell) -> Result<StateFolder, Distrust> {
    let shown = path.display().to_string();
    let below = path.strip_prefix(root).ok().and_then(Path::to_str).map(str::to_owned);
    let place = below.as_deref().map(|below| Place { root, below });
    let inside = path.ancestors().skip(1).take_while(|above| *above != root && above.starts_with(root));
    if inside.into_iter().any(is_link) {
        return Err(Distrust::Kind("reached by a link"));
    }
    match trust::open(&path)? {
        Some(fd) => judged(fd, path, &shown, place.as_ref(), tell),
        None => {
            let mark = place.as_ref().map(trust::untracked).transpose()?;
            Ok(StateFolder::opened_at(path, None, mark.flatten(), tell.clone()))
        }
    }
}

fn judged(
    fd: OwnedFd,
    path: PathBuf,
    shown: &str,
    place: Option<&Place<'_>>,
    tell: &Tell,
) -> Result<StateFolder, Distrust> {
    let again = fd.try_clone().map_err(|error| Distrust::Unwritable(error.to_string()))?;
    let folder = StateFolder::opened_at(path, Some(again), None, tell.clone());
    trust::judge(&fd, shown, place, &folder)?;
    Ok(folder)
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
