//! The images that a Dockerfile names, without a target or arguments: for whoever looks at many of them.
//!
//! Knows no image of a repository. Stages are left out, and so is whatever is no name.

use std::collections::{BTreeMap, BTreeSet};

use super::dockerfile::{Body, parse};
use super::expand::Lexer;
use super::reference;

/// An image named in a Dockerfile, with the defaults of its global arguments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedImage {
    /// As docker shortens it, without a tag: `acme/core`, `python`.
    pub name: String,
    /// `latest` where none is written.
    pub tag: String,
    /// A variable stands in the tag: `acme/core:${VERSION}`.
    pub open: bool,
}

/// The images that a text names, by digest excepted; none if it cannot be read.
pub fn named(text: &str) -> BTreeSet<NamedImage> {
    let Ok(file) = parse(text) else { return BTreeSet::new() };
    let lexer = Lexer::new(file.escape);
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let globals = file.globals.iter().filter_map(|instruction| match &instruction.body {
        Body::Arg(arguments) => Some(arguments),
        _ => None,
    });
    for argument in globals.flatten() {
        let Some(default) = &argument.value else { continue };
        if let Ok(value) = lexer.expand(default, &values) {
            values.insert(argument.name.clone(), value.text);
        }
    }
    let mut found = BTreeSet::new();
    let mut stages: BTreeSet<&str> = BTreeSet::new();
    for stage in &file.stages {
        let expanded = lexer.expand(&stage.base.text, &values).map(|expanded| expanded.text).ok();
        if let Some(word) = expanded.filter(|word| !stages.contains(word.as_str())) {
            found.extend(image(&stage.base.text, &word));
        }
        stages.extend(stage.name.as_ref().map(|name| name.text.as_str()));
        let froms = stage.instructions.iter().flat_map(|instruction| match &instruction.body {
            Body::Copy(copy) => copy.from.iter().collect(),
            Body::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_ref()).collect(),
            _ => Vec::new(),
        });
        for from in froms {
            let is_stage = from.text.parse::<usize>().is_ok() || stages.contains(&*from.text.to_lowercase());
            found.extend(image(&from.text, &from.text).filter(|_| !is_stage));
        }
    }
    found
}

/// The image that a word means once it is expanded.
fn image(written: &str, expanded: &str) -> Option<NamedImage> {
    if expanded == "scratch" {
        return None;
    }
    let tag_of = |text: &str| {
        let at = text.rfind('/').map_or(0, |slash| slash + 1);
        text[at..].rsplit_once(':').map(|(_, tag)| tag.to_owned())
    };
    let open = tag_of(written).is_some_and(|tag| tag.contains('$'));
    // An argument without a default leaves nothing behind the colon.
    let parsed = reference::parse(expanded.strip_suffix(':').filter(|_| open).unwrap_or(expanded)).ok()?;
    let tag = parsed.tag.clone().filter(|_| parsed.digest.is_none())?;
    let name = reference::Reference { tag: Some("latest".to_owned()), ..parsed }.familiar();
    Some(NamedImage { name, tag, open })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_named_by_from_copy_and_mounts() {
        for (text, wanted) in [
            ("FROM alpine\n", "alpine:latest"),
            ("FROM docker.io/library/alpine:3\n", "alpine:3"),
            (
                "FROM acme/core AS core\nFROM core\nCOPY --from=core /a /b\nCOPY --from=0 /a /b\n",
                "acme/core:latest",
            ),
            (
                "FROM scratch\nCOPY --from=acme/tool:1 /a /b\nRUN --mount=from=acme/x,target=/m y\n",
                "acme/tool:1 acme/x:latest",
            ),
            ("ARG V=1\nFROM acme/core:${V}\n", "acme/core:1(open)"),
            ("ARG V\nFROM acme/core:${V}\n", "acme/core:latest(open)"),
            ("ARG P=acme/\nARG V=2\nFROM ${P}core:v$V\n", "acme/core:v2(open)"),
            ("ARG I=acme/core:1\nFROM $I\n", "acme/core:1"),
            ("ARG I\nFROM $I\n", ""),
            ("FROM r.example:5000/a/b\n", "r.example:5000/a/b:latest"),
            ("FROM a@sha256:0000000000000000000000000000000000000000000000000000000000000000\n", ""),
            ("FROM A\n", ""),
            ("no Dockerfile\n", ""),
        ] {
            let shown = named(text).into_iter().map(|image| {
                format!("{}:{}{}", image.name, image.tag, if image.open { "(open)" } else { "" })
            });
            assert_eq!(shown.collect::<Vec<_>>().join(" "), wanted, "{text}");
        }
    }
}
