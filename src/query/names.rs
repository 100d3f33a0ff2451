//! Where a reference in a Dockerfile leads: to an image of the repository, or out of it.
//!
//! Knows what images are called, and reads no Dockerfile.

use super::Db;
use super::inputs::{Image, Workspace};

/// Where a reference leads.
pub(super) enum Found {
    /// To an image of the repository.
    Image(Image),
    /// Out of the repository.
    Outside,
}

/// Finds the image that a reference in `user`'s Dockerfile means. The prefix
/// and a tag may be given or left out; a reference by digest is outside, and so
/// is an image's own name: `FROM nginx:1.25` in the image `nginx` is the
/// official one.
pub(super) fn find(db: &dyn Db, user: Image, reference: &str) -> Found {
    let workspace = Workspace::get(db);
    let images = workspace.images(db);
    if reference.contains('@') {
        return Found::Outside;
    }
    // A colon after the last slash begins a tag; one before it a registry's port.
    let name_at = reference.rfind('/').map_or(0, |slash| slash + 1);
    let untagged = match reference[name_at..].find(':') {
        Some(colon) => &reference[..name_at + colon],
        None => reference,
    };
    let bare = workspace.prefixes(db).iter().filter_map(|prefix| untagged.strip_prefix(prefix.as_str()));
    let found = std::iter::once(untagged).chain(bare).find_map(|name| images.get(name));
    match found {
        Some(image) if *image != user => Found::Image(*image),
        _ => Found::Outside,
    }
}
