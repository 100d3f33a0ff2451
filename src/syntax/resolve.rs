//! Resolution of a Dockerfile for one target: the stages reached, their bases, and what they read.
//!
//! Follows BuildKit's `dockerfile2llb/convert.go`. The canonical form changes
//! whenever BuildKit's own cache key would; comments, joins, keyword case, names
//! of stages and stages not reached do not count. Knows no files, no digests and
//! no image configuration beyond what the request brings.

pub(crate) mod evaluate;
pub(crate) mod globals;
pub(crate) mod mounts;
pub(crate) mod names;
mod pin;
pub mod platform;
pub(crate) mod reach;
mod recipe;
pub(crate) mod scope;
pub(crate) mod sources;
mod transfer;
mod uses;

use std::collections::BTreeMap;

use super::dockerfile::{Dockerfile, Frontend};
use super::error::{Span, SyntaxError};
use super::reads::Reads;
use super::suggest::did_you_mean;
use super::text::quoted;
use scope::Scope;

pub use recipe::{
    BaseUse, CanonicalInstruction, How, NamedContext, ReachedStage, Recipe, Remote, Request, StageBase,
    Target,
};

/// Works out what a target is made of. Every mistake is reported.
///
/// # Examples
///
/// Stages that the target does not reach are not in the recipe, so they make nothing stale:
///
/// ```
/// use imk::syntax::dockerfile::parse;
/// use imk::syntax::resolve::{Request, resolve};
///
/// let file = parse("FROM alpine AS base\nFROM base AS test\nRUN check\nFROM base AS prod\nCOPY app /app\n")
///     .expect("no mistakes");
/// let prod = Request { target: Some("prod".into()), ..Request::default() };
/// let recipe = resolve(&file, &prod).expect("no mistakes");
/// assert_eq!(recipe.stages.len(), 2);
/// assert_eq!(recipe.bases.len(), 1);
/// ```
pub fn resolve(file: &Dockerfile, request: &Request) -> Result<Recipe, Vec<SyntaxError>> {
    resolved(file, request).map(|(recipe, _)| recipe)
}

/// The environment of the image that a target becomes, where all of it is
/// known: the stage's base has one that was told, and no mistake is in the way.
pub fn environment(file: &Dockerfile, request: &Request) -> Option<BTreeMap<String, String>> {
    let (_, scope) = resolved(file, request).ok()?;
    scope?.environment()
}

fn resolved(file: &Dockerfile, request: &Request) -> Result<(Recipe, Option<Scope>), Vec<SyntaxError>> {
    let syntax = request.args.get("BUILDKIT_SYNTAX").filter(|syntax| !syntax.is_empty());
    let syntax = syntax.cloned().or_else(|| file.syntax.as_ref().map(|syntax| syntax.text.clone()));
    let frontend = syntax.as_deref().map_or(Frontend::Builtin, Frontend::of);
    if frontend != Frontend::Builtin {
        if request.contexts.values().any(|context| matches!(context, NamedContext::Image(_))) {
            let span = file.syntax.as_ref().map(|syntax| syntax.span).unwrap_or_default();
            let message = format!(
                "{} reads this Dockerfile, and imk cannot tell it what named contexts stand for",
                quoted(syntax.as_deref().unwrap_or_default())
            );
            let hint = "write the images into the Dockerfile in place of `contexts`, or leave the frontend to docker/dockerfile";
            return Err(vec![SyntaxError::new(span, message).hint(hint)]);
        }
        return Ok((foreign(file, request, frontend, syntax), None));
    }
    if file.stages.is_empty() {
        // Parsed for a foreign frontend that this request does not use.
        let text = file.foreign.as_deref().unwrap_or_default();
        let lines: String =
            text.lines().skip_while(|line| line.starts_with('#')).map(|l| format!("{l}\n")).collect();
        return Err(super::dockerfile::parse(&lines).err().unwrap_or_default());
    }
    let mut errors = Vec::new();
    let target =
        target(file, request.target.as_deref()).map_err(|error| errors.push(error)).unwrap_or_default();
    let Some(globals) = globals::Globals::of(file, request, &target, &mut errors) else {
        return Err(errors);
    };
    let heads = names::heads(file, request, &globals, &mut errors);
    if !errors.is_empty() {
        return Err(sorted(errors));
    }
    let reached = reach::reach(file, request, &heads, target.index, &mut errors);
    if !errors.is_empty() {
        return Err(sorted(errors));
    }
    evaluate::evaluate(file, request, globals, &heads, &reached, target, (frontend, syntax)).map_err(sorted)
}

