//! Inheritance of targets: a target's keys over those of its parents, the later parent over the earlier.
//!
//! As in bake, a target that comes back to itself adds nothing there. Knows keys by their names alone.

use std::collections::{BTreeMap, BTreeSet};

use super::merge;
use super::target::Keys;
use crate::syntax::import::evaluate::Carried;

/// Parents within parents.
const DEEPEST: usize = 64;
/// Comparisons of keys that all targets may take together.
const BUDGET: usize = 20_000_000;

/// The targets of a file with their parents.
pub(super) struct Parents<'p> {
    own: &'p BTreeMap<&'p str, Keys>,
    parents: BTreeMap<&'p str, &'p [String]>,
    /// Targets whose keys are the same whoever asks: those of a file without circles.
    settled: BTreeMap<String, Keys>,
    in_circles: bool,
    spent: usize,
}

impl<'p> Parents<'p> {
    /// Targets by their names, with their own keys and with their parents.
    pub fn new(own: &'p BTreeMap<&'p str, Keys>, parents: BTreeMap<&'p str, &'p [String]>) -> Self {
        let in_circles = has_circle(&parents);
        Self { own, parents, settled: BTreeMap::new(), in_circles, spent: 0 }
    }

    /// The keys that a target has in the end.
    ///
    /// # Errors
    /// A parent that is not there, or more of them than a file can mean.
    pub fn flat(&mut self, name: &str) -> Result<Keys, String> {
        if self.in_circles {
            self.settled.clear();
        }
        self.flatten(name, 0)
    }

    fn flatten(&mut self, name: &str, depth: usize) -> Result<Keys, String> {
        if let Some(keys) = self.settled.get(name) {
            return Ok(keys.clone());
        }
        if depth > DEEPEST {
            return Err(format!("targets inherit each other more than {DEEPEST} deep"));
        }
        self.settled.insert(name.to_owned(), Keys::new());
        let mut keys = Keys::new();
        for parent in self.parents.get(name).copied().unwrap_or_default() {
            if !self.own.contains_key(parent.as_str()) {
                return Err(format!("`{name}` inherits `{parent}`, which is not here"));
            }
            let inherited = self.flatten(parent, depth + 1)?;
            self.lay(&mut keys, &inherited)?;
        }
        self.lay(&mut keys, &self.own[name])?;
        self.settled.insert(name.to_owned(), keys.clone());
        Ok(keys)
    }

    fn lay(&mut self, under: &mut Keys, over: &Keys) -> Result<(), String> {
        self.spent = self.spent.saturating_add(1 + weight(under).saturating_mul(weight(over)));
        if self.spent > BUDGET {
            return Err("the targets of this file inherit too much".into());
        }
        merge::lay(under, over);
        Ok(())
    }
}

/// How many values the keys hold.
fn weight(keys: &Keys) -> usize {
    let one = |value: &Carried| match value {
        Carried::List(items) => items.len(),
        Carried::Map(entries) => entries.len(),
        Carried::Null | Carried::Text(_) => 1,
    };
    keys.values().map(|(value, _)| one(value)).sum()
}

/// Whether a target is among its own parents' parents. Targets without open parents are taken away until none is left.
fn has_circle(parents: &BTreeMap<&str, &[String]>) -> bool {
    let mut open: BTreeSet<&str> = parents.keys().copied().collect();
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, parents) in parents {
        let known = parents.iter().filter(|parent| open.contains(parent.as_str()));
        let known: BTreeSet<&str> = known.map(String::as_str).collect();
        waiting.insert(name, known.len());
        known.into_iter().for_each(|parent| users.entry(parent).or_default().push(name));
    }
    let mut ready: Vec<&str> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while let Some(name) = ready.pop() {
        open.remove(name);
        for user in users.remove(name).unwrap_or_default() {
            if let Some(count) = waiting.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    ready.push(user);
                }
            }
        }
    }
    !open.is_empty()
}
