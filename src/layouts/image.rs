//! An image of a layout: what a name and a platform stand for in it.

use super::choose;
use super::layout::{Layout, LayoutError};
use crate::engine::{Blob, LayoutImage};
use crate::registry::document::Document;
use crate::syntax::layout_source::LayoutSource;

impl Layout {
    /// The image that the name stands for, of this platform.
    ///
    /// # Errors
    /// When the layout has no such image, or cannot be trusted.
    pub fn image(&self, source: &LayoutSource, platform: &str) -> Result<Image, LayoutError> {
        let (digest, manifest) = choose::manifest(self, source, platform)?;
        let document = Document::parse(&manifest).map_err(LayoutError::unsound)?;
        let Some(config) = document.config else {
            return Err(LayoutError::unsound(format!("what {digest} names is no image")));
        };
        Ok(Image { layout: self.clone(), digest, config: config.digest })
    }
}

/// An image of a layout.
#[derive(Clone)]
pub struct Image {
    layout: Layout,
    digest: String,
    config: String,
}

impl Image {
    /// Its configuration.
    ///
    /// # Errors
    /// When the layout lacks it, or has another in its place.
    pub fn configuration(&self) -> Result<Vec<u8>, LayoutError> {
        self.layout.by_digest(&self.config, None)
    }
}

impl LayoutImage for Image {
    fn digest(&self) -> &str {
        &self.digest
    }

    fn blob(&self, digest: &str) -> Result<Option<Box<dyn Blob>>, String> {
        self.layout.blob(digest)
    }
}
