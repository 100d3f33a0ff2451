//! How far a build is, and how long it will take: told every second while something is built.
//!
//! Counts the images that are expected to be built: those without a recorded result, and all that are built on one
//! of them. An image that comes out the same spares its users, so there may be fewer in the end. The time left is
//! that of the longest way with so many at once, by the usual times of past builds; of an image that was never built
//! nothing is guessed, and then no time is told. Asks nobody: a run with nothing to do ends before it begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use crate::build::schedule;
use crate::build::summary::{Ahead, Ending, Event};
use crate::build::worker::Work;
use crate::model::part::Part;
use crate::model::reason::Code;
use crate::query::ImkDb;
use crate::query::action_key::{action_key, input_hash, platform};
use crate::query::graph::{Order, bases};
use crate::query::inputs::Workspace;

/// Runs that end within this time are told of by their end.
const BEGIN: Duration = Duration::from_millis(400);
/// The time between two words.
const PACE: Duration = Duration::from_secs(1);

/// Tells how far it is until `ended` says something or has nobody left to say it.
pub(super) fn tell(work: &Work<'_>, db: &ImkDb, order: &Order, ended: &Receiver<()>) {
    let mut pause = BEGIN;
    let mut expected: Option<Expected> = None;
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        pause = PACE;
        let running = work.reports.running();
        if running.is_empty() && expected.is_none() {
            continue;
        }
        let usual = |name: &String| (name.clone(), work.executor.ledger.usual_ms(Some(name)));
        let expected =
            expected.get_or_insert_with(|| without_result(work, db, order).iter().map(usual).collect());
        for name in running.keys().filter(|name| !expected.contains_key(*name)).collect::<Vec<_>>() {
            expected.extend([usual(name)]);
        }
        (work.report_event)(Event::Ahead(ahead(work, order, expected, &running)));
    }
}

/// Images that are expected to be built, each with its usual time in milliseconds.
type Expected = BTreeMap<String, Option<u64>>;

fn ahead(work: &Work<'_>, order: &Order, expected: &Expected, running: &BTreeMap<String, Duration>) -> Ahead {
    let summary = work.summary.lock();
    let is_built = |ending: &Ending| matches!(ending, Ending::Built { .. });
    let built: BTreeSet<&String> =
        summary.endings.iter().filter(|(_, ending)| is_built(ending)).map(|(name, _)| name).collect();
    let rest: Vec<_> = expected.iter().filter(|(name, _)| !summary.endings.contains_key(*name)).collect();
    let took = |(name, usual): &(&String, &Option<u64>)| {
        let passed = running.get(*name).map_or(0, |passed| passed.as_millis() as u64);
        Some(((*name).clone(), (**usual)?.saturating_sub(passed)))
    };
    let times: Option<BTreeMap<String, u64>> = rest.iter().map(took).collect();
    Ahead {
        built: built.len(),
        of: built.len() + rest.len(),
        running: running.len(),
        left: times.map(|times| Duration::from_millis(schedule::wall(order, &times, work.options.jobs))),
    }
}

/// The images of which no result is recorded for what they are now, and those built on one of them.
pub(super) fn without_result(work: &Work<'_>, db: &ImkDb, order: &Order) -> BTreeSet<String> {
    let engine = Workspace::get(db).engine(db);
    let mut contents = BTreeMap::new();
    let mut without = BTreeSet::new();
    for name in &order.names {
        let Some(image) = work.images.get(name).copied() else { continue };
        let Ok(input_hash) = input_hash(db, image) else { continue };
        let mut parts = Vec::new();
        for edge in &bases(db, image).inside {
            let Some(content) = contents.get(&edge.base) else { break };
            let part = Part::new(Code::Base, &edge.base, String::clone(content));
            if !parts.contains(&part) {
                parts.push(part);
            }
        }
        let is_known = bases(db, image).inside.iter().all(|edge| contents.contains_key(&edge.base));
        let key = is_known.then(|| action_key(platform(db, image), &input_hash, &parts));
        let record = key.and_then(|key| work.executor.results_of(&key, engine).into_iter().next());
        match record {
            Some(record) => drop(contents.insert(name.clone(), record.content.to_string())),
            None => drop(without.insert(name.clone())),
        }
    }
    without
}
