//! Why a set is not released, as data: words are made of it elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::plan::tags::missing::Missing;
use crate::registry::RegistryError;
use crate::release::moves::TagMove;
use crate::release::record::HeldKey;

/// Why a set is not released. No tag was moved, unless it says so.
#[derive(Debug)]
pub enum ReleaseError {
    /// Git does not say what gates or tags must know.
    Git(String),
    /// These images are not as the commit has them.
    Uncommitted(BTreeSet<String>),
    /// The names of these images begin with no registry.
    NoRegistry(BTreeSet<String>),
    /// These results were rolled back.
    Held(BTreeSet<HeldKey>),
    /// Tags that were declared for these images cannot be made.
    NoTag(BTreeMap<String, Missing>),
    /// A registry does not answer or refuses.
    Registry(Box<RegistryError>),
    /// The state does not take the note of what is under way.
    State(io::Error),
    /// A tag was not moved, and those before it were moved back.
    NotMoved {
        /// Why not.
        why: Box<RegistryError>,
        /// The moves that were to be made.
        moves: Vec<TagMove>,
    },
    /// A tag was not moved, and some of those before it could not be moved back.
    HalfMoved {
        /// Why not.
        why: Box<RegistryError>,
        /// Moves that still stand, each with what hinders their taking back.
        standing: Vec<(TagMove, RegistryError)>,
    },
    /// It is not carried out, and its claim stays in the log: the next release, of any machine, completes it.
    Unsettled {
        /// Its id.
        release: String,
        /// Why it is not carried out.
        cause: Box<Self>,
    },
    /// It is carried out, and others crossed it: these tags are not as the log says.
    Crossed {
        /// Its id.
        release: String,
        /// The others' ids.
        others: Vec<String>,
        /// The digests that the tags stand for.
        tags: BTreeMap<String, Option<String>>,
    },
    /// Others released something else each time that this was thought out.
    Busy,
    /// A command that comes before failed.
    Before(String),
}

impl From<RegistryError> for ReleaseError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}
