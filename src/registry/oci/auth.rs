//! Authorizations: how a question proves who asks.
//!
//! Logins come from `credentials`; a registry's challenge says whether it wants
//! the login itself or a token for it. Authorizations are kept in memory (`authorizations.rs`) until they are
//! refused. Knows nothing of what is asked.

use reqwest::Response;

use super::authorizations::Authorization;
use super::base::{Base, is_private};
use super::challenge::{self, Challenge};
use super::wire::{Ask, Wire};
use super::words;
use crate::credentials::{Found, Login};
use crate::registry::RegistryError;

mod token;

/// Where an authorization is kept.
fn key(base: &Base, challenge: &Challenge, scopes: &[String]) -> String {
    match challenge {
        Challenge::Basic => base.url.to_string(),
        Challenge::Bearer { .. } => format!("{} {}", base.url, scopes.join(" ")),
    }
}

impl Wire {
    /// The authorization for a question, if one is known or its kind is.
    pub(super) async fn authorization(
        &self,
        base: &Base,
        ask: &Ask<'_>,
    ) -> Result<Option<Authorization>, RegistryError> {
        let known = self.auth.challenges.lock().get(base.url.as_str()).cloned();
        let Some(challenge) = known else { return Ok(None) };
        let kept = self.auth.cell(&key(base, &challenge, &ask.scopes)).lock().await.clone();
        match kept {
            Some(authorization) if !authorization.is_over() => Ok(Some(authorization)),
            // A password that was not wanted yet is not shown unasked.
            _ if challenge == Challenge::Basic => Ok(None),
            over => {
                let said = "it wants a login";
                self.make(base, ask, &challenge, over.as_ref(), &mut 0, said).await.map(Some)
            }
        }
    }

    /// A new authorization after a refusal, `refused` counting how many logins were tried for this question.
    pub(super) async fn renew(
        &self,
        base: &Base,
        ask: &Ask<'_>,
        response: Response,
        used: Option<Authorization>,
        refused: &mut usize,
    ) -> Result<Authorization, RegistryError> {
        let remembered = self.auth.challenges.lock().get(base.url.as_str()).cloned();
        // A 403 brings no challenge; with an authorization that has expired some registries say just that.
        let wanted = challenge::of(response.headers()).or(remembered.filter(|_| used.is_some()));
        let status = response.status();
        let said = self.body(&base.host, response, 64 << 10).await.unwrap_or_default();
        let said = self.auth.scrub(&words::of(status, &said));
        let Some(wanted) = wanted else {
            let login = used.and_then(|authorization| authorization.login);
            return Err(denied(ask, login, said));
        };
        let kept = match wanted.clone() {
            Challenge::Bearer { realm, service, .. } => Challenge::Bearer { realm, service, scope: None },
            Challenge::Basic => Challenge::Basic,
        };
        self.auth.challenges.lock().insert(base.url.to_string(), kept);
        self.make(base, ask, &wanted, used.as_ref(), refused, &said).await
    }

    /// Makes an authorization that is not `used`, going through the logins there are.
    async fn make(
        &self,
        base: &Base,
        ask: &Ask<'_>,
        challenge: &Challenge,
        used: Option<&Authorization>,
        refused: &mut usize,
        said: &str,
    ) -> Result<Authorization, RegistryError> {
        let cell = self.auth.cell(&key(base, challenge, &ask.scopes));
        let mut cell = cell.lock().await;
        // Another thread may have been quicker.
        if let Some(authorization) = &*cell
            && *refused == 0
            && !authorization.is_over()
            && used != Some(authorization)
        {
            return Ok(authorization.clone());
        }
        let mut why = said.to_owned();
        let mut last = used.and_then(|authorization| authorization.login.clone());
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
                    Ok(Authorization::basic(user, password, source))
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
                Ok(authorization) if used == Some(&authorization) => {}
                Ok(authorization) => {
                    self.auth.hide(&authorization.value);
                    *cell = Some(authorization.clone());
                    return Ok(authorization);
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
