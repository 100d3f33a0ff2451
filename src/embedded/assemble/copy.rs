//! `COPY` and `ADD` of files: which of a tree go where in another.
//!
//! Follows `fsutil/copy` as BuildKit's file operations call it: the source itself is followed where it is
//! a link, a folder means what it holds, and what is copied replaces what is there, a folder and a file
//! aside. Reads no content.

use super::patch::{Content, Inode, Patch};
use crate::embedded::layer::index::{Entry, Kind, join, name, parent};
use crate::embedded::layer::view::{Origin, View};
use crate::embedded::trouble::{Result, refusal, refused};
use crate::syntax::glob;
use crate::syntax::patterns::Patterns;
use crate::syntax::resolve::sources;

/// How files are copied.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `--chown`; without it files keep their owner.
    pub owner: Option<(u32, u32)>,
    /// `--chmod`
    pub mode: Option<super::chmod::Change>,
    /// `--exclude`
    pub exclude: Vec<String>,
    /// Tells the files of one instruction's source from those of another's.
    pub number: u64,
}

/// Where files are copied to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Below the root, without dots.
    pub path: Vec<u8>,
    /// A slash, or a dot, at its end says that it is a folder.
    pub folder: bool,
}

/// The files that a source word means: one, or all that its wildcard finds.
pub fn matches(tree: &View, word: &str) -> Result<Vec<Vec<u8>>> {
    let pattern = sources::normalize(word);
    if !glob::has_wildcards(&pattern) {
        return Ok(vec![pattern.into_bytes()]);
    }
    let prefix = glob::static_prefix(&pattern);
    let rest = pattern[prefix.len()..].trim_start_matches('/');
    let start = followed(tree, prefix.as_bytes())?;
    let mut found: Vec<Vec<u8>> = Vec::new();
    for path in tree.below(&start).into_keys() {
        let tail = if start.is_empty() { &path[..] } else { &path[start.len() + 1..] };
        // Of a folder that matches all below it is meant by that alone.
        let inside = |taken: &Vec<u8>| tail.starts_with(taken) && tail.get(taken.len()) == Some(&b'/');
        if found.last().is_some_and(inside) {
            continue;
        }
        let Ok(text) = std::str::from_utf8(tail) else { continue };
        let bad = |_| refusal(format!("copying `{word}`"), "it is no pattern");
        if glob::matches(rest, text).map_err(bad)? {
            found.push(tail.to_vec());
        }
    }
    Ok(found.into_iter().map(|tail| join(prefix.as_bytes(), &tail)).collect())
}

fn followed(tree: &View, path: &[u8]) -> Result<Vec<u8>> {
    let shown = || String::from_utf8_lossy(path).into_owned();
    tree.resolve(path).map_err(|why| refusal(format!("copying `{}`", shown()), why))
}

/// Copies one source.
pub fn copy(patch: &mut Patch<'_>, tree: &View, source: &[u8], to: &Target, rules: &Rules) -> Result<()> {
    let shown = || String::from_utf8_lossy(source).into_owned();
    let from = followed(tree, source)?;
    let Some((layer, entry)) = tree.get(&from) else {
        return refused(format!("copying `/{}`", shown()), "there is no such file");
    };
    let ensured = if to.folder { to.path.as_slice() } else { parent(&to.path) };
    let ensured = patch.resolve(ensured)?;
    patch.folders(&ensured, rules.owner)?;
    let mut path = patch.resolve(&to.path)?;
    let there = patch.get(&path);
    let into = there.as_ref().is_some_and(Entry::is_folder);
    if entry.is_folder() {
        patch.folders(&path, rules.owner)?;
        return folder(patch, tree, &from, &path, rules);
    }
    if into {
        // The name is the one that was asked for, not the one that a link led to.
        path = join(&path, name(source));
    }
    patch.folders(parent(&path), rules.owner)?;
    one(patch, tree, (layer, &entry), &path, rules)
}

/// Copies what a folder holds.
fn folder(patch: &mut Patch<'_>, tree: &View, from: &[u8], to: &[u8], rules: &Rules) -> Result<()> {
    let bad = |bad| refusal("reading `--exclude`", format!("{bad}"));
    let exclude = Patterns::new(&rules.exclude).map_err(bad)?;
    let all = tree.below(from);
    let tail = |path: &[u8]| if from.is_empty() { path.to_vec() } else { path[from.len() + 1..].to_vec() };
    if exclude.is_empty() {
        for (path, (layer, entry)) in &all {
            one(patch, tree, (*layer, entry), &join(to, &tail(path)), rules)?;
        }
        return Ok(());
    }
    let taken = |path: &[u8]| !std::str::from_utf8(&tail(path)).is_ok_and(|tail| exclude.matches(tail));
    chosen(patch, tree, &all, &|path| join(to, &tail(path)), &taken, rules)
}

