//! Opening a git repository as the `git` program would: what git takes up is taken up.
//!
//! libgit2 opens most of them by itself. Of one that belongs to another user the person's git decides, by
//! `safe.directory` wherever that is set, the environment included. One whose format libgit2 does not know (a partial
//! clone, reftable, whatever comes) is asked of the `git` program: refs and settings become a small repository
//! in a folder that goes with this process, whose objects and index are the real ones. Ids are SHA-1 or SHA-256. The questions read files and run nothing that a checkout names.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use git2::{ErrorCode, Index, ObjectFormat, Repository, RepositoryInitOptions};

use super::keep;
use crate::source::locate::Trust;

/// A repository, and the folder that stands for one of a format of its own.
pub(super) struct Opened {
    pub repository: Repository,
    pub stand_in: Option<tempfile::TempDir>,
    /// The real repository's folder.
    pub common: PathBuf,
}

impl From<Repository> for Opened {
    fn from(repository: Repository) -> Self {
        let common = repository.commondir().to_owned();
        Self { repository, stand_in: None, common }
    }
}

/// Settings that a repository for reading must not have: of its format, and of where it is.
const LEFT_OUT: &[&str] =
    &["extensions.", "core.repositoryformatversion", "core.bare", "core.worktree", "core.fsmonitor"];

/// Opens the repository around `root`, or the one at `git_dir` where that is known.
///
/// # Errors
/// When there is none, or one that neither libgit2 nor git opens.
pub(super) fn open(root: &Path, git_dir: Option<&Path>) -> Result<Opened, git2::Error> {
    let refused = match git_dir.map_or_else(|| Repository::discover(root), Repository::open) {
        Ok(repository) => return Ok(repository.into()),
        Err(error) => error,
    };
    let there = root.ancestors().find(|folder| folder.join(".git").exists());
    let Some(top) = there.filter(|_| refused.code() != ErrorCode::NotFound || git_dir.is_none()) else {
        return Err(refused);
    };
    // Who called `sudo` is known to libgit2.
    let trust = Trust::of_this_user(None);
    if refused.code() == ErrorCode::Owner && !trust.takes_up(top) {
        let top = top.display();
        return Err(git2::Error::from_str(&format!(
            "`{top}` belongs to another user; `git config --global --add safe.directory {top}` takes it up"
        )));
    }
    let asked = Asked { top };
    let format = match asked.word(&["rev-parse", "--show-object-format"]).as_deref() {
        Some("sha1") => ObjectFormat::Sha1,
        Some("sha256") => ObjectFormat::Sha256,
        Some(format) => {
            return Err(git2::Error::from_str(&format!(
                "its ids are {format}, and imk reads SHA-1 and SHA-256: images of the work tree are built all the \
                 same; tags that name commits, hook, --rev and --since need such a repository"
            )));
        }
        None => return Err(refused),
    };
    asked.stand_in(format).map_err(|why| why.unwrap_or(refused))
}

/// Gives a repository an index that libgit2 reads: git writes one in full of an index that is split, sparse or without its
/// checksum. The file is the caller's to keep. `None` where its own can be read.
pub(super) fn full_index(repository: &Repository) -> Result<Option<tempfile::NamedTempFile>, git2::Error> {
    let Some(top) = repository.workdir() else { return Ok(None) };
    let Err(refused) = repository.index() else { return Ok(None) };
    let copied = || -> Option<tempfile::NamedTempFile> {
        let file = tempfile::NamedTempFile::new().ok()?;
        fs::copy(repository.path().join("index"), file.path()).ok()?;
        let mut git = keep::question(top);
        git.args(["-c", "index.sparse=false", "-c", "index.skipHash=false", "-c", "core.splitIndex=false"]);
        git.args(["update-index", "--no-split-index", "--force-write-index"]);
        let done = git.env("GIT_INDEX_FILE", file.path()).output().ok()?;
        done.status.success().then_some(file)
    };
    let file = copied().ok_or(refused)?;
    repository.set_index(&mut Index::open_ext(file.path(), repository.object_format())?)?;
    Ok(Some(file))
}

/// A work tree that git is asked about.
struct Asked<'a> {
    top: &'a Path,
}

