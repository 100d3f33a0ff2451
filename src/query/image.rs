//! An image: the query whose effect is the build.
//!
//! Rules it lives by, each paid for by an experiment:
//! own input hash is read first and bases after, since salsa verifies in that order
//! and stops at the first change; a result is in the ledger before it is
//! returned; a failure is a value, made stale by the image's attempt; an
//! interrupt is a cancellation and leaves no value at all.

use super::Db;
use super::action_key::{action_key, input_hash, parts, platform as platform_of};
use super::effect::{BuildError, BuildJob, BuildOutcome, Built};
use super::graph::bases;
use super::inputs::{Exact, Image, OutsideBase, Workspace};
use super::recipe::recipe;
use crate::engine::EngineError;
use crate::model::hash::ContentHash;
use crate::model::part::Part;
use crate::model::reason::Code;

/// The image as its inputs want it: remembered, found in the ledger, or built now.
///
/// # Errors
/// See [`BuildError`].
#[salsa::tracked(persist, returns(clone))]
pub fn image(db: &dyn Db, image: Image) -> Result<Built, BuildError> {
    let input_hash = input_hash(db, image).map_err(BuildError::Invalid)?;
    image.attempt(db);
    let engine = Workspace::get(db).engine(db).to_owned();
    let images = Workspace::get(db).images(db);

    let mut on: Vec<Part> = Vec::new();
    for edge in &bases(db, image).inside {
        let content = images.get(&edge.base).and_then(|base| image_content(db, *base));
        let content = content.ok_or_else(|| BuildError::Base(edge.base.clone()))?;
        let part = Part::new(Code::Base, &edge.base, content.to_string());
        if !on.contains(&part) {
            on.push(part);
        }
    }
    let platform = platform_of(db, image);
    let key = action_key(platform, &input_hash, &on);

    // Pure reads, all of which `input_hash` has made already: no new edge that could be stale.
    let recipe = recipe(db, image).as_ref().map_err(|problems| BuildError::Invalid(problems.clone()))?;
    let mut parts = parts(db, image).map_err(BuildError::Invalid)?;
    parts.extend(on.iter().cloned());
    let job = BuildJob {
        name: image.name(db),
        options: image.options(db),
        dockerfile: image.dockerfile(db),
        context: image.context(db),
        engine: &engine,
        builder: Workspace::get(db).builder_kind(db),
        platform,
        key,
        recipe,
        parts,
        on: &on,
        edges: &bases(db, image).inside,
        outside: outside(db, image),
    };
    match db.effect().build_or_reuse(job) {
        BuildOutcome::Result(result) => result,
        BuildOutcome::Interrupted => {
            db.cancellation_token().cancel();
            db.unwind_if_revision_cancelled();
            // Not reached: the token above is this handle's own. A value that
            // is retried is the safe answer all the same.
            Err(BuildError::Engine(EngineError::Interrupted))
        }
    }
}

/// The bases outside, as the image's key has them.
fn outside(db: &dyn Db, image: Image) -> Vec<(OutsideBase, Exact)> {
    let known = Workspace::get(db).outside(db);
    let bases = bases(db, image).outside.iter();
    bases.filter_map(|base| Some((base.clone(), known.get(base)?.exact.clone()))).collect()
}

/// The firewall between an image and its users: a base built again to the same
/// image is the same base.
#[salsa::tracked(persist, returns(copy))]
pub fn image_content(db: &dyn Db, base: Image) -> Option<ContentHash> {
    image(db, base).ok().map(|built| built.content)
}

/// See `snapshot.rs`.
pub(super) fn prime(db: &dyn Db, zalsa: &salsa::plumbing::Zalsa) {
    let _ = image::fn_ingredient_(db, zalsa);
    let _ = image_content::fn_ingredient_(db, zalsa);
}
