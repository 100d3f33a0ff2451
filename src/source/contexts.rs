//! Named contexts of an image: further folders that it reads, each a selection beside that of its context.
//!
//! Trees never see more than one context at a time: this takes selections apart and puts the answers together.

use std::collections::BTreeMap;

use super::context_path::{MARK, place};
use super::tree::{ReadError, Selected, Selection, SourceTree};
use crate::model::file::{UsedFile, UsedFiles};
use crate::model::hash::{ContentHash, FieldHasher};

impl Selection {
    /// The selection of the context, then those of named ones, each with its name.
    pub fn parts(&self) -> impl Iterator<Item = (Option<&str>, &Self)> {
        let named = self.named.iter().map(|(name, part)| (Some(name.as_str()), part));
        std::iter::once((None, self)).chain(named)
    }

    /// The same without its named contexts.
    pub fn alone(&self) -> Self {
        Self { named: BTreeMap::new(), ..self.clone() }
    }

    /// The hash that [`Selected`] has for the files of this selection.
    pub fn hash_of(&self, files: &UsedFiles) -> ContentHash {
        if self.named.is_empty() {
            return files.hash();
        }
        let part = |name: Option<&str>| {
            UsedFiles::hash_of(
                &files.files.iter().filter(|it| place(&it.path).0 == name).map(inside).collect::<Vec<_>>(),
            )
        };
        let mut hashes = self.parts().map(|(name, _)| part(name));
        let own = hashes.next().unwrap_or_default();
        together(&own, self.named.keys().zip(hashes))
    }
}

/// A file by its path in its own context.
fn inside(file: &UsedFile) -> UsedFile {
    UsedFile { path: place(&file.path).1.to_owned(), ..file.clone() }
}

/// The files of one context among those of an image, by their paths in it.
pub fn of_context(files: &UsedFiles, name: Option<&str>) -> UsedFiles {
    let own = files.files.iter().filter(|file| place(&file.path).0 == name);
    UsedFiles { files: own.map(inside).collect() }
}

/// Answers selections through a tree that answers for one context each.
pub fn select(tree: &dyn SourceTree, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
    if selections.iter().all(|selection| selection.named.is_empty()) {
        return tree.select(selections);
    }
    let parts: Vec<Selection> =
        selections.iter().flat_map(Selection::parts).map(|(_, part)| part.alone()).collect();
    let mut answers = tree.select(&parts).into_iter();
    selections
        .iter()
        .map(|selection| {
            let own: Vec<_> = answers.by_ref().take(1 + selection.named.len()).collect();
            combined(selection, own.into_iter().collect::<Result<Vec<_>, _>>()?)
        })
        .collect()
}

fn combined(selection: &Selection, parts: Vec<Selected>) -> Result<Selected, ReadError> {
    if selection.named.is_empty()
        && let [only] = parts.as_slice()
    {
        return Ok(only.clone());
    }
    let none =
        Selected { hash: ContentHash::default(), missing: Vec::new(), empty: Vec::new(), count: 0, bytes: 0 };
    let own = parts.first().map_or_else(ContentHash::default, |own| own.hash);
    let hash = together(&own, selection.named.keys().zip(parts.iter().skip(1).map(|part| part.hash)));
    let (mut all, mut before) = (Selected { hash, ..none }, 0);
    for ((_, part), answer) in selection.parts().zip(parts) {
        all.missing.extend(answer.missing.iter().map(|index| index + before));
        all.empty.extend(answer.empty.iter().map(|index| index + before));
        all.count += answer.count;
        all.bytes += answer.bytes;
        before += part.reads.sources.len();
    }
    Ok(all)
}

fn together<'a>(own: &ContentHash, named: impl Iterator<Item = (&'a String, ContentHash)>) -> ContentHash {
    let mut hasher = FieldHasher::new("imk named contexts v1");
    hasher.field(own.0);
    for (name, hash) in named {
        hasher.field(name).field(hash.0);
    }
    hasher.finish()
}

/// The files of a selection, those of named contexts behind those of the context.
pub fn used_files(tree: &dyn SourceTree, selection: &Selection) -> Result<UsedFiles, ReadError> {
    if selection.named.is_empty() {
        return tree.used_files(selection);
    }
    let mut all = UsedFiles::default();
    for (name, part) in selection.parts() {
        let files = tree.used_files(&part.alone())?.files.into_iter();
        all.files.extend(files.map(|file| match name {
            Some(name) => UsedFile { path: format!("{name}{MARK}{}", file.path), ..file },
            None => file,
        }));
    }
    Ok(all)
}

/// Paths of a selection that no commit can hold.
pub fn beyond_git(tree: &dyn SourceTree, selection: &Selection) -> Result<Vec<String>, ReadError> {
    let mut all = Vec::new();
    for (_, part) in selection.parts() {
        all.extend(tree.beyond_git(&part.alone())?);
    }
    all.sort();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::source::memory::MemoryTree;
    use crate::syntax::reads::{ReadSource, Reads};

    fn selection(root: &str, patterns: &[&str], named: &[(&str, Selection)]) -> Selection {
        let one = |pattern: &&str| ReadSource {
            pattern: (*pattern).to_owned(),
            required: true,
            ..Reads::whole().sources.remove(0)
        };
        Selection {
            root: root.into(),
            ignore: None,
            reads: Reads { sources: patterns.iter().map(one).collect() },
            overlays: Vec::new(),
            named: named.iter().map(|(name, part)| ((*name).to_owned(), part.clone())).collect(),
        }
    }

    #[test]
    fn files_of_several_contexts_stand_together_and_apart() {
        let mut tree = MemoryTree::default();
        tree.write("web/a", "1");
        tree.write("lib/a", "2");
        tree.write("lib/sub/b", "3");
        let plain = selection("web", &["a"], &[]);
        let lib = selection("lib", &["a", "none", "sub"], &[]);
        let both = selection("web", &["a"], &[("acme/lib", lib.clone())]);
        let answers = select(&tree, &[plain.clone(), both.clone(), lib]);
        let [plain_answer, answer, _] = &answers[..] else { panic!("{answers:?}") };
        let answer = answer.as_ref().unwrap();
        assert_ne!(plain_answer.as_ref().unwrap().hash, answer.hash);
        // The second read of the named context is the third of all.
        assert_eq!(answer.missing, [2]);
        let files = used_files(&tree, &both).unwrap();
        let paths: Vec<&str> = files.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a", "acme/lib//a", "acme/lib//sub", "acme/lib//sub/b"]);
        assert_eq!(both.hash_of(&files), answer.hash);
        assert_eq!(of_context(&files, None), used_files(&tree, &plain).unwrap());
        assert_eq!(of_context(&files, Some("acme/lib")).files[2].path, "sub/b");
        assert_eq!(both.place_of("acme/lib//sub/b").as_deref(), Some("lib/sub/b"));
        assert_eq!(both.place_of("a").as_deref(), Some("web/a"));
        let mut text = String::new();
        tree.open_used(&both, "acme/lib//sub/b").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "3");
    }
}
