//! Proposals where no Imagefile is: the names that a repository has for its images, and other builders'
//! files that lie unused.
//!
//! Proposes, and writes nothing: `imk init` and `imk import` do.

use crate::query::inputs::Text;
use crate::session::learned_names::{Recipe, learn};
use crate::session::open::Session;
use crate::syntax::import::KNOWN_NAMES;

/// Proposals for a repository without an Imagefile, sentences without a full stop.
pub fn proposals(session: &Session) -> Vec<String> {
    if session.project.imagefile.is_some() {
        return Vec::new();
    }
    let mut found: Vec<String> = unused_file(session).into_iter().collect();
    if session.project.prefixes.iter().all(String::is_empty) {
        found.extend(own_names(session));
    }
    found
}

/// References that end in names of images here, under a prefix that nobody declared.
fn own_names(session: &Session) -> Option<String> {
    let recipes = session.project.images.iter().filter_map(|(name, declared)| {
        let Text::Is(text) = session.input(name)?.dockerfile(session.db()) else { return None };
        let path = declared.paths.dockerfile.clone();
        Some(Recipe { path, name: name.clone(), text: text.clone() })
    });
    let learned = learn(&recipes.collect::<Vec<_>>());
    let users = match learned.users {
        0 => return None,
        1 => "1 image is".to_owned(),
        users => format!("{users} images are"),
    };
    Some(format!(
        "{users} built on `{}…`, which ends as images here are named and is the one outside now: `imk init` writes an Imagefile in which it is the one here",
        learned.prefix
    ))
}

/// A file of another builder that says what is built here.
fn unused_file(session: &Session) -> Option<String> {
    let there = |name: &&&str| {
        let text = session.executor.tree.read(name).ok().flatten();
        // A compose file that builds nothing says nothing of images.
        text.is_some_and(|text| {
            !name.contains("compose") || String::from_utf8_lossy(&text).contains("build:")
        })
    };
    let name = KNOWN_NAMES.iter().find(there)?;
    Some(format!(
        "`{name}` is here and was not read: `imk import` writes an Imagefile that says what it says"
    ))
}
