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
mod matrix;
mod merge;
mod on_publish;
mod outputs;
mod overlays;
mod platforms;
mod policy;
mod raw;
mod runs;
mod scope;
mod settings;
mod ssh;
mod steps;

use std::collections::BTreeMap;

use super::error::SyntaxError;
use crate::model::name::for_platform;
pub use caches::{
    Source as CacheSource, Target as CacheTarget, source as cache_source, target as cache_target,
};
pub(crate) use contexts::{Meaning, read as context};
pub use declaration::{
    Declaration, DeclaredCaches, DeclaredContext, DeclaredEngine, DeclaredOverlay, EngineAddress, Imagefile,
    OverlaySource, Policy, SecretSource, StandsFor, Word,
};
pub use keys::{
    ENGINE_KEYS, GIT_KEYS, IMAGE_KEYS, LOG_KEYS, NOTICE_KEYS, ON_PUBLISH_KEYS, RUN_KEYS, RenamedKey,
    SERVICE_KEYS, STEPS, TEST_KEYS, TOP_KEYS,
};
pub use outputs::{Asked, ask as ask_outputs, output};
pub use runs::RUN_FACTS;
pub use settings::{Setting, setting};
pub use ssh::ssh;

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
    read_with(text, vars, &[])
}

/// As [`read`], with settings of the command line written over what images declare.
///
/// # Errors
/// As [`read`].
pub fn read_with(
    text: &str,
    vars: &BTreeMap<String, String>,
    settings: &[Setting],
) -> Result<Imagefile, Vec<SyntaxError>> {
    let (raw, mut errors) = decode::decode(text);
    let mut settings = settings::Settings::new(settings);
    let imagefile = inherit::inherit(raw, vars, (&mut settings, text.len()), &mut errors);
    if errors.is_empty() {
        return Ok(imagefile);
    }
    errors.sort_by_key(|error| (error.span, error.message.clone()));
    errors.dedup();
    Err(errors)
}

/// The mistake of an Imagefile that is written in another language.
pub fn other_language(text: &str) -> Option<SyntaxError> {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', '/']))?;
    let at = text.find(first)?;
    let is_key = |line: &str| {
        let name = line.split(':').next().unwrap_or_default();
        line.contains(':') && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let language = match first {
        _ if first.starts_with('{') => "JSON",
        _ if first.starts_with('[') || first.split_once('=').is_some_and(|(name, _)| !name.contains('(')) => {
            "TOML"
        }
        "---" => "YAML",
        _ if is_key(first) => "YAML",
        _ => return None,
    };
    let message = format!("this is {language}, and an Imagefile is RON");
    let hint = "RON has keys in parentheses, such as (images: {\"web\": (context: \"web\")}); `imk init --force` writes what discovery finds";
    Some(SyntaxError::new(super::error::Span::new(at, at + first.len()), message).hint(hint))
}

/// The names of images and groups, as far as the text can be read: for completion.
pub fn names(text: &str) -> Vec<String> {
    let (raw, mut errors) = decode::decode(text);
    let file =
        inherit::inherit(raw, &BTreeMap::new(), (&mut settings::Settings::new(&[]), text.len()), &mut errors);
    let each = |image: Declaration| {
        let name = image.name.text;
        let several = if image.platforms.len() > 1 { image.platforms } else { Vec::new() };
        let each: Vec<String> = several.iter().map(|one| for_platform(&name, one)).collect();
        std::iter::once(name).chain(each)
    };
    let images = file.images.into_iter().flat_map(each);
    images.chain(file.groups.into_keys()).collect()
}

#[cfg(test)]
mod tests;
