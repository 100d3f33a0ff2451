//! Logins for registries: what the user set for imk, else what `docker login` keeps, else none.
//!
//! Reads docker's configuration through the `docker_credential` crate and runs its credential
//! helpers. Asks no registry, and shows no value to anybody:
//! an error names a registry or a helper, never what belongs to it.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use docker_credential::{CredentialRetrievalError, DockerCredential};
use serde::Deserialize;

use crate::model::hub::{HUB_LOGIN, is_hub};
use crate::patience::Patience;

mod helper;

/// A value that must reach no log, error message or debug output.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Secret(String);

impl Secret {
    /// Hides a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for whoever must send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A proof of who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// A name and a password, or what a registry takes for one.
    Password { user: String, password: Secret },
    /// A token to get tokens with.
    Identity(Secret),
}

/// A login, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The login.
    pub login: Login,
    /// For messages: `IMK_REGISTRY_USER`, ``credential helper `pass` `` and the like.
    pub source: String,
    /// A helper (or perhaps a helper) gave it, and may give another next time.
    pub may_change: bool,
}

/// A login that the user set for imk alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Name.
    pub user: String,
    /// Password.
    pub password: Secret,
    /// The only registry it is for.
    pub host: String,
}

/// Where logins are looked for.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// The login that the user set for imk; it comes first.
    pub given: Option<Given>,
    /// The folder of docker's `config.json`; where docker itself would look when `None`.
    pub config_folder: Option<PathBuf>,
    /// There is none for anybody, whatever is set and kept.
    pub withheld: bool,
    /// How long a credential helper may say nothing.
    pub patience: Patience,
}

impl Credentials {
    /// Takes them from `lookup`, which knows the variables of the process:
    /// `IMK_REGISTRY_USER`, `IMK_REGISTRY_PASSWORD`, `IMK_REGISTRY_HOST` (the only
    /// registry the two are for) and `DOCKER_CONFIG`. An empty value counts as unset.
    ///
    /// # Errors
    /// When there is a user and no host: a FROM names registries, and its author must not
    /// choose who is shown the login.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let user = value("IMK_REGISTRY_USER");
        let given = match (user, value("IMK_REGISTRY_PASSWORD"), value("IMK_REGISTRY_HOST")) {
            (Some(_), _, None) => {
                return Err(
                    "IMK_REGISTRY_USER is set and IMK_REGISTRY_HOST, the registry it is for, is not".into()
                );
            }
            (Some(user), Some(password), Some(host)) => {
                Some(Given { user, password: Secret(password), host })
            }
            _ => None,
        };
        let home_folder = || value("HOME").map(|home| Path::new(&home).join(".docker"));
        let config_folder = value("DOCKER_CONFIG").map(PathBuf::from).or_else(home_folder);
        Ok(Self { given, config_folder, ..Self::default() })
    }

    /// No login for anybody: whoever is served with these was not chosen by the user.
    pub fn none() -> Self {
        Self { withheld: true, ..Self::default() }
    }

    /// The login for a registry, after `refused` earlier ones were refused there; `None`
    /// when there is no (other) one. A login set for this registry is the only one.
    /// docker's helpers are asked twice, since some print a token that has expired.
    pub fn login(&self, host: &str, refused: usize) -> Result<Option<Found>, String> {
        let given = self.given.as_ref().filter(|given| given.is_for(host));
        match (given, refused) {
            _ if self.withheld => Ok(None),
            (Some(given), 0) => Ok(Some(given.found())),
            (Some(_), _) => Ok(None),
            (None, 0) => self.docker(host),
            (None, 1) => Ok(self.docker(host)?.filter(|found| found.may_change)),
            (None, _) => Ok(None),
        }
    }

    /// The login that `docker login` keeps.
    fn docker(&self, host: &str) -> Result<Option<Found>, String> {
        // The Hub's logins are kept under a name of their own.
        let key = if is_hub(host) { HUB_LOGIN } else { host };
        let Some(folder) = &self.config_folder else {
            let found = docker_credential::get_credential(key);
            return found_or_anonymous(host, found, "docker's configuration", true);
        };
        let Some(config) = read_config(&folder.join("config.json"))? else { return Ok(None) };
        if let Some(helper) = helper_of(&config, key) {
            let found = helper::ask(&helper, key, &self.patience);
            let found = found.map_err(|why| format!("no login for `{host}`: {why}"))?;
            let source = format!("credential helper `{helper}`");
            return Ok(found.map(|found| Found { login: login(found), source, may_change: true }));
        }
        let found = docker_credential::get_credential_from_reader(config.as_slice(), key);
        let file = folder.join("config.json");
        found_or_anonymous(host, found, &format!("`{}`", file.display()), false)
    }
}

