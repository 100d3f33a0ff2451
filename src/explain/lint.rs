//! Checks of Dockerfiles: imk's own remarks, and the checks of an engine's BuildKit where it has them.
//!
//! Builds nothing. Finds nothing by itself: remarks are `plan/warnings`', checks the builder's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::{BuildRequest, Caches, CheckFinding, ContextFiles, EngineError};
use crate::model::file::{UsedFile, UsedFiles};
use crate::plan::warnings::{self, Warning};
use crate::query::inputs::Text;
use crate::query::recipe::recipe;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::syntax::dockerfile::Frontend;
use crate::syntax::resolve::NamedContext;

/// Findings on the targets.
#[derive(Debug, Default)]
pub struct Findings {
    /// imk's own remarks.
    pub own: Vec<Warning>,
    /// The builder's, by Dockerfile, each once.
    pub builder: BTreeMap<String, Vec<CheckFinding>>,
    /// Why the builder was not asked, or has no checks.
    pub unasked: Option<String>,
}

/// Looks at the targets.
pub fn lint(session: &Session, synced: &Synced) -> Findings {
    let mut findings = Findings { own: warnings::warnings(session, synced), ..Findings::default() };
    if let Err(error) = &synced.engine {
        findings.unasked = Some(error.to_string());
        return findings;
    }
    for name in &synced.targets {
        let Some(request) = request(session, name) else { continue };
        let path = session.project.images[name].paths.dockerfile.clone();
        match session.executor.default_engine().checks(&request, &session.executor.cancel) {
            Ok(Some(found)) => {
                let known = findings.builder.entry(path).or_default();
                for finding in found {
                    if !known.contains(&finding) {
                        known.push(finding);
                    }
                }
            }
            Ok(None) => {
                findings.unasked =
                    Some("this engine's builder has no checks of its own (Docker 27.1 or newer has)".into());
                break;
            }
            Err(EngineError::Interrupted) => break,
            Err(error) => findings.unasked = Some(error.to_string()),
        }
    }
    findings
}

/// The Dockerfile of an image as the builder is to look at it; no other file is sent.
fn request(session: &Session, name: &str) -> Option<BuildRequest> {
    let image = session.input(name)?;
    let Text::Is(text) = image.dockerfile(session.db()) else { return None };
    // A frontend of somebody's is a program of his, and nobody asked for its run.
    recipe(session.db(), image).as_ref().ok().filter(|recipe| recipe.frontend == Frontend::Builtin)?;
    let options = image.options(session.db());
    let contexts = options.contexts.iter();
    let files_of = contexts.filter(|(_, it)| **it == NamedContext::Files).map(|(name, _)| name);
    Some(BuildRequest {
        layouts: BTreeMap::new(),
        image: name.to_owned(),
        dockerfile: text.clone(),
        target: options.target.clone(),
        args: options.args.clone(),
        labels: BTreeMap::new(),
        platform: options.platform.clone(),
        network: None,
        secrets: BTreeMap::new(),
        ssh: BTreeMap::new(),
        sandbox: Default::default(),
        no_cache: false,
        no_cache_stages: Vec::new(),
        entitlements: BTreeSet::new(),
        share: String::new(),
        cache: Caches::default(),
        repository: None,
        files: no_files(),
        contexts: files_of.map(|name| (name.clone(), no_files())).collect(),
    })
}

fn no_files() -> Arc<dyn ContextFiles> {
    Arc::new(NoFiles::default())
}

/// A context without files.
#[derive(Default)]
struct NoFiles(UsedFiles);

impl ContextFiles for NoFiles {
    fn list(&self) -> &UsedFiles {
        &self.0
    }

    fn open(&self, file: &UsedFile) -> Result<Box<dyn std::io::Read + Send>, String> {
        Err(format!("`{}` was never offered", file.path))
    }
}
