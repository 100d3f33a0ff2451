//! Images that are meant under any tag: a Dockerfile leaves the tag to a variable (`FROM acme/shared:${VERSION}`).
//!
//! Reads the Dockerfiles of the images, through the source; knows no format.

use std::collections::BTreeSet;

use super::Source;
use super::draft::{Image, fill, names_in};
use super::shape::Shaped;
use crate::model::name;
use crate::syntax::named_images::{NamedImage, named};
use crate::syntax::reference;

/// Says `any_tag` for every image that another one names so, and that bears no such tag by its own declaration.
pub(super) fn settle(shaped: &mut Shaped, source: &Source<'_>) {
    let prefix = fill(&shaped.prefix, &shaped.vars);
    let mut meant: BTreeSet<String> = BTreeSet::new();
    for user in &shaped.images {
        let Some(text) = (source.read)(&fill(&user.draft.dockerfile, &shaped.vars)) else { continue };
        let open: Vec<NamedImage> = named(&text).into_iter().filter(|image| image.open).collect();
        let others = shaped.images.iter().filter(|image| image.name != user.name);
        for image in others.filter(|image| open.iter().any(|named| is_left_open(image, &prefix, named))) {
            meant.insert(image.name.clone());
        }
    }
    for image in &mut shaped.images {
        image.any_tag = meant.contains(&image.name);
    }
}

/// Whether a reference with an open tag is this image, under a tag that it does not declare.
fn is_left_open(image: &Image, prefix: &str, named: &NamedImage) -> bool {
    let known = image.tags.contains(&named.tag) || image.tags.iter().any(|tag| !names_in(tag).is_empty());
    let called = [image.name.clone(), format!("{prefix}{}", image.name)];
    let same = |called: &String| reference::parse(called).is_ok_and(|parsed| parsed.familiar() == named.name);
    !known && name::split(&image.name).1.is_none() && called.iter().any(same)
}
