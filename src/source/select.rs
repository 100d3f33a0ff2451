//! Which files of a context do these reads touch? Decided as BuildKit decides it.
//!
//! The engine sees the context after its ignore file. A source is cleaned, its
//! wildcards are matched name by name, links on the way to it and the source
//! itself are followed inside the context (`fsutil`'s `FollowLinks` and `copy`),
//! and all below it is taken with links kept as links. Knows nothing of disks:
//! a [`Folders`] lists names, and says more of a file only when it is used.

mod reach;

use rayon::prelude::*;

use super::copy_rules::{CopyOutcome, CopyRules};
use super::folders::find;
pub use super::folders::{Facts, FolderListing, Folders, ListError, by_components};
use super::tree::Selection;
use crate::model::file::{FileKind, UsedFile, UsedFiles};
use crate::model::hash::ContentHash;
pub use crate::model::name::join;
use crate::syntax::dockerignore::{self, Dockerignore};
use crate::syntax::glob;
use crate::syntax::patterns::{self, MatchInfo, Patterns};
use crate::syntax::reads::ReadSource;

/// More links than this on one way are a loop (the limit of containerd's `RootPath`).
const MOST_LINKS: usize = 255;

/// Used files whose content has not been looked at yet.
pub struct Listed<F> {
    entries: Vec<ListedEntry<F>>,
    /// Indexes of required sources that match nothing.
    pub missing: Vec<usize>,
    /// Indexes of wildcards that match nothing.
    pub empty: Vec<usize>,
}

struct ListedEntry<F> {
    path: String,
    counts: bool,
    what: What<F>,
}

enum What<F> {
    Folder { mode: u32, mtime_ns: i64 },
    Entry { folder: F, index: u32, kind: FileKind },
}

/// Lists what a selection uses.
pub fn list_used<D: Folders>(folders: &D, selection: &Selection) -> Result<Listed<D::Folder>, ListError> {
    let ignore = match &selection.ignore {
        None => Dockerignore::default(),
        Some(text) => dockerignore::parse(text).map_err(|errors| {
            let what = errors.first().map_or_else(String::new, |error| error.message.clone());
            ListError::read(join(&selection.root, ".dockerignore"), what)
        })?,
    };
    let mut walk = Walk { folders, root: &selection.root, ignore, entries: Vec::new() };
    let folder = folders.context(&selection.root)?;
    let top = Place { path: String::new(), folder, info: MatchInfo::default() };
    let (mut missing, mut empty) = (Vec::new(), Vec::new());
    for (index, source) in selection.reads.sources.iter().enumerate() {
        match walk.source(&top, source)? {
            CopyOutcome::Something => {}
            CopyOutcome::Nothing if !source.required => empty.push(index),
            CopyOutcome::Nothing | CopyOutcome::Broken => missing.push(index),
        }
    }
    let mut entries = walk.entries;
    let sources = &selection.reads.sources;
    if sources.len() > 1 || sources.iter().any(|source| !source.is_whole()) {
        // What counts sorts first and stays when another source sent it only on its way.
        entries.sort_by(|a, b| by_components(&a.path, &b.path).then(b.counts.cmp(&a.counts)));
        entries.dedup_by(|later, first| later.path == first.path);
    }
    Ok(Listed { entries, missing, empty })
}

