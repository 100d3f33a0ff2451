//! OCI layouts as people name them: `oci-layout://PATH[:TAG][@DIGEST]`, as buildx and bake spell it.
//!
//! Text in, values out: whether anything is there, nobody looks.

use std::fmt;

use super::reference;

const WORD: &str = "oci-layout:";

/// An image in an OCI layout, as it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayoutSource {
    /// The folder of the layout.
    pub path: String,
    /// The name that the layout has for it (`org.opencontainers.image.ref.name`).
    pub tag: Option<String>,
    /// The digest of its manifest or index.
    pub digest: Option<String>,
}

impl fmt::Display for LayoutSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "." } else { &self.path };
        write!(f, "{WORD}//{path}")?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.iter().try_for_each(|digest| write!(f, "@{digest}"))
    }
}

/// Whether a text that stands where a context's meaning does is about an OCI layout, well or badly.
pub fn is_meant(text: &str) -> bool {
    text.starts_with(WORD)
}

/// Whether a base's reference names an OCI layout, as [`LayoutSource`] writes it: `oci-layout:1` is an image.
pub fn is(reference: &str) -> bool {
    reference.strip_prefix(WORD).is_some_and(|rest| rest.starts_with("//"))
}

/// Reads what names an OCI layout. As with buildx, the first `@` ends the path and the tag, and the first `:` the path.
///
/// # Errors
/// A sentence, for what names none.
///
/// ```
/// use imk::syntax::layout_source::parse;
///
/// let base = parse("oci-layout://vendor/os:3.20").unwrap();
/// assert_eq!((base.path.as_str(), base.tag.as_deref()), ("vendor/os", Some("3.20")));
/// assert!(parse("oci-layout://vendor/os@sha256:12").is_err());
/// ```
pub fn parse(text: &str) -> Result<LayoutSource, String> {
    let rest = text.strip_prefix(WORD).ok_or("it does not begin with `oci-layout://`")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (rest, digest) = match rest.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (rest, None),
    };
    let (path, tag) = match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag)),
        None => (rest, None),
    };
    if path.is_empty() {
        return Err("it names no folder".into());
    }
    if digest.is_some_and(|digest| !reference::is_digest(digest)) {
        return Err("the digest behind `@` is not well formed".into());
    }
    if tag.is_some_and(|tag| tag.is_empty() || tag.chars().any(|c| c.is_whitespace() || c.is_control())) {
        return Err("what stands behind `:` is no tag".into());
    }
    Ok(LayoutSource { path: path.to_owned(), tag: tag.map(str::to_owned), digest: digest.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layout_is_named_by_folder_tag_and_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, path, tag, with_digest) in [
            ("oci-layout://vendor/os", "vendor/os", None, false),
            ("oci-layout:vendor/os:1.2", "vendor/os", Some("1.2"), false),
            ("oci-layout:///srv/os:docker.io/library/os:1", "/srv/os", Some("docker.io/library/os:1"), false),
            (&format!("oci-layout://./os@{digest}"), "./os", None, true),
            (&format!("oci-layout://os:x@{digest}"), "os", Some("x"), true),
        ] {
            let found = parse(text).unwrap();
            assert_eq!((found.path.as_str(), found.tag.as_deref()), (path, tag), "{text}");
            assert_eq!(found.digest.as_ref(), with_digest.then_some(&digest), "{text}");
            assert_eq!(parse(&found.to_string()).unwrap(), found, "{text}");
        }
    }

    #[test]
    fn what_names_no_layout_is_refused_and_is_no_reference_either() {
        for text in [
            "oci-layout://",
            "oci-layout://:1",
            "oci-layout://os:",
            "oci-layout://os:a b",
            "oci-layout://os@sha256:../x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        // Nobody takes one for the name of an image in a registry.
        for text in ["oci-layout://os", "oci-layout://vendor/os:1", "oci-layout:///srv/os", "oci-layout://."]
        {
            assert!(is(text) && reference::parse(text).is_err(), "{text}");
        }
        assert!(!is("oci-layout:1") && is_meant("oci-layout:1"), "an image may be called so");
    }
}
