//! Inventory: results of earlier runs that the engines still have.
//!
//! Each result is asked for where it was, and nowhere else: an engine that has none of them is not
//! spoken to, the default one excepted. Knows nothing of keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use crate::engine::{EngineError, EngineIdentity, EnginePool, ImageId, Inventory};
use crate::query::inputs::{Outside, OutsideBase};
use crate::session::inputs;
use crate::session::open::Session;
use crate::session::upstream::Upstream;

/// The questions, by the name of the engine.
pub(super) type Questions = BTreeMap<String, BTreeSet<ImageId>>;

/// The answers to one round of questions.
pub(super) struct Answer {
    /// The identity of the default engine; when that is unreachable, of the first other that answers.
    pub identity: Result<EngineIdentity, EngineError>,
    /// The images that each engine has which answered, by its name.
    pub has: BTreeMap<String, Inventory>,
    /// The bases outside, as found.
    pub outside: BTreeMap<OutsideBase, Outside>,
}

/// Questions that are under way. Nobody has to wait for the answer: who has no use for it any more lets go.
pub(super) struct Asked {
    wanted: Sender<BTreeSet<OutsideBase>>,
    thread: JoinHandle<Answer>,
}

/// Begins to ask what the engines have, before anything is known of this run but what the last one left.
pub(super) fn begin(session: &Session) -> Asked {
    let questions = questions(session);
    let (executor, upstream) = (Arc::clone(&session.executor), Arc::clone(&session.upstream));
    let (wanted, named) = mpsc::channel();
    let thread = std::thread::spawn(move || ask(&executor.pool(), &upstream, &questions, &named));
    Asked { wanted, thread }
}

impl Asked {
    /// Names the bases outside to ask for as well.
    pub fn want(&self, bases: BTreeSet<OutsideBase>) {
        // One that panicked is heard of in the end.
        let _ = self.wanted.send(bases);
    }

    /// Waits for the answer.
    pub fn answer(self) -> Answer {
        drop(self.wanted);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Asks all of it at once. The bases that are wanted are named meanwhile.
fn ask(
    pool: &EnginePool,
    upstream: &Upstream,
    questions: &Questions,
    wanted: &Receiver<BTreeSet<OutsideBase>>,
) -> Answer {
    let default_engine = pool.default_node();
    std::thread::scope(|scope| {
        let others = pool.alive().filter(|node| node.name != default_engine.name);
        let others = others.filter_map(|node| Some((node, questions.get(&node.name)?)));
        let asked: Vec<_> = others
            .map(|(node, ids)| {
                scope.spawn(move || match node.engine.inventory(ids) {
                    Ok(has) => {
                        node.know(ids, &has);
                        Some((node.name.clone(), has))
                    }
                    Err(error) => {
                        pool.mark_unreachable(node, error);
                        None
                    }
                })
            })
            .collect();
        let none = BTreeSet::new();
        let ids = questions.get(&default_engine.name).unwrap_or(&none);
        // First, since it may tell who the default engine is without another question.
        let has = default_engine.engine.inventory(ids);
        let mut identity = match &has {
            Err(error @ EngineError::Unreachable { .. }) => Err(error.clone()),
            _ => default_engine.engine.identity(),
        };
        // An inventory that fails is "unknown", never "gone": nothing is marked lost by it.
        let has = has.ok().filter(|_| identity.is_ok());
        if let Some(has) = &has {
            default_engine.know(ids, has);
        }
        let wanted = wanted.recv().unwrap_or_default();
        let outside = upstream.resolve(&*default_engine.engine, &wanted);
        let mut all: BTreeMap<String, Inventory> =
            has.map(|has| (default_engine.name.clone(), has)).into_iter().collect();
        for answer in asked {
            all.extend(answer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        if let Err(error @ EngineError::Unreachable { .. }) = &identity
            && !pool.is_one()
            && let Some(other) = pool.nodes()[1..].iter().find_map(|node| pool.identity(node))
        {
            pool.mark_unreachable(default_engine, error.clone());
            identity = Ok(other);
        }
        Answer { identity, has: all, outside }
    })
}

/// The results of earlier runs by the engine that has them: the default engine's where no other was noted, or
/// the one that was noted is none of ours any more.
fn questions(session: &Session) -> Questions {
    let pool = session.executor.pool();
    let mut questions = Questions::new();
    for (name, id) in &session.memory.results {
        let noted = session.memory.engines.get(name).filter(|engine| pool.named(engine).is_some());
        let engine = noted.unwrap_or(&pool.default_node().name);
        session.executor.note_engine(id, engine);
        questions.entry(engine.clone()).or_default().insert(id.clone());
    }
    questions
}

/// A result that is gone is an input too: its image must be asked for again.
pub(crate) fn mark_missing(session: &mut Session, has: &BTreeMap<String, Inventory>) -> BTreeSet<String> {
    let gone = |id: &ImageId| {
        let engine = session.executor.engine_of(id).unwrap_or_default();
        has.get(&engine).is_some_and(|has| !has.contains_key(id))
    };
    let results = session.memory.results.iter();
    let missing: BTreeSet<String> =
        results.filter(|(_, id)| gone(id)).map(|(name, _)| name.clone()).collect();
    // What the ledger does not know does not count, however well it is remembered.
    let ledger = Arc::clone(&session.executor.ledger);
    let results = session.memory.results.iter().filter(|(name, id)| !ledger.has_id(name, &id.0));
    let unrecorded: Vec<String> = results.map(|(name, _)| name.clone()).collect();
    for name in missing.iter().chain(&unrecorded) {
        inputs::invalidate(session, name);
    }
    missing
}
