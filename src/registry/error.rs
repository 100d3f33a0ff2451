//! Why a registry did not do what was asked, in words for a person.
//!
//! Holds names and sentences, never a password or a token.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::syntax::reference::Reference;

/// Why a registry did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegistryError {
    /// It said 401 or 403 to the login there is, or to none.
    Denied {
        /// The registry that was asked.
        host: String,
        /// About what.
        repository: String,
        /// Where the login came from: `docker's config.json`, `credential helper …`; `None` when we came without one.
        login: Option<String>,
        /// Its own words, or what is wrong with the login.
        why: String,
    },
    /// It had too many requests (429), and still had after waiting.
    Throttled {
        /// The registry that was asked.
        host: String,
        /// About what.
        repository: String,
        /// Seconds it told us to wait.
        wait: Option<u64>,
    },
    /// No answer: no connection, no TLS, a timeout, or a server in trouble (5xx).
    Unreachable {
        /// The registry that was asked.
        host: String,
        /// About what.
        repository: String,
        /// The cause.
        why: String,
    },
    /// It said no, or has not what it must have.
    Refused {
        /// The registry that was asked.
        host: String,
        /// About what.
        repository: String,
        /// The attempt, such as `putting manifest `1.2``.
        what: String,
        /// Its own words.
        why: String,
    },
    /// The answer is not to the question.
    Corrupt {
        /// The registry that was asked.
        host: String,
        /// About what.
        repository: String,
        /// The attempt.
        what: String,
        /// How it differs.
        why: String,
    },
    /// Somebody asked to stop.
    Interrupted,
}

impl RegistryError {
    /// The registry that was asked; empty when somebody asked to stop.
    pub fn host(&self) -> &str {
        match self {
            Self::Denied { host, .. }
            | Self::Throttled { host, .. }
            | Self::Unreachable { host, .. }
            | Self::Refused { host, .. }
            | Self::Corrupt { host, .. } => host,
            Self::Interrupted => "",
        }
    }

    /// The repository that it was asked about.
    pub fn about(&self) -> Option<&str> {
        match self {
            Self::Denied { repository, .. }
            | Self::Throttled { repository, .. }
            | Self::Unreachable { repository, .. }
            | Self::Refused { repository, .. }
            | Self::Corrupt { repository, .. } => Some(repository),
            Self::Interrupted => None,
        }
    }

    /// The error in words for a file of a server that is no registry.
    pub fn of_file(&self) -> String {
        match self {
            Self::Unreachable { host, repository, why } => format!(
                "`{host}` gives no answer about `{repository}`: {why}; check the network and the address, or try again later"
            ),
            Self::Refused { host, repository, why, .. } => {
                format!("`{host}` does not give `{repository}`: {why}")
            }
            Self::Denied { host, repository, why, .. } => {
                format!("`{host}` lets nobody at `{repository}` without a login ({why})")
            }
            Self::Throttled { host, repository, .. } => {
                format!("`{host}` has had too many requests, the last for `{repository}`")
            }
            Self::Corrupt { host, repository, why, .. } => {
                format!("`{host}` gave a wrong answer about `{repository}`: {why}")
            }
            Self::Interrupted => self.to_string(),
        }
    }

    /// The error as it concerns all images of the registry: one that is away is away for all of them, whichever was
    /// asked for first.
    pub fn of_host(&self) -> String {
        match self {
            Self::Unreachable { .. } => self.of_any().to_string(),
            other => other.to_string(),
        }
    }

    /// The same error about no repository in particular, to compare it by.
    pub fn of_any(&self) -> Self {
        let mut error = self.clone();
        match &mut error {
            Self::Denied { repository, .. }
            | Self::Throttled { repository, .. }
            | Self::Unreachable { repository, .. }
            | Self::Refused { repository, .. }
            | Self::Corrupt { repository, .. } => repository.clear(),
            Self::Interrupted => {}
        }
        error
    }

    /// A refusal about a name.
    pub(super) fn refused(reference: &Reference, what: impl Into<String>, why: impl Into<String>) -> Self {
        let (host, repository) = place(reference);
        Self::Refused { host, repository, what: what.into(), why: why.into() }
    }

