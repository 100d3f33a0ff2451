//! Recipe of an image: its Dockerfile, once its arguments, target and bases' triggers are known.
//!
//! Knows nothing of files and results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Db;
use super::inputs::{Brings, Image, OutsideBase, Text, Workspace};
use super::names::{self, Found};
use super::problem::Problem;
use crate::model::name::declared;
use crate::syntax::dockerfile::{self, Dockerfile};
use crate::syntax::error::SyntaxError;
use crate::syntax::resolve::{self, BaseUse, Recipe, Request, StageBase};

/// The part of a Dockerfile that other images need to know before it is resolved in full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outline {
    /// Bases, as far as they are known without triggers.
    pub bases: Vec<OutsideBase>,
    /// The base that the target's own stage stands on in the end; `None` for `scratch`.
    pub root_base: Option<OutsideBase>,
    /// `ONBUILD` triggers of the image: what those built on it run first.
    pub triggers: Vec<String>,
}

/// The outline of an image.
#[salsa::tracked(persist)]
pub fn outline(db: &dyn Db, image: Image) -> Result<Outline, Vec<Problem>> {
    let parsed = parse(db, image)?;
    let recipe = resolve_with(db, image, &parsed, Inherited::default())?;
    let base = |base: &BaseUse| base_of(db, image, base);
    let root_base = root_base(&recipe).and_then(|place| recipe.bases.get(place)).filter(|it| !it.context);
    let root_base = root_base.map(base);
    Ok(Outline { bases: images(&recipe).map(base).collect(), root_base, triggers: recipe.triggers })
}

/// The bases that are images, and not files of a named context.
pub(super) fn images(recipe: &Recipe) -> impl Iterator<Item = &BaseUse> {
    recipe.bases.iter().filter(|base| !base.context)
}

/// A base as one outside the repository.
pub(super) fn base_of(db: &dyn Db, image: Image, base: &BaseUse) -> OutsideBase {
    OutsideBase {
        own: names::meaning(db, image, &base.reference, &base.platform) == names::Meaning::Own,
        reference: base.reference.clone(),
        platform: base.platform.clone(),
        policy: image.options(db).upstream,
    }
}

/// The base below the target's stage and the stages it builds on.
fn root_base(recipe: &Recipe) -> Option<usize> {
    let mut stage = recipe.stages.iter().find(|stage| stage.index == recipe.target.index)?;
    loop {
        match stage.base {
            StageBase::Scratch => return None,
            StageBase::Base(place) => return Some(place),
            StageBase::Stage(place) => stage = recipe.stages.get(place)?,
        }
    }
}

/// The recipe of an image: what its target reaches, everything expanded, its
/// bases' `ONBUILD` triggers included.
///
/// # Errors
/// Every mistake of the Dockerfile.
#[salsa::tracked(persist)]
pub fn recipe(db: &dyn Db, image: Image) -> Result<Recipe, Vec<Problem>> {
    let outline = outline(db, image).as_ref().map_err(Clone::clone)?;
    let parsed = parse(db, image)?;
    let mut inherited = Inherited { triggers: triggers(db, image, outline), ..Inherited::default() };
    let recipe = resolve_with(db, image, &parsed, inherited.clone())?;
    of_its_platforms(db, image, &recipe)?;
    if !recipe.guesses {
        return Ok(recipe);
    }
    // Rarely wanted, and dear to know: a base's environment rests on the Dockerfiles of all below it.
    for base in &outline.bases {
        if let Some(environment) = environment_of(db, image, base) {
            inherited.environments.insert(base.reference.clone(), environment);
        }
    }
    resolve_with(db, image, &parsed, inherited)
}

/// Refuses bases of the repository that are not for the platform for which they are used.
fn of_its_platforms(db: &dyn Db, image: Image, recipe: &Recipe) -> Result<(), Vec<Problem>> {
    let problem = |base: &BaseUse| {
        let Found::OtherPlatform(found) = names::find(db, image, &base.reference, &base.platform) else {
            return None;
        };
        let name = declared(found.name(db));
        Some(Problem {
            path: image.paths(db).dockerfile.clone(),
            span: base.spans.first().copied(),
            message: format!(
                "`{name}` is not for {}, and `{}` uses it for that",
                base.platform,
                image.name(db)
            ),
            hint: Some(format!(
                "give `{name}` `platforms: [… \"{}\"]`; what only runs while others are built is FROM --platform=$BUILDPLATFORM",
                base.platform
            )),
        })
    };
    let problems: Vec<Problem> = images(recipe).filter_map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// The recipe of an image if its Dockerfile ended at another stage. Not a query: it is wanted for an explanation.
///
/// # Errors
/// Every mistake on the way to that stage.
pub fn of_stage(db: &dyn Db, image: Image, stage: usize) -> Result<Recipe, Vec<Problem>> {
    let path = &image.paths(db).dockerfile;
    let mut parsed = parse(db, image)?;
    // A target is named and a stage need not be: this one is made the last. None builds on a later one.
    parsed.stages.truncate(stage + 1);
    let request = request(db, image, &parsed, Inherited::default());
    let request = Request { target: None, ..request };
    resolve::resolve(&parsed, &request).map_err(|errors| in_file(path, errors))
}

/// The recipe of an image if this were its Dockerfile's text. Not a query: it is wanted for an explanation.
///
/// # Errors
/// Every mistake in the text.
pub fn of_text(db: &dyn Db, image: Image, text: &str) -> Result<Recipe, Vec<Problem>> {
    let path = &image.paths(db).dockerfile;
    let parsed = dockerfile::parse(text).map_err(|errors| in_file(path, errors))?;
    let plain = resolve_with(db, image, &parsed, Inherited::default())?;
    let bases = images(&plain).map(|base| base_of(db, image, base)).collect();
    let outline = Outline { bases, ..Outline::default() };
    resolve_with(
        db,
        image,
        &parsed,
        Inherited { triggers: triggers(db, image, &outline), ..Inherited::default() },
    )
}

/// Triggers and environments that the bases of an image bring, by reference.
#[derive(Clone, Default)]
struct Inherited {
    triggers: BTreeMap<String, Vec<String>>,
    environments: BTreeMap<String, BTreeMap<String, String>>,
}

/// The `ONBUILD` triggers of an image's bases.
fn triggers(db: &dyn Db, image: Image, outline: &Outline) -> BTreeMap<String, Vec<String>> {
    let mut triggers = BTreeMap::new();
    for base in &outline.bases {
        let of_base = match names::find(db, image, &base.reference, &base.platform) {
            // A base with mistakes fails on its own; this image then fails for its base.
            Found::Image(base) => {
                self::outline(db, base).as_ref().map(|base| base.triggers.clone()).unwrap_or_default()
            }
            Found::OtherPlatform(_) => Vec::new(),
            Found::Outside => brings(db, base).map(|brings| brings.triggers.clone()).unwrap_or_default(),
        };
        if !of_base.is_empty() {
            triggers.insert(base.reference.clone(), of_base);
        }
    }
    triggers
}

fn brings<'db>(db: &'db dyn Db, base: &OutsideBase) -> Option<&'db Brings> {
    Workspace::get(db).outside(db).get(base)?.brings.as_ref()
}

