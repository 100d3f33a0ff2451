//! Which stages a build needs, on which images, and what their triggers bring along.
//!
//! Reads the Dockerfile that the build was handed, with the configurations of its bases at hand, so that
//! nothing is left to guess. Runs nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::embedded::config::Config;
use crate::embedded::images::Images;
use crate::embedded::trouble::{Result, refusal};
use crate::engine::{BuildFailure, BuildRequest, EngineError};
use crate::syntax::dockerfile::{self, Dockerfile};
use crate::syntax::error::SyntaxError;
use crate::syntax::resolve::globals::Globals;
use crate::syntax::resolve::names::{self, Heads, Source};
use crate::syntax::resolve::reach::{self, Reached};
use crate::syntax::resolve::{NamedContext, Request, Target, target};

/// A Dockerfile ready to be gone through.
pub struct Plan {
    /// The text, read.
    pub file: Dockerfile,
    /// Arguments before the first `FROM`.
    pub globals: Globals,
    /// The images that stages begin with.
    pub heads: Heads,
    /// The stages that are needed, with what their bases' triggers bring.
    pub reached: Reached,
    /// The stage that is built.
    pub target: Target,
    /// Configurations of images by name and platform.
    pub bases: BTreeMap<(String, String), Config>,
}

impl Plan {
    /// Reads a request, and fetches the configurations of the images that stages begin with.
    pub fn of(request: &BuildRequest, platform: &str, native: &str, images: &Images<'_>) -> Result<Self> {
        let file = dockerfile::parse(&request.dockerfile).map_err(|errors| unsound(request, errors))?;
        if file.foreign.is_some() {
            let syntax = file.syntax.as_ref().map_or("", |word| word.text.as_str());
            return Err(refusal(
                format!("building `{}`", request.image),
                format!(
                    "its Dockerfile is for the frontend `{syntax}`, which is a program in an image; the embedded builder \
                     reads docker's own syntax and runs no frontend: build it with a Docker engine"
                ),
            ));
        }
        let mut question = Request {
            args: request.args.clone(),
            target: request.target.clone(),
            platform: platform.to_owned(),
            build_platform: native.to_owned(),
            contexts: request.contexts.keys().map(|name| (name.clone(), NamedContext::Files)).collect(),
            ..Request::default()
        };
        let mut errors = Vec::new();
        let target =
            target(&file, request.target.as_deref()).map_err(|error| unsound(request, vec![error]))?;
        let globals = Globals::of(&file, &question, &target, &mut errors);
        let Some(globals) = globals else { return Err(unsound(request, errors)) };
        let heads = names::heads(&file, &question, &globals, &mut errors);
        let mut bases = BTreeMap::new();
        loop {
            if !errors.is_empty() {
                return Err(unsound(request, errors));
            }
            let reached = reach::reach(&file, &question, &heads, target.index, &mut errors);
            if !errors.is_empty() {
                return Err(unsound(request, errors));
            }
            // A trigger may need a stage that begins with an image nobody has looked at.
            let before = bases.len();
            for index in reached.keys() {
                let head = &heads.stages[*index];
                let Source::Image(name) = &head.source else { continue };
                let wanted = head.platform.clone().unwrap_or_else(|| platform.to_owned());
                let key = (name.clone(), wanted.clone());
                if bases.contains_key(&key) {
                    continue;
                }
                let config = base(images, name, &wanted)?;
                question.triggers.insert(name.clone(), config.list("OnBuild"));
                bases.insert(key, config);
            }
            if bases.len() == before {
                return Ok(Self { file, globals, heads, reached, target, bases });
            }
        }
    }
}

impl Plan {
    /// The stages that each stage needs, of those that are needed.
    pub fn needs(&self) -> BTreeMap<usize, BTreeSet<usize>> {
        let of = |(index, triggers): (&usize, &Vec<_>)| {
            (*index, reach::needs(&self.file, &self.heads, *index, triggers))
        };
        self.reached.iter().map(of).collect()
    }
}

/// The configuration of an image that is here, else that its registry has.
pub fn base(images: &Images<'_>, name: &str, platform: &str) -> Result<Config> {
    if let Some(image) = images.find(name)? {
        return Ok(image.config);
    }
    let found = images.pull(name, platform)?;
    found.map(|image| image.config).ok_or_else(|| {
        let hint = "neither the image store nor a registry has it; is the name right?";
        refusal(format!("looking for the image `{name}` for {platform}"), hint)
    })
}

/// A Dockerfile that cannot be built. imk's queries have seen it before, so this is about triggers and the like.
fn unsound(request: &BuildRequest, errors: Vec<SyntaxError>) -> EngineError {
    let told = errors.iter().map(|error| {
        let (line, _) = error.span.line_and_column(&request.dockerfile);
        format!("line {line}: {}", error.message)
    });
    let message = told.collect::<Vec<_>>().join("; ");
    EngineError::Failed(BuildFailure { step: String::new(), message, exit_code: None, lines: None })
}