/// Looks at the files of a list, folder by folder and in parallel.
pub fn hash_listed<D: Folders>(folders: &D, listed: Listed<D::Folder>) -> Result<UsedFiles, ListError> {
    let mut files: Vec<UsedFile> = Vec::with_capacity(listed.entries.len());
    let mut wanted: Vec<(D::Folder, Vec<u32>, Vec<u32>)> = Vec::new();
    let mut last_parent: Option<String> = None;
    for (at, entry) in listed.entries.into_iter().enumerate() {
        let mut file = UsedFile {
            path: entry.path,
            kind: FileKind::Folder,
            mode: 0,
            size_bytes: 0,
            mtime_ns: 0,
            hash: ContentHash::of(b""),
            target: String::new(),
            counts: entry.counts,
        };
        match entry.what {
            What::Folder { mode, mtime_ns } => (file.mode, file.mtime_ns) = (mode, mtime_ns),
            What::Entry { folder, index, kind } => {
                file.kind = kind;
                let parent = file.path.rsplit_once('/').map_or("", |(parent, _)| parent);
                if last_parent.as_deref() != Some(parent) {
                    last_parent = Some(parent.to_owned());
                    wanted.push((folder, Vec::new(), Vec::new()));
                }
                if let Some((_, indexes, places)) = wanted.last_mut() {
                    indexes.push(index);
                    places.push(u32::try_from(at).unwrap_or(u32::MAX));
                }
            }
        }
        files.push(file);
    }
    let found: Vec<Result<Vec<Facts>, ListError>> =
        wanted.par_iter().map(|(folder, indexes, _)| folders.facts(folder, indexes)).collect();
    for (facts, (_, _, places)) in found.into_iter().zip(&wanted) {
        for (fact, at) in facts?.into_iter().zip(places) {
            let file = &mut files[*at as usize];
            (file.mode, file.size_bytes, file.mtime_ns, file.hash) =
                (fact.mode, fact.size_bytes, fact.mtime_ns, fact.hash);
            file.target = fact.target.into();
        }
    }
    Ok(UsedFiles { files })
}

/// A folder of the context on the way down, with what the ignore file said of it.
struct Place<F> {
    path: String,
    folder: F,
    info: MatchInfo,
}

/// The end of a way.
enum Found<F> {
    Folder(Place<F>, bool),
    Entry { path: String, folder: F, index: u32, kind: FileKind },
}

struct Walk<'a, D: Folders> {
    folders: &'a D,
    root: &'a str,
    ignore: Dockerignore,
    entries: Vec<ListedEntry<D::Folder>>,
}