/// Copies what is chosen, with the folders it lies in.
fn chosen(
    patch: &mut Patch<'_>,
    tree: &View,
    all: &std::collections::BTreeMap<Vec<u8>, (usize, Entry)>,
    place: &dyn Fn(&[u8]) -> Vec<u8>,
    taken: &dyn Fn(&[u8]) -> bool,
    rules: &Rules,
) -> Result<()> {
    // Folders that wait for something to lie in them.
    let mut waiting: Vec<&[u8]> = Vec::new();
    for (path, (layer, entry)) in all {
        waiting.retain(|folder| path.starts_with(folder) && path.get(folder.len()) == Some(&b'/'));
        if !taken(path) {
            if entry.is_folder() {
                waiting.push(path);
            }
            continue;
        }
        for folder in std::mem::take(&mut waiting) {
            if let Some((layer, entry)) = all.get(folder) {
                one(patch, tree, (*layer, entry), &place(folder), rules)?;
            }
        }
        one(patch, tree, (*layer, entry), &place(path), rules)?;
    }
    Ok(())
}

/// `COPY --parents`: what a pattern matches keeps its path, from the pivot `./` on.
pub fn parents(patch: &mut Patch<'_>, tree: &View, word: &str, to: &Target, rules: &Rules) -> Result<()> {
    let bad = |bad| refusal(format!("copying `{word}`"), format!("{bad}"));
    let (pivot, pattern) = sources::pivot(word);
    let pattern = sources::normalize(pattern);
    let include = Patterns::new(std::slice::from_ref(&pattern)).map_err(bad)?;
    let exclude = Patterns::new(&rules.exclude).map_err(bad)?;
    let path = patch.resolve(&to.path)?;
    patch.folders(&path, rules.owner)?;
    let is_named = !glob::has_wildcards(pivot) && !glob::has_wildcards(&pattern);
    for root in matches(tree, pivot)? {
        let root = followed(tree, &root)?;
        if tree.get(&root).is_some_and(|(_, entry)| !entry.is_folder()) {
            // A file that a wildcard meets is copied as it is.
            copy(patch, tree, &root, &Target { path: to.path.clone(), folder: true }, rules)?;
            continue;
        }
        let all = tree.below(&root);
        let tail =
            |path: &[u8]| if root.is_empty() { path.to_vec() } else { path[root.len() + 1..].to_vec() };
        let taken = |path: &[u8]| {
            std::str::from_utf8(&tail(path)).is_ok_and(|tail| include.matches(tail) && !exclude.matches(tail))
        };
        if is_named && !all.keys().any(|path| taken(path)) {
            return refused(format!("copying `{word}`"), "there is no such file");
        }
        chosen(patch, tree, &all, &|from| join(&path, &tail(from)), &taken, rules)?;
    }
    Ok(())
}

/// Copies one entry without what lies in it.
fn one(
    patch: &mut Patch<'_>,
    tree: &View,
    (layer, entry): (usize, &Entry),
    to: &[u8],
    rules: &Rules,
) -> Result<()> {
    let there = patch.get(to);
    let shown = || format!("copying to `/{}`", String::from_utf8_lossy(to));
    match (&there, entry.is_folder()) {
        (Some(there), true) if !there.is_folder() => {
            return refused(shown(), "a folder cannot take the place of a file");
        }
        (Some(there), false) if there.is_folder() => {
            return refused(shown(), "a file cannot take the place of a folder");
        }
        _ => {}
    }
    let Some((at, file)) = tree.file(layer, entry) else {
        return refused(shown(), "it is a hard link to nothing");
    };
    let mut new = Entry { path: to.to_vec(), ..file.as_ref().clone() };
    if let Kind::Folder { opaque, implied } = &mut new.kind {
        (*opaque, *implied) = (false, false);
    }
    if let Some((uid, gid)) = rules.owner {
        (new.uid, new.gid) = (uid, gid);
    }
    if let Some(mode) = &rules.mode
        && !matches!(new.kind, Kind::Link(_))
    {
        new.mode = mode.applied(new.mode, new.is_folder());
    }
    let (content, inode): (_, Option<Inode>) = match (&new.kind, tree.origin(at)) {
        (Kind::File { at: place, .. }, Some(Origin::Layer(diff_id))) => {
            let inode = (rules.number, at, file.path.clone());
            (Some(Content::Layer(diff_id.clone(), *place)), Some(inode))
        }
        (Kind::File { at: place, .. }, Some(Origin::Context)) => (Some(Content::Context(*place)), None),
        _ => (None, None),
    };
    patch.put(new, content, inode);
    Ok(())
}

/// Copies one file that lies in no tree: a text of the Dockerfile, or what was fetched. Its path is its name.
pub fn file(patch: &mut Patch<'_>, file: Entry, content: Content, to: &Target, rules: &Rules) -> Result<()> {
    let ensured = if to.folder { to.path.as_slice() } else { parent(&to.path) };
    let ensured = patch.resolve(ensured)?;
    patch.folders(&ensured, rules.owner)?;
    let mut path = patch.resolve(&to.path)?;
    if patch.get(&path).is_some_and(|there| there.is_folder()) {
        path = join(&path, name(&file.path));
    }
    if patch.get(&path).is_some_and(|there| there.is_folder()) {
        let shown = format!("copying to `/{}`", String::from_utf8_lossy(&path));
        return refused(shown, "a file cannot take the place of a folder");
    }
    let mut new = Entry { path, ..file };
    if let Some((uid, gid)) = rules.owner {
        (new.uid, new.gid) = (uid, gid);
    }
    if let Some(mode) = &rules.mode {
        new.mode = mode.applied(new.mode, false);
    }
    patch.put(new, Some(content), None);
    Ok(())
}
