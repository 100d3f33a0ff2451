//! Which file of the source uses which, as far as its imports show it.
//!
//! Follows `use` (groups, `self`, `super`, aliases), paths within code, and re-exports to the file that
//! defines what they name, so that a door plate is in nobody's way. Knows no floors.

use std::collections::{BTreeMap, BTreeSet};

type Path = Vec<String>;

/// The files that each file uses.
pub type Uses = BTreeMap<String, BTreeSet<String>>;

/// One file, read as tokens.
struct File {
    /// Its module, `["engine", "docker"]`.
    module: Path,
    tokens: Vec<String>,
    /// Names that its `use` lines bind, with what they stand for.
    bound: BTreeMap<String, Path>,
}

/// Reads what uses what. Only the part before a file's tests counts, and no file of tests.
pub fn uses(sources: &[(String, String)]) -> Uses {
    let modules: BTreeMap<Path, &String> = sources.iter().map(|(path, _)| (module(path), path)).collect();
    let mut files: BTreeMap<&String, File> = BTreeMap::new();
    for (path, text) in sources {
        let mut file = File { module: module(path), tokens: tokens(text), bound: BTreeMap::new() };
        file.bind(&modules);
        files.insert(path, file);
    }
    let bindings: BTreeMap<Path, Path> = files
        .values()
        .flat_map(|file| file.bound.iter().map(|(name, to)| (join(&file.module, name), to.clone())))
        .collect();
    let target = |path: &Path| target(path, &modules, &bindings, 0);
    files
        .iter()
        .map(|(path, file)| {
            let named = file.paths(&modules);
            let used = named.iter().filter_map(target).filter(|used| used != path).cloned();
            ((*path).clone(), used.collect())
        })
        .collect()
}

/// Groups of files that reach each other, each sorted.
pub fn circles(uses: &Uses) -> Vec<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<&String>> =
        uses.keys().map(|from| (from, reached(from, uses))).collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for from in uses.keys() {
        if !reach[from].contains(from) || !seen.insert(from) {
            continue;
        }
        let circle: Vec<&String> =
            reach[from].iter().copied().filter(|to| reach[to].contains(from)).collect();
        seen.extend(circle.iter().copied());
        found.push(circle.into_iter().cloned().collect());
    }
    found
}

fn reached<'u>(from: &String, uses: &'u Uses) -> BTreeSet<&'u String> {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<&String> = uses[from].iter().collect();
    while let Some(next) = todo.pop() {
        if reached.insert(next) {
            todo.extend(&uses[next]);
        }
    }
    reached
}

/// The file that defines what a path names: the longest part that is a module, re-exports followed.
fn target<'m>(
    path: &Path,
    modules: &BTreeMap<Path, &'m String>,
    bindings: &BTreeMap<Path, Path>,
    depth: usize,
) -> Option<&'m String> {
    for length in 1..=path.len() {
        let head = &path[..length];
        if let Some(to) = bindings.get(head)
            && !modules.contains_key(head)
            && depth < 8
        {
            let whole: Path = to.iter().chain(&path[length..]).cloned().collect();
            return target(&whole, modules, bindings, depth + 1);
        }
    }
    (1..=path.len()).rev().find_map(|length| modules.get(&path[..length]).copied())
}

