//! Overlays of a context: other paths of the repository, and trees of git repositories.
//!
//! An overlay stands at its path as a mount does: it hides what lies below it
//! there, and a deeper overlay hides a part of it. Folders on the way to one
//! need not exist. Nothing is copied: [`Layered`] lists the layers as one tree,
//! and each file is opened where it is. Knows neither ignore files nor instructions,
//! which see the finished tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::folders::{ListedFolder, find};
use super::select::{Facts, FolderListing, Folders, ListError, join};
use super::tree::{Overlay, OverlaySide, Selection};
use crate::model::file::FileKind;
use crate::syntax::glob::is_within;

/// A context with its overlays, as one tree.
pub struct Layered<'a, D: Folders> {
    below: &'a D,
    root: &'a str,
    overlays: &'a [Overlay],
}

/// A folder of one layer, or of several.
#[derive(Clone)]
pub enum Layer<F> {
    Below(F),
    Tree(Arc<dyn ListedFolder>),
    Merged(Arc<Merged<F>>),
}

/// A folder with an overlay in it, or on the way to one.
pub struct Merged<F> {
    base: Option<Layer<F>>,
    names: Vec<(Vec<u8>, FileKind, Origin<F>)>,
}

enum Origin<F> {
    /// The entry of the base with this number.
    Base(u32),
    /// A file elsewhere in the repository.
    File(F, u32),
    /// A folder that is listed when it is asked for.
    Folder,
}

fn parent(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

impl<'a, D: Folders> Layered<'a, D> {
    /// The tree that a selection sees over these folders.
    pub fn new(below: &'a D, selection: &'a Selection) -> Self {
        Self { below, root: &selection.root, overlays: &selection.overlays }
    }

    /// The folder at a path of the context.
    fn at(&self, path: &str) -> Result<Layer<D::Folder>, ListError> {
        let mut inner: BTreeMap<&str, Option<&Overlay>> = BTreeMap::new();
        for overlay in self.overlays.iter().filter(|it| is_within(&it.at, path) && it.at != path) {
            let rest = overlay.at[path.len()..].trim_start_matches('/');
            match rest.split_once('/') {
                Some((name, _)) => drop(inner.entry(name).or_default()),
                None => drop(inner.insert(rest, Some(overlay))),
            }
        }
        let base = self.base(path)?;
        if inner.is_empty() {
            return base.ok_or_else(|| ListError::Moved(join(self.root, path)));
        }
        let mut names = Vec::new();
        for index in 0..base.as_ref().map_or(0, FolderListing::count) {
            let Some((name, kind)) = base.as_ref().map(|base| base.name(index)) else {
                break;
            };
            if !std::str::from_utf8(name).is_ok_and(|name| inner.contains_key(name)) {
                let origin = Origin::Base(u32::try_from(index).unwrap_or(u32::MAX));
                names.push((name.to_owned(), kind, origin));
            }
        }
        for (name, overlay) in inner {
            let (kind, origin) = match overlay {
                None => (FileKind::Folder, Origin::Folder),
                Some(overlay) => self.stands_for(overlay)?,
            };
            names.push((name.as_bytes().to_owned(), kind, origin));
        }
        names.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Layer::Merged(Arc::new(Merged { base, names })))
    }

    /// The folder at a path without what deeper overlays put in it; `None` when only those make it be.
    fn base(&self, path: &str) -> Result<Option<Layer<D::Folder>>, ListError> {
        let over = Overlay::over(self.overlays, path);
        let is_top = over.map_or(path.is_empty(), |(overlay, _)| overlay.at == path);
        let is_way = self.overlays.iter().any(|it| it.at != path && is_within(&it.at, path));
        if !is_top && is_way {
            let (above, name) = parent(path);
            let Some(above) = self.base(above)? else { return Ok(None) };
            let Some(index) = find(&above, name.as_bytes()) else { return Ok(None) };
            if above.name(index).1 != FileKind::Folder {
                let why = "it is no folder, so no overlay can stand in it";
                return Err(ListError::read(join(self.root, path), why));
            }
        }
        let folder = match over {
            None if is_top => Layer::Below(self.below.context(self.root)?),
            None => Layer::Below(self.below.folder(&join(self.root, path))?),
            Some((Overlay { at, from: OverlaySide::Path(from) }, "")) => {
                Layer::Below(self.below.context(from).map_err(|trouble| missing(trouble, from, at))?)
            }
            Some((Overlay { from: OverlaySide::Path(from), .. }, rest)) => {
                Layer::Below(self.below.folder(&join(from, rest))?)
            }
            Some((Overlay { from: OverlaySide::Tree(tree), .. }, rest)) => {
                Layer::Tree(tree.listed(rest, &join(self.root, path))?)
            }
        };
        Ok(Some(folder))
    }

    /// The kind and origin of an overlay in the folder it stands in.
    fn stands_for(&self, overlay: &Overlay) -> Result<(FileKind, Origin<D::Folder>), ListError> {
        let OverlaySide::Path(from) = &overlay.from else { return Ok((FileKind::Folder, Origin::Folder)) };
        if from.is_empty() {
            return Ok((FileKind::Folder, Origin::Folder));
        }
        let (above, name) = parent(from);
        let told = |trouble| missing(trouble, from, &overlay.at);
        let folder = self.below.context(above).map_err(told)?;
        let Some(index) = find(&folder, name.as_bytes()) else {
            return Err(told(ListError::read(from, "there is no such file or folder")));
        };
        match folder.name(index).1 {
            FileKind::Folder => Ok((FileKind::Folder, Origin::Folder)),
            FileKind::Link => match self.below.context(from) {
                Ok(_) => Ok((FileKind::Folder, Origin::Folder)),
                Err(_) => Err(told(ListError::read(from, "it is a link that leads to no folder"))),
            },
            kind => Ok((kind, Origin::File(folder, u32::try_from(index).unwrap_or(u32::MAX)))),
        }
    }
}

