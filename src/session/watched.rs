//! Watched folders, in which something that counts can change, and the images
//! that a change reaches.
//!
//! Knows files and keys. Knows neither how folders are watched nor when something happened.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::file::FileKind;
use crate::model::hash::ContentHash;
use crate::model::name::join;
use crate::query::action_key::input_hash;
use crate::query::problem::Problem;
use crate::session::inputs;
use crate::session::open::Session;
use crate::session::project;
use crate::session::sync::Synced;
use crate::source::locate::IMAGEFILE;
use crate::source::tree::{Overlay, OverlaySide, Selection};
use crate::syntax::layout_source;

/// The input hash of each image of an order, its bases aside, or its mistakes.
pub type InputHashes = BTreeMap<String, Result<ContentHash, Vec<Problem>>>;

/// The input hashes of an order.
pub fn input_hashes(session: &Session, synced: &Synced) -> InputHashes {
    let input_hash = |name: &String| Some((name.clone(), input_hash(session.db(), session.input(name)?)));
    synced.order.names.iter().filter_map(input_hash).collect()
}

/// The folders, below the root, of the Imagefile, of its lock, and of every Dockerfile and context.
pub fn recipe_folders(session: &Session) -> BTreeSet<String> {
    let mut folders = BTreeSet::from([String::new()]);
    let imagefile = session.project.imagefile.as_deref().unwrap_or(IMAGEFILE);
    add(&mut folders, imagefile);
    add(&mut folders, &project::lock_path(Some(imagefile)));
    for image in session.project.images.values().filter(|image| image.git.is_none()) {
        add(&mut folders, &image.paths.dockerfile);
        add(&mut folders, &join(&image.paths.context, "Dockerfile"));
    }
    folders
}

/// The folders, below the root, in which a change can make one of these images another: those of
/// used files and of Dockerfiles, and all above them, for what is there can come and go.
pub fn folders(session: &Session, synced: &Synced) -> BTreeSet<String> {
    let mut folders = recipe_folders(session);
    for base in inputs::wanted(session, &synced.order) {
        // The index stands in the layout's folder, and what a digest names below it.
        if let Ok(layout) = layout_source::parse(&base.reference)
            && !layout.path.starts_with('/')
        {
            add(&mut folders, &join(&layout.path, "blobs/sha256/blob"));
        }
    }
    for (_, selection) in synced.selections.values().flat_map(Selection::parts) {
        let place = |path: &str| match Overlay::over(&selection.overlays, path) {
            None => Some(join(&selection.root, path)),
            Some((Overlay { from: OverlaySide::Path(from), .. }, rest)) => Some(join(from, rest)),
            Some((Overlay { from: OverlaySide::Tree(_), .. }, _)) => None,
        };
        for source in &selection.reads.sources {
            // What is read may not be there yet: then the folder is watched in which it would be.
            if let Some(path) = place(&source.start()) {
                add(&mut folders, &path);
                if source.wildcard || source.include.is_some() {
                    folders.insert(path.trim_matches('/').to_owned());
                }
            }
        }
        // What cannot be read is told by who plans; its folder is watched all the same.
        for file in session.executor.tree.used_files(&selection.alone()).unwrap_or_default().files {
            let Some(path) = place(&file.path) else { continue };
            add(&mut folders, &path);
            if file.kind == FileKind::Folder {
                folders.insert(path);
            }
        }
    }
    folders
}

/// Adds the folders above a path.
fn add(folders: &mut BTreeSet<String>, path: &str) {
    let mut path = path.trim_matches('/');
    while let Some((folder, _)) = path.rsplit_once('/') {
        if !folders.insert(folder.to_owned()) {
            return;
        }
        path = folder;
    }
}

/// The images that are not what they were, in themselves or by a base.
pub fn reached(
    before: &InputHashes,
    now: &InputHashes,
    bases: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeSet<String> {
    let differs = |name: &&String| now.get(*name) != before.get(*name);
    let mut reached: BTreeSet<String> = before.keys().filter(differs).cloned().collect();
    loop {
        let by_base = bases.iter().filter(|(_, bases)| !bases.is_disjoint(&reached));
        let new: Vec<String> =
            by_base.map(|(name, _)| name).filter(|name| !reached.contains(*name)).cloned().collect();
        if new.is_empty() {
            return reached;
        }
        reached.extend(new);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_reaches_the_images_that_stand_on_it_and_no_others() {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        let bases = BTreeMap::from([
            ("web".to_owned(), set(&["api"])),
            ("api".to_owned(), set(&["base"])),
            ("other".to_owned(), set(&["base"])),
        ]);
        let input_hashes = |api: &str| -> InputHashes {
            let hash = |text: &str| Ok(ContentHash::of(text.as_bytes()));
            let texts = [("base", "b"), ("api", api), ("web", "w"), ("other", "o")];
            texts.into_iter().map(|(name, text)| (name.to_owned(), hash(text))).collect()
        };
        assert_eq!(reached(&input_hashes("1"), &input_hashes("1"), &bases), set(&[]));
        assert_eq!(reached(&input_hashes("1"), &input_hashes("2"), &bases), set(&["api", "web"]));
    }

    #[test]
    fn a_path_brings_every_folder_above_it() {
        let mut folders = BTreeSet::new();
        add(&mut folders, "a/b/c.txt");
        add(&mut folders, "top.txt");
        assert_eq!(folders.into_iter().collect::<Vec<_>>(), ["a", "a/b"]);
    }
}
