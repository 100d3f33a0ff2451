//! The database between two processes: a disposable cache in an envelope.
//!
//! salsa 0.28 checks neither schema nor integrity of what it loads: a renamed
//! query or a flipped bit gives wrong answers. So the file begins with the
//! build of imk that wrote it and a hash of all that follows, it is loaded
//! behind `catch_unwind`, and anything unusual means an empty database. That
//! costs time, never a build: the ledger remembers those.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::effect::Effect;
use super::inputs::{Image, Text, Workspace};
use super::{Db, ImkDb};
use crate::engine::{CachedIdentity, ImageId};
use crate::model::hash::ContentHash;
use crate::state::folder::StateFolder;
use crate::syntax::git_source;

/// The name in the state folder.
const FILE: &str = "snapshot";

const MAGIC: &[u8; 8] = b"imksnap1";

/// Hash of the sources, `Cargo.lock` and features of this imk, made by `build.rs`.
const BUILD_ID: &str = env!("IMK_BUILD_ID");

/// The memory of a session beside the database.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The result of each image as of the run that saved this: what must still
    /// be on the engine for the remembered queries to be true.
    pub results: BTreeMap<String, ImageId>,
    /// The engine that has it, by its name, where that is not the default one.
    pub engines: BTreeMap<String, String>,
    /// The identity of the default engine, so that it need not be asked.
    pub default_identity: Option<CachedIdentity>,
}

/// Loads what [`save`] wrote; an empty database when that is not possible.
pub fn load(state: &StateFolder, effect: &Arc<dyn Effect>) -> (ImkDb, Memory) {
    let loaded = state.read(FILE).and_then(|bytes| open(&bytes, effect));
    loaded.unwrap_or_else(|| (ImkDb::new(Arc::clone(effect)), Memory::default()))
}

/// How a snapshot is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// There is none.
    Absent,
    /// It is whole, and this imk wrote it.
    Whole,
    /// It is damaged, or another imk wrote it: it counts as none.
    Useless,
}

/// Looks at a snapshot without loading it.
pub fn health(state: &StateFolder) -> Health {
    match state.read(FILE) {
        None => Health::Absent,
        Some(bytes) if unwrap_envelope(&bytes).is_some() => Health::Whole,
        Some(_) => Health::Useless,
    }
}

fn open(bytes: &[u8], effect: &Arc<dyn Effect>) -> Option<(ImkDb, Memory)> {
    let payload = unwrap_envelope(bytes)?;
    let length = u64::from_le_bytes(payload.get(..8)?.try_into().ok()?);
    let (memory, queries) = payload[8..].split_at_checked(usize::try_from(length).ok()?)?;
    let memory: Memory = rmp_serde::from_slice(memory).ok()?;
    // One of salsa's ways to refuse is to panic.
    let loaded = catch_unwind(AssertUnwindSafe(|| {
        let mut db = ImkDb::new(Arc::clone(effect));
        // Keys are read as borrowed texts, so this must be a slice and not a reader.
        let mut reader = rmp_serde::Deserializer::from_read_ref(queries);
        <dyn salsa::Database>::deserialize(&mut db, &mut reader).ok()?;
        prime(&db);
        Some(db)
    }));
    Some((loaded.ok().flatten()?, memory))
}

/// salsa 0.28 panics when a restored query is verified before it was called in
/// this process; this makes every query known first. To be called right after a
/// load, before the first setter.
fn prime(db: &ImkDb) {
    let db: &dyn Db = db;
    super::recipe::prime(db, db.zalsa());
    super::graph::prime(db, db.zalsa());
    super::action_key::prime(db, db.zalsa());
    super::image::prime(db, db.zalsa());
}

/// Writes the database so that a crash leaves the old file or the new one. One that was told an
/// address with a password is not kept: the texts of Dockerfiles are in it.
///
/// # Errors
/// When it cannot be written; nothing but time is lost.
pub fn save(state: &StateFolder, db: &mut ImkDb, memory: &Memory) -> std::io::Result<()> {
    if tells_a_password(db) {
        return state.remove(FILE);
    }
    let memory = rmp_serde::to_vec(memory).map_err(std::io::Error::other)?;
    let queries =
        rmp_serde::to_vec(&<dyn salsa::Database>::as_serialize(db)).map_err(std::io::Error::other)?;
    let mut payload = (memory.len() as u64).to_le_bytes().to_vec();
    payload.extend(memory);
    payload.extend(queries);

    state.replace(FILE, &envelope(&payload))
}

/// Whether an address with a password is in the inputs of the queries.
fn tells_a_password(db: &ImkDb) -> bool {
    let Some(workspace) = Workspace::try_get(db) else { return false };
    let has = |text: &str| text.contains("://") && text.contains('@') && git_source::masked(text) != text;
    let in_image = |image: &Image| {
        let in_text = matches!(image.dockerfile(db), Text::Is(text) if has(text));
        in_text || has(&format!("{:?} {:?}", image.options(db), image.paths(db)))
    };
    workspace.images(db).values().any(in_image)
        || workspace.remotes(db).keys().any(|address| has(address))
        || has(&format!("{:?}", workspace.outside(db)))
}

pub(crate) fn envelope(payload: &[u8]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(ContentHash::of(BUILD_ID.as_bytes()).0);
    bytes.extend(ContentHash::of(payload).0);
    bytes.extend(payload);
    bytes
}

pub(crate) fn unwrap_envelope(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let rest = rest.strip_prefix(&ContentHash::of(BUILD_ID.as_bytes()).0)?;
    let (hash, payload) = rest.split_at_checked(32)?;
    (ContentHash::of(payload).0 == hash).then_some(payload)
}
