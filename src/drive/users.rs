//! Who uses a file, or an image: the instructions that read the one, and all that is built on the other.
//!
//! Looks at the used files of every source of every image, one source at a
//! time. Decides nothing about freshness.

use std::collections::BTreeMap;

use serde::Serialize;

use super::place::{self, Place};
use super::session::Session;
use super::sync::Synced;
use crate::query::graph::bases;
use crate::query::inputs::Text;
use crate::query::recipe::recipe;
use crate::source::tree::{ReadError, Selection};
use crate::syntax::glob::is_within;
use crate::syntax::reads::Reads;

/// An image that reads a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reader {
    /// The image.
    pub image: String,
    /// The instructions; none when the file is its Dockerfile.
    pub by: Vec<Place>,
}

/// An image that is built on another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// The image.
    pub image: String,
    /// The way down to the base, which comes last; two names when it is named itself.
    pub way: Vec<String>,
    /// The instruction that names the first base of the way.
    pub by: Option<Place>,
}

impl Session {
    /// The images that read what is at `path`, or in the folder there.
    ///
    /// # Errors
    /// When a context cannot be read.
    pub fn readers(&self, synced: &Synced, path: &str) -> Result<Vec<Reader>, ReadError> {
        let mut readers = Vec::new();
        for name in &synced.order.names {
            let is_recipe =
                self.input(name).is_some_and(|image| image.options(&self.db).dockerfile_path == path);
            let by = self.read_by(synced, name, path)?;
            if is_recipe || !by.is_empty() {
                readers.push(Reader { image: name.clone(), by });
            }
        }
        Ok(readers)
    }

    /// The instructions of an image that read what is at `path`.
    ///
    /// # Errors
    /// When its context cannot be read.
    pub fn read_by(&self, synced: &Synced, name: &str, path: &str) -> Result<Vec<Place>, ReadError> {
        let (Some(image), Some(selection)) = (self.input(name), synced.selections.get(name)) else {
            return Ok(Vec::new());
        };
        let (Ok(recipe), Text::Is(text)) = (recipe(&self.db, image), image.dockerfile(&self.db)) else {
            return Ok(Vec::new());
        };
        let mut places: Vec<Place> = Vec::new();
        for source in &selection.reads.sources {
            let reads = Reads { sources: vec![source.clone()] };
            let one = Selection { reads, ..selection.clone() };
            let place = place::around(recipe, &image.options(&self.db).dockerfile_path, text, source.span);
            if !places.contains(&place) && self.takes(&one, path)? {
                places.push(place);
            }
        }
        Ok(places)
    }

    /// Does a selection use what is at `path`, or something in it?
    pub(super) fn takes(&self, selection: &Selection, path: &str) -> Result<bool, ReadError> {
        let inside = match selection.root.as_str() {
            "" => Some(path),
            root if is_within(root, path) => Some(""),
            root => path.strip_prefix(root).and_then(|rest| rest.strip_prefix('/')),
        };
        let Some(inside) = inside else { return Ok(false) };
        let files = self.hands.tree.used_files(selection)?;
        Ok(files.files.iter().any(|file| file.counts && (inside.is_empty() || is_within(&file.path, inside))))
    }

    /// The images built on a base, nearest first.
    pub fn users(&self, synced: &Synced, base: &str) -> Vec<User> {
        let mut ways: BTreeMap<&str, Vec<String>> = BTreeMap::from([(base, vec![base.to_owned()])]);
        let mut users = Vec::new();
        // In building order every base is settled before its users are asked.
        for name in &synced.order.names {
            let on = synced.order.bases.get(name).into_iter().flatten();
            let nearest = on.filter_map(|base| ways.get(base.as_str())).min_by_key(|way| way.len());
            let Some(way) = nearest.filter(|_| name != base) else { continue };
            let way: Vec<String> = std::iter::once(name).chain(way).cloned().collect();
            ways.insert(name, way.clone());
            let by = self.names_base(name, &way[1]);
            users.push(User { image: name.clone(), way, by });
        }
        users.sort_by_key(|user| user.way.len());
        users
    }

    fn names_base(&self, name: &str, base: &str) -> Option<Place> {
        let image = self.input(name)?;
        let edge = bases(&self.db, image).inside.iter().find(|edge| edge.base == base)?;
        let recipe = recipe(&self.db, image).as_ref().ok()?;
        let used = recipe.bases.iter().find(|used| used.reference == edge.reference)?;
        let Text::Is(text) = image.dockerfile(&self.db) else { return None };
        Some(place::at(&image.options(&self.db).dockerfile_path, text, used.spans.first()?.start))
    }
}