/// The trouble of an overlay whose source is not there, told of the source.
fn missing(trouble: ListError, from: &str, at: &str) -> ListError {
    match trouble {
        ListError::Read(error) => {
            ListError::read(from, format!("{}; it is the overlay at `{at}`", error.why))
        }
        moved => moved,
    }
}

impl<F: FolderListing> FolderListing for Layer<F> {
    fn count(&self) -> usize {
        match self {
            Self::Below(folder) => folder.count(),
            Self::Tree(folder) => folder.count(),
            Self::Merged(merged) => merged.names.len(),
        }
    }

    fn name(&self, index: usize) -> (&[u8], FileKind) {
        match self {
            Self::Below(folder) => folder.name(index),
            Self::Tree(folder) => folder.name(index),
            Self::Merged(merged) => {
                let (name, kind, _) = &merged.names[index];
                (name, *kind)
            }
        }
    }

    fn mode_and_mtime(&self) -> (u32, i64) {
        match self {
            Self::Below(folder) => folder.mode_and_mtime(),
            Self::Tree(folder) => folder.mode_and_mtime(),
            Self::Merged(merged) => merged.base.as_ref().map_or((0o755, 0), Self::mode_and_mtime),
        }
    }
}

impl<D: Folders> Folders for Layered<'_, D> {
    type Folder = Layer<D::Folder>;

    fn context(&self, _: &str) -> Result<Self::Folder, ListError> {
        self.at("")
    }

    fn folder(&self, path: &str) -> Result<Self::Folder, ListError> {
        self.at(path.strip_prefix(self.root).unwrap_or(path).trim_start_matches('/'))
    }

    fn facts(&self, folder: &Self::Folder, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        let merged = match folder {
            Layer::Below(folder) => return self.below.facts(folder, indexes),
            Layer::Tree(folder) => return folder.facts(indexes),
            Layer::Merged(merged) => merged,
        };
        let of_base: Vec<u32> = indexes
            .iter()
            .filter_map(|index| match merged.names[*index as usize].2 {
                Origin::Base(number) => Some(number),
                _ => None,
            })
            .collect();
        let mut from_base = match &merged.base {
            Some(base) => self.facts(base, &of_base)?.into_iter(),
            None => Vec::new().into_iter(),
        };
        let mut all = Vec::with_capacity(indexes.len());
        for index in indexes {
            match &merged.names[*index as usize].2 {
                Origin::Base(_) => all.extend(from_base.next()),
                Origin::File(folder, number) => all.extend(self.below.facts(folder, &[*number])?),
                Origin::Folder => {}
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
#[path = "overlay_tests.rs"]
mod tests;
