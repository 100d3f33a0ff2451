//! A checkout that follows a branch of another repository, in a folder of imk's own.
//!
//! The branch and the tags are asked for by one question, and only what moved is fetched. The checkout is on a branch of
//! that name, has nothing that the commit has not, and keeps imk's state. Whatever killed the last run, the next one goes on.
//! Knows nothing of images, and of no schedule.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use git2::{Repository, RepositoryInitOptions};

use super::keep::Namer;
use super::own_modules;
use super::program::{Place, Program, RemoteError};
use crate::patience::Patience;
use crate::syntax::git_source::{self, GitUrl, Scheme};

/// Says in `.git` which address a checkout follows; a folder without it is nobody's to clean.
const FOLLOWS: &str = "imk-follows";
/// The answer that was last fetched, line by line.
const SEEN: &str = "imk-seen";

/// A checkout of imk's own and the branch that it follows.
pub struct Following {
    folder: PathBuf,
    url: GitUrl,
    branch: Option<String>,
    environment: BTreeMap<OsString, OsString>,
    patience: Patience,
}

/// A checkout as it stands after it was brought up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The branch, which the repository's own `HEAD` names unless somebody chose one.
    pub branch: String,
    /// The commit's id.
    pub commit: String,
    /// The commit that was here before, if another one was.
    pub before: Option<String>,
    /// Paths of submodules that were left empty, since they are on another host.
    pub left_empty: Vec<String>,
}

/// A repository's address as git can be given it in any folder: one on this machine by its whole path.
///
/// # Errors
/// When it is none, or nothing is there. The error is a sentence.
pub(super) fn whole(address: &str) -> Result<GitUrl, String> {
    let mut url =
        git_source::url(address).map_err(|why| format!("`{}`: {why}", git_source::masked(address)))?;
    if url.scheme == Scheme::Local {
        let path = fs::canonicalize(&url.address).map_err(|error| error.to_string())?;
        url.address = path.display().to_string();
        url.shown = format!("file://{}", url.address);
    }
    Ok(url)
}

impl Following {
    /// The checkout at `folder`, which is made when it is not there. Nothing is asked yet. Without a `branch` it follows
    /// the one that the repository's `HEAD` names.
    ///
    /// # Errors
    /// When the address is none, the branch cannot be the name of one, or somebody else's files are in the folder.
    pub fn open(
        folder: &Path,
        address: &str,
        branch: Option<&str>,
        environment: BTreeMap<OsString, OsString>,
        patience: Patience,
    ) -> Result<Self, String> {
        let url = whole(address)?;
        let branch = branch.map(git_source::reference).transpose()?;
        let following = Self { folder: folder.to_owned(), url, branch, environment, patience };
        following.check_owner()?;
        Ok(following)
    }

    /// The address, without any secret.
    pub fn shown(&self) -> &str {
        &self.url.shown
    }

    /// The name of the folder for an address and a branch below a place that has many: readable, and no other's.
    pub fn folder_name(address: &str, branch: Option<&str>) -> String {
        let shown = git_source::url(address).map_or_else(|_| address.to_owned(), |url| url.shown);
        let last =
            shown.trim_end_matches('/').trim_end_matches(".git").rsplit('/').next().unwrap_or_default();
        let is_plain = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
        let readable: String = last.trim_start_matches('.').chars().filter(is_plain).take(40).collect();
        let mut hash = blake3::Hasher::new();
        hash.update(shown.as_bytes()).update(b"\0").update(branch.unwrap_or_default().as_bytes());
        format!("{readable}-{}", &hash.finalize().to_hex()[..12])
    }

    /// Asks where the branch stands, and has the checkout stand there.
    ///
    /// # Errors
    /// When the repository does not answer, has no such branch, or the checkout cannot be written. The checkout is what it
    /// was then, or somewhere between: the next call mends it.
    pub fn catch_up(&self) -> Result<Followed, RemoteError> {
        let refs = Refs::read(&self.question()?);
        let branch = match (&self.branch, &refs.head) {
            (Some(branch), _) | (None, Some(branch)) => branch.clone(),
            (None, None) => return Err(RemoteError::NoRef("branch that its HEAD names".into())),
        };
        let wanted = refs.branches.get(&branch);
        let commit = wanted.ok_or_else(|| RemoteError::NoRef(format!("branch `{branch}`")))?.clone();
        let repository = self.repository(&branch).map_err(|error| broken(&error))?;
        let before = repository.head().ok().and_then(|head| head.target()).map(|id| id.to_string());
        self.remove_locks().map_err(|error| broken(&error))?;
        let seen = refs.answer(&branch);
        let marker = self.folder.join(".git").join(SEEN);
        let is_here = before.as_ref() == Some(&commit);
        if !is_here || fs::read_to_string(&marker).ok().as_ref() != Some(&seen) {
            self.fetch(&branch)?;
        }
        self.stand_on(&branch)?;
        let left_empty = own_modules::bring(&self.folder, &self.url, &self.environment, &self.patience)?;
        // Only saves a fetch.
        let _ = fs::write(&marker, seen);
        Ok(Followed { branch, commit, before: before.filter(|_| !is_here), left_empty })
    }

