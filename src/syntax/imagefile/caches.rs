//! `cache_from` and `cache_to`: layer caches, as docker build and bake spell them.
//!
//! An engine is asked to build through its API, which knows fewer kinds than BuildKit itself: layers of
//! images in registries may serve, and an image can carry its own. What the API has no way for is a
//! mistake that says so, and never passed over.

use super::scope::Scope;
use super::{DeclaredCaches, Word};
use crate::syntax::error::SyntaxError;
use crate::syntax::reference;

/// A mistake, and the remedy.
type Mistake = (String, String);

const NEEDS_BUILDKITD: &str = "an engine's API takes layers from images in registries (type=registry) and writes \
    them into the image (type=inline); every other cache needs a buildkitd of its own, as `docker buildx` starts one";

/// The image that `cache_from` names: `r.example/x:cache`, or `type=registry,ref=r.example/x:cache`.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn source(text: &str) -> Result<String, Mistake> {
    let name = if text.contains('=') {
        let mut image = None;
        let mut kind = None;
        for (key, value) in pairs(text)? {
            match key {
                "type" => kind = Some(value),
                "ref" => image = Some(value),
                _ => return Err(unknown(text, key)),
            }
        }
        match (kind, image) {
            (Some("registry"), Some(image)) => image,
            (Some("registry"), None) => {
                let hint = "write type=registry,ref=REGISTRY/NAME:TAG".to_owned();
                return Err((format!("`{text}` names no image"), hint));
            }
            _ => return Err((format!("`{text}` cannot be asked of an engine"), NEEDS_BUILDKITD.to_owned())),
        }
    } else {
        text
    };
    match reference::parse(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(why) => {
            Err((format!("`{name}` names no image: {why}"), "such as registry.example/web:cache".to_owned()))
        }
    }
}

/// Checks that a word of `cache_to` is the one kind there is: `type=inline`.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn target(text: &str) -> Result<(), Mistake> {
    let mut kind = None;
    let mut other = None;
    for (key, value) in if text.contains('=') { pairs(text)? } else { Vec::new() } {
        if key == "type" { kind = Some(value) } else { other = Some(key) }
    }
    match (kind, other) {
        (Some("inline"), None) => Ok(()),
        (Some("inline"), Some(key)) => Err(unknown(text, key)),
        _ => Err((format!("`{text}` cannot be asked of an engine"), NEEDS_BUILDKITD.to_owned())),
    }
}

fn pairs(text: &str) -> Result<Vec<(&str, &str)>, Mistake> {
    let pair = |part: &'_ str| part.split_once('=').is_some();
    if let Some(part) = text.split(',').find(|part| !pair(part)) {
        let hint = "write type=registry,ref=REGISTRY/NAME:TAG".to_owned();
        return Err((format!("`{part}` in `{text}` is no KEY=VALUE"), hint));
    }
    Ok(text.split(',').filter_map(|part| part.trim().split_once('=')).collect())
}

fn unknown(text: &str, key: &str) -> Mistake {
    (format!("`{key}` in `{text}` cannot be asked of an engine"), NEEDS_BUILDKITD.to_owned())
}

impl Scope<'_> {
    pub(super) fn caches(&mut self, from: &[Word], to: &[Word]) -> DeclaredCaches {
        let mut caches = DeclaredCaches::default();
        for word in self.words(from) {
            match source(&word.text) {
                Ok(image) => caches.from.push(image),
                Err((message, hint)) => self.errors.push(SyntaxError::new(word.span, message).hint(hint)),
            }
        }
        for word in self.words(to) {
            match target(&word.text) {
                Ok(()) => caches.inline = true,
                Err((message, hint)) => self.errors.push(SyntaxError::new(word.span, message).hint(hint)),
            }
        }
        caches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_in_a_registry_is_spelled_in_two_ways() {
        assert_eq!(source("r.example/x:cache").unwrap(), "r.example/x:cache");
        assert_eq!(source("type=registry,ref=r.example/x").unwrap(), "r.example/x");
        target("type=inline").unwrap();
    }

    #[test]
    fn what_an_engine_cannot_do_is_told_and_not_passed_over() {
        for text in
            ["type=gha", "type=local,src=x", "type=registry,ref=r.example/x,mode=max", "type=registry"]
        {
            assert!(source(text).is_err(), "{text}");
        }
        for text in
            ["type=registry,ref=r.example/x", "type=local,dest=x", "type=gha", "type=inline,mode=max", "x"]
        {
            let (message, hint) = target(text).unwrap_err();
            assert!(message.contains(text) && hint.contains("buildkitd"), "{message}: {hint}");
        }
    }
}
