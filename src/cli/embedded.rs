//! imk's own builder as the command line asks for it, and where nobody asked for any other.

use std::path::PathBuf;
use std::sync::Arc;

use crate::buildkitd::BuildkitdEngine;
use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::out;
use crate::embedded::{EmbeddedEngine, Isolation, NAME};
use crate::engine::Engine;
use crate::engine::buildkitd::Buildkitd;
use crate::registry::Registry;
use crate::session::open::Session;

/// Makes the engine, when there is to be one.
pub struct Maker {
    store: PathBuf,
    isolation: Isolation,
    registry: Arc<dyn Registry>,
}

impl Maker {
    /// With the registries of this run.
    pub fn new(global: &Global, registry: Arc<dyn Registry>) -> Result<Self, Failure> {
        Ok(Self { store: store(global), isolation: isolation(global)?, registry })
    }

    /// The engine.
    pub fn engine(&self) -> Arc<dyn Engine> {
        let engine = EmbeddedEngine::new(self.store.clone(), Arc::clone(&self.registry));
        Arc::new(engine.isolated(self.isolation))
    }
}

impl Maker {
    /// An engine of a BuildKit of its own.
    pub fn buildkitd(&self, daemon: Buildkitd) -> Arc<dyn Engine> {
        Arc::new(BuildkitdEngine::new(daemon, Arc::clone(&self.registry)))
    }
}

/// The isolation that was asked for.
pub fn isolation(global: &Global) -> Result<Isolation, Failure> {
    match global.embedded.isolation.as_deref() {
        None | Some("namespaces") => Ok(Isolation::Namespaces),
        Some("chroot") => Ok(Isolation::Chroot),
        Some(other) => {
            let hint = "it is `namespaces` or `chroot`";
            Err(Failure::with_hint(format!("there is no isolation `{other}`"), hint))
        }
    }
}

/// The folder of the image store: one a user, since images of many repositories share their layers.
pub fn store(global: &Global) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let own = || {
        let data = variable("XDG_DATA_HOME").filter(|path| path.is_absolute());
        let data = data.or_else(|| variable("HOME").map(|home| home.join(".local/share")));
        data.unwrap_or_else(|| PathBuf::from("/var/lib")).join("imk/store")
    };
    global.embedded.store.clone().unwrap_or_else(own)
}

/// Says that images will be built anew because another kind of builder made the last ones, in one line.
pub fn tell_of_switch(session: &Session) {
    let own = |engine: &str| engine.starts_with(NAME);
    let pool = session.executor.pool();
    let is_own = pool.default_node().name == NAME;
    let records = session.executor.ledger.records();
    let (ours, theirs): (Vec<_>, Vec<_>) = records.iter().partition(|record| own(&record.engine));
    let switched =
        if is_own { ours.is_empty() && !theirs.is_empty() } else { theirs.is_empty() && !ours.is_empty() };
    if switched {
        let (now, before) = if is_own {
            ("imk's own builder", "another engine")
        } else {
            ("this engine", "imk's own builder")
        };
        out::note(format_args!(
            "note: {before} built these images until now; {now} builds each of them anew, once"
        ));
    }
}