    /// A folder that holds anything is only taken when imk made it for this address.
    fn check_owner(&self) -> Result<(), String> {
        let shown = self.folder.display();
        let follows = match fs::read_to_string(self.folder.join(".git").join(FOLLOWS)) {
            Ok(follows) => follows,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_empty = match fs::read_dir(&self.folder) {
                    Ok(mut names) => names.next().is_none(),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                    Err(error) => return Err(error.to_string()),
                };
                return match is_empty {
                    true => Ok(()),
                    false => Err(format!(
                        "`{shown}` is not empty and not a checkout of imk's own: what is in it would be lost"
                    )),
                };
            }
            Err(error) => return Err(error.to_string()),
        };
        match follows.trim_end() == self.url.shown {
            true => Ok(()),
            false => Err(format!("`{shown}` follows `{}`, not `{}`", follows.trim_end(), self.url.shown)),
        }
    }

    fn question(&self) -> Result<String, RemoteError> {
        let mut words = vec!["ls-remote", "--quiet", "--symref", "--", self.url.address.as_str(), "HEAD"];
        let branch = self.branch.as_ref().map(|branch| format!("refs/heads/{branch}"));
        words.extend([branch.as_deref().unwrap_or("refs/heads/*"), "refs/tags/*"]);
        self.program(Namer::User, Place::Nowhere).run(&words)
    }

    fn repository(&self, branch: &str) -> Result<Repository, Box<dyn std::error::Error>> {
        let marker = self.folder.join(".git").join(FOLLOWS);
        // The marker comes last, so that a half-made one is made again.
        if marker.exists() {
            return Ok(Repository::open(&self.folder)?);
        }
        fs::create_dir_all(&self.folder)?;
        let mut options = RepositoryInitOptions::new();
        options.external_template(false).initial_head(branch);
        let repository = Repository::init_opts(&self.folder, &options)?;
        if repository.find_remote("origin").is_err() {
            repository.remote("origin", &self.url.shown)?;
        }
        fs::write(&marker, format!("{}\n", self.url.shown))?;
        Ok(repository)
    }

    /// Removes the locks of a git that was killed: whoever calls has the folder for itself.
    fn remove_locks(&self) -> io::Result<()> {
        let mut folders = vec![self.folder.join(".git")];
        let mut at = 0;
        while let Some(folder) = folders.get(at).cloned() {
            at += 1;
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    // Locks are of the files beside them; objects have none.
                    if at > 1 || entry.file_name() == "refs" {
                        folders.push(path);
                    }
                } else if path.extension().is_some_and(|extension| extension == "lock") {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    fn fetch(&self, branch: &str) -> Result<(), RemoteError> {
        let head = format!("+refs/heads/{branch}:refs/remotes/origin/{branch}");
        let words = ["fetch", "--progress", "--prune", "--no-tags", "--no-recurse-submodules", "--"];
        let what = [self.url.address.as_str(), &head, "+refs/tags/*:refs/tags/*"];
        self.program(Namer::User, Place::Checkout(&self.folder)).run(&[&words[..], &what].concat()).map(drop)
    }

    /// Has the work tree be that of the branch, and nothing else but imk's state.
    fn stand_on(&self, branch: &str) -> Result<(), RemoteError> {
        let from = format!("refs/remotes/origin/{branch}");
        self.git(&["checkout", "--quiet", "--force", "--no-track", "-B", branch, &from, "--"])?;
        self.git(&["clean", "--quiet", "-ffdx", "-e", ".imk", "--", "."])
    }

    fn program<'a>(&'a self, namer: Namer, place: Place<'a>) -> Program<'a> {
        Program { environment: &self.environment, url: &self.url, place, patience: &self.patience, namer }
    }

    fn git(&self, words: &[&str]) -> Result<(), RemoteError> {
        own_modules::git(&self.folder, &self.environment, words)
    }
}

fn broken(error: &dyn std::fmt::Display) -> RemoteError {
    RemoteError::Broken(error.to_string())
}

/// The answer of `git ls-remote --symref`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refs {
    /// The branch that `HEAD` names.
    pub head: Option<String>,
    /// Commits by branch.
    pub branches: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
}

impl Refs {
    /// Reads it.
    pub fn read(text: &str) -> Self {
        let mut refs = Self::default();
        for line in text.lines() {
            let Some((what, name)) = line.split_once('\t') else { continue };
            if let Some(target) = what.strip_prefix("ref: ") {
                if name == "HEAD" {
                    refs.head = target.strip_prefix("refs/heads/").map(str::to_owned);
                }
            } else if let Some(branch) = name.strip_prefix("refs/heads/") {
                refs.branches.insert(branch.to_owned(), what.to_owned());
            } else if name.starts_with("refs/tags/") {
                refs.tags.insert(name.to_owned(), what.to_owned());
            }
        }
        refs
    }

    /// The part of the answer that a fetch of one branch brings.
    fn answer(&self, branch: &str) -> String {
        let commit = self.branches.get(branch).map(|id| (format!("refs/heads/{branch}"), id.clone()));
        let tags = self.tags.iter().map(|(name, id)| (name.clone(), id.clone()));
        commit.into_iter().chain(tags).map(|(name, id)| format!("{id} {name}\n")).collect()
    }
}

#[cfg(test)]
#[path = "following_tests.rs"]
mod tests;
