//! Submodules of a checkout of imk's own, as far as they are on the repository's own host.
//!
//! Others are left empty and told: a commit must not have this machine ask wherever it likes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use fs_err as fs;
use git2::Repository;

use super::keep::{self, Namer};
use super::program::{Place, Program, RemoteError};
use crate::patience::Patience;
use crate::syntax::git_source::{self, GitUrl};

/// Brings the submodules that are on the repository's own host; gives the paths of the others.
pub(super) fn bring(
    folder: &Path,
    url: &GitUrl,
    environment: &BTreeMap<OsString, OsString>,
    patience: &Patience,
) -> Result<Vec<String>, RemoteError> {
    if fs::symlink_metadata(folder.join(".gitmodules")).is_err() {
        return Ok(Vec::new());
    }
    git(folder, environment, &["submodule", "--quiet", "init"])?;
    let repository = Repository::open(folder).map_err(|error| broken(&error))?;
    let configured =
        repository.config().and_then(|mut config| config.snapshot()).map_err(|error| broken(&error))?;
    let mut own = Vec::new();
    let mut left = Vec::new();
    for module in repository.submodules().map_err(|error| broken(&error))? {
        let Some(path) = module.path().to_str().map(str::to_owned) else { continue };
        let named =
            module.name().ok().and_then(|name| configured.get_string(&format!("submodule.{name}.url")).ok());
        let named = named.and_then(|named| git_source::url(&named).ok());
        let is_own =
            named.is_some_and(|named| (named.scheme, &named.authority) == (url.scheme, &url.authority));
        if is_own { own.push(path) } else { left.push(path) }
    }
    if !own.is_empty() {
        let words: Vec<&str> = ["submodule", "--quiet", "update", "--force", "--"]
            .into_iter()
            .chain(own.iter().map(String::as_str))
            .collect();
        let place = Place::Checkout(folder);
        Program { environment, url, place, patience, namer: Namer::Checkout }.run(&words)?;
    }
    Ok(left)
}

/// Runs git in a checkout for what is here already, however long a big one takes.
pub(super) fn git(
    folder: &Path,
    environment: &BTreeMap<OsString, OsString>,
    words: &[&str],
) -> Result<(), RemoteError> {
    let mut command = keep::git(Place::Checkout(folder), environment);
    let output = command.args(words).output().map_err(|error| broken(&error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.starts_with("fatal: ") || line.starts_with("error: "));
    let line = line.or(said.lines().last()).unwrap_or("git gives no reason");
    Err(RemoteError::Broken(format!("git {} in `{}`: {line}", words[0], folder.display())))
}

fn broken(error: &dyn std::fmt::Display) -> RemoteError {
    RemoteError::Broken(error.to_string())
}
