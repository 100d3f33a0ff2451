//! Imagefile.ron: what a person declares about the images of a repository.
//!
//! Text in, declarations out, all mistakes together and each with its place.
//! Opens no file: whether a Dockerfile exists is for the rooms above.

mod caches;
mod checks;
mod contexts;
mod declaration;
pub(in crate::syntax) mod decode;
mod engines;
pub mod format;
mod inherit;
mod keys;
pub mod kinds;
mod overlays;
mod raw;
mod runs;
mod scope;

use std::collections::BTreeMap;

use super::error::SyntaxError;
pub use caches::{source as cache_source, target as cache_target};
pub use contexts::no_image;
pub use declaration::{
    Declaration, DeclaredCaches, DeclaredContext, DeclaredEngine, DeclaredOverlay, EngineAddress, Imagefile,
    OverlaySource, Policy, SecretSource, Word,
};
pub use keys::{
    ENGINE_KEYS, GIT_KEYS, IMAGE_KEYS, LOG_KEYS, RUN_KEYS, RenamedKey, SERVICE_KEYS, STEPS, TEST_KEYS,
    TOP_KEYS,
};
pub use runs::RUN_FACTS;

/// Reads an Imagefile. `vars` override the variables it declares.
///
/// # Errors
/// Every mistake in the text, in the order of their places.
///
/// # Examples
///
/// ```
/// use imk::syntax::imagefile::read;
///
/// let text = r#"(prefix: "team/", vars: {"V": "1"}, images: {"web": (tags: ["{V}"]), "db": ()})"#;
/// let file = read(text, &Default::default()).expect("no mistakes");
/// assert_eq!(file.prefix, "team/");
/// assert_eq!(file.images.len(), 2);
///
/// // An unknown key is a mistake, with the nearest one that there is.
/// let mistakes = read(r#"(images: {"web": (dockrfile: "D")})"#, &Default::default()).unwrap_err();
/// assert_eq!(mistakes.len(), 1);
/// ```
pub fn read(text: &str, vars: &BTreeMap<String, String>) -> Result<Imagefile, Vec<SyntaxError>> {
    let (raw, mut errors) = decode::decode(text);
    let imagefile = inherit::inherit(raw, vars, &mut errors);
    if errors.is_empty() {
        return Ok(imagefile);
    }
    errors.sort_by_key(|error| (error.span, error.message.clone()));
    errors.dedup();
    Err(errors)
}

/// The names of images and groups, as far as the text can be read: for completion.
pub fn names(text: &str) -> Vec<String> {
    let (raw, _) = decode::decode(text);
    let groups = raw.groups.into_iter().map(|(name, _)| name.text);
    raw.images.into_iter().map(|(name, _)| name.text).chain(groups).collect()
}

#[cfg(test)]
mod tests;
