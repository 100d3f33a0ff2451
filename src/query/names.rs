//! Where a reference in a Dockerfile leads: to an image of the repository, or out of it.
//!
//! To Docker name and tag are one reference, and no tag is `latest`. Knows what images are
//! called, and reads no Dockerfile.

use super::Db;
use super::inputs::{Image, Workspace};
use crate::model::hub::{HUB, OLD_HUB};
use crate::syntax::reference::{self, Reference};

/// Where a reference leads.
pub(super) enum Found {
    /// To an image of the repository.
    Image(Image),
    /// Out of the repository.
    Outside,
}

/// How a reference stands to the images of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is this image.
    Image(Image),
    /// It bears the name of its own user, whatever the tag: `FROM nginx:1.25` in the image `nginx`
    /// is the official one. An image never is its own base.
    Own,
    /// It bears the name of this image, and a tag that the image does not answer to.
    OtherTag(Image, String),
    /// No image here is called so.
    Stranger,
}

/// Finds the image that a reference in `user`'s Dockerfile means.
pub(super) fn find(db: &dyn Db, user: Image, reference: &str) -> Found {
    match meaning(db, user, reference) {
        Meaning::Image(image) => Found::Image(image),
        Meaning::Own | Meaning::OtherTag(..) | Meaning::Stranger => Found::Outside,
    }
}

/// How a reference in `user`'s Dockerfile stands to the images here. A prefix and the names of
/// Docker Hub's registry may be given or left out; a reference by digest is outside.
pub fn meaning(db: &dyn Db, user: Image, reference: &str) -> Meaning {
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
    match names.iter().find_map(|name| images.get(&format!("{name}:{tag}"))) {
        Some(image) if *image == user => return Meaning::Own,
        Some(image) => return Meaning::Image(*image),
        None => {}
    }
    let called: Vec<Image> = names.iter().filter_map(|name| images.get(*name).copied()).collect();
    if called.contains(&user) {
        return Meaning::Own;
    }
    let answers = |image: &&Image| {
        let answers = image.answers(db);
        tag == "latest" || answers.any || answers.tags.contains(tag)
    };
    match (called.iter().find(answers), called.first()) {
        (Some(image), _) => Meaning::Image(*image),
        (None, Some(image)) => Meaning::OtherTag(*image, tag.clone()),
        (None, None) => {
            let sibling = names.iter().find_map(|name| {
                let of_name = images.range(format!("{name}:")..format!("{name};"));
                of_name.map(|(_, image)| *image).find(|image| *image != user)
            });
            sibling.map_or(Meaning::Stranger, |image| Meaning::OtherTag(image, tag.clone()))
        }
    }
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
