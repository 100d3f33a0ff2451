//! Where the commits of submodules are fetched from, and whether they may be.
//!
//! `.gitmodules` is a checkout's word, and nobody is asked on that word alone: imk goes to hosts that this clone's own
//! configuration names, as remotes or as submodules that the user initialized, and to an overlay's own host. All else is
//! for the user to decide, with git's own command. Addresses are made out as `git submodule` makes them out.
//! Knows no files: what is at a path of a commit is for others to say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use git2::Repository;

use super::fetcher::Fetcher;
use super::keep::{self, Namer};
use crate::syntax::git_source::{GitUrl, Scheme, Wanted, url};

/// No list of submodules is longer: 64 bytes for each of 16,384.
const LONGEST_LIST: usize = 1 << 20;

/// A submodule in the tree of its repository.
pub(super) struct Module {
    /// Its path below the top of that repository.
    pub path: String,
    /// The text of the `.gitmodules` beside it.
    pub list: Vec<u8>,
    /// The id of its commit.
    pub commit: String,
}

/// Fetches what is missing of one repository's submodules.
pub struct ModuleSource {
    fetcher: Fetcher,
    offline: bool,
    /// The repository's own address.
    base: String,
    /// User and password for its host.
    login: Option<(String, String)>,
    /// Hosts that may be asked.
    places: BTreeSet<(Scheme, String)>,
    /// Addresses of submodules that were initialized here, by their names.
    initialized: BTreeMap<String, String>,
    remedy: Remedy,
}

/// The way of a user who wants a submodule's files.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Remedy {
    /// In the repository that he works in.
    Update,
    /// In one that an overlay is from.
    Overlay,
}

impl ModuleSource {
    /// For the repository that a person works in, in `repository`'s configuration.
    pub(super) fn of_own(fetcher: Fetcher, repository: &Repository, offline: bool) -> Self {
        let settings = settings(repository);
        let here = repository.workdir().unwrap_or_else(|| repository.path());
        let base = match default_remote(repository, &settings) {
            Some(address) => absolute(&address, here),
            None => here.to_string_lossy().trim_end_matches('/').to_owned(),
        };
        let named = settings.iter().filter(|(name, _)| is_address(name)).map(|(_, address)| address);
        let places = named.filter_map(|address| url(address).ok()).map(|url| place(&url)).collect();
        let initialized = settings.iter().filter_map(|(name, address)| {
            let name = name.strip_prefix("submodule.")?.strip_suffix(".url")?;
            Some((name.to_owned(), absolute(address, here)))
        });
        let initialized = initialized.collect();
        Self { fetcher, offline, base, login: None, places, initialized, remedy: Remedy::Update }
    }

    /// For another repository, which the user named by its address.
    pub(super) fn of_other(fetcher: Fetcher, url: &GitUrl, offline: bool) -> Self {
        let (base, login) = (fetcher.address(url), url.user.clone());
        let (places, initialized) = (BTreeSet::from([place(url)]), BTreeMap::new());
        Self { fetcher, offline, base, login, places, initialized, remedy: Remedy::Overlay }
    }

    /// The kept repository that has the commit of the last of these submodules, each of which is in the one before.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub(super) fn fetch(&self, way: &[Module]) -> Result<PathBuf, String> {
        // Git knows those that are within others by the outermost alone.
        let path = way.first().map_or("", |outermost| outermost.path.as_str());
        self.try_fetch(way).map_err(|why| format!("{why}; {}", self.remedy.of(path, way.len() > 1)))
    }

    fn try_fetch(&self, way: &[Module]) -> Result<PathBuf, String> {
        let mut address = self.base.clone();
        for (depth, module) in way.iter().enumerate() {
            let (name, written) = listed(module)?;
            address = match self.initialized.get(&name).filter(|_| depth == 0) {
                Some(initialized) => initialized.clone(),
                None => resolved(&address, &written),
            };
        }
        let Some(module) = way.last() else { return Err("no submodule is meant".into()) };
        let mut url = url(&address).map_err(|why| format!("its address in `.gitmodules` is none: {why}"))?;
        if !self.is_agreed(&url)? {
            let (shown, whom) = (&url.shown, self.remedy.whom());
            return Err(format!("its address `{shown}` is on a host that {whom} does not name"));
        }
        if url.user.is_none() && self.places.contains(&place(&url)) {
            url.user.clone_from(&self.login);
        }
        let commit = Wanted::Commit(module.commit.clone());
        let had = self.fetcher.commit(Namer::Checkout, &url, &module.commit, &commit, self.offline);
        had.map_err(|error| format!("it cannot be had from `{}`: {error}", url.shown))
    }

    /// Whether the user agreed to somebody's being asked.
    ///
    /// # Errors
    /// When he did not agree to looking into a repository of this machine.
    fn is_agreed(&self, url: &GitUrl) -> Result<bool, String> {
        if url.scheme != Scheme::Local {
            return Ok(self.places.contains(&place(url)));
        }
        if keep::allowed_unasked(self.fetcher.environment()).contains("file") {
            return Ok(true);
        }
        Err(format!(
            "its address `{}` is a path of this machine, which git follows for submodules where \
             protocol.file.allow is `always`",
            url.shown
        ))
    }
}

