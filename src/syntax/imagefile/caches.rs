//! `cache_from` and `cache_to`: layer caches, as docker build and bake spell them.
//!
//! Layers of images in registries may serve on every engine, and an image can carry its own. The other kinds are
//! BuildKit's, which each engine has or has not; that is told when it is known. What nobody has is a
//! mistake that says so, and never passed over.

use std::collections::BTreeMap;

use super::scope::Scope;
use super::{DeclaredCaches, Word};
use crate::model::layer_cache::{LOCAL, LayerCache};
use crate::model::name::clean_path;
use crate::syntax::error::SyntaxError;
use crate::syntax::reference;
use crate::syntax::suggest::did_you_mean;

/// A mistake, and the remedy.
type Mistake = (String, String);

/// The settings of each kind, beside `type`.
const KINDS: &[(&str, &[&str])] = &[
    (
        "registry",
        &[
            "ref",
            "mode",
            "image-manifest",
            "oci-mediatypes",
            "oci-artifact",
            "compression",
            "compression-level",
            "force-compression",
            "ignore-error",
            "registry.insecure",
        ],
    ),
    (
        "local",
        &[
            "src",
            "dest",
            "digest",
            "tag",
            "mode",
            "image-manifest",
            "oci-mediatypes",
            "compression",
            "compression-level",
            "force-compression",
            "ignore-error",
        ],
    ),
    ("gha", &["scope", "mode", "ignore-error", "timeout", "version", "repository"]),
    (
        "s3",
        &[
            "region",
            "bucket",
            "name",
            "prefix",
            "blobs_prefix",
            "manifests_prefix",
            "mode",
            "endpoint_url",
            "use_path_style",
            "upload_parallelism",
            "touch_refresh",
            "disable_accept_encoding",
            "retry_mode",
            "retry_max_attempts",
            "ignore-error",
        ],
    ),
    (
        "azblob",
        &[
            "name",
            "account_url",
            "account_name",
            "container",
            "prefix",
            "blobs_prefix",
            "manifests_prefix",
            "mode",
            "ignore-error",
        ],
    ),
    ("inline", &[]),
];

const SPELLING: &str = "such as type=registry,ref=REGISTRY/NAME:TAG,mode=max, type=local,dest=FOLDER, type=inline or type=gha,scope=main";

/// A place that layers are taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An image in a registry, which every engine can be asked for.
    Image(String),
    /// Another cache.
    Other(LayerCache),
}

/// A place that layers are left in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The image itself.
    Inline,
    /// Another cache.
    Other(LayerCache),
}

/// The cache that a word of `cache_from` means: `r.example/x:cache`, or `type=registry,ref=r.example/x:cache`.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn source(text: &str) -> Result<Source, Mistake> {
    if !text.contains('=') {
        return named(text).map(Source::Image);
    }
    let mut cache = cache(text)?;
    match (cache.kind.as_str(), cache.attributes.len()) {
        ("inline", _) => {
            let hint = "name the image that carries it: type=registry,ref=REGISTRY/NAME:TAG".to_owned();
            Err((format!("`{text}` names no image"), hint))
        }
        ("registry", 1) => Ok(Source::Image(cache.attributes.remove("ref").unwrap_or_default())),
        (LOCAL, _) => folder(text, &cache, ["src", "dest"]).map(|()| Source::Other(cache)),
        _ => Ok(Source::Other(cache)),
    }
}

/// The cache that a word of `cache_to` means.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn target(text: &str) -> Result<Target, Mistake> {
    if !text.contains('=') {
        let cache = format!("type=registry,ref={text}");
        return named(text).and_then(|_| self::cache(&cache)).map(Target::Other);
    }
    let cache = cache(text)?;
    if cache.is_local() {
        folder(text, &cache, ["dest", "src"])?;
        if cache.attributes.contains_key("digest") {
            let hint = "a `tag` names what is left; its digest comes of it".to_owned();
            return Err((format!("`{text}` says the digest of what is yet to be made"), hint));
        }
    }
    Ok(if cache.kind == "inline" { Target::Inline } else { Target::Other(cache) })
}

