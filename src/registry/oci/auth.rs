//! Passes: how a question proves who asks.
//!
//! Logins come from `credentials`; a registry's challenge says whether it wants
//! the login itself or a token for it. Passes are kept in memory until they are
//! refused. Knows nothing of what is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Response;
use reqwest::header::HeaderValue;

use super::base::{Base, is_private};
use super::challenge::{self, Challenge};
use super::wire::{Ask, Wire, body};
use super::words;
use crate::credentials::{Credentials, Found, Login, Secret};
use crate::registry::RegistryError;

mod token;

/// What goes into the `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Pass {
    value: Secret,
    /// After this it is worth nothing.
    until: Option<Instant>,
    /// Where its login came from.
    login: Option<String>,
}

impl Pass {
    /// The header. A value that cannot be one (a registry's token with a line break) is as good as none.
    pub(super) fn header(&self) -> HeaderValue {
        let mut value = HeaderValue::from_str(self.value.reveal()).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }

    fn basic(user: &str, password: &Secret, login: &str) -> Self {
        let pair = STANDARD.encode(format!("{user}:{}", password.reveal()));
        Self { value: Secret::new(format!("Basic {pair}")), until: None, login: Some(login.to_owned()) }
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| until <= Instant::now())
    }
}

impl fmt::Debug for Pass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pass(login {:?}, …)", self.login)
    }
}

/// One pass; whoever renews it holds the lock, and others wait for what comes.
type Cell = Arc<tokio::sync::Mutex<Option<Pass>>>;

/// What is remembered of logins, challenges and passes.
#[derive(Default)]
pub(super) struct Auth {
    credentials: Credentials,
    /// The first login of a host, as it was found.
    logins: Mutex<BTreeMap<String, Option<Found>>>,
    /// What a host wanted, so that the next repository's token is fetched unasked.
    challenges: Mutex<BTreeMap<String, Challenge>>,
    /// By address and, for tokens, scopes.
    passes: Mutex<BTreeMap<String, Cell>>,
    /// Everything that must not be shown.
    secrets: Mutex<BTreeSet<Secret>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, ..Self::default() }
    }

    /// A server's words without what must not be shown: some repeat what they were sent.
    pub(super) fn scrub(&self, text: &str) -> String {
        let secrets = lock(&self.secrets);
        let long_enough = secrets.iter().map(Secret::reveal).filter(|secret| secret.len() > 3);
        long_enough.fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
    }

    fn hide(&self, secret: &Secret) {
        let mut secrets = lock(&self.secrets);
        secrets.insert(secret.clone());
        // The name of the scheme is no secret, and an echo may come without it.
        if let Some((_, value)) = secret.reveal().split_once(' ') {
            secrets.insert(Secret::new(value));
        }
    }

    fn cell(&self, key: &str) -> Cell {
        Arc::clone(lock(&self.passes).entry(key.to_owned()).or_default())
    }

    /// The login for a host after so many were refused. A helper is a program and may take its time.
    async fn login(&self, host: &str, refused: usize) -> Result<Option<Found>, String> {
        if refused == 0
            && let Some(found) = lock(&self.logins).get(host)
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
            lock(&self.logins).insert(host.to_owned(), found.clone());
        }
        Ok(found)
    }

    /// All logins of a host were refused: next time they are looked for again.
    fn forget(&self, host: &str) {
        lock(&self.logins).remove(host);
    }
}

/// Where a pass is kept.
fn key(base: &Base, challenge: &Challenge, scopes: &[String]) -> String {
    match challenge {
        Challenge::Basic => base.url.to_string(),
        Challenge::Bearer { .. } => format!("{} {}", base.url, scopes.join(" ")),
    }
}

impl Wire {
    /// The pass for a question, if one is known or its kind is.
    pub(super) async fn pass(&self, base: &Base, ask: &Ask<'_>) -> Result<Option<Pass>, RegistryError> {
        let known = lock(&self.auth.challenges).get(base.url.as_str()).cloned();
        let Some(challenge) = known else { return Ok(None) };
        let kept = self.auth.cell(&key(base, &challenge, &ask.scopes)).lock().await.clone();
        match kept {
            Some(pass) if !pass.is_over() => Ok(Some(pass)),
            // A password that was not wanted yet is not shown unasked.
            _ if challenge == Challenge::Basic => Ok(None),
            over => {
                let said = "it wants a login";
                self.make(base, ask, &challenge, over.as_ref(), &mut 0, said).await.map(Some)
            }
        }
    }