impl Remedy {
    fn of(self, path: &str, is_nested: bool) -> String {
        match self {
            Self::Update => {
                let deep = if is_nested { " --recursive" } else { "" };
                format!(
                    "`git submodule update --init{deep} {path}` fetches it, the ignore file or `--exclude` \
                     leaves the folder out"
                )
            }
            Self::Overlay => {
                "put that there with an overlay of its own, or keep the folder out with the ignore \
                 file"
                    .into()
            }
        }
    }

    fn whom(self) -> &'static str {
        match self {
            Self::Update => "this clone's configuration",
            Self::Overlay => "the address of its repository",
        }
    }
}

/// The parts that agree where two addresses are on one host.
fn place(url: &GitUrl) -> (Scheme, String) {
    (url.scheme, url.authority.to_ascii_lowercase())
}

fn is_address(name: &str) -> bool {
    (name.starts_with("remote.") || name.starts_with("submodule.")) && name.ends_with(".url")
}

/// Settings of a repository that name addresses or the remote of a branch; of several values the last.
fn settings(repository: &Repository) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let Ok(config) = repository.config() else { return found };
    let Ok(mut entries) = config.entries(Some(r"^(submodule\..*\.url|remote\..*\.url|branch\..*\.remote)$"))
    else {
        return found;
    };
    while let Some(Ok(entry)) = entries.next() {
        if let (Ok(name), Ok(value)) = (entry.name(), entry.value()) {
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    found
}

/// The address that `git submodule` begins relative addresses at: that of the branch's remote, of `origin`, or of the only one.
fn default_remote(repository: &Repository, settings: &BTreeMap<String, String>) -> Option<String> {
    let head = repository.find_reference("HEAD").ok();
    let branch = head.as_ref().and_then(|head| head.symbolic_target().ok().flatten());
    let branch = branch.and_then(|name| name.strip_prefix("refs/heads/"));
    let of_branch = branch.and_then(|branch| settings.get(&format!("branch.{branch}.remote")));
    let address = |remote: &str| settings.get(&format!("remote.{remote}.url")).cloned();
    let mut remotes = settings.iter().filter(|(name, _)| name.starts_with("remote."));
    let only = || match (remotes.next(), remotes.next()) {
        (Some((_, address)), None) => Some(address.clone()),
        _ => None,
    };
    of_branch.and_then(|remote| address(remote)).or_else(|| address("origin")).or_else(only)
}

/// A path of this machine from its root on, and any other address as it is.
fn absolute(address: &str, here: &Path) -> String {
    match url(address) {
        Ok(local) if local.scheme == Scheme::Local => {
            here.join(&local.address).to_string_lossy().into_owned()
        }
        _ => address.to_owned(),
    }
}

/// Name and address of a submodule, as `.gitmodules` has them.
fn listed(module: &Module) -> Result<(String, String), String> {
    let unlisted = || "`.gitmodules` does not say where it is from".to_owned();
    if module.list.len() > LONGEST_LIST {
        return Err("`.gitmodules` is too long to be read".into());
    }
    let settings = keep::settings_in(&module.list).ok_or("`.gitmodules` cannot be read")?;
    let name = settings.iter().find_map(|(name, path)| {
        let name = name.strip_prefix("submodule.")?.strip_suffix(".path")?;
        (path.trim_end_matches('/') == module.path).then(|| name.to_owned())
    });
    let name = name.ok_or_else(unlisted)?;
    let address = settings.get(&format!("submodule.{name}.url")).cloned().ok_or_else(unlisted)?;
    Ok((name, address))
}

/// An address that may be relative to that of the repository around, by the rules of `git submodule`.
fn resolved(base: &str, address: &str) -> String {
    if !address.starts_with("./") && !address.starts_with("../") {
        return address.to_owned();
    }
    let (mut base, mut rest, mut joint) = (base.trim_end_matches('/').to_owned(), address, "/");
    loop {
        if let Some(after) = rest.strip_prefix("../") {
            rest = after;
            match (base.rfind('/'), base.rfind(':')) {
                (Some(at), _) => base.truncate(at),
                (None, Some(at)) => {
                    base.truncate(at);
                    joint = ":";
                }
                (None, None) => base = ".".into(),
            }
        } else if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else {
            break;
        }
    }
    format!("{base}{joint}{rest}").trim_end_matches('/').to_owned()
}

#[cfg(test)]
#[path = "module_source_tests.rs"]
mod tests;
