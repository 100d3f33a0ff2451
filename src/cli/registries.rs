//! Registries and logins as the command line, the environment and docker have them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::{locate, out};
use crate::credentials::Credentials;
use crate::engine::Cancel;
use crate::patience::Patience;
use crate::registry::{OciRegistry, Options, Stop};
use crate::source::locate::Located;
use crate::state::folder::StateFolder;

/// The registries as every session asks them.
pub fn registry(global: &Global, located: &Located) -> Result<OciRegistry, Failure> {
    let state = locate::state(global, located)?;
    Ok(OciRegistry::new(registries(global, &state, &Cancel::default(), &patience(global))?))
}

/// How long others are waited for, all together, and who is: that is told after a second.
pub fn patience(global: &Global) -> Patience {
    let tell = |who: &str| out::note(format_args!("waiting for {who} …"));
    global
        .timeout
        .map_or_else(|| Patience::telling(tell), |limit| Patience::new(Duration::from_secs(limit), tell))
}

pub fn registries(
    global: &Global,
    state: &StateFolder,
    cancel: &Cancel,
    patience: &Patience,
) -> Result<Options, Failure> {
    let mut mirrors: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (host, url) in &global.mirrors {
        mirrors.entry(host.clone()).or_default().push(url.clone());
    }
    let cancel = cancel.clone();
    Ok(Options {
        credentials: credentials(patience)?,
        insecure: global.insecure_registries.iter().cloned().collect(),
        mirrors,
        cache_folder: Some(state.sub("registry")),
        patience: patience.clone(),
        stop: Stop::when(move || cancel.is_cancelled()),
        ..Options::default()
    })
}

/// Logins of this process and of docker, whose helpers are waited for as everybody is.
pub fn credentials(patience: &Patience) -> Result<Credentials, Failure> {
    let found = Credentials::from_lookup(|name| std::env::var(name).ok()).map_err(|why| {
        Failure::with_hint(
            why,
            "a login goes to the registry it was given for and to no other; docs/credentials.md",
        )
    })?;
    Ok(Credentials { patience: patience.clone(), ..found })
}
