//! The user's own file: where it is, whether it is theirs, and what it says of engines.
//!
//! Nothing of a checkout decides here: the file is found by the environment, and one inside
//! the repository at hand is not read. What its keys mean is in `syntax/user_config`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::cli::failure::Failure;
use crate::engine::{Endpoint, EngineError, Environment};
use crate::query::problem::Problem;
use crate::session::project::Project;
use crate::source::locate::Trust;
use crate::source::outside;
use crate::syntax::error::SyntaxError;
use crate::syntax::imagefile::EngineAddress;
use crate::syntax::user_config::{self, UserConfig};

/// The user's file, as it was found.
#[derive(Debug)]
pub enum Own {
    /// It is read, and says this.
    Read(PathBuf, UserConfig),
    /// It is not there, so nothing is said.
    Absent(PathBuf),
    /// It is inside the repository at hand, so it is not read.
    InCheckout(PathBuf),
    /// No variable says where it would be.
    Nowhere,
}

impl Own {
    /// True if an engine that the Imagefile of `project` names counts as chosen by the user.
    ///
    /// # Errors
    /// When the address of a line is none.
    pub fn trusts(
        &self,
        project: &Project,
        endpoint: &Endpoint,
        environment: &Environment,
    ) -> Result<bool, Failure> {
        let Self::Read(path, config) = self else { return Ok(false) };
        let root = canonical(&project.root);
        for line in config.engines.iter().filter(|line| canonical(&line.repository) == root) {
            match endpoint_of(&line.address, environment, "from config.ron") {
                Ok(trusted) if trusted.address == endpoint.address => return Ok(true),
                Ok(_) => {}
                // A context may be another machine's; a host that is none is a mistake.
                Err(_) if matches!(line.address, EngineAddress::Context(_)) => {}
                Err(error) => {
                    let why = SyntaxError::new(line.span, format!("this is no engine's address: {error}"));
                    return Err(mistakes(path, vec![why]));
                }
            }
        }
        Ok(false)
    }
}

/// Where an engine is that a file names; `origin` says which file.
pub fn endpoint_of(
    address: &EngineAddress,
    environment: &Environment,
    origin: &str,
) -> Result<Endpoint, EngineError> {
    match address {
        EngineAddress::Host(host) => Endpoint::of_host(environment, host, origin),
        EngineAddress::Context(name) => Endpoint::of_context(environment, name, &format!("named {origin}")),
    }
}

/// Reads `imk/config.ron` of `$XDG_CONFIG_HOME`, else of `$HOME/.config`. `root` is the repository at hand.
///
/// # Errors
/// When there are mistakes in it, when it cannot be read, and when others could have written it.
pub fn read(root: &Path) -> Result<Own, Failure> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let trust = Trust::of_this_user(std::env::var("SUDO_UID").ok().as_deref());
    match folder {
        Some(folder) => read_at(folder.join("imk/config.ron"), root, &trust),
        None => Ok(Own::Nowhere),
    }
}

fn read_at(path: PathBuf, root: &Path, trust: &Trust) -> Result<Own, Failure> {
    let Ok(whole) = path.canonicalize() else { return Ok(Own::Absent(path)) };
    if whole.starts_with(canonical(root)) {
        return Ok(Own::InCheckout(path));
    }
    let ours = "it says who gets logins, so only you or root may be able to write it";
    for place in [Some(path.as_path()), Some(&whole), whole.parent()].into_iter().flatten() {
        if let Some(owner) = trust.foreign_owner(place) {
            let message = format!("`{}` belongs to another user (number {owner})", place.display());
            return Err(Failure::with_hint(message, ours));
        }
        if place.metadata().is_ok_and(|it| it.permissions().mode() & 0o002 != 0) {
            let message = format!("everybody may write `{}`", place.display());
            return Err(Failure::with_hint(message, format!("{ours}: `chmod o-w {}`", place.display())));
        }
    }
    if !whole.is_file() {
        return Err(Failure::error(format!("`{}` is no file", path.display())));
    }
    let text = String::from_utf8(outside::read(&whole)?)
        .map_err(|_| Failure::error(format!("`{}` is no text in UTF-8", path.display())))?;
    match user_config::read(&text) {
        Ok(config) => Ok(Own::Read(path, config)),
        Err(errors) => Err(mistakes(&path, errors)),
    }
}

fn mistakes(path: &Path, errors: Vec<SyntaxError>) -> Failure {
    let shown = path.display().to_string();
    let problems: Vec<Problem> = errors.into_iter().map(|error| Problem::in_file(&shown, error)).collect();
    Failure::problems(&problems, |_| String::from_utf8(outside::read(path).ok()?).ok())
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