impl Given {
    fn is_for(&self, host: &str) -> bool {
        self.host == host || is_hub(&self.host) && is_hub(host)
    }

    fn found(&self) -> Found {
        Found {
            login: Login::Password { user: self.user.clone(), password: self.password.clone() },
            source: "IMK_REGISTRY_USER".to_owned(),
            may_change: false,
        }
    }
}

/// docker's configuration; no file is no login. One that is there and cannot be read is not absent.
fn read_config(file: &Path) -> Result<Option<Vec<u8>>, String> {
    let bytes = match fs_err::read(file) {
        Ok(bytes) => bytes,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(format!("the logins of docker cannot be read: {error}")),
    };
    // An empty file is what an interrupted `docker logout` leaves; docker takes it for none.
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    // serde's own words may quote a value; the place tells enough.
    match serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&bytes) {
        Ok(_) => Ok(Some(bytes)),
        Err(error) => Err(format!(
            "`{}` is no JSON that docker writes (line {}, column {}): mend it, or move it away and log in again",
            file.display(),
            error.line(),
            error.column()
        )),
    }
}

/// The helper that answers for a registry, in docker's order: its own, none if the file has an entry, the store.
fn helper_of(config: &[u8], key: &str) -> Option<String> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Config {
        auths: std::collections::BTreeMap<String, serde_json::Value>,
        cred_helpers: std::collections::BTreeMap<String, String>,
        creds_store: String,
    }
    let config: Config = serde_json::from_slice(config).unwrap_or_default();
    let own = config.cred_helpers.get(key).filter(|name| !name.is_empty()).cloned();
    // With a store, docker leaves empty entries in the file.
    let in_file =
        || config.auths.iter().any(|(name, entry)| name.contains(key) && entry != &serde_json::json!({}));
    own.or_else(|| Some(config.creds_store.clone()).filter(|store| !store.is_empty() && !in_file()))
}

fn login(found: DockerCredential) -> Login {
    match found {
        DockerCredential::UsernamePassword(user, password) => {
            Login::Password { user, password: Secret(password) }
        }
        DockerCredential::IdentityToken(token) => Login::Identity(Secret(token)),
    }
}

fn found_or_anonymous(
    host: &str,
    found: Result<DockerCredential, CredentialRetrievalError>,
    source: &str,
    may_change: bool,
) -> Result<Option<Found>, String> {
    use CredentialRetrievalError as Why;
    let failed = |what: &str| Err(format!("no login for `{host}`: {what}"));
    let login = match found {
        Ok(found) => login(found),
        // No file (which this crate also calls a read error), no entry: anonymous.
        Err(Why::ConfigNotFound | Why::ConfigReadError | Why::NoCredentialConfigured) => return Ok(None),
        // A helper without an entry fails with a sentence; it is anonymous all the same.
        Err(Why::HelperFailure { stdout, stderr, .. })
            if [&stdout, &stderr].iter().any(|text| text.contains("credentials not found")) =>
        {
            return Ok(None);
        }
        // What a failed helper wrote may hold a secret, so only its name is told.
        Err(Why::HelperFailure { helper, .. }) => {
            return failed(&format!("credential helper `{helper}` failed"));
        }
        Err(Why::HelperCommunicationError) => return failed("its credential helper cannot be run"),
        Err(Why::MalformedHelperResponse) => return failed("its credential helper answered nonsense"),
        Err(Why::CredentialDecodingError | Why::CredentialMismatchError) => {
            return failed("the entry in docker's config.json is damaged; `docker login` writes a new one");
        }
    };
    Ok(Some(Found { login, source: source.to_owned(), may_change }))
}

#[cfg(test)]
mod tests;
