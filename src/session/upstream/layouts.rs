//! Bases in OCI layouts: what a layout's files say now is what counts, and nobody else is asked.

use super::{Upstream, brought};
use crate::engine::LayoutImage;
use crate::layouts::{Layout, LayoutError};
use crate::query::inputs::{Exact, Outside, OutsideBase};
use crate::syntax::layout_source;

impl Upstream {
    /// The image of a layout, or why there is none.
    pub(super) fn layout(&self, base: &OutsideBase) -> Outside {
        self.look_into(base).unwrap_or_else(|LayoutError { why, hint }| Outside {
            exact: Exact::Refused { why, hint },
            brings: None,
        })
    }

    fn look_into(&self, base: &OutsideBase) -> Result<Outside, LayoutError> {
        let wrong = |why: String| LayoutError { why, hint: "as in \"oci-layout://vendor/os:1.2\"".into() };
        let source = layout_source::parse(&base.reference).map_err(wrong)?;
        let tree = self.tree.as_ref().ok_or_else(|| wrong("no files are looked at here".into()))?;
        let image = Layout::of(&source, tree)?.image(&source, &base.platform)?;
        let configuration = image.configuration()?;
        let brings = Some(brought(&configuration));
        Ok(Outside { exact: Exact::Digest(image.digest().to_owned()), brings })
    }
}
