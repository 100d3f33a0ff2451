//! Gates: which images of a set the build of this commit may publish, by the rules of their `publish` key.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use crate::plan::tags::ci;
use crate::plan::tags::facts;
use crate::plan::tags::missing::Missing;
use crate::session::open::Session;
use crate::syntax::error::Span;
use crate::syntax::tag::{TagRule, Template, When};

/// Some images, by whether their rules admit this build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// Images that may be published.
    pub open: BTreeSet<String>,
    /// Images that may not, with the rules of which none admits the build.
    pub closed: BTreeMap<String, Vec<When>>,
}

/// The images of a build that publishes by itself, by what it may publish: without a word of a person, only
/// what declares `publish` is published, and never a pull request's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unasked {
    /// Images that may be published, and others whose rules do not admit this build.
    pub gates: Gates,
    /// Images that declare nothing of it.
    pub undeclared: BTreeSet<String>,
    /// The variable that says that this is a pull request's build; all gates are closed then.
    pub pull_request: Option<&'static str>,
}

/// Asks which of some images a build may publish of which nobody said so: as [`gates`], and stricter.
///
/// # Errors
/// As [`gates`].
pub fn unasked(session: &Session, names: &BTreeSet<String>) -> Result<Unasked, Missing> {
    let variable = |name: &str| session.environment.get(OsStr::new(name)).and_then(|value| value.to_str());
    let declares = |name: &&String| session.project.images.get(*name).is_some_and(|it| it.publish.is_some());
    let (declared, undeclared): (BTreeSet<&String>, BTreeSet<&String>) = names.iter().partition(declares);
    let undeclared = undeclared.into_iter().cloned().collect();
    if let Some(said_by) = ci::pull_request(variable) {
        return Ok(Unasked { gates: Gates::default(), undeclared, pull_request: Some(said_by) });
    }
    Ok(Unasked { gates: gates(session, declared)?, undeclared, pull_request: None })
}

/// Asks the rules of some images. An image without any is always admitted; a pull request's build is
/// of no branch, so a rule for branches does not admit it.
///
/// # Errors
/// When there are rules and git does not say where the build stands: that opens no gate.
pub fn gates<'n>(session: &Session, names: impl IntoIterator<Item = &'n String>) -> Result<Gates, Missing> {
    let mut gates = Gates::default();
    let mut ruled: BTreeMap<&String, Vec<TagRule>> = BTreeMap::new();
    for name in names {
        match session.project.images.get(name).and_then(|image| image.publish.as_ref()) {
            Some(rules) => drop(ruled.insert(name, rules.iter().map(rule).collect())),
            None => drop(gates.open.insert(name.clone())),
        }
    }
    if ruled.is_empty() {
        return Ok(gates);
    }
    let facts = facts::gather(session, &ruled.values().flatten().collect::<Vec<_>>());
    for (name, rules) in ruled {
        let mut admitted = false;
        for rule in &rules {
            admitted |= facts.let_in(rule.when.as_ref())?.is_some();
        }
        if admitted {
            gates.open.insert(name.clone());
        } else {
            gates.closed.insert(name.clone(), rules.into_iter().filter_map(|rule| rule.when).collect());
        }
    }
    Ok(gates)
}

/// A gate is asked as a tag's rule is.
fn rule(when: &When) -> TagRule {
    TagRule { when: Some(when.clone()), template: Template::plain("latest"), span: Span::default() }
}
