//! What an image's Dockerfile says, once its arguments, target and bases' triggers are known.
//!
//! Knows nothing of files and results.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Db;
use super::graph::{self, Found};
use super::inputs::{Image, Text, Workspace};
use crate::syntax::dockerfile::{self, Dockerfile};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::resolve::{self, Recipe, Request};

/// Something wrong with an image before any build, with its place where there is one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Problem {
    /// The file, below the repository's root.
    pub path: String,
    /// The place in it.
    pub span: Option<Span>,
    /// What is wrong.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Problem {
    /// A mistake in the text of a file.
    pub fn in_file(path: &str, error: SyntaxError) -> Self {
        Self { path: path.to_owned(), span: Some(error.span), message: error.message, hint: error.hint }
    }

    /// Something wrong with a whole file or folder.
    pub fn of(path: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { path: path.to_owned(), span: None, message: message.into(), hint: Some(hint.into()) }
    }
}

/// What other images need to know of a Dockerfile before it is resolved in full.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outline {
    /// Bases by reference, as far as they are known without triggers.
    pub references: Vec<String>,
    /// `ONBUILD` triggers of the image: what those built on it run first.
    pub triggers: Vec<String>,
}

/// The outline of an image.
#[salsa::tracked(persist)]
pub fn outline(db: &dyn Db, image: Image) -> Result<Outline, Vec<Problem>> {
    let parsed = parse(db, image)?;
    let recipe = resolve_with(db, image, &parsed, BTreeMap::new())?;
    let references = recipe.bases.into_iter().map(|base| base.reference).collect();
    Ok(Outline { references, triggers: recipe.triggers })
}

/// The recipe of an image: what its target reaches, everything expanded, its
/// bases' `ONBUILD` triggers included.
///
/// # Errors
/// Every mistake of the Dockerfile.
#[salsa::tracked(persist)]
pub fn recipe(db: &dyn Db, image: Image) -> Result<Recipe, Vec<Problem>> {
    let outline = outline(db, image).as_ref().map_err(Clone::clone)?;
    let mut triggers = BTreeMap::new();
    for reference in &outline.references {
        let of_base = match graph::find(db, image, reference) {
            // A base with mistakes fails on its own; this image then fails for its base.
            Found::Image(base) => {
                self::outline(db, base).as_ref().map(|base| base.triggers.clone()).unwrap_or_default()
            }
            Found::Outside => Workspace::get(db)
                .outside(db)
                .get(reference)
                .map(|outside| outside.triggers.clone())
                .unwrap_or_default(),
        };
        if !of_base.is_empty() {
            triggers.insert(reference.clone(), of_base);
        }
    }
    let parsed = parse(db, image)?;
    resolve_with(db, image, &parsed, triggers)
}

fn parse(db: &dyn Db, image: Image) -> Result<Dockerfile, Vec<Problem>> {
    let path = &image.options(db).dockerfile_path;
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
    triggers: BTreeMap<String, Vec<String>>,
) -> Result<Recipe, Vec<Problem>> {
    let options = image.options(db);
    let native = Workspace::get(db).platform(db);
    let request = Request {
        args: options.args.clone(),
        target: options.target.clone(),
        platform: options.platform.clone().unwrap_or_else(|| native.to_owned()),
        build_platform: native.to_owned(),
        triggers,
        ..Request::default()
    };
    resolve::resolve(parsed, &request).map_err(|errors| in_file(&options.dockerfile_path, errors))
}

fn in_file(path: &str, errors: Vec<SyntaxError>) -> Vec<Problem> {
    errors.into_iter().map(|error| Problem::in_file(path, error)).collect()
}

/// See `snapshot.rs`.
pub(super) fn prime(db: &dyn Db, zalsa: &salsa::plumbing::Zalsa) {
    let _ = outline::fn_ingredient_(db, zalsa);
    let _ = recipe::fn_ingredient_(db, zalsa);
}