/// Refuses a local cache whose folder is not said by this key, or by the other one.
fn folder(text: &str, cache: &LayerCache, [key, other]: [&str; 2]) -> Result<(), Mistake> {
    let hint = || "layers are taken from `src` and left in `dest`".to_owned();
    if cache.attributes.contains_key(other) {
        return Err((format!("`{text}` has `{other}`, and it is `{key}` here"), hint()));
    }
    match cache.attributes.get(key).is_some_and(|folder| !folder.is_empty()) {
        true => Ok(()),
        false => Err((format!("`{text}` does not say `{key}`"), hint())),
    }
}

/// A local cache of an Imagefile is below its folder, and not where git or imk keep what is theirs: an Imagefile may be a
/// stranger's.
fn below_the_imagefile(mut cache: LayerCache) -> Result<LayerCache, Mistake> {
    for key in ["src", "dest"].iter().filter(|_| cache.kind == LOCAL) {
        let Some(path) = cache.attributes.get_mut(*key) else { continue };
        let option = if *key == "src" { "--cache-from" } else { "--cache-to" };
        let hint = || format!("an Imagefile keeps caches below its own folder; {option} takes any");
        let clean = clean_path(path).filter(|clean| !path.starts_with('/') && !clean.is_empty());
        let Some(clean) = clean else {
            return Err((format!("the cache `{path}` leads out of the Imagefile's folder"), hint()));
        };
        let own =
            clean.split('/').find(|part| [".git", ".imk"].iter().any(|own| part.eq_ignore_ascii_case(own)));
        if let Some(own) = own {
            return Err((
                format!("the cache `{clean}` is inside `{own}`, which is not the Imagefile's"),
                hint(),
            ));
        }
        *path = clean;
    }
    Ok(cache)
}

fn named(name: &str) -> Result<String, Mistake> {
    match reference::parse(name) {
        Ok(_) => Ok(name.to_owned()),
        Err(why) => {
            Err((format!("`{name}` names no image: {why}"), "such as registry.example/web:cache".to_owned()))
        }
    }
}

fn cache(text: &str) -> Result<LayerCache, Mistake> {
    let mut attributes = BTreeMap::new();
    for part in text.split(',') {
        let Some((key, value)) = part.trim().split_once('=') else {
            return Err((format!("`{part}` in `{text}` is no KEY=VALUE"), SPELLING.to_owned()));
        };
        attributes.insert(key.to_owned(), value.to_owned());
    }
    let Some(kind) = attributes.remove("type") else {
        return Err((format!("`{text}` has no type"), SPELLING.to_owned()));
    };
    let Some((_, known)) = KINDS.iter().find(|(other, _)| *other == kind) else {
        let hint =
            did_you_mean(&kind, KINDS.iter().map(|(kind, _)| *kind)).unwrap_or_else(|| SPELLING.to_owned());
        return Err((format!("there is no cache of type `{kind}` (`{text}`)"), hint));
    };
    if let Some(key) = attributes.keys().find(|key| !known.contains(&key.as_str())) {
        let hint = did_you_mean(key, known.iter().copied()).unwrap_or_else(|| match known {
            [] => "it takes none".to_owned(),
            known => format!("it takes {}", known.join(", ")),
        });
        return Err((format!("a cache of type `{kind}` has no setting `{key}` (`{text}`)"), hint));
    }
    if let Some(mode) = attributes.get("mode").filter(|mode| !matches!(mode.as_str(), "min" | "max")) {
        return Err((format!("there is no mode `{mode}` (`{text}`)"), "it is min or max".to_owned()));
    }
    // What s3 and azblob want may be in the environment of the BuildKit that has them.
    if kind == "registry" && !attributes.contains_key("ref") {
        return Err((format!("`{text}` lacks `ref`"), SPELLING.to_owned()));
    }
    if let Some(name) = attributes.get("ref") {
        named(name)?;
    }
    Ok(LayerCache { kind, attributes })
}

