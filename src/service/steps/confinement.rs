//! The walls around a job's commands: what keeps a step from the server's own files and processes.
//!
//! | server | a step runs |
//! |---|---|
//! | root | as a user of the repository's own |
//! | somebody else | in namespaces, where nothing is seen that is not shown to it |
//! | somebody else, on a machine without user namespaces | not at all |
//! | any, and `authors: "trusted"` | as the server, unless that is root |

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::task::Task;
use super::user::StepUser;
use crate::embedded::{self, View};
use crate::source::outside;

/// The name service of the machine, which is often a link to where nothing else is to be seen.
const RESOLVER: &str = "/etc/resolv.conf";
/// The folder of the machine's settings, some of which are for a few.
const SETTINGS: &str = "/etc";
/// Deeper folders of settings are hidden whole.
const DEEPEST: usize = 20;

/// The walls around the commands of one job.
pub enum Confinement {
    /// None.
    Trusted,
    /// A user of its own.
    User(StepUser),
    /// Namespaces, with a view that is laid out at an empty folder.
    Walls {
        /// That folder.
        at: PathBuf,
        /// The view.
        view: View,
    },
}

impl Confinement {
    /// The walls that this process can raise for a job; `place` is the job's folder.
    ///
    /// # Errors
    /// A sentence, when it can raise none.
    pub fn of(task: &Task<'_>, place: &Path) -> Result<Self, String> {
        if let Some(user) = StepUser::for_repository(task.repository) {
            return Ok(Self::User(user));
        }
        if task.bounds.trusts_authors {
            return Ok(Self::Trusted);
        }
        let at = place.join("view");
        let tried = outside::make_folder(&at).and_then(|()| embedded::tried(&at));
        tried.map_err(|why| lacking(&why))?;
        let view = view(task, place).map_err(|error| error.to_string())?;
        Ok(Self::Walls { at, view })
    }

    /// The user of its own, if there is one.
    pub fn user(&self) -> Option<StepUser> {
        match self {
            Self::User(user) => Some(*user),
            Self::Trusted | Self::Walls { .. } => None,
        }
    }
}

/// Says that there are no walls, and what would help.
pub fn lacking(why: &io::Error) -> String {
    format!(
        "steps of integration.yml are not run: this server is not root and has no walls to put around them ({why}); \
         allow user namespaces on this machine, start the server as root, or say `authors: \"trusted\"` of the repository in serve.ron"
    )
}

/// The reason for which this process has no walls for steps, where it needs some.
///
/// # Errors
/// When there is no folder to try it in.
pub fn lacks_walls() -> io::Result<Option<io::Error>> {
    if rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let folder = tempfile::Builder::new().prefix("imk-walls-").tempdir()?;
    Ok(embedded::tried(folder.path()).err())
}

/// Everything that a step is shown, beside the system: its checkout, its folders, the door, and programs.
fn view(task: &Task<'_>, place: &Path) -> io::Result<View> {
    let path = task.server.get(OsStr::new("PATH")).cloned().unwrap_or_default();
    let mut readable: Vec<PathBuf> = std::env::split_paths(&path).filter(|path| path.is_absolute()).collect();
    readable.extend(task.bounds.readable.iter().cloned());
    readable.extend([place.join("bin"), std::env::current_exe()?]);
    readable.extend(fs::canonicalize(RESOLVER).ok().filter(|path| !path.starts_with(SETTINGS)));
    let mut hidden = task.bounds.hidden.clone();
    hidden.extend(task.server.get(OsStr::new("HOME")).map(PathBuf::from));
    closed(Path::new(SETTINGS), 0, &mut hidden);
    // A link may lead to what is hidden by another name.
    let real: Vec<PathBuf> = hidden.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    hidden.extend(real);
    let writable = vec![task.checkout.to_owned(), place.join("home"), place.join("tools.sock")];
    Ok(View { readable, writable, hidden })
}

/// Finds what this process may read in a folder and not everybody may.
fn closed(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    // A folder that cannot be listed from here cannot be listed by a step.
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(of) = fs::symlink_metadata(&path) else { continue };
        let mode = of.permissions().mode();
        let (is_folder, is_link) = (of.is_dir(), of.is_symlink());
        let wanted = if is_folder { 0o005 } else { 0o004 };
        if !is_link && (mode & wanted != wanted || depth > DEEPEST) {
            // One that nobody but its owner may read, who is another, is as good as hidden.
            let is_ours = of.uid() == rustix::process::geteuid().as_raw() || mode & 0o040 != 0;
            found.extend(is_ours.then_some(path));
        } else if is_folder {
            closed(&path, depth + 1, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_not_everybody_may_read_are_found() {
        let folder = tempfile::tempdir().unwrap();
        for (name, mode) in [("open", 0o644), ("own", 0o600), ("group", 0o640)] {
            fs::write(folder.path().join(name), "").unwrap();
            fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        for (name, mode) in [("all", 0o755), ("few", 0o750)] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("key"), "").unwrap();
            fs::set_permissions(folder.path().join(name).join("key"), PermissionsExt::from_mode(0o600))
                .unwrap();
            fs::set_permissions(folder.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        std::os::unix::fs::symlink("own", folder.path().join("link")).unwrap();
        let mut found = Vec::new();
        closed(folder.path(), 0, &mut found);
        let mut names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
            .collect();
        names.sort();
        assert_eq!(names, ["all/key", "few", "group", "own"]);
    }
}