impl File {
    /// Reads the `use` lines and takes them out.
    fn bind(&mut self, modules: &BTreeMap<Path, &String>) {
        let mut rest = Vec::new();
        let mut tokens = std::mem::take(&mut self.tokens).into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token.as_str() {
                "use" => {
                    let tree: Vec<String> = tokens.by_ref().take_while(|token| token != ";").collect();
                    let mut found = Vec::new();
                    read_tree(&tree, &mut 0, &[], &mut found);
                    for (name, path) in found {
                        if let Some(path) = self.absolute(&path, modules) {
                            self.bound.insert(name, path);
                        }
                    }
                }
                // `pub(in …)` names a module and uses nothing of it.
                "in" if rest.last().is_some_and(|last| last == "(") => {
                    tokens.by_ref().take_while(|token| token != ")").for_each(drop);
                }
                _ => rest.push(token),
            }
        }
        self.tokens = rest;
    }

    /// Everything of the crate that the file names.
    fn paths(&self, modules: &BTreeMap<Path, &String>) -> Vec<Path> {
        // A module that is imported is used by what is named of it.
        let mut paths: Vec<Path> =
            self.bound.values().filter(|path| !modules.contains_key(*path)).cloned().collect();
        let mut at = 0;
        while at < self.tokens.len() {
            let start = at;
            let mut path = vec![self.tokens[at].clone()];
            while self.tokens.get(at + 1).is_some_and(|token| token == "::")
                && self.tokens.get(at + 2).is_some_and(|token| is_name(token))
            {
                path.push(self.tokens[at + 2].clone());
                at += 2;
            }
            at += 1;
            let begins = start == 0 || self.tokens[start - 1] != "::";
            if path.len() > 1 && begins && is_name(&path[0]) {
                paths.extend(self.absolute(&path, modules));
            }
        }
        paths
    }

    /// A path from the crate's root; `None` when it leads out of the crate.
    fn absolute(&self, path: &[String], modules: &BTreeMap<Path, &String>) -> Option<Path> {
        let mut above = self.module.clone();
        let ups = path.iter().take_while(|part| *part == "super").count();
        let rest = match path.first()?.as_str() {
            "crate" => return Some(path[1..].to_vec()),
            "super" => {
                above.truncate(above.len().saturating_sub(ups));
                &path[ups..]
            }
            "self" => &path[1..],
            first => match self.bound.get(first) {
                Some(bound) => return Some(bound.iter().chain(&path[1..]).cloned().collect()),
                None if modules.contains_key(&join(&above, first)) => path,
                None => return None,
            },
        };
        above.extend(rest.iter().cloned());
        Some(above)
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

fn join(module: &[String], name: &str) -> Path {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

/// The names that a `use` line binds, with what they stand for. Reads one tree, up to its comma or bracket.
fn read_tree(tokens: &[String], at: &mut usize, prefix: &[String], found: &mut Vec<(String, Path)>) {
    let mut path = prefix.to_vec();
    let mut alias = None;
    while let Some(token) = tokens.get(*at).filter(|token| !matches!(token.as_str(), "," | "}")) {
        *at += 1;
        match token.as_str() {
            "::" => {}
            "as" => {
                alias = tokens.get(*at).cloned();
                *at += 1;
            }
            "{" => {
                while tokens.get(*at).is_some_and(|token| token != "}") {
                    read_tree(tokens, at, &path, found);
                    *at += usize::from(tokens.get(*at).is_some_and(|token| token == ","));
                }
                *at += 1;
                return;
            }
            name => path.push(name.to_owned()),
        }
    }
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    if let Some(name) = alias.or_else(|| path.last().cloned()) {
        found.push((name, path));
    }
}

/// `src/engine/docker.rs` is `["engine", "docker"]`.
fn module(path: &str) -> Path {
    let inside = path.trim_start_matches("src/").trim_end_matches(".rs");
    let mut parts: Path = inside.split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

/// Names and signs, without comments and texts.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let rest = &text[at..];
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if c == '"' {
            end_of_text(rest)
        } else if c == 'r' && (rest.starts_with("r\"") || rest.starts_with("r#\"")) {
            let end = if rest.starts_with("r#") { "\"#" } else { "\"" };
            let from = rest.find('"').unwrap_or(0) + 1;
            rest[from..].find(end).map_or(rest.len(), |found| from + found + end.len())
        } else if c == '\'' && rest[1..].starts_with('\\') {
            rest[3..].find('\'').map_or(1, |found| found + 4)
        } else if c == '\'' && rest.chars().nth(2) == Some('\'') {
            rest.chars().take(3).map(char::len_utf8).sum()
        } else if c.is_alphanumeric() || c == '_' {
            let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            c.len_utf8()
        };
        while chars.peek().is_some_and(|(next, _)| *next < at + skip) {
            chars.next();
        }
    }
    tokens
}

/// The length of a text in double quotes.
fn end_of_text(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[test]
fn a_circle_is_found_through_groups_aliases_and_door_plates() {
    let source = |path: &str, text: &str| (format!("src/{path}"), text.to_owned());
    let files = [
        source("a/mod.rs", "pub mod api;\nmod one;\npub use api::Thing;\npub use one::One;"),
        source("a/api.rs", "pub struct Thing;"),
        source("a/one.rs", "use super::Thing;\n// use crate::b::lost;\nconst A: &str = \"crate::b::lost\";"),
        source("b.rs", "use crate::{a::{Thing as Other, One}, c};\nfn f() { c::g() }"),
        source("c.rs", "pub fn g() { let x: super::b::X; }"),
    ];
    let uses = uses(&files);
    assert_eq!(uses["src/a/one.rs"], BTreeSet::from(["src/a/api.rs".to_owned()]));
    let used = ["src/a/api.rs", "src/a/one.rs", "src/c.rs"].map(str::to_owned);
    assert_eq!(uses["src/b.rs"], BTreeSet::from(used));
    assert_eq!(circles(&uses), [["src/b.rs", "src/c.rs"]]);
}