impl Scope<'_> {
    pub(super) fn caches(&mut self, from: &[Word], to: &[Word]) -> DeclaredCaches {
        let mut caches = DeclaredCaches::default();
        let wrong = |word: &Word, (message, hint): Mistake| SyntaxError::new(word.span, message).hint(hint);
        let mut mistakes = Vec::new();
        for word in self.words(from) {
            match source(&word.text) {
                Ok(Source::Image(image)) => caches.from.push(image),
                Ok(Source::Other(cache)) => match below_the_imagefile(cache) {
                    Ok(cache) => caches.other_from.push(cache),
                    Err(mistake) => mistakes.push(wrong(&word, mistake)),
                },
                Err(mistake) => mistakes.push(wrong(&word, mistake)),
            }
        }
        for word in self.words(to) {
            match target(&word.text) {
                Ok(Target::Inline) => caches.inline = true,
                Ok(Target::Other(cache)) => match below_the_imagefile(cache) {
                    Ok(cache) => caches.to.push(cache),
                    Err(mistake) => mistakes.push(wrong(&word, mistake)),
                },
                Err(mistake) => mistakes.push(wrong(&word, mistake)),
            }
        }
        self.errors.extend(mistakes);
        caches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn other(kind: &str, pairs: &[(&str, &str)]) -> LayerCache {
        let attributes = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        LayerCache { kind: kind.into(), attributes }
    }

    #[test]
    fn caches_are_spelled_as_docker_spells_them() {
        assert_eq!(source("r.example/x:cache"), Ok(Source::Image("r.example/x:cache".into())));
        assert_eq!(source("type=registry,ref=r.example/x"), Ok(Source::Image("r.example/x".into())));
        let gha = other("gha", &[("scope", "main")]);
        assert_eq!(source("type=gha,scope=main"), Ok(Source::Other(gha)));
        assert_eq!(target("type=inline"), Ok(Target::Inline));
        let registry = other("registry", &[("ref", "r.example/x"), ("mode", "max")]);
        assert_eq!(target("type=registry,ref=r.example/x,mode=max"), Ok(Target::Other(registry)));
    }

    #[test]
    fn what_nobody_can_do_is_told_and_not_passed_over() {
        for (text, wanted) in [
            ("type=local,src=x", "it is `dest` here"),
            ("type=local,mode=max", "does not say `dest`"),
            ("type=local,dest=", "does not say `dest`"),
            ("type=local,dest=x,digest=sha256:0", "yet to be made"),
            ("type=reigstry,ref=x", "there is no cache of type `reigstry`"),
            ("type=registry,mode=max", "lacks `ref`"),
            ("type=registry,ref=x,mode=most", "there is no mode `most`"),
            ("type=registry,ref=A", "`A` names no image"),
            ("type=inline,mode=max", "has no setting `mode`"),
            ("type=gha,token=x", "has no setting `token`"),
            ("ref=x", "has no type"),
            ("type=registry,x", "is no KEY=VALUE"),
        ] {
            let (message, _) = target(text).unwrap_err();
            assert!(message.contains(wanted), "{text}: {message}");
        }
        assert!(source("type=inline").is_err());
        assert!(source("type=local,dest=x").unwrap_err().0.contains("it is `src` here"));
    }

    #[test]
    fn an_imagefile_keeps_its_caches_below_its_folder() {
        let checked = |dest: &str| below_the_imagefile(other("local", &[("dest", dest)]));
        assert_eq!(checked("./a//cache/").unwrap().attributes["dest"], "a/cache");
        for dest in ["/tmp/cache", "../cache", "a/../../x", ".", ".git/x", "a/.IMK"] {
            assert!(checked(dest).is_err(), "{dest}");
        }
    }
}
