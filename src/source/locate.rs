//! Where a repository begins, from wherever a person stands in it, and whether it is taken up unasked.
//!
//! As git and cargo have it: the search for an Imagefile ends at the root of the git work
//! tree, and what another user of the machine owns decides nothing unless a person names it
//! (`-f`, `-C`) or git's own `safe.directory` does. Root's files count as one's own: root
//! needs no Imagefile to do harm.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use fs_err as fs;

use super::git::keep::protected;
use super::tree::ReadError;

/// The name that is searched for upward.
pub const IMAGEFILE: &str = "Imagefile.ron";

/// A repository's root, and its Imagefile if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// All paths of a repository are below this folder.
    pub root: PathBuf,
    /// The Imagefile's name in the root; `None` means that Dockerfiles are to be discovered.
    pub imagefile: Option<String>,
}

/// The owners whose files are taken up unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Users whose files count as the person's own.
    users: Vec<u32>,
    /// Values of git's `safe.directory`, asked for when something belongs to another user.
    safe: OnceLock<Vec<String>>,
}

/// Why no repository was taken up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocateError {
    /// A file or folder is not there.
    Unreadable(ReadError),
    /// It belongs to another user, by this number.
    Foreign { path: PathBuf, owner: u32 },
}

impl From<ReadError> for LocateError {
    fn from(error: ReadError) -> Self {
        Self::Unreadable(error)
    }
}

impl Trust {
    /// The user of this process and root; for root, also who called `sudo` (`sudo_uid` is the
    /// variable's value). What git's configuration of system and user calls safe is safe.
    pub fn of_this_user(sudo_uid: Option<&str>) -> Self {
        let user = rustix::process::geteuid().as_raw();
        let caller = sudo_uid.and_then(|uid| uid.parse().ok()).filter(|_| user == 0);
        Self { users: [user, 0].into_iter().chain(caller).collect(), safe: OnceLock::new() }
    }

    /// The owner of a path or, for a link, of either end, if that is nobody whose files are the person's own.
    pub fn foreign_owner(&self, path: &Path) -> Option<u32> {
        let owners = [fs::symlink_metadata(path), fs::metadata(path)];
        owners.into_iter().flatten().map(|it| it.uid()).find(|owner| !self.users.contains(owner))
    }

    /// As [`Self::foreign_owner`], unless the user calls the folder safe.
    fn stranger(&self, path: &Path, folder: &Path) -> Option<u32> {
        self.foreign_owner(path).filter(|_| !self.is_safe(folder))
    }

    /// Whether a folder is the user's own, or one that git takes up for them.
    pub fn takes_up(&self, folder: &Path) -> bool {
        self.stranger(folder, folder).is_none()
    }

    /// git's rule: `*` is everything, `/path/*` all below, anything else a folder itself.
    fn is_safe(&self, folder: &Path) -> bool {
        self.safe.get_or_init(safe_directories).iter().any(|entry| match entry.strip_suffix("/*") {
            _ if entry == "*" => true,
            Some(above) => folder.starts_with(above) && folder != Path::new(above),
            None => folder == Path::new(entry.trim_end_matches('/')),
        })
    }
}

/// `safe.directory` as git has it: of the system, the user, the command line and the environment. No checkout can
/// bring one.
fn safe_directories() -> Vec<String> {
    let mut found = Vec::new();
    for value in protected("safe.directory").unwrap_or_default() {
        // An empty one forgets those before it.
        match value.as_str() {
            "" => found.clear(),
            _ => found.push(value),
        }
    }
    found
}