impl<D: Folders> Walk<'_, D> {
    /// Lists what one source reads.
    fn source(&mut self, top: &Place<D::Folder>, source: &ReadSource) -> Result<CopyOutcome, ListError> {
        let taken = |any| if any { CopyOutcome::Something } else { CopyOutcome::Nothing };
        let compile = |all: &[String]| Patterns::new(all).map_err(|bad| ListError::read(self.root, bad));
        let mut rules = CopyRules { exclude: compile(&source.exclude)?, ..CopyRules::default() };
        if let Some(include) = &source.include {
            rules.include = Some(compile(std::slice::from_ref(include))?);
            rules.prefix = patterns::static_prefix(include).to_owned();
        }
        if source.pattern.is_empty() {
            let before = self.entries.len();
            self.below(top, &rules, &MatchInfo::default(), &MatchInfo::default())?;
            if !self.lead(before, source)? {
                return Ok(CopyOutcome::Broken);
            }
            return Ok(taken(self.entries.len() > before || source.include.is_none()));
        }
        if !(source.wildcard && glob::has_wildcards(&source.pattern)) {
            return Ok(taken(self.named(&source.pattern, &mut rules)?));
        }
        let prefix = glob::static_prefix(&source.pattern);
        let rest = source.pattern[prefix.len()..].trim_start_matches('/');
        let start = match self.resolve(prefix)? {
            Some(Found::Folder(place, ignored)) if !ignored || self.keeps(&place)? => place,
            Some(Found::Entry { .. }) => return Ok(CopyOutcome::Nothing),
            _ => return Ok(CopyOutcome::Broken),
        };
        // The engine must find the folder even where the wildcard finds nothing in it.
        if !start.path.is_empty() {
            self.pick_folder(&start, false);
        }
        let mut matches = Vec::new();
        let parts: Vec<&str> = rest.split('/').collect();
        self.matching(&start, &parts, &mut matches)?;
        let mut any = false;
        for (path, kind) in matches {
            match self.named(&path, &mut rules)? {
                false if kind == FileKind::Link => return Ok(CopyOutcome::Broken),
                found => any |= found,
            }
        }
        Ok(taken(any))
    }

    /// The paths below a folder that a wildcard matches; links on the way are not followed.
    fn matching(
        &self,
        place: &Place<D::Folder>,
        parts: &[&str],
        found: &mut Vec<(String, FileKind)>,
    ) -> Result<(), ListError> {
        let [part, rest @ ..] = parts else { return Ok(()) };
        for index in 0..place.folder.count() {
            let (bytes, kind) = place.folder.name(index);
            // A name that is not UTF-8 is refused only where a pattern takes it.
            let name = String::from_utf8_lossy(bytes);
            let matched = glob::matches(part, &name).map_err(|_| {
                ListError::read(join(self.root, &place.path), format!("bad pattern `{}`", parts.join("/")))
            })?;
            if !matched {
                continue;
            }
            let path = join(&place.path, &name);
            let (ignored, info) = self.ignore.matches_below(&path, &place.info);
            if ignored && (kind != FileKind::Folder || self.ignore.can_skip(&path)) {
                continue;
            }
            if rest.is_empty() {
                self.utf8(bytes, &place.path)?;
                found.push((path, kind));
            } else if kind == FileKind::Folder {
                self.utf8(bytes, &place.path)?;
                let folder = self.folders.folder(&join(self.root, &path))?;
                self.matching(&Place { path, folder, info }, rest, found)?;
            }
        }
        Ok(())
    }

    /// A source without wildcards: what it is, or what it leads to.
    fn named(&mut self, path: &str, rules: &mut CopyRules) -> Result<bool, ListError> {
        match self.resolve(path)? {
            None => Ok(false),
            Some(Found::Entry { path, folder, index, kind }) => {
                self.entries.push(ListedEntry {
                    path,
                    counts: true,
                    what: What::Entry { folder, index, kind },
                });
                Ok(true)
            }
            Some(Found::Folder(place, ignored)) => {
                rules.skip = if place.path.is_empty() { 0 } else { place.path.len() + 1 };
                let before = self.entries.len();
                if !place.path.is_empty() {
                    self.pick_folder(&place, true);
                }
                let start = self.entries.len();
                self.below(&place, rules, &MatchInfo::default(), &MatchInfo::default())?;
                // Of a folder of which nothing is included, not even that it is there counts.
                if (ignored || rules.include.is_some()) && self.entries.len() == start {
                    self.entries.truncate(before);
                    return Ok(false);
                }
                Ok(true)
            }
        }
    }

    /// Takes what is below a folder, in path order.
    fn below(
        &mut self,
        place: &Place<D::Folder>,
        rules: &CopyRules,
        excluded: &MatchInfo,
        included: &MatchInfo,
    ) -> Result<(), ListError> {
        for index in 0..place.folder.count() {
            let (bytes, kind) = place.folder.name(index);
            let lossy = String::from_utf8_lossy(bytes);
            let path = join(&place.path, &lossy);
            let tail = &path[rules.skip.min(path.len())..];
            if rules.include.is_some()
                && !(glob::is_within(tail, &rules.prefix) || glob::is_within(&rules.prefix, tail))
            {
                continue;
            }
            let (ignored, info) = match self.ignore.is_empty() {
                true => (false, MatchInfo::default()),
                false => self.ignore.matches_below(&path, &place.info),
            };
            if ignored && (kind != FileKind::Folder || self.ignore.can_skip(&path)) {
                continue;
            }
            let (out, out_info) = match rules.exclude.is_empty() {
                true => (false, MatchInfo::default()),
                false => rules.exclude.matches_below(tail, excluded),
            };
            if out && (kind != FileKind::Folder || !rules.exclude.has_exclusions()) {
                continue;
            }
            let (matched, in_info) = match &rules.include {
                None => (true, MatchInfo::default()),
                Some(include) => include.matches_below(tail, included),
            };
            let taken = !ignored && !out && matched;
            if kind != FileKind::Folder {
                if taken {
                    self.utf8(bytes, &place.path)?;
                    let (folder, index) = (place.folder.clone(), u32::try_from(index).unwrap_or(u32::MAX));
                    self.entries.push(ListedEntry {
                        path,
                        counts: true,
                        what: What::Entry { folder, index, kind },
                    });
                }
                continue;
            }
            // A folder that is not taken itself comes along when something below it is.
            if std::str::from_utf8(bytes).is_err() {
                if taken {
                    self.utf8(bytes, &place.path)?;
                }
                continue;
            }
            let folder = self.folders.folder(&join(self.root, &path))?;
            let inner = Place { path, folder, info };
            let before = self.entries.len();
            self.pick_folder(&inner, true);
            self.below(&inner, rules, &out_info, &in_info)?;
            if !taken && self.entries.len() == before + 1 {
                self.entries.truncate(before);
            }
        }
        Ok(())
    }

    /// Walks to a path through links, as containerd's `RootPath` does: absolute
    /// targets begin at the context, `..` stops there. Lists the links on the way,
    /// and the folders, which are sent but do not count.
    fn resolve(&mut self, path: &str) -> Result<Option<Found<D::Folder>>, ListError> {
        let mut rest: Vec<String> =
            path.split('/').rev().filter(|part| !part.is_empty()).map(str::to_owned).collect();
        let mut way = vec![self.top()?];
        let mut ignored = false;
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    if way.len() > 1 {
                        way.pop();
                    }
                    continue;
                }
                _ => {}
            }
            let Some(here) = way.last() else { return Ok(None) };
            let Some(index) = find(&here.folder, part.as_bytes()) else { return Ok(None) };
            let (_, kind) = here.folder.name(index);
            let path = join(&here.path, &part);
            let (is_ignored, info) = self.ignore.matches_below(&path, &here.info);
            ignored = is_ignored;
            if ignored && (kind != FileKind::Folder || self.ignore.can_skip(&path)) {
                return Ok(None);
            }
            let at = u32::try_from(index).unwrap_or(u32::MAX);
            match kind {
                FileKind::Folder => {
                    let folder = self.folders.folder(&join(self.root, &path))?;
                    way.push(Place { path, folder, info });
                }
                FileKind::Link => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(ListError::read(join(self.root, &path), "links lead round in a circle"));
                    }
                    let folder = here.folder.clone();
                    let facts = self.folders.facts(&folder, &[at])?;
                    self.pick_way(&way);
                    self.entries.push(ListedEntry {
                        path,
                        counts: true,
                        what: What::Entry { folder, index: at, kind },
                    });
                    let target = facts.first().map_or("", |facts| &facts.target);
                    if target.starts_with('/') {
                        way.truncate(1);
                    }
                    rest.extend(target.split('/').rev().map(str::to_owned));
                }
                FileKind::File | FileKind::Special
                    if rest.iter().any(|part| !matches!(part.as_str(), "" | ".")) =>
                {
                    return Ok(None);
                }
                FileKind::File | FileKind::Special => {
                    let folder = here.folder.clone();
                    self.pick_way(&way);
                    return Ok(Some(Found::Entry { path, folder, index: at, kind }));
                }
            }
        }
        let last = way.pop();
        self.pick_way(&way);
        Ok(last.map(|place| Found::Folder(place, ignored)))
    }

    fn top(&self) -> Result<Place<D::Folder>, ListError> {
        Ok(Place {
            path: String::new(),
            folder: self.folders.context(self.root)?,
            info: MatchInfo::default(),
        })
    }

    fn pick_way(&mut self, way: &[Place<D::Folder>]) {
        for place in way.iter().skip(1) {
            self.pick_folder(place, false);
        }
    }

    fn pick_folder(&mut self, place: &Place<D::Folder>, counts: bool) {
        let (mode, mtime_ns) = place.folder.mode_and_mtime();
        self.entries.push(ListedEntry {
            path: place.path.clone(),
            counts,
            what: What::Folder { mode, mtime_ns },
        });
    }

    fn utf8(&self, name: &[u8], folder: &str) -> Result<(), ListError> {
        match std::str::from_utf8(name) {
            Ok(_) => Ok(()),
            Err(_) => {
                let path = join(self.root, &join(folder, &String::from_utf8_lossy(name)));
                Err(ListError::read(path, "its name is not UTF-8, and BuildKit's file sync sends no other"))
            }
        }
    }
}

#[cfg(test)]
#[path = "select_tests.rs"]
mod tests;
