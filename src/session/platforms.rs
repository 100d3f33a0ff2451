//! Names for several platforms: an image for each, `web@linux/arm64`, with a key and results of its own.
//!
//! To queries, ledger and engines these are images like all others. What they have together, the name that
//! people use and the tags, is told from here. Builds nothing, and makes no index.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::name::{declared, for_platform, platform_of};
use crate::query::inputs::Workspace;
use crate::session::inputs;
use crate::session::open::Session;
use crate::session::project::{Declared, Project};
use crate::syntax::resolve::platform;

/// The images of each name for several platforms, in the order in which those are declared.
pub fn several(project: &Project) -> BTreeMap<String, Vec<String>> {
    let mut names = BTreeMap::new();
    for (name, image) in project.images.iter().filter(|(name, _)| platform_of(name).is_some()) {
        let each = || image.platforms.iter().map(|one| for_platform(declared(name), one)).collect();
        names.entry(declared(name).to_owned()).or_insert_with(each);
    }
    names
}

/// Whether an image is among those that the typed platforms leave.
pub(super) fn is_asked(project: &Project, name: &str) -> bool {
    let asked = &project.asked_platforms;
    asked.is_empty() || platform_of(name).is_none_or(|one| asked.iter().any(|asked| asked == one))
}

/// The image that a word means where one is needed and the word may name several platforms: the one that the
/// default engine runs by itself.
pub fn on_engine(session: &Session, word: &str) -> Option<String> {
    if session.project.images.contains_key(word) {
        return Some(word.to_owned());
    }
    if let Some((name, one)) = word.split_once('@') {
        let name = for_platform(name, &platform::asked(one).ok()?);
        return session.project.images.contains_key(&name).then_some(name);
    }
    let own = match Workspace::try_get(&session.db) {
        Some(workspace) => workspace.platform(&session.db).to_owned(),
        None => inputs::own_platform(),
    };
    let runs = |name: &&String| platform_of(name).is_some_and(|one| platform::same(one, &own));
    of_name(&session.project, word).find(runs).cloned()
}

/// The images of a declared name for several platforms, in the order of these.
fn of_name<'p>(project: &'p Project, declared: &str) -> impl Iterator<Item = &'p String> {
    let each = for_platform(declared, "");
    let behind = project.images.range(each.clone()..);
    behind.map(|(name, _)| name).take_while(move |name| name.starts_with(&each))
}

/// The declaration of a name, for several platforms or for one.
pub fn declaration<'p>(project: &'p Project, name: &str) -> Option<&'p Declared> {
    let one = || project.images.get(of_name(project, name).next()?);
    project.images.get(name).or_else(one)
}

/// Some images without those for other platforms than the default engine's, where the same name has one
/// for that among them.
pub fn of_engine(session: &Session, names: &BTreeSet<String>) -> BTreeSet<String> {
    let is_other = |name: &&String| {
        let own = platform_of(name).and_then(|_| on_engine(session, declared(name)));
        own.is_some_and(|own| own != **name && names.contains(&own))
    };
    names.iter().filter(|name| !is_other(name)).cloned().collect()
}
