//! The newest tag with a time, by name: neither by when it was pushed nor by when its image was made.
//!
//! An image that serves again after a revert is older than what it replaces, and a tag
//! pushed late is not a late tag. So names alone count, on the engine and in the registry.

use std::collections::BTreeSet;

use crate::engine::EngineError;
use crate::model::hub::HUB;
use crate::model::name;
use crate::plan::tags::tagging::{self, Tagging, tag_of};
use crate::registry::RegistryError;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::syntax::reference;
use crate::syntax::tag::time_in;

/// The newest tag of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// In full.
    pub reference: String,
    /// The time in it.
    pub time: String,
    /// Whether the engine has it.
    pub on_engine: bool,
    /// Whether the registry has it.
    pub in_registry: bool,
}

/// The answers of engine and registry.
#[derive(Debug)]
pub struct NewestAnswer {
    /// The newest of both.
    pub newest: Option<Newest>,
    /// The newest that the engine has.
    pub here: Option<Newest>,
    /// The newest that the registry has: a name to everybody.
    pub published: Option<Newest>,
    /// Why the engine did not answer.
    pub engine: Option<EngineError>,
    /// Why the registry did not answer: it may have a newer one.
    pub registry: Option<RegistryError>,
}

/// The newest tag of an image whose form is that of its templates with `{time}`, else the bare time.
/// No registry is asked unless `ask_registry`, when nobody may be, and for a name that nobody can push to.
pub fn newest(session: &Session, synced: &Synced, name: &str, ask_registry: bool) -> NewestAnswer {
    let mut answer = NewestAnswer { newest: None, here: None, published: None, engine: None, registry: None };
    let Some(image) = session.project.images.get(name) else { return answer };
    let repository = &image.repository;
    let forms = tagging::tagging(session, synced).forms(name);
    let time = |tag: &str| {
        forms.iter().find_map(|(before, behind)| time_in(tag, (before, behind))).map(str::to_owned)
    };
    let mut found: Vec<(String, String, bool)> = Vec::new();
    match session.executor.references(&BTreeSet::from([repository.clone()])) {
        Ok(named) => found.extend(named.keys().filter_map(|reference| {
            let tag = tag_of(reference, repository)?;
            Some((time(tag)?, tag.to_owned(), true))
        })),
        Err(error) => answer.engine = Some(error),
    }
    let bare = |name: &reference::Reference| name.registry == HUB && name.repository.starts_with("library/");
    if ask_registry
        && !session.upstream.is_offline()
        && let Some(name) = reference::parse(repository).ok().filter(|name| !bare(name))
    {
        match session.upstream.registry().tags(&name) {
            Ok(tags) => {
                found.extend(tags.into_iter().filter_map(|tag| Some((time(&tag)?, tag, false))));
            }
            Err(error) => answer.registry = Some(error),
        }
    }
    let newest = |(time, tag, _): &(String, String, bool)| {
        let on = |engine: bool| found.iter().any(|it| (&it.1, it.2) == (tag, engine));
        Newest {
            reference: format!("{repository}:{tag}"),
            time: time.clone(),
            on_engine: on(true),
            in_registry: on(false),
        }
    };
    answer.newest = found.iter().max().map(newest);
    answer.here = found.iter().filter(|(_, _, on_engine)| *on_engine).max().map(newest);
    answer.published = found.iter().filter(|(_, _, on_engine)| !on_engine).max().map(newest);
    answer
}

impl Tagging {
    /// Text around the time in the tags of an image that have one; nothing when none has.
    pub fn forms(&self, name: &str) -> Vec<(String, String)> {
        let given = self.of(name, None).given.into_iter();
        let mut forms: Vec<_> =
            given.filter_map(|tag| tag.timed).map(|(_, before, behind)| (before, behind)).collect();
        // A bare time in a repository that several images share is nobody's.
        let shares = name::split(name).1.is_some() || name::platform_of(name).is_some();
        if forms.is_empty() && !shares {
            forms.push((String::new(), String::new()));
        }
        forms
    }
}
