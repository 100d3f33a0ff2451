//! Registries and logins as the command line, the environment and docker have them.

use std::collections::BTreeMap;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::locate;
use crate::credentials::Credentials;
use crate::engine::Cancel;
use crate::registry::{OciRegistry, Options, Stop};
use crate::source::locate::Located;
use crate::state::folder::StateFolder;

/// The registries as every session asks them.
pub fn registry(global: &Global, located: &Located) -> Result<OciRegistry, Failure> {
    Ok(OciRegistry::new(registries(global, &locate::state(global, located)?, &Cancel::default())?))
}

pub fn registries(global: &Global, state: &StateFolder, cancel: &Cancel) -> Result<Options, Failure> {
    let mut mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (host, url) in &global.mirrors {
        mirrors.entry(host.clone()).or_default().push(url.clone());
    }
    let cancel = cancel.clone();
    Ok(Options {
        credentials: credentials()?,
        insecure: global.insecure_registries.iter().cloned().collect(),
        mirrors,
        cache_folder: Some(state.sub("registry")),
        stop: Stop::when(move || cancel.is_cancelled()),
        ..Options::default()
    })
}

/// Logins of this process and of docker.
pub fn credentials() -> Result<Credentials, Failure> {
    Credentials::from_lookup(|name| std::env::var(name).ok()).map_err(|why| {
        Failure::with_hint(
            why,
            "a login goes to the registry it was given for and to no other; docs/credentials.md",
        )
    })
}
