//! Opens the repository that the command line means.

use std::path::Path;
use std::sync::Arc;

use super::args::Global;
use super::failure::{Failure, open_error};
use crate::drive::project::Overrides;
use crate::drive::session::{Opening, STATE, Session};
use crate::engine::{Cancel, DockerEngine, Endpoint, Engine, Environment};
use crate::source::discover::discover;
use crate::source::disk::DiskTree;
use crate::source::locate::{Located, locate};
use crate::source::tree::SourceTree;

/// The repository around the current folder, `-C` or `-f`.
pub fn located(global: &Global) -> Result<Located, Failure> {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    Ok(locate(start, global.file.as_deref())?)
}

/// Opens it; `exclusive` verbs wait for each other.
pub fn session(global: &Global, exclusive: bool, cancel: &Cancel) -> Result<Session, Failure> {
    let located = located(global)?;
    let tree: Arc<dyn SourceTree> = Arc::new(DiskTree::open(&located.root, &located.root.join(STATE))?);
    let environment = Environment::from_lookup(|name| std::env::var(name).ok());
    let endpoint = Endpoint::resolve(&environment).map_err(|error| Failure::engine(&error))?;
    let engine: Arc<dyn Engine> = Arc::new(DockerEngine::new(endpoint));
    let opening = Opening {
        located: located.clone(),
        overrides: overrides(global),
        engine,
        tree: Arc::clone(&tree),
        cancel: cancel.clone(),
        environment: std::env::vars_os().collect(),
        exclusive,
    };
    let waiting = |holder: &str| {
        let who = if holder.is_empty() { "another imk" } else { holder };
        anstream::eprintln!("waiting for {who}, which is building in this repository");
    };
    Session::open(opening, || discover(&located.root, &located.root.join(STATE)), waiting).map_err(|error| {
        let text_of = |path: &str| String::from_utf8(tree.read(path).ok()??).ok();
        open_error(error, text_of)
    })
}

fn overrides(global: &Global) -> Overrides {
    const VAR: &str = "IMK_VAR_";
    let from_env = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.to_str()?.strip_prefix(VAR)?.to_owned();
        Some((name, value.to_str()?.to_owned()))
    });
    let mut vars: std::collections::BTreeMap<String, String> = from_env.collect();
    vars.extend(global.vars.iter().cloned());
    Overrides {
        vars,
        args: global.build_args.iter().cloned().collect(),
        platform: global.platform.clone(),
        prefix: global.prefix.clone(),
        target: global.target.clone(),
    }
}