/// The environment that an image built on `base` begins with; `None` when it is not known.
///
/// Goes down the chain of bases by outlines and never asks for a recipe: bases
/// in a circle must reach the search for cycles, which comes later.
fn environment_of(db: &dyn Db, user: Image, base: &OutsideBase) -> Option<BTreeMap<String, String>> {
    let mut chain: Vec<(Image, &Outline)> = Vec::new();
    let (mut at, mut root_base) = (user, Some(base));
    let mut environment = loop {
        let Some(base) = root_base else { break BTreeMap::new() };
        match names::find(db, at, &base.reference, &base.platform) {
            Found::OtherPlatform(_) => return None,
            Found::Outside => break brings(db, base)?.environment.clone(),
            Found::Image(image) if chain.iter().any(|(seen, _)| *seen == image) => return None,
            Found::Image(image) => {
                let outline = outline(db, image).as_ref().ok()?;
                chain.push((image, outline));
                (at, root_base) = (image, outline.root_base.as_ref());
            }
        }
    };
    for (image, outline) in chain.into_iter().rev() {
        let mut inherited = Inherited { triggers: triggers(db, image, outline), ..Inherited::default() };
        if let Some(root_base) = &outline.root_base {
            inherited.environments.insert(root_base.reference.clone(), environment);
        }
        let parsed = parse(db, image).ok()?;
        environment = resolve::environment(&parsed, &request(db, image, &parsed, inherited))?;
    }
    Some(environment)
}

fn parse(db: &dyn Db, image: Image) -> Result<Dockerfile, Vec<Problem>> {
    let path = &image.paths(db).dockerfile;
    match image.dockerfile(db) {
        Text::Is(text) => dockerfile::parse(text).map_err(|errors| in_file(path, errors)),
        Text::Refused(problem) => Err(vec![problem.clone()]),
        Text::Absent => Err(vec![Problem::of(
            path,
            format!("image `{}` has no Dockerfile: there is no file `{path}`", image.name(db)),
            "write it, or point `dockerfile` or `context` in Imagefile.ron to where it is",
        )]),
        Text::Unreadable(why) => Err(vec![Problem::of(
            path,
            format!("cannot read the Dockerfile of image `{}`: {why}", image.name(db)),
            "imk needs to read it to know what the image depends on",
        )]),
    }
}

fn resolve_with(
    db: &dyn Db,
    image: Image,
    parsed: &Dockerfile,
    inherited: Inherited,
) -> Result<Recipe, Vec<Problem>> {
    let path = &image.paths(db).dockerfile;
    resolve::resolve(parsed, &request(db, image, parsed, inherited)).map_err(|errors| in_file(path, errors))
}

/// The argument by which a builder sets its dates (reproducible-builds.org).
const EPOCH: &str = "SOURCE_DATE_EPOCH";

fn request(db: &dyn Db, image: Image, parsed: &Dockerfile, inherited: Inherited) -> Request {
    let options = image.options(db);
    let mut args = options.args.clone();
    if let Some(epoch) = options.source_date_epoch.as_ref().filter(|_| parsed.declares(EPOCH)) {
        args.entry(EPOCH.to_owned()).or_insert_with(|| epoch.clone());
    }
    let native = Workspace::get(db).platform(db);
    Request {
        args,
        target: options.target.clone(),
        platform: options.platform.clone().unwrap_or_else(|| native.to_owned()),
        build_platform: native.to_owned(),
        triggers: inherited.triggers,
        environments: inherited.environments,
        contexts: options.contexts.clone(),
    }
}

fn in_file(path: &str, errors: Vec<SyntaxError>) -> Vec<Problem> {
    errors.into_iter().map(|error| Problem::in_file(path, error)).collect()
}

/// See `snapshot.rs`.
pub(super) fn prime(db: &dyn Db, zalsa: &salsa::plumbing::Zalsa) {
    let _ = outline::fn_ingredient_(db, zalsa);
    let _ = recipe::fn_ingredient_(db, zalsa);
}