    /// A wrong answer about a name.
    pub(super) fn corrupt(reference: &Reference, what: impl Into<String>, why: impl Into<String>) -> Self {
        let (host, repository) = place(reference);
        Self::Corrupt { host, repository, what: what.into(), why: why.into() }
    }

    /// No answer about a name.
    pub(super) fn unreachable(reference: &Reference, why: impl Into<String>) -> Self {
        let (host, repository) = place(reference);
        Self::Unreachable { host, repository, why: why.into() }
    }
}

fn place(reference: &Reference) -> (String, String) {
    (reference.registry.clone(), reference.repository.clone())
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied { host, repository, login: None, why } => write!(
                f,
                "registry `{host}` lets nobody at `{repository}` without a login ({why}); `docker login {host}` makes one"
            ),
            Self::Denied { host, repository, login: Some(login), why } => write!(
                f,
                "registry `{host}` does not let the login from {login} at `{repository}` ({why}); check that it may, or renew it with `docker login {host}`"
            ),
            Self::Throttled { host, repository, wait } => {
                write!(f, "registry `{host}` has had too many requests, the last for `{repository}`; ")?;
                match wait {
                    Some(1) => f.write_str("it asks to wait 1 second"),
                    Some(seconds) => write!(f, "it asks to wait {seconds} seconds"),
                    None => f.write_str("wait a while, or log in: most registries allow more then"),
                }
            }
            Self::Unreachable { host, repository, why } => {
                let about =
                    if repository.is_empty() { String::new() } else { format!(" about `{repository}`") };
                write!(
                    f,
                    "registry `{host}` gives no answer{about}: {why}; check the network and the name, or try again later"
                )
            }
            Self::Refused { host, repository, what, why } => {
                write!(f, "registry `{host}` refused {what} of `{repository}`: {why}")
            }
            Self::Corrupt { host, repository, what, why } => write!(
                f,
                "registry `{host}` gave a wrong answer to {what} of `{repository}`: {why}; a proxy in between or a damaged registry does that"
            ),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for RegistryError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(login: Option<&str>) -> String {
        RegistryError::Denied {
            host: "r.example".into(),
            repository: "team/app".into(),
            login: login.map(str::to_owned),
            why: "authentication required".into(),
        }
        .to_string()
    }

    #[test]
    fn a_denial_says_which_login_was_used_and_how_to_get_another() {
        assert_eq!(
            denied(None),
            "registry `r.example` lets nobody at `team/app` without a login (authentication required); `docker login r.example` makes one"
        );
        let text = denied(Some("credential helper `pass`"));
        assert!(text.contains("the login from credential helper `pass` at `team/app`"), "{text}");
    }

    #[test]
    fn a_registry_that_is_away_is_away_for_all_its_images() {
        let of = |repository: &str| {
            let (host, why) = ("r.example".to_owned(), "no answer within 1 second".to_owned());
            RegistryError::Unreachable { host, repository: repository.to_owned(), why }.of_host()
        };
        assert_eq!(of("a"), of("b"));
        assert!(of("a").starts_with("registry `r.example` gives no answer: no answer within 1 second"));
    }

    #[test]
    fn a_server_of_files_is_called_no_registry() {
        let (host, repository) = ("h.example".to_owned(), "a/f.tar".to_owned());
        let error = RegistryError::Unreachable { host, repository, why: "no answer within 1 second".into() };
        assert_eq!(
            error.of_file(),
            "`h.example` gives no answer about `a/f.tar`: no answer within 1 second; check the network and the address, or try again later"
        );
    }

    #[test]
    fn throttling_says_how_long_to_wait() {
        let throttled = |wait| {
            RegistryError::Throttled { host: "r.example".into(), repository: "app".into(), wait }.to_string()
        };
        assert!(throttled(Some(90)).ends_with("it asks to wait 90 seconds"));
        assert!(throttled(None).ends_with("or log in: most registries allow more then"));
    }
}