fn sorted(mut errors: Vec<SyntaxError>) -> Vec<SyntaxError> {
    errors.sort_by_key(|error| error.span);
    errors
}

/// By name in any case, as BuildKit finds it (`findStateByName`); it knows no number.
pub(crate) fn target(file: &Dockerfile, wanted: Option<&str>) -> Result<Target, SyntaxError> {
    let found = match wanted {
        None => file.stages.len().checked_sub(1),
        Some(wanted) => {
            let lower = wanted.to_lowercase();
            let named = |name: &super::dockerfile::Word| name.text == lower;
            file.stages
                .iter()
                // Of two stages of one name the later one is meant.
                .rposition(|stage| stage.name.as_ref().is_some_and(named))
        }
    };
    if let Some(index) = found {
        let name = file.stages[index].name.as_ref().map(|name| name.text.clone());
        return Ok(Target { index, name });
    }
    let names: Vec<&str> =
        file.stages.iter().filter_map(|stage| Some(stage.name.as_ref()?.text.as_str())).collect();
    let wanted = wanted.unwrap_or_default();
    let all = match names.as_slice() {
        [] => "no stage has a name".to_owned(),
        names if names.len() > 20 => format!("there are {} stages", names.len()),
        names => format!("the stages are `{}`", names.join("`, `")),
    };
    let numbered = wanted.parse().ok().and_then(|number: usize| file.stages.get(number));
    let hint = match numbered.map(|stage| &stage.name) {
        Some(Some(name)) => format!("a target is named, and that stage is `{}`", name.text),
        Some(None) => format!("a target is named: write `AS name` behind FROM of that stage; {all}"),
        None => {
            did_you_mean(wanted, names.iter().copied()).map_or(all.clone(), |near| format!("{near} {all}"))
        }
    };
    let span = file.stages.first().map(|stage| stage.span).unwrap_or_default();
    Err(SyntaxError::new(span, format!("there is no stage {}", quoted(wanted))).hint(hint))
}

/// A frontend that imk does not know may read anything of the text and of the context.
fn foreign(file: &Dockerfile, request: &Request, frontend: Frontend, syntax: Option<String>) -> Recipe {
    let text = match &file.foreign {
        Some(text) => text.clone(),
        // Asked for by an argument: what was parsed is all there is of the text.
        None => format!("{:?}{:?}", file.globals, file.stages),
    };
    let span = Span::new(0, text.len());
    let instructions = vec![CanonicalInstruction { text, span }];
    let platform =
        platform::parse(&request.platform).map_or(request.platform.clone(), |found| found.to_string());
    let stage = ReachedStage {
        index: 0,
        name: None,
        base: StageBase::Scratch,
        platform: platform.clone(),
        instructions,
    };
    Recipe {
        frontend,
        syntax,
        escape: file.escape,
        platform,
        target: Target { index: 0, name: request.target.clone() },
        stages: vec![stage],
        args: request
            .args
            .iter()
            .filter(|(name, _)| !globals::is_proxy(name))
            .map(|(n, v)| (n.clone(), Some(v.clone())))
            .collect(),
        bases: Vec::new(),
        reads: Reads::whole(),
        context_reads: request.contexts.keys().map(|name| (name.clone(), Reads::whole())).collect(),
        remotes: Vec::new(),
        triggers: Vec::new(),
        guesses: false,
        warnings: Vec::new(),
        undeclared: Vec::new(),
        idle_contexts: Vec::new(),
        rewrites: Vec::new(),
    }
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "resolve_contexts_tests.rs"]
mod contexts_tests;
