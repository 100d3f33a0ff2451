//! Whether one source of a Dockerfile takes a path, asked of the path alone.
//!
//! `source/` walks folders and asks their names; this is the same rule without folders, for
//! questions about a single file. Knows neither ignore files nor links.

use super::glob::{check, has_wildcards, is_within, matches, static_prefix};
use super::patterns::Patterns;
use super::reads::ReadSource;

/// One [`ReadSource`], ready to be asked about paths.
///
/// A source that names a folder selects everything below it; `--exclude` is
/// read relative to the matched folder, and never takes the source itself.
#[derive(Clone, Debug)]
pub struct Selector {
    pattern: String,
    depth: usize,
    wildcard: bool,
    parents: Option<Patterns>,
    exclude: Patterns,
}

impl Selector {
    /// Compiles the patterns of a source once. A bad pattern is a text to show.
    pub fn new(source: &ReadSource) -> Result<Self, String> {
        let compile = |all: &[String]| Patterns::new(all).map_err(|bad| bad.to_string());
        let parents = match source.parents {
            true if source.pattern.is_empty() => None,
            true => Some(compile(std::slice::from_ref(&source.pattern))?),
            false => None,
        };
        let wildcard = source.wildcard && has_wildcards(&source.pattern);
        if wildcard && check(&source.pattern).is_err() {
            return Err(format!("bad pattern `{}`", source.pattern));
        }
        let depth = source.pattern.split('/').filter(|part| !part.is_empty()).count();
        Ok(Self {
            pattern: source.pattern.clone(),
            depth,
            wildcard,
            parents,
            exclude: compile(&source.exclude)?,
        })
    }

    /// Is this path read, be it a file, a link or a folder?
    pub fn reads(&self, path: &str) -> bool {
        if let Some(parents) = &self.parents {
            return parents.matches(path) && !self.exclude.matches(path);
        }
        match self.root_of(path) {
            Some("") => path.is_empty() || !self.exclude.matches(path),
            Some(root) if root.len() == path.len() => true,
            Some(root) => !self.exclude.matches(&path[root.len() + 1..]),
            None => false,
        }
    }

    /// Can nothing below this folder be read? Then it need not be walked.
    pub fn can_skip(&self, dir: &str) -> bool {
        if self.parents.is_some() {
            let prefix = static_prefix(&self.pattern);
            return !(is_within(dir, prefix) || is_within(prefix, dir));
        }
        match self.root_of(dir) {
            Some(root) if root.len() < dir.len() || root.is_empty() => {
                let below = dir[root.len()..].trim_start_matches('/');
                !below.is_empty() && self.exclude.can_skip(below)
            }
            Some(_) => false,
            None => !self.may_lead_to_root(dir),
        }
    }

    /// The beginning of the path that the source matches, the shortest one as in `resolveWildcards`.
    fn root_of<'p>(&self, path: &'p str) -> Option<&'p str> {
        if !self.wildcard {
            return is_within(path, &self.pattern).then(|| &path[..self.pattern.len()]);
        }
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| &path[..end]).find(|head| matches(&self.pattern, head) == Ok(true))
    }

    fn may_lead_to_root(&self, dir: &str) -> bool {
        let prefix = if self.wildcard { static_prefix(&self.pattern) } else { &self.pattern };
        if !(is_within(dir, prefix) || is_within(prefix, dir)) {
            return false;
        }
        // A class may hold `/`, so the number of parts says something only without one.
        !self.wildcard || self.pattern.contains('[') || dir.split('/').count() < self.depth
    }
}
