//! Two looks beyond a source: behind links at the top of the context, and into folders that are ignored.
//!
//! Lists no folder of its own accord.

use super::{
    CopyRules, FileKind, FolderListing, Folders, ListError, ListedEntry, Place, ReadSource, Walk, What, join,
};

impl<D: Folders> Walk<'_, D> {
    /// Takes what the links at the top of the context lead to, of those listed from `start` on, where a source leaves
    /// anything out. The links are copied as links, but the engine's cache goes by what they lead to, and fails where
    /// that is nothing (`contenthash`, `includedPaths`).
    pub(super) fn lead(&mut self, start: usize, source: &ReadSource) -> Result<bool, ListError> {
        if source.is_whole() {
            return Ok(true);
        }
        let is_link = |entry: &&ListedEntry<D::Folder>| {
            matches!(entry.what, What::Entry { kind: FileKind::Link, .. }) && !entry.path.contains('/')
        };
        let links: Vec<String> =
            self.entries[start..].iter().filter(is_link).map(|link| link.path.clone()).collect();
        for link in links {
            if !self.named(&link, &mut CopyRules::default())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does an ignored folder reach the engine because something below it does?
    pub(super) fn keeps(&self, place: &Place<D::Folder>) -> Result<bool, ListError> {
        for index in 0..place.folder.count() {
            let (bytes, kind) = place.folder.name(index);
            let path = join(&place.path, &String::from_utf8_lossy(bytes));
            let (ignored, info) = self.ignore.matches_below(&path, &place.info);
            if !ignored {
                return Ok(true);
            }
            if kind == FileKind::Folder && std::str::from_utf8(bytes).is_ok() && !self.ignore.can_skip(&path)
            {
                let folder = self.folders.folder(&join(self.root, &path))?;
                if self.keeps(&Place { path, folder, info })? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}