    /// A new pass after a refusal, `refused` counting how many logins were tried for this question.
    pub(super) async fn renew(
        &self,
        base: &Base,
        ask: &Ask<'_>,
        response: Response,
        used: Option<Pass>,
        refused: &mut usize,
    ) -> Result<Pass, RegistryError> {
        let remembered = lock(&self.auth.challenges).get(base.url.as_str()).cloned();
        // A 403 brings no challenge; with a pass that has expired some registries say just that.
        let wanted = challenge::of(response.headers()).or(remembered.filter(|_| used.is_some()));
        let status = response.status();
        let said = body(response, 64 << 10, self.options.answer_timeout).await.unwrap_or_default();
        let said = self.auth.scrub(&words::of(status, &said));
        let Some(wanted) = wanted else {
            let login = used.and_then(|pass| pass.login);
            return Err(denied(ask, login, said));
        };
        let kept = match wanted.clone() {
            Challenge::Bearer { realm, service, .. } => Challenge::Bearer { realm, service, scope: None },
            Challenge::Basic => Challenge::Basic,
        };
        lock(&self.auth.challenges).insert(base.url.to_string(), kept);
        self.make(base, ask, &wanted, used.as_ref(), refused, &said).await
    }

    /// Makes a pass that is not `used`, going through the logins there are.
    async fn make(
        &self,
        base: &Base,
        ask: &Ask<'_>,
        challenge: &Challenge,
        used: Option<&Pass>,
        refused: &mut usize,
        said: &str,
    ) -> Result<Pass, RegistryError> {
        let cell = self.auth.cell(&key(base, challenge, &ask.scopes));
        let mut cell = cell.lock().await;
        // Another thread may have been quicker.
        if let Some(pass) = &*cell
            && *refused == 0
            && !pass.is_over()
            && used != Some(pass)
        {
            return Ok(pass.clone());
        }
        let mut why = said.to_owned();
        let mut last = used.and_then(|pass| pass.login.clone());
        loop {
            let found = self.auth.login(&base.host, *refused).await;
            let found = found.map_err(|why| denied(ask, None, why))?;
            let over = *refused > 0 && found.is_none();
            if found.is_some() && !is_private(&base.url) {
                let why = "it speaks plain HTTP, over which no login is sent to another machine";
                return Err(denied(ask, None, why.to_owned()));
            }
            if over {
                self.auth.forget(&base.host);
                return Err(denied(ask, last, why));
            }
            *refused += 1;
            let made = match (challenge, &found) {
                (Challenge::Basic, Some(Found { login: Login::Password { user, password }, source, .. })) => {
                    Ok(Pass::basic(user, password, source))
                }
                (Challenge::Basic, None) => return Err(denied(ask, None, why)),
                (Challenge::Basic, Some(_)) => {
                    Err("it wants a password, and there is a token only".to_owned())
                }
                (Challenge::Bearer { realm, service, scope }, _) => {
                    let wanted =
                        token::Wanted { realm, service: service.as_deref(), scope: scope.as_deref() };
                    self.token(base, ask, &wanted, found.as_ref()).await?
                }
            };
            last = found.map(|found| found.source);
            match made {
                // The same password again would be refused again.
                Ok(pass) if used == Some(&pass) => {}
                Ok(pass) => {
                    self.auth.hide(&pass.value);
                    *cell = Some(pass.clone());
                    return Ok(pass);
                }
                Err(said) => why = said,
            }
            if last.is_none() {
                return Err(denied(ask, None, why));
            }
        }
    }
}

fn denied(ask: &Ask<'_>, login: Option<String>, why: String) -> RegistryError {
    let (host, repository) = (ask.about.registry.clone(), ask.about.repository.clone());
    RegistryError::Denied { host, repository, login, why }
}

/// How long before its end a token is no longer used, so that it does not end on the way.
const MARGIN: Duration = Duration::from_secs(5);
