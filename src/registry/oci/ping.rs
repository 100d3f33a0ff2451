//! Ping: does a registry answer at all, and what time is it there?
//!
//! Asks for nothing that needs a login, and repeats nothing.

use super::client::Client;
use super::fault::Fault;
use super::wire::header;
use crate::registry::RegistryError;
use crate::syntax::reference::Reference;

/// A registry's answer to `GET /v2/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ping {
    /// The status: 200 lets everybody in, 401 wants a login.
    pub status: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Its clock, as HTTP writes it; empty when it does not say.
    pub date: String,
}

impl Client {
    /// Asks the registry of a reference for nothing.
    pub(super) async fn ping(&self, about: &Reference) -> Result<Ping, RegistryError> {
        let unreachable = |why: String| RegistryError::unreachable(about, why);
        let base = self.wire.base(about).await?;
        let client = self.wire.client(&base.host, base.lenient).map_err(unreachable)?;
        let waiting = self.wire.options.patience.begin(&base.host).map_err(unreachable)?;
        let sent = waiting.on(client.get(base.ping_url()).send()).await.map_err(unreachable)?;
        waiting.heard();
        let answer = sent.map_err(|error| unreachable(Fault::from(error).why))?;
        Ok(Ping {
            status: answer.status().as_u16(),
            tls: base.url.scheme() == "https",
            date: header(answer.headers(), "date").unwrap_or_default().to_owned(),
        })
    }
}
