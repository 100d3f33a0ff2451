//! Other files that a compose file names: those it includes, and those whose services it extends.
//!
//! Their paths are brought to the folder of the file that names them, and their places to the key that does. The
//! caller of the import reads them; knows nothing of what services mean.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;

use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::import::interpolate::Variables;
use crate::syntax::import::source::LONGEST;
use crate::syntax::import::{Source, dotenv, place};
use crate::syntax::yaml::{self, Key, Node, Shared, Value};

/// Entries of maps that are moved one by one.
const MOST_KEYS: usize = 200_000;
/// Files that one import may read.
const MOST: usize = 64;

/// A compose file of its own: the one that is imported, or one that is included, with the files that are laid over it.
pub(super) struct Project {
    /// The first is the file, the others are laid over it.
    pub roots: Vec<Shared>,
    /// Values of variables. Those of an including file go before the included one's own.
    pub values: Values,
}

type Values = BTreeMap<String, String>;

/// The file itself and those that it includes, with what they include.
///
/// # Errors
/// An included file that is not there or cannot be read, and files that include each other.
pub(super) fn included(
    documents: &[Shared],
    source: &Source<'_>,
    values: Values,
) -> Result<Vec<Project>, Vec<SyntaxError>> {
    let mut found = Including { source, projects: Vec::new(), seen: BTreeSet::new() };
    found.project(documents.to_vec(), "", values, &mut Vec::new()).map_err(|error| vec![error])?;
    Ok(found.projects)
}

/// Includes being followed. Paths and folders begin at the imported file's own folder.
struct Including<'s> {
    source: &'s Source<'s>,
    projects: Vec<Project>,
    /// Files that are in already: the same from two places is the same project.
    seen: BTreeSet<(Vec<String>, String)>,
}

impl Including<'_> {
    /// Adds a project in `folder`, and those that it includes. `way` has the files that led here.
    fn project(
        &mut self,
        roots: Vec<Shared>,
        folder: &str,
        values: Values,
        way: &mut Vec<String>,
    ) -> Result<(), SyntaxError> {
        let includes: Vec<Shared> =
            roots.iter().filter_map(|root| root.get("include")).flat_map(|node| node.items()).collect();
        self.projects.push(Project { roots, values: values.clone() });
        for include in includes {
            self.include(&include, folder, &values, way)?;
        }
        Ok(())
    }

    fn include(
        &mut self,
        include: &Shared,
        folder: &str,
        values: &Values,
        way: &mut Vec<String>,
    ) -> Result<(), SyntaxError> {
        let span = include.span;
        let mut variables = Variables::of(values.clone());
        let mut listed = |node: Option<&Shared>| -> Vec<String> {
            let items = node.map(|node| node.items()).unwrap_or_default();
            items.iter().filter_map(|item| item.text()).map(|text| variables.plain(text)).collect()
        };
        let paths = match include.text() {
            Some(_) => listed(Some(include)),
            None => listed(include.get("path")),
        };
        let environment = include.get("env_file").map(|node| listed(Some(node)));
        let named = listed(include.get("project_directory")).pop().filter(|text| !text.is_empty());
        let paths: Vec<String> = paths.iter().map(|path| cleaned(&joined(folder, path))).collect();
        let Some(first) = paths.first() else { return Ok(()) };
        let whole = |path: &String| place::path(self.source.folder(), path).unwrap_or_else(|_| path.clone());
        let first_whole = whole(first);
        if way.contains(&first_whole) {
            let message = format!("`{first}` includes itself, by way of others or not");
            return Err(SyntaxError::new(span, message).hint("compose refuses it too"));
        }
        let inside = match named {
            Some(named) => cleaned(&joined(folder, &named)),
            None => first.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned(),
        };
        if !self.seen.insert((paths.iter().map(whole).collect(), whole(&inside))) {
            return Ok(());
        }
        if self.seen.len() >= MOST {
            return Err(SyntaxError::new(span, format!("more than {MOST} files are included")));
        }
        let own = match environment {
            Some(files) => self.environment(&files, folder, span, values)?,
            None => self.beside(&joined(&inside, ".env"), span, values)?,
        };
        let mut merged = own;
        merged.extend(values.clone());
        let roots = paths.iter().map(|path| at(path, &inside, span, self.source));
        let roots = roots.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        way.push(first_whole);
        self.project(roots, &inside, merged, way)?;
        way.pop();
        Ok(())
    }

    /// The values of files that an include names. A later one goes before an earlier one.
    fn environment(
        &self,
        files: &[String],
        folder: &str,
        span: Span,
        values: &Values,
    ) -> Result<Values, SyntaxError> {
        let mut all = Values::new();
        for file in files.iter().filter(|file| *file != "/dev/null") {
            let path = joined(folder, file);
            if below(self.source, &path).is_none() {
                return Err(missing(&path, span));
            }
            let mut known = all.clone();
            known.extend(values.clone());
            all.extend(self.beside(&path, span, &known)?);
        }
        Ok(all)
    }

    /// The values of a file, if it is there.
    fn beside(&self, path: &str, span: Span, values: &Values) -> Result<Values, SyntaxError> {
        let Some(text) = below(self.source, path) else { return Ok(Values::new()) };
        dotenv::read(&text, values)
            .map_err(|why| SyntaxError::new(span, format!("`{path}`, {why}")).hint("compose refuses it too"))
    }
}

fn missing(path: &str, span: Span) -> SyntaxError {
    SyntaxError::new(span, format!("there is no file `{path}`")).hint("it must be a file of the repository")
}

/// A path without detours. One that leads above the imported file's folder keeps what leads there.
fn cleaned(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." | "" if !parts.is_empty() || !path.starts_with('/') => {}
            ".." if parts.last().is_some_and(|last| *last != ".." && !last.is_empty()) => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// A file by its path relative to the compose file's folder, with its paths and places brought there.
///
/// # Errors
/// It is not there, or it cannot be read.
pub(super) fn other(path: &str, span: Span, source: &Source<'_>) -> Result<Shared, SyntaxError> {
    let mut documents = at(path, path.rsplit_once('/').map_or("", |(folder, _)| folder), span, source)?;
    match documents.len() {
        1 => Ok(documents.remove(0)),
        _ => {
            let message = format!("`{path}` has several documents, and a service is extended from one");
            Err(SyntaxError::new(span, message).hint("write them as one"))
        }
    }
}

/// The documents of a file as [`other`] has it, with paths that begin at another folder than the file's own.
fn at(path: &str, folder: &str, span: Span, source: &Source<'_>) -> Result<Vec<Shared>, SyntaxError> {
    let hint = "it must be a file of the repository";
    let text = below(source, path).ok_or_else(|| missing(path, span))?;
    if text.len() > LONGEST {
        return Err(SyntaxError::new(span, format!("`{path}` has more than {} KiB", LONGEST / 1024)));
    }
    let documents = yaml::read(&text)
        .map_err(|error| SyntaxError::new(span, format!("`{path}`: {}", error.message)).hint(hint))?;
    if documents.is_empty() {
        return Err(SyntaxError::new(span, format!("`{path}` is empty")).hint(hint));
    }
    let mut moved = Moved { folder, span, visited: 0, seen: HashMap::new() };
    Ok(documents.iter().map(|document| moved.root(document)).collect())
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
