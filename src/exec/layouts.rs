//! Images of OCI layouts, for the engine that builds on them.
//!
//! In the Dockerfile that is sent a name by digest stands for each, which no registry answers to.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Executor;
use crate::engine::{EngineError, LayoutImage, Node};
use crate::layouts::Layout;
use crate::query::effect::{BuildError, BuildJob};
use crate::query::inputs::Exact;
use crate::syntax::layout_source;

/// The name of all images of layouts, wherever they lie.
pub(super) const NAME: &str = "imk.invalid/layout";

/// The name that stands for an image of a layout, by the digest of its manifest.
pub(super) fn name(digest: &str) -> String {
    format!("{NAME}@{digest}")
}

impl Executor {
    /// The images of layouts that a job builds on, by the names that stand for them.
    pub(super) fn layouts(
        &self,
        job: &BuildJob<'_>,
        node: &Node,
    ) -> Result<BTreeMap<String, Arc<dyn LayoutImage>>, BuildError> {
        let mut found: BTreeMap<String, Arc<dyn LayoutImage>> = BTreeMap::new();
        for (base, exact) in job.outside.iter().filter(|(base, _)| layout_source::is(&base.reference)) {
            let refused = |why: String| {
                BuildError::Engine(EngineError::Refused {
                    what: format!("building on `{}`", base.reference),
                    why,
                })
            };
            let Exact::Digest(digest) = exact else { continue };
            if !node.engine.takes_layouts() {
                let why = "this engine is given no OCI layout; push what is in it to a registry and name that, or build \
                           with `--engine embedded`";
                return Err(refused(why.to_owned()));
            }
            let source = layout_source::parse(&base.reference).map_err(refused)?;
            let layout =
                Layout::of(&source, &self.tree).and_then(|layout| layout.image(&source, &base.platform));
            let image = layout.map_err(|error| refused(format!("{}; {}", error.why, error.hint)))?;
            // The key names the image that lay there when it was made.
            if image.digest() != digest {
                return Err(BuildError::FilesChanged);
            }
            found.insert(name(digest), Arc::new(image));
        }
        Ok(found)
    }
}