impl Asked<'_> {
    fn bytes(&self, words: &[&str]) -> Option<Vec<u8>> {
        let output = keep::question(self.top).args(words).output().ok()?;
        output.status.success().then_some(output.stdout)
    }

    fn word(&self, words: &[&str]) -> Option<String> {
        let text = String::from_utf8(self.bytes(words)?).ok()?;
        Some(text.trim_end_matches('\n').to_owned())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let path = self.word(&["rev-parse", "--git-path", name])?;
        Some(self.top.join(path))
    }

    /// A repository of a plain format with the refs and settings of this one, its objects and its index.
    fn stand_in(&self, format: ObjectFormat) -> Result<Opened, Option<git2::Error>> {
        let folder = tempfile::Builder::new().prefix("imk-git-").tempdir().map_err(|_| None)?;
        let mut options = RepositoryInitOptions::new();
        let repository = Repository::init_opts(folder.path(), options.bare(true).object_format(format))?;
        let missing = || git2::Error::from_str("git does not say where its objects are");
        let objects = self.path("objects").ok_or_else(missing)?;
        let written = || -> io::Result<()> {
            use std::os::unix::ffi::OsStrExt;
            let alternates = [objects.as_os_str().as_bytes(), b"\n"].concat();
            fs::write(folder.path().join("objects/info/alternates"), alternates)?;
            let refs = self.word(&["for-each-ref", "--format=%(objectname) %(refname)"]).unwrap_or_default();
            fs::write(folder.path().join("packed-refs"), refs + "\n")?;
            let head = match self.word(&["symbolic-ref", "--quiet", "HEAD"]) {
                Some(name) => format!("ref: {name}\n"),
                None => self.word(&["rev-parse", "--verify", "HEAD"]).unwrap_or_default() + "\n",
            };
            fs::write(folder.path().join("HEAD"), head)?;
            for name in ["info/exclude", "info/attributes", "shallow"] {
                let Some(content) = self.path(name).and_then(|path| fs::read(path).ok()) else { continue };
                fs::create_dir_all(folder.path().join("info"))?;
                fs::write(folder.path().join(name), content)?;
            }
            for name in ["modules", "lfs"] {
                if let Some(path) = self.path(name).filter(|path| path.exists()) {
                    fs::os::unix::fs::symlink(path, folder.path().join(name))?;
                }
            }
            Ok(())
        };
        written().map_err(|error| git2::Error::from_str(&error.to_string()))?;
        self.copy_settings(&repository)?;
        // What was written beside it is read by whoever opens it now.
        let repository = Repository::open_bare(folder.path())?;
        repository.set_workdir(self.top, false)?;
        if let Some(index) = self.path("index") {
            repository.set_index(&mut Index::open_ext(&index, format)?)?;
        }
        let common = self.path(".").ok_or_else(missing)?;
        Ok(Opened { repository, stand_in: Some(folder), common })
    }

    fn copy_settings(&self, repository: &Repository) -> Result<(), git2::Error> {
        let mut config = repository.config()?.open_level(git2::ConfigLevel::Local)?;
        let listed = self.bytes(&["config", "--local", "--list", "--null"]).unwrap_or_default();
        for entry in String::from_utf8_lossy(&listed).split('\0').filter(|entry| !entry.is_empty()) {
            // A name alone is a truth.
            let (name, value) = entry.split_once('\n').unwrap_or((entry, "true"));
            if !LEFT_OUT.iter().any(|left_out| name.starts_with(left_out)) {
                // Of several values the last counts, as it does here.
                let _ = config.set_str(name, value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::GitStore;
    use super::super::modules::tests::git;
    use crate::source::tree::SourceTree;

    #[track_caller]
    fn check(init: &str, after: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), init);
        fs_err::write(dir.path().join("one.txt"), "one").unwrap();
        git(dir.path(), "add -A");
        git(dir.path(), "commit -q -m one");
        git(dir.path(), "tag v1");
        after.iter().for_each(|words| git(dir.path(), words));
        let store = GitStore::open(dir.path()).unwrap();
        let head = store.head().unwrap();
        assert_eq!(head.branch.as_deref(), Some("main"));
        let commit = store.commit("v1").unwrap();
        assert_eq!(Some(&commit.id), head.id.as_ref());
        assert_eq!(store.tags_at(&commit.id).unwrap(), ["v1"]);
        assert_eq!(store.tree(&commit).unwrap().read("one.txt").unwrap().unwrap(), b"one");
        fs_err::write(dir.path().join("two.txt"), "two").unwrap();
        assert_eq!(store.changed_since(&commit).unwrap().into_iter().collect::<Vec<_>>(), ["two.txt"]);
    }

    #[test]
    fn a_partial_clone_and_formats_to_come_are_read_through_git() {
        check("init -q", &["config core.repositoryformatversion 1", "config extensions.partialClone origin"]);
        check("init -q", &[]);
        let has_reftable = std::process::Command::new("git")
            .args(["init", "-q", "--ref-format=reftable"])
            .arg(tempfile::tempdir().unwrap().path().join("x"))
            .output()
            .is_ok_and(|output| output.status.success());
        if has_reftable {
            check("init -q --ref-format=reftable", &[]);
        }
    }

    #[test]
    fn an_index_that_is_split_sparse_or_unsigned_is_read() {
        check("init -q", &["update-index --split-index"]);
        check("init -q", &["config index.skipHash true", "update-index --force-write-index"]);
        check("init -q", &["sparse-checkout set --sparse-index"]);
    }

    #[test]
    fn ids_that_are_sha_256_are_ids() {
        let init = "init -q --object-format=sha256";
        check(init, &[]);
        check(init, &["update-index --split-index"]);
        check(init, &["config extensions.partialClone origin"]);
    }

    #[test]
    fn an_error_is_not_an_absence() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), "init -q");
        for setting in ["core.repositoryformatversion 1", "extensions.objectFormat blake3"] {
            git(dir.path(), &format!("config {setting}"));
        }
        assert!(GitStore::open(dir.path()).is_err());
        assert!(GitStore::find(dir.path()).is_err(), "there is one");
        assert!(GitStore::find(tempfile::tempdir().unwrap().path()).unwrap().is_none());
    }
}
