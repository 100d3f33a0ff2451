//! A repository followed by the service: what it has is fetched into a bare mirror, and any commit of it is checked out fresh.
//!
//! Nothing that a commit's own code can write to is ever used again: a checkout is made anew each time, with objects of its
//! own, and the mirror is reached by nobody else. Knows nothing of images, and of no schedule.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use fs_err as fs;
use git2::{Repository, RepositoryInitOptions};

use super::following::{Refs, whole};
use super::keep::{self, Namer};
use super::program::{Place, Program, RemoteError};
use super::{fetcher, object_id, own_modules};
use crate::patience::Patience;
use crate::state::folder::StateFolder;
use crate::syntax::git_source::{self, GitUrl};

/// The name of the commit that is checked out, in mirror and checkout.
const NOW: &str = "refs/imk/now";

/// A mirror of a repository.
pub struct Mirror {
    folder: StateFolder,
    url: GitUrl,
    environment: BTreeMap<OsString, OsString>,
    patience: Patience,
}

/// Where the branches of a repository stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// The branch that `HEAD` names.
    pub default: Option<String>,
    /// Commits by branch.
    pub branches: BTreeMap<String, String>,
}

/// A commit as it was checked out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckedCommit {
    /// Its message, whole.
    pub message: String,
    /// When it was committed, in seconds since 1970.
    pub seconds: i64,
    /// Paths of submodules that were left empty, since they are on another host.
    pub left_empty: Vec<String>,
}

impl Mirror {
    /// The mirror in `folder`, which is imk's own; nothing is asked or made yet. Logins come from the environment.
    ///
    /// # Errors
    /// When the address is none.
    pub fn open(
        folder: &Path,
        address: &str,
        environment: BTreeMap<OsString, OsString>,
        patience: Patience,
    ) -> Result<Self, String> {
        let url = whole(address)?;
        // Another address is another mirror, so that one never has commits of two.
        let folder = StateFolder::at(folder).sub(&fetcher::folder_name(&url));
        Ok(Self { folder, url, environment, patience })
    }

    /// The address, without any secret.
    pub fn shown(&self) -> &str {
        &self.url.shown
    }

    /// Asks where the branches stand, by one question.
    ///
    /// # Errors
    /// When the repository does not answer.
    pub fn heads(&self) -> Result<Heads, RemoteError> {
        let words = ["ls-remote", "--quiet", "--symref", "--", &self.url.address, "HEAD", "refs/heads/*"];
        let refs = Refs::read(&self.program(Place::Nowhere).run(&words)?);
        Ok(Heads { default: refs.head, branches: refs.branches })
    }

    /// Has a folder be a fresh checkout of a commit that a branch, or the ref of a pull request, leads to. The checkout is on
    /// a branch of that name. A commit that is here is not fetched again.
    ///
    /// # Errors
    /// When the commit cannot be had, or the folder not be written.
    pub fn check_out(
        &self,
        branch: &str,
        reference: Option<&str>,
        commit: &str,
        folder: &Path,
    ) -> Result<CheckedCommit, RemoteError> {
        let branch = git_source::reference(branch).map_err(RemoteError::Broken)?;
        if !git_source::is_commit(commit) {
            return Err(RemoteError::Broken(format!("`{}` is no commit", commit.escape_debug())));
        }
        let from = match reference {
            Some(name) => git_source::reference(name).map_err(RemoteError::Broken)?,
            None => format!("refs/heads/{branch}"),
        };
        keep::bare(&self.folder, object_id::format_of(commit)).map_err(|error| broken(&error))?;
        self.bring(&from, commit)?;
        let path = keep::bare_unless_whole(&self.folder).map_err(|error| broken(&error))?;
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(broken(&error)),
            _ => self.made(&branch, commit, &path, folder),
        }
    }

    /// Fetches what is lacking.
    fn bring(&self, from: &str, commit: &str) -> Result<(), RemoteError> {
        let head = format!("+{from}:refs/imk/{}", from.trim_start_matches("refs/"));
        let words = ["fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--"];
        let what = [self.url.address.as_str(), &head, "+refs/tags/*:refs/tags/*"];
        let has = || fetcher::has(&self.folder, commit);
        // Tags move without a branch, so it is asked each time; what is here is not sent again.
        let fetched = self.program(Place::Kept(&self.folder)).run(&[&words[..], &what].concat());
        if has() {
            return Ok(());
        }
        fetched?;
        // The branch was moved elsewhere in the meantime: many servers still give the commit by its id.
        let only = format!("+{commit}:refs/imk/{commit}");
        let alone = [&words[..], &[&self.url.address, &only]].concat();
        let _ = self.program(Place::Kept(&self.folder)).run(&alone);
        match has() {
            true => Ok(()),
            false => Err(RemoteError::NoRef(format!("commit {} any more", &commit[..12]))),
        }
    }

    /// Makes the checkout in a folder that is not there.
    fn made(
        &self,
        branch: &str,
        commit: &str,
        mirror: &Path,
        folder: &Path,
    ) -> Result<CheckedCommit, RemoteError> {
        let made = || -> Result<Repository, Box<dyn std::error::Error>> {
            fs::create_dir_all(folder)?;
            let mut options = RepositoryInitOptions::new();
            options.external_template(false).initial_head(branch);
            let format = object_id::format_of(commit);
            options.object_format(format);
            let repository = Repository::init_opts(folder, &options)?;
            repository.remote("origin", &self.url.shown)?;
            Ok(repository)
        };
        let repository = made().map_err(|error| broken(&error))?;
        // Objects are copied: a step owns its checkout, and must not be able to reach the mirror through a link.
        let from = mirror.display().to_string();
        // A commit that no branch has any more is fetched by a name that it is given here.
        let kept = Repository::open_bare(mirror).map_err(|error| broken(&error))?;
        let id = object_id::parse(commit).map_err(|error| broken(&error))?;
        kept.reference(NOW, id, true, "the commit of a job").map_err(|error| broken(&error))?;
        let refs = [&format!("+{NOW}:{NOW}"), "+refs/tags/*:refs/tags/*"];
        let words = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--", &from];
        self.git(folder, &[&words[..], &refs].concat())?;
        self.git(folder, &["checkout", "--quiet", "--force", "--no-track", "-B", branch, commit, "--"])?;
        let left_empty = own_modules::bring(folder, &self.url, &self.environment, &self.patience)?;
        let commit = repository.find_commit(id).map_err(|error| broken(&error))?;
        let message = commit.message().unwrap_or_default().to_owned();
        Ok(CheckedCommit { message, seconds: commit.time().seconds(), left_empty })
    }

    fn program<'a>(&'a self, place: Place<'a>) -> Program<'a> {
        let (environment, patience) = (&self.environment, &self.patience);
        Program { environment, url: &self.url, place, patience, namer: Namer::User }
    }

    /// Runs git for what is on this machine, however long it takes.
    fn git(&self, folder: &Path, words: &[&str]) -> Result<(), RemoteError> {
        own_modules::git(folder, &self.environment, words)
    }
}

fn broken(error: &dyn std::fmt::Display) -> RemoteError {
    RemoteError::Broken(error.to_string())
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