/// Finds the repository around `start`: the nearest folder upward with an
/// `Imagefile.ron`, no further than the root of the git work tree; else that root, else
/// `start` itself. `file` is what the person named instead: an Imagefile, or a folder to
/// discover. `named` says that the person named `start`.
///
/// # Errors
/// When `file` or `start` is not there, or what was found belongs to another user.
pub fn locate(start: &Path, named: bool, file: Option<&Path>, trust: &Trust) -> Result<Located, LocateError> {
    let cannot = |path: &Path, error: std::io::Error| ReadError {
        path: path.display().to_string(),
        why: error.kind().to_string(),
    };
    let start = fs::canonicalize(start).map_err(|error| cannot(start, error))?;
    if let Some(file) = file {
        let path = start.join(file);
        let path = fs::canonicalize(&path).map_err(|error| cannot(file, error))?;
        if path.is_dir() {
            return Ok(Located { root: path, imagefile: None });
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let root = path.parent().unwrap_or(Path::new("/")).to_owned();
        return Ok(Located { root, imagefile: name });
    }
    let (inside, _) = split(&start);
    let imagefile = inside.iter().find(|folder| folder.join(IMAGEFILE).exists());
    let root = imagefile.copied().unwrap_or_else(|| match work_tree(&start) {
        Some(top) => top,
        None => &start,
    });
    let decides = if imagefile.is_some() { root.join(IMAGEFILE) } else { root.to_owned() };
    if !(named && root == start)
        && let Some(owner) = trust.stranger(&decides, root)
    {
        return Err(LocateError::Foreign { path: decides, owner });
    }
    Ok(Located { root: root.to_owned(), imagefile: imagefile.map(|_| IMAGEFILE.to_owned()) })
}

/// An Imagefile above the git work tree of `start`, which [`locate`] does not take up.
pub fn passed_over(start: &Path) -> Option<PathBuf> {
    let start = fs::canonicalize(start).ok()?;
    let (inside, above) = split(&start);
    if inside.iter().any(|folder| folder.join(IMAGEFILE).exists()) {
        return None;
    }
    above.into_iter().map(|folder| folder.join(IMAGEFILE)).find(|path| path.exists())
}

fn work_tree(start: &Path) -> Option<&Path> {
    start.ancestors().find(|folder| folder.join(".git").exists())
}

/// The folders from `start` up to the root of its git work tree, and those above; without git there are none above.
fn split(start: &Path) -> (Vec<&Path>, Vec<&Path>) {
    let top = work_tree(start);
    start.ancestors().partition(|folder| top.is_none_or(|top| folder.starts_with(top)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(users: &[u32], safe: &[&str]) -> Trust {
        Trust {
            users: users.to_vec(),
            safe: OnceLock::from(safe.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()),
        }
    }

    fn everybody() -> Trust {
        trust(&[], &["*"])
    }

    #[test]
    fn the_nearest_imagefile_wins_then_the_work_tree_then_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(top.join("repo/.git")).unwrap();
        fs::create_dir_all(top.join("repo/a/b")).unwrap();
        let root = |start: &str| locate(&top.join(start), false, None, &everybody()).unwrap();
        assert_eq!(root("repo/a/b"), Located { root: top.join("repo"), imagefile: None });
        fs::write(top.join("repo/a/Imagefile.ron"), "()").unwrap();
        let with_file = Located { root: top.join("repo/a"), imagefile: Some(IMAGEFILE.into()) };
        assert_eq!(root("repo/a/b"), with_file);
        assert_eq!(root("repo").imagefile, None);
    }

    #[test]
    fn a_named_file_or_folder_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        fs::write(top.join("Imagefile.ron"), "()").unwrap();
        fs::create_dir(top.join("sub")).unwrap();
        let nobody = trust(&[], &[]);
        let sub = locate(&top, false, Some(Path::new("sub")), &nobody).unwrap();
        assert_eq!(sub, Located { root: top.join("sub"), imagefile: None });
        assert!(locate(&top, true, None, &nobody).is_ok());
        let error = locate(&top, false, Some(Path::new("nope.ron")), &nobody).unwrap_err();
        let LocateError::Unreadable(error) = error else { panic!("{error:?}") };
        assert_eq!(error.to_string(), "cannot read `nope.ron`: entity not found");
    }

    #[test]
    fn an_imagefile_above_the_work_tree_does_not_decide_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        fs::write(top.join("Imagefile.ron"), "()").unwrap();
        fs::create_dir_all(top.join("x/repo/.git")).unwrap();
        fs::create_dir_all(top.join("x/plain")).unwrap();
        let repo = locate(&top.join("x/repo"), false, None, &everybody()).unwrap();
        assert_eq!(repo, Located { root: top.join("x/repo"), imagefile: None });
        assert_eq!(passed_over(&top.join("x/repo")), Some(top.join("Imagefile.ron")));
        // Without git there is no such border, as with cargo's workspaces.
        assert_eq!(locate(&top.join("x/plain"), false, None, &everybody()).unwrap().root, top);
        assert_eq!(passed_over(&top.join("x/plain")), None);
    }

    #[test]
    fn what_another_user_owns_is_refused_unless_git_calls_it_safe() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        let file = top.join("Imagefile.ron");
        fs::write(&file, "()").unwrap();
        fs::create_dir(top.join("sub")).unwrap();
        let owner = fs::metadata(&file).unwrap().uid();
        let foreign = LocateError::Foreign { path: file, owner };
        let taken = |trust: &Trust| locate(&top.join("sub"), false, None, trust);
        assert_eq!(taken(&trust(&[owner + 1], &[])), Err(foreign.clone()));
        assert!(taken(&trust(&[owner], &[])).is_ok());
        assert!(taken(&trust(&[], &[top.to_str().unwrap()])).is_ok());
        let above = format!("{}/*", top.parent().unwrap().display());
        assert!(taken(&trust(&[], &[&above])).is_ok());
        assert_eq!(taken(&trust(&[], &["/elsewhere/*"])), Err(foreign));
        // Dockerfiles that would be discovered are another's just as much.
        fs::remove_file(top.join("Imagefile.ron")).unwrap();
        let start = top.join("sub");
        let foreign = LocateError::Foreign { path: start.clone(), owner };
        assert_eq!(locate(&start, false, None, &trust(&[], &[])), Err(foreign));
    }
}
