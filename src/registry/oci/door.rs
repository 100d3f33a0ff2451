//! Whether a registry answers at all, and what time it is there.
//!
//! Asks for nothing that needs a login, and repeats nothing.

use super::wire::{header, send};
use super::{OciRegistry, RegistryError};
use crate::syntax::reference::Reference;

/// What a registry answers at its front door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knock {
    /// The status: 200 lets everybody in, 401 wants a login.
    pub status: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its clock, as HTTP writes it; empty when it does not say.
    pub date: String,
}

impl OciRegistry {
    /// Knocks at the door of a registry.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn knock(&self, host: &str) -> Result<Knock, RegistryError> {
        let about = Reference { registry: host.into(), repository: String::new(), tag: None, digest: None };
        let wire = &self.remote_cache.wire;
        self.wait(&about, async {
            let unreachable = |why: String| RegistryError::unreachable(&about, why);
            let base = wire.base(&about).await?;
            let client = wire.client(&base.host, base.lenient).map_err(unreachable)?;
            let sent = send(client.get(base.front_door()), wire.options.answer_timeout).await;
            let answer = sent.map_err(|fault| unreachable(fault.why))?;
            Ok(Knock {
                status: answer.status().as_u16(),
                tls: base.url.scheme() == "https",
                date: header(answer.headers(), "date").unwrap_or_default().to_owned(),
            })
        })
    }
}
