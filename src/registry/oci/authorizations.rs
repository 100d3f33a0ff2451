//! Authorizations and logins as they are remembered, and what of them must not be shown.
//!
//! Asks no server: what is remembered is learned in `auth.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use reqwest::header::HeaderValue;

use super::challenge::Challenge;
use crate::credentials::{Credentials, Found, Login, Secret};

/// The value of an `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Authorization {
    pub(super) value: Secret,
    /// After this it is worth nothing.
    pub(super) until: Option<Instant>,
    /// Where its login came from.
    pub(super) login: Option<String>,
}

impl Authorization {
    /// The header. A value that cannot be one (a registry's token with a line break) is as good as none.
    pub(super) fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::from_str(self.value.reveal()).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    pub(super) fn basic(user: &str, password: &Secret, login: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{}", password.reveal()));
        Self { value: Secret::new(format!("Basic {pair}")), until: None, login: Some(login.to_owned()) }
    }

    pub(super) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorization(login {:?}, …)", self.login)
    }
}

/// One authorization; whoever renews it holds the lock, and others wait for what comes.
pub(super) type Cell = Arc<tokio::sync::Mutex<Option<Authorization>>>;

/// Logins, challenges and authorizations, as they are remembered.
#[derive(Default)]
pub(super) struct Auth {
    pub(super) credentials: Credentials,
    /// The first login of a host, as it was found.
    pub(super) logins: Mutex<BTreeMap<String, Option<Found>>>,
    /// The challenge of a host, so that the next repository's token is fetched unasked.
    pub(super) challenges: Mutex<BTreeMap<String, Challenge>>,
    /// By address and, for tokens, scopes.
    pub(super) authorizations: Mutex<BTreeMap<String, Cell>>,
    /// Everything that must not be shown.
    pub(super) secrets: Mutex<BTreeSet<Secret>>,
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, ..Self::default() }
    }

    /// A server's words without what must not be shown: some repeat what they were sent.
    pub(super) fn scrub(&self, text: &str) -> String {
        let secrets = self.secrets.lock();
        let long_enough = secrets.iter().map(Secret::reveal).filter(|secret| secret.len() > 3);
        long_enough.fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }

    pub(super) fn hide(&self, secret: &Secret) {
        let mut secrets = self.secrets.lock();
        secrets.insert(secret.clone());
        // The name of the scheme is no secret, and an echo may come without it.
        if let Some((_, value)) = secret.reveal().split_once(' ') {
            secrets.insert(Secret::new(value));
        }
    }

    pub(super) fn cell(&self, key: &str) -> Cell {
        Arc::clone(self.authorizations.lock().entry(key.to_owned()).or_default())
    }

    /// The login for a host after so many were refused. A helper is a program and may take its time.
    pub(super) async fn login(&self, host: &str, refused: usize) -> Result<Option<Found>, String> {
        if refused == 0
            && let Some(found) = self.logins.lock().get(host)
        {
            return Ok(found.clone());
        }
        let (credentials, wanted) = (self.credentials.clone(), host.to_owned());
        let search = tokio::task::spawn_blocking(move || credentials.login(&wanted, refused));
        let found = search.await.map_err(|_| "the search for a login broke off".to_owned())??;
        if let Some(Found {
            login: Login::Password { password: secret, .. } | Login::Identity(secret), ..
        }) = &found
        {
            self.hide(secret);
        }
        // What comes after a refusal takes the place of what was refused. That there is
        // none is not kept: somebody may log in while we run.
        if found.is_some() {
            self.logins.lock().insert(host.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// All logins of a host were refused: next time they are looked for again.
    pub(super) fn forget(&self, host: &str) {
        self.logins.lock().remove(host);
    }
}

/// How long before its end a token is no longer used, so that it does not end on the way.
pub(super) const MARGIN: Duration = Duration::from_secs(5);
