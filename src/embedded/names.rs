//! Names of images, both ways: the image that a name leads to, and the names that lead to an image.
//!
//! A name's note is what counts. A mark beside it, by image, is made first, so that the names of one image are found
//! without all names being read, however many there are; a mark without its note means nothing. A store of an older
//! imk gets its marks once.

use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;

use super::store::{NoteKind, Store, escaped, unescaped};
use super::trouble::{During, Result};

/// The folder of marks: one folder for each image, in which each name is an empty file.
const MARKS: &str = "bearers";
/// Never an image: with it in the folder no other process puts an empty one in its place.
const WHOLE: &str = "whole";

/// Gives an image a name, in full.
pub fn give(store: &Store, id: &str, name: &str) -> Result<()> {
    let marked = || -> io::Result<()> {
        let Some(folder) = folder(&marks(store)?, id) else { return Ok(()) };
        mark(&folder, name)
    };
    store.prepare()?;
    marked().during(|| format!("giving an image the name `{name}`"))?;
    store.note(NoteKind::Names, name, &id)
}

/// The names of an image, sorted; those by which registries know it are not among them.
pub fn of(store: &Store, id: &str) -> Result<Vec<String>> {
    let read = || -> io::Result<Vec<String>> {
        let Some(folder) = folder(&marks(store)?, id) else { return Ok(Vec::new()) };
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_str().and_then(unescaped);
            let leads_here =
                |name: &String| store.noted(NoteKind::Names, name).is_some_and(|to: String| to == id);
            names.extend(name.filter(|name| !name.contains('@')).filter(leads_here));
        }
        names.sort();
        Ok(names)
    };
    store.prepare()?;
    read().during(|| "listing the image store".into())
}

/// Forgets the marks of images that are gone.
pub fn forget_gone(store: &Store, is_there: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(marks(store)?)? {
        let entry = entry?;
        let gone = |name: &str| name != WHOLE && !is_there(&format!("sha256:{name}"));
        if entry.file_name().to_str().is_some_and(gone) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn folder(marks: &Path, id: &str) -> Option<PathBuf> {
    id.strip_prefix("sha256:").map(|hex| marks.join(hex))
}

fn mark(folder: &Path, name: &str) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::OpenOptions::new().create(true).append(true).open(folder.join(escaped(name))).map(drop)
}

/// The folder of marks; it is made of all names when it is not there.
fn marks(store: &Store) -> io::Result<PathBuf> {
    let place = store.root().join(MARKS);
    if place.join(WHOLE).exists() {
        return Ok(place);
    }
    let draft = store.folder().map_err(io::Error::other)?;
    let all = draft.path().join(MARKS);
    fs::create_dir(&all)?;
    fs::write(all.join(WHOLE), "")?;
    for name in store.names(NoteKind::Names).map_err(io::Error::other)? {
        let id: Option<String> = store.noted(NoteKind::Names, &name);
        if let Some(folder) = id.and_then(|id| folder(&all, &id)) {
            mark(&folder, &name)?;
        }
    }
    // Of two at once the first counts for both.
    match fs::rename(&all, &place) {
        Err(error) if !place.join(WHOLE).exists() => Err(error),
        _ => Ok(place),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("s"));
        (folder, store)
    }

    fn id(text: &str) -> String {
        crate::registry::digest::of(text.as_bytes())
    }

    #[test]
    fn the_names_of_an_image_are_those_that_lead_to_it_now() {
        let (_folder, store) = store();
        for (image, name) in [("a", "r/a:1"), ("a", "r/a:2"), ("b", "r/b:1"), ("a", "r/a@sha256:00")] {
            give(&store, &id(image), name).unwrap();
        }
        assert_eq!(of(&store, &id("a")).unwrap(), ["r/a:1", "r/a:2"]);
        give(&store, &id("b"), "r/a:2").unwrap();
        store.forget(NoteKind::Names, "r/a:1").unwrap();
        assert!(of(&store, &id("a")).unwrap().is_empty());
        assert_eq!(of(&store, &id("b")).unwrap(), ["r/a:2", "r/b:1"]);
        forget_gone(&store, |image| image == id("b")).unwrap();
        assert_eq!(fs::read_dir(store.root().join(MARKS)).unwrap().count(), 2);
        assert_eq!(of(&store, &id("b")).unwrap(), ["r/a:2", "r/b:1"]);
    }

    #[test]
    fn names_of_an_older_store_are_found() {
        let (_folder, store) = store();
        store.note(NoteKind::Names, "r/old:1", &id("a")).unwrap();
        assert_eq!(of(&store, &id("a")).unwrap(), ["r/old:1"]);
    }
}
