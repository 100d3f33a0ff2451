//! Where a reference in a Dockerfile leads: to an image of the repository, or out of it.
//!
//! To Docker name and tag are one reference, and no tag is `latest`. Knows what images are
//! called, and reads no Dockerfile.

use std::collections::BTreeMap;

use super::Db;
use super::inputs::{Image, Workspace};
use crate::model::hub::{HUB, OLD_HUB};
use crate::model::name::{declared, for_platform, platform_of};
use crate::syntax::reference::{self, Reference};
use crate::syntax::resolve::platform;

/// Where a reference leads.
pub(super) enum Found {
    /// To an image of the repository.
    Image(Image),
    /// To an image of the repository that is not for the platform.
    OtherPlatform(Image),
    /// Out of the repository.
    Outside,
}

/// How a reference stands to the images of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is this image.
    Image(Image),
    /// It is this image, which is not for the platform that is wanted.
    OtherPlatform(Image),
    /// It bears the name of its own user, whatever the tag: `FROM nginx:1.25` in the image `nginx`
    /// is the official one. An image never is its own base.
    Own,
    /// It bears the name of this image, and a tag that the image does not answer to.
    OtherTag(Image, String),
    /// No image here is called so.
    Stranger,
}

/// Finds the image that a reference in `user`'s Dockerfile means for a platform.
pub(super) fn find(db: &dyn Db, user: Image, reference: &str, platform: &str) -> Found {
    match meaning(db, user, reference, platform) {
        Meaning::Image(image) => Found::Image(image),
        Meaning::OtherPlatform(image) => Found::OtherPlatform(image),
        Meaning::Own | Meaning::OtherTag(..) | Meaning::Stranger => Found::Outside,
    }
}

/// How a reference in `user`'s Dockerfile stands to the images here. A prefix and the names of
/// Docker Hub's registry may be given or left out; a reference by digest is outside. Of a name
/// with several platforms, the image for `platform` is meant.
pub fn meaning(db: &dyn Db, user: Image, reference: &str, platform: &str) -> Meaning {
    let Ok(parsed) = reference::parse(reference) else { return Meaning::Stranger };
    let (Some(tag), None) = (&parsed.tag, &parsed.digest) else { return Meaning::Stranger };
    let workspace = Workspace::get(db);
    let (images, prefixes) = (workspace.images(db), workspace.prefixes(db));
    let spellings = spellings(&parsed);
    let bare = spellings.iter().map(String::as_str);
    let behind = |prefix: &String| {
        spellings.iter().filter_map(|name| name.strip_prefix(prefix.as_str())).collect::<Vec<_>>()
    };
    let called = bare.chain(prefixes.iter().flat_map(behind));
    let names: Vec<&str> = called.collect();
    let is_own = |image: Image| declared(image.name(db)) == declared(user.name(db));
    match names.iter().find_map(|name| named(db, images, &format!("{name}:{tag}"), platform)) {
        Some(image) if is_own(image) => return Meaning::Own,
        Some(image) => return fitting(db, user, image, platform),
        None => {}
    }
    let called: Vec<Image> = names.iter().filter_map(|name| named(db, images, name, platform)).collect();
    if called.iter().any(|image| is_own(*image)) {
        return Meaning::Own;
    }
    let answers = |image: &&Image| {
        let answers = image.answers(db);
        tag == "latest" || answers.any || answers.tags.contains(tag)
    };
    match (called.iter().find(answers), called.first()) {
        (Some(image), _) => fitting(db, user, *image, platform),
        (None, Some(image)) => Meaning::OtherTag(*image, tag.clone()),
        (None, None) => {
            let sibling = names.iter().find_map(|name| {
                let of_name = images.range(format!("{name}:")..format!("{name};"));
                of_name.map(|(_, image)| *image).find(|image| !is_own(*image))
            });
            sibling.map_or(Meaning::Stranger, |image| Meaning::OtherTag(image, tag.clone()))
        }
    }
}

/// The image of a name; of a name with several platforms the one for this platform, else its first.
fn named(db: &dyn Db, images: &BTreeMap<String, Image>, name: &str, platform: &str) -> Option<Image> {
    if let Some(image) = images.get(name) {
        return Some(*image);
    }
    let each = for_platform(name, "");
    let several = || images.range(each.clone()..).take_while(|(name, _)| name.starts_with(&each));
    let of = |image: &Image| image.options(db).platform.clone().unwrap_or_default();
    let exactly = several().find(|(_, image)| of(image) == platform);
    let nearly = || several().find(|(_, image)| platform::same(&of(image), platform));
    exactly.or_else(nearly).or_else(|| several().next()).map(|(_, image)| *image)
}

/// Where one of the two has several platforms, a base of another platform is none: it would be built upon
/// without a word.
fn fitting(db: &dyn Db, user: Image, base: Image, platform: &str) -> Meaning {
    let of_several = |image: Image| platform_of(image.name(db)).is_some();
    if !of_several(user) && !of_several(base) {
        return Meaning::Image(base);
    }
    let own = base.options(db).platform.as_deref().unwrap_or(Workspace::get(db).platform(db));
    if platform::same(own, platform) { Meaning::Image(base) } else { Meaning::OtherPlatform(base) }
}

/// The names, without a tag, that docker takes for the same one, the shortest first.
fn spellings(reference: &Reference) -> Vec<String> {
    let path = &reference.repository;
    if reference.registry != HUB {
        return vec![reference.name()];
    }
    let official = path.strip_prefix("library/").filter(|name| !name.contains('/'));
    let paths = || official.into_iter().chain([path.as_str()]);
    let hosts = [String::new(), format!("{HUB}/"), format!("{OLD_HUB}/")];
    hosts.iter().flat_map(|host| paths().map(move |path| format!("{host}{path}"))).collect()
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
