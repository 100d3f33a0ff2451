//! The variables of a stage, and what a stage that builds on it takes over.
//!
//! Follows the state and the image that `dispatchEnv`, `dispatchArg` and
//! `dispatchState.init` keep side by side: `ENV` sets both, `ARG` only the
//! first. Layers are shared, so that 100,000 stages cost 100,000 small maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::syntax::expand::{Lookup, Variables};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

#[derive(Clone, Debug)]
struct Variable {
    value: String,
    /// The value that the image has, if it has one.
    image: Option<String>,
}

#[derive(Debug)]
struct Layer {
    variables: BTreeMap<String, Variable>,
    below: Option<Arc<Self>>,
}

/// The variables at one point of a stage.
#[derive(Clone, Debug)]
pub struct Scope {
    own: BTreeMap<String, Variable>,
    below: Option<Arc<Layer>>,
    /// Nothing can be set that is not here.
    complete: bool,
}

impl Scope {
    /// The environment of a base: known, or not known.
    pub fn of_base(environment: Option<&BTreeMap<String, String>>) -> Self {
        let mut scope = Self { own: BTreeMap::new(), below: None, complete: environment.is_some() };
        for (name, value) in environment.into_iter().flatten() {
            scope.set_env(name, value.clone());
        }
        // BuildKit makes sure that there is one.
        if scope.complete && !scope.own.contains_key("PATH") {
            scope.set_env("PATH", DEFAULT_PATH.to_owned());
        }
        scope
    }

    /// The environment of the image's configuration at this point; `None` when its base's was never told.
    pub fn environment(&self) -> Option<BTreeMap<String, String>> {
        if !self.complete {
            return None;
        }
        let mut environment = BTreeMap::new();
        let mut take = |variables: &BTreeMap<String, Variable>| {
            for (name, variable) in variables {
                // An argument alone hides what a stage below set from the stage, not from the image.
                if let Some(value) = &variable.image {
                    environment.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
        };
        take(&self.own);
        let mut layer = self.below.as_deref();
        while let Some(current) = layer {
            take(&current.variables);
            layer = current.below.as_deref();
        }
        Some(environment)
    }

    /// Every variable that a command sees, arguments included.
    pub fn variables(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut take = |variables: &BTreeMap<String, Variable>| {
            for (name, variable) in variables {
                all.entry(name.clone()).or_insert_with(|| variable.value.clone());
            }
        };
        take(&self.own);
        let mut layer = self.below.as_deref();
        while let Some(current) = layer {
            take(&current.variables);
            layer = current.below.as_deref();
        }
        all
    }

    fn find(&self, name: &str) -> Option<&Variable> {
        if let Some(found) = self.own.get(name) {
            return Some(found);
        }
        let mut layer = self.below.as_deref();
        while let Some(current) = layer {
            if let Some(found) = current.variables.get(name) {
                return Some(found);
            }
            layer = current.below.as_deref();
        }
        None
    }

    pub fn set_env(&mut self, name: &str, value: String) {
        self.own.insert(name.to_owned(), Variable { image: Some(value.clone()), value });
    }

    pub fn set_arg(&mut self, name: &str, value: String) {
        let image = self.find(name).and_then(|found| found.image.clone());
        self.own.insert(name.to_owned(), Variable { value, image });
    }

    /// The beginning of a stage built on this one: the state, with the image's values on top.
    pub fn child(&mut self) -> Self {
        let mut own = BTreeMap::new();
        for (name, variable) in &self.own {
            if let Some(image) = variable.image.as_ref().filter(|image| **image != variable.value) {
                own.insert(name.clone(), Variable { value: image.clone(), image: Some(image.clone()) });
            }
        }
        if !self.own.is_empty() {
            self.freeze();
        }
        Self { own, below: self.below.clone(), complete: self.complete }
    }

    /// Puts the own variables into a layer. Layers of like size become one, so
    /// that there are few to look through, and none is copied often.
    fn freeze(&mut self) {
        let mut variables = std::mem::take(&mut self.own);
        let mut below = self.below.take();
        while let Some(layer) = below.take_if(|layer| layer.variables.len() <= 2 * variables.len()) {
            for (name, variable) in &layer.variables {
                variables.entry(name.clone()).or_insert_with(|| variable.clone());
            }
            below = layer.below.clone();
        }
        self.below = Some(Arc::new(Layer { variables, below }));
    }
}

impl Variables for Scope {
    fn get(&self, name: &str) -> Lookup<'_> {
        match self.find(name) {
            Some(found) => Lookup::Set(&found.value),
            None if self.complete => Lookup::Unset,
            None => Lookup::Unknown,
        }
    }
}
