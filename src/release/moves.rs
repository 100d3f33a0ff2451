//! The moves of a release's tags: all of them, or none.
//!
//! A registry moves one tag at a time. So what each tag stood for is asked first; when a move
//! is refused, those that were made are taken back, and a tag that cannot be taken back is named. Every
//! manifest that a tag is moved to is there before the first move.

use serde::{Deserialize, Serialize};

use crate::engine::Cancel;
use crate::registry::{Manifest, Registry, RegistryError, by_digest};
use crate::syntax::reference::{self, Reference};

/// A tag that is to stand for another manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMove {
    /// The image of the repository.
    pub image: String,
    /// In full: `r.example/team/web:latest`.
    pub tag: String,
    /// The digest that it stood for; `None` for a tag that there was not.
    pub before: Option<String>,
    /// The digest that it is to stand for.
    pub after: String,
}

/// The outcome of some moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// All were made.
    All,
    /// One was not, and no tag is other than it was.
    None {
        /// Why not.
        why: RegistryError,
    },
    /// They are another machine's now, which took this release for cut off: it makes them, or made them.
    Overruled,
    /// One was not, and these tags, which were moved before, could not be moved back.
    Some {
        /// Why not.
        why: RegistryError,
        /// Moves that still stand, each with what hinders their taking back.
        standing: Vec<(TagMove, RegistryError)>,
    },
}

/// The moves that give `digest` of a repository these tags; none for a tag that has it already.
///
/// # Errors
/// When the registry does not say what a tag stands for.
pub fn needed(
    registry: &dyn Registry,
    image: &str,
    digest: &str,
    tags: &[String],
) -> Result<Vec<TagMove>, RegistryError> {
    let mut moves = Vec::new();
    for tag in tags {
        let Ok(name) = reference::parse(tag) else { continue };
        let before = registry.head(&name)?.map(|found| found.digest);
        if before.as_deref() != Some(digest) {
            moves.push(TagMove {
                image: image.to_owned(),
                tag: tag.clone(),
                before,
                after: digest.to_owned(),
            });
        }
    }
    Ok(moves)
}

/// Makes the moves in their order, and takes them back when one is refused or somebody asks to stop. A tag that
/// stands for something else than it did is somebody's, and not moved. `is_ours` is asked before moves are taken
/// back: whether this release is still this machine's to carry out.
pub fn make(
    registry: &dyn Registry,
    moves: &[TagMove],
    cancel: &Cancel,
    is_ours: &dyn Fn() -> bool,
) -> Moved {
    // The manifest that a tag is moved to must be there, and readable, before any tag moves.
    let mut manifests = Vec::new();
    for step in moves {
        match manifest(registry, &step.tag, &step.after) {
            Ok(manifest) => manifests.push(manifest),
            Err(why) => return Moved::None { why },
        }
    }
    for (made, (step, (tag, manifest))) in moves.iter().zip(&manifests).enumerate() {
        let outcome = match cancel.is_cancelled() {
            true => Err(RegistryError::Interrupted),
            false => give(registry, step, tag, manifest),
        };
        let Err(why) = outcome else { continue };
        if !is_ours() {
            return Moved::Overruled;
        }
        // An answer that was lost on its way says nothing of the tag: it may have moved.
        let doubtful = usize::from(!cancel.is_cancelled() && stands_for(registry, step) != Some(false));
        let standing = take_back(registry, &moves[..made + doubtful]);
        return match standing.is_empty() {
            true => Moved::None { why },
            false => Moved::Some { why, standing },
        };
    }
    Moved::All
}

/// Makes one move. No registry compares and sets at once, so what the tag stands for is asked just before.
fn give(
    registry: &dyn Registry,
    step: &TagMove,
    tag: &Reference,
    manifest: &Manifest,
) -> Result<(), RegistryError> {
    let now = registry.head(tag)?.map(|found| found.digest);
    if now.as_deref() == Some(step.after.as_str()) {
        return Ok(());
    }
    if now != step.before {
        let why =
            format!("somebody moved it meanwhile: it stands for {}", now.as_deref().unwrap_or("nothing"));
        let name = tag.tag.as_deref().unwrap_or_default();
        return Err(refused(tag, &format!("moving the tag `{name}`"), &why));
    }
    registry.put_manifest(tag, manifest)
}

/// Takes moves back, the last first, and returns those that still stand. A tag that somebody else has
/// moved since is theirs.
pub fn take_back(registry: &dyn Registry, moves: &[TagMove]) -> Vec<(TagMove, RegistryError)> {
    let mut standing = Vec::new();
    for step in moves.iter().rev() {
        if let Err(why) = undo(registry, step) {
            standing.push((step.clone(), why));
        }
    }
    standing.reverse();
    standing
}

fn undo(registry: &dyn Registry, step: &TagMove) -> Result<(), RegistryError> {
    let tag = parsed(&step.tag)?;
    let now = registry.head(&tag)?.map(|found| found.digest);
    if now.as_deref() != Some(step.after.as_str()) {
        return Ok(());
    }
    match &step.before {
        Some(before) => {
            let (tag, manifest) = manifest(registry, &step.tag, before)?;
            registry.put_manifest(&tag, &manifest)
        }
        None => match registry.untag(&tag)? {
            true => Ok(()),
            false => Err(refused(&tag, "taking the tag away", "the registry takes no tag away")),
        },
    }
}

/// Whether a move is made; `None` when the registry does not say.
pub fn stands_for(registry: &dyn Registry, step: &TagMove) -> Option<bool> {
    let tag = reference::parse(&step.tag).ok()?;
    let now = registry.head(&tag).ok()?.map(|found| found.digest);
    Some(now.as_deref() == Some(step.after.as_str()))
}

fn manifest(
    registry: &dyn Registry,
    tag: &str,
    digest: &str,
) -> Result<(Reference, Manifest), RegistryError> {
    let tag = parsed(tag)?;
    let found = registry.manifest(&by_digest(&tag, digest))?;
    match found {
        Some(manifest) => Ok((tag, manifest)),
        None => Err(refused(&tag, "moving the tag", &format!("the repository has no `{digest}` any more"))),
    }
}

fn parsed(tag: &str) -> Result<Reference, RegistryError> {
    reference::parse(tag).map_err(|why| RegistryError::Refused {
        host: String::new(),
        repository: tag.to_owned(),
        what: "moving the tag".into(),
        why,
    })
}

fn refused(tag: &Reference, what: &str, why: &str) -> RegistryError {
    RegistryError::Refused {
        host: tag.registry.clone(),
        repository: tag.repository.clone(),
        what: what.to_owned(),
        why: why.to_owned(),
    }
}
