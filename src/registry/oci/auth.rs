//! Passes: how a question proves who asks.
//!
//! Logins come from `credentials`; a registry's challenge says whether it wants
//! the login itself or a token for it. Passes are kept in memory (`passes.rs`) until they are
//! refused. Knows nothing of what is asked.

use reqwest::Response;

use super::base::{Base, is_private};
use super::challenge::{self, Challenge};
use super::passes::Pass;
use super::wire::{Ask, Wire, body};
use super::words;
use crate::credentials::{Found, Login};
use crate::registry::RegistryError;

mod token;

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
        let known = self.auth.challenges.lock().get(base.url.as_str()).cloned();
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
        let remembered = self.auth.challenges.lock().get(base.url.as_str()).cloned();
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
        self.auth.challenges.lock().insert(base.url.to_string(), kept);
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
