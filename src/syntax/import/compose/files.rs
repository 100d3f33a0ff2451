//! Other files that a compose file names: those it includes, and those whose services it extends.
//!
//! Their paths are brought to the folder of the file that names them, and their places to the key that does. The
//! caller of the import reads them; knows nothing of what services mean.

use std::collections::HashMap;
use std::rc::Rc;

use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::import::draft::Drafts;
use crate::syntax::import::source::LONGEST;
use crate::syntax::import::{Source, place};
use crate::syntax::yaml::{self, Key, Node, Shared, Value};

/// Entries of maps that are moved one by one.
const MOST_KEYS: usize = 200_000;
/// Files that one import may read.
const MOST: usize = 64;

/// The file itself and those that it includes, with what they include.
///
/// # Errors
/// An included file that is not there, or that cannot be read.
pub(super) fn included(
    root: &Shared,
    source: &Source<'_>,
    drafts: &mut Drafts,
) -> Result<Vec<Shared>, Vec<SyntaxError>> {
    let mut roots = vec![Rc::clone(root)];
    let mut folders = vec![String::new()];
    let mut at = 0;
    while at < roots.len() {
        for (path, span) in includes(&roots[at], drafts) {
            if roots.len() >= MOST {
                let message = format!("more than {MOST} files are included");
                return Err(vec![SyntaxError::new(span, message)]);
            }
            let path = joined(&folders[at], &path);
            roots.push(other(&path, span, source).map_err(|error| vec![error])?);
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            if !folder.is_empty() && below(source, &format!("{folder}/.env")).is_some() {
                drafts.lost(
                    span,
                    format!("the `.env` beside `{path}`: the one beside this file gives all values"),
                );
            }
            folders.push(folder.to_owned());
        }
        at += 1;
    }
    Ok(roots)
}

/// Paths of `include`, each with its place.
fn includes(root: &Node, drafts: &mut Drafts) -> Vec<(String, Span)> {
    let mut paths = Vec::new();
    for item in root.get("include").map(|node| node.items()).unwrap_or_default() {
        if let Some(path) = item.text() {
            paths.push((path.to_owned(), item.span));
            continue;
        }
        let named = item.get("path").map(|node| node.items()).unwrap_or_default();
        for (at, path) in named.iter().filter_map(|node| node.text()).enumerate() {
            match at {
                0 => paths.push((path.to_owned(), item.span)),
                _ => {
                    drafts.lost(item.span, format!("`{path}` of include: it would be merged into the first"))
                }
            }
        }
        for key in ["project_directory", "env_file"] {
            if item.get(key).is_some() {
                drafts.lost(item.span, format!("{key} of include: imk reads it as if it were not there"));
            }
        }
    }
    paths
}

/// A file by its path relative to the compose file's folder, with its paths and places brought there.
///
/// # Errors
/// It is not there, or it cannot be read.
pub(super) fn other(path: &str, span: Span, source: &Source<'_>) -> Result<Shared, SyntaxError> {
    let hint = "it must be a file of the repository";
    let text = below(source, path);
    let text = text.ok_or_else(|| SyntaxError::new(span, format!("there is no file `{path}`")).hint(hint))?;
    if text.len() > LONGEST {
        return Err(SyntaxError::new(span, format!("`{path}` has more than {} KiB", LONGEST / 1024)));
    }
    let documents = yaml::read(&text)
        .map_err(|error| SyntaxError::new(span, format!("`{path}`: {}", error.message)).hint(hint))?;
    let root = documents.into_iter().next();
    let root = root.ok_or_else(|| SyntaxError::new(span, format!("`{path}` is empty")).hint(hint))?;
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    Ok(Moved { folder, span, visited: 0, seen: HashMap::new() }.root(&root))
}

fn below(source: &Source<'_>, path: &str) -> Option<String> {
    (source.read)(&place::path(source.folder(), path).ok()?)
}

fn joined(folder: &str, path: &str) -> String {
    if folder.is_empty() || path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") }
}

/// A tree that is brought to another file's folder.
struct Moved<'m> {
    folder: &'m str,
    span: Span,
    visited: usize,
    /// Nodes that stand in several places are moved once.
    seen: HashMap<*const Node, Shared>,
}

impl Moved<'_> {
    fn root(&mut self, root: &Shared) -> Shared {
        self.map(root, &mut |moved, key, value| match key {
            "services" => moved.map(value, &mut |moved, _, service| moved.service(service)),
            "secrets" => moved.map(value, &mut |moved, _, secret| {
                moved.map(secret, &mut |moved, key, value| moved.path_if(key == "file", value))
            }),
            _ => moved.node(value),
        })
    }

    fn service(&mut self, service: &Shared) -> Shared {
        self.map(service, &mut |moved, key, value| match (key, &value.value) {
            ("build", Value::Map(entries)) => {
                let build = moved.map(value, &mut |moved, key, value| moved.path_if(key == "context", value));
                if entries.iter().any(|(key, _)| key.text == "context") {
                    return build;
                }
                // Without one it is the folder of the file.
                let key = Key { text: "context".into(), span: moved.span };
                let own = moved.path_if(true, &Rc::new(Node::text_at(".", moved.span)));
                Rc::new(build.with(key, own))
            }
            ("build", _) => moved.path_if(true, value),
            ("extends", Value::Map(_)) => {
                moved.map(value, &mut |moved, key, value| moved.path_if(key == "file", value))
            }
            _ => moved.node(value),
        })
    }

    fn map(&mut self, node: &Shared, each: &mut dyn FnMut(&mut Self, &str, &Shared) -> Shared) -> Shared {
        let Value::Map(entries) = &node.value else { return self.node(node) };
        self.visited += entries.len();
        if self.visited > MOST_KEYS {
            // Aliases multiplied them: the rest is as it was, which `compose` counts and refuses.
            return Rc::clone(node);
        }
        let entries = entries.iter().map(|(key, value)| {
            let moved = each(self, &key.text, value);
            (Key { text: key.text.clone(), span: self.span }, moved)
        });
        let entries = entries.collect();
        Rc::new(node.changed(self.span, Value::Map(entries)))
    }

    /// A relative path, from the other folder; anything else as it is.
    fn path_if(&mut self, is_path: bool, node: &Shared) -> Shared {
        let relative = |text: &str| {
            !(text.starts_with(['/', '$', '~']) || text.contains("://") || text.starts_with("git@"))
        };
        match node.text().filter(|text| is_path && relative(text)) {
            Some(text) => {
                let value = Value::Scalar { text: joined(self.folder, text), quoted: true };
                Rc::new(node.changed(self.span, value))
            }
            None => self.node(node),
        }
    }

    fn node(&mut self, node: &Shared) -> Shared {
        if let Some(moved) = self.seen.get(&Rc::as_ptr(node)) {
            return Rc::clone(moved);
        }
        let value = match &node.value {
            Value::Null => Value::Null,
            Value::Scalar { text, quoted } => Value::Scalar { text: text.clone(), quoted: *quoted },
            Value::List(items) => Value::List(items.iter().map(|item| self.node(item)).collect()),
            Value::Map(entries) => {
                let entry = |(key, value): &(Key, Shared)| {
                    (Key { text: key.text.clone(), span: self.span }, self.node(value))
                };
                Value::Map(entries.iter().map(entry).collect())
            }
        };
        let moved = Rc::new(node.changed(self.span, value));
        self.seen.insert(Rc::as_ptr(node), Rc::clone(&moved));
        moved
    }
}
