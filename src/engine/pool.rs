//! The engines of one run: what each is good for, how much it may do at once, what it was found to have.
//!
//! The first is the *default* engine: the one that would be alone without the others. An image goes to a
//! free engine that fits, near its bases if it can. An engine that does not answer any more is unreachable
//! for the rest of the run. Knows nothing of keys, ledgers and registries.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::node::Node;
use super::{Cancel, Engine, EngineError, EngineIdentity};
use crate::syntax::resolve::platform;

/// How often a waiting job looks whether it should stop.
const TICK: Duration = Duration::from_millis(100);

/// Pauses between the questions to an engine whose build broke off: one that is being stopped may
/// answer for a moment longer.
const PROBES: [Duration; 4] =
    [Duration::from_millis(200), Duration::from_millis(400), Duration::from_millis(800), Duration::ZERO];

/// A name that no engine has: asking for it costs least.
const NOTHING: &str = "imk.invalid/nothing";

/// Engines that work together. Never empty.
pub struct EnginePool {
    nodes: Vec<Arc<Node>>,
    /// Jobs under way, by place in the list.
    running: Mutex<Vec<usize>>,
    freed: Condvar,
    /// Unreachable engines that no warning has named yet.
    unreported: Mutex<Vec<(String, EngineError)>>,
    /// The engine that takes the targets in where the default one is for building alone.
    loading: Option<Node>,
}

/// The demands of a job on its engine.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The platform to build for, such as `linux/arm64`.
    pub platform: String,
    /// Labels that the engine must have.
    pub labels: BTreeSet<String>,
    /// The builder that its key names.
    pub builder: String,
    /// How many of its bases each engine has, by place in the list; nothing counts as none.
    pub near: Vec<usize>,
    /// Engines that have what cannot travel, by place in the list; all when `None`.
    pub only: Option<Vec<bool>>,
}

/// Why a job has no engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unplaced {
    /// None fits, or none of those is left.
    Nobody,
    /// Somebody asked to stop.
    Interrupted,
}

/// The right to run one job on an engine, until it is dropped.
pub struct Slot<'a> {
    pool: &'a EnginePool,
    at: usize,
}

impl Slot<'_> {
    /// The engine.
    pub fn node(&self) -> &Arc<Node> {
        &self.pool.nodes[self.at]
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.pool.running.lock()[self.at] -= 1;
        self.pool.freed.notify_all();
    }
}

impl EnginePool {
    /// One engine alone.
    pub fn one(engine: Arc<dyn Engine>) -> Self {
        Self::new(Node::new("", engine), Vec::new())
    }

    /// The default engine and the others.
    pub fn new(default: Node, others: Vec<Node>) -> Self {
        let nodes: Vec<Arc<Node>> = std::iter::once(default).chain(others).map(Arc::new).collect();
        let running = Mutex::new(vec![0; nodes.len()]);
        Self { nodes, running, freed: Condvar::new(), unreported: Mutex::default(), loading: None }
    }

    /// As it is, with an engine that takes targets in when somebody asks for that.
    pub fn loading_into(self, node: Node) -> Self {
        Self { loading: Some(node), ..self }
    }

    /// The engine that takes targets in; none where the default one does.
    pub fn loading(&self) -> Option<&Node> {
        self.loading.as_ref()
    }

    /// The engine whose identity is the repository's.
    pub fn default_node(&self) -> &Arc<Node> {
        &self.nodes[0]
    }

    /// Every engine, the default first, the unreachable ones included.
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The engines that answer, as far as is known.
    pub fn alive(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().filter(|node| node.unreachable().is_none())
    }

    /// Whether there is but one: then nothing is chosen and nothing asked that need not be.
    pub fn is_one(&self) -> bool {
        self.nodes.len() == 1
    }

    /// The engine of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// Uses an engine no more. True when it was used until now.
    pub fn mark_unreachable(&self, node: &Node, error: EngineError) -> bool {
        let first = node.mark_unreachable(error.clone());
        if first {
            self.unreported.lock().push((node.name.clone(), error));
            self.freed.notify_all();
        }
        first
    }

    /// The unreachable engines that no warning has named yet.
    pub fn take_unreachable(&self) -> Vec<(String, EngineError)> {
        std::mem::take(&mut *self.unreported.lock())
    }

    /// Whether an engine that failed a job is there no more; then it is used no more.
    pub fn is_unreachable_after(&self, node: &Node, error: &EngineError) -> bool {
        let patience = match error {
            EngineError::Interrupted | EngineError::FileChanged { .. } => return false,
            EngineError::Unreachable { .. } => {
                self.mark_unreachable(node, error.clone());
                return true;
            }
            EngineError::Failed(failure) if ends_with_its_engine(&failure.message, failure.exit_code) => {
                &PROBES[..]
            }
            EngineError::Refused { why, .. } if ends_with_its_engine(why, None) => &PROBES[..],
            EngineError::Failed(_) | EngineError::Refused { .. } => &PROBES[PROBES.len() - 1..],
        };
        for pause in patience {
            if let Err(error) = node.engine.inspect(NOTHING) {
                self.mark_unreachable(node, error);
                return true;
            }
            std::thread::sleep(*pause);
        }
        false
    }

    /// Waits for an engine that fits and is free. Of several it takes the one that has most of the bases,
    /// then the one that does least.
    ///
    /// # Errors
    /// See [`Unplaced`].
    pub fn take(&self, wanted: &Wanted, cancel: &Cancel) -> Result<Slot<'_>, Unplaced> {
        loop {
            if cancel.is_cancelled() {
                return Err(Unplaced::Interrupted);
            }
            let fitting = self.fitting(wanted);
            if fitting.is_empty() {
                return Err(Unplaced::Nobody);
            }
            let mut running = self.running.lock();
            let free = |at: &&usize| self.nodes[**at].jobs.is_none_or(|most| running[**at] < most);
            let near = |at: usize| wanted.near.get(at).copied().unwrap_or_default();
            let best =
                fitting.iter().filter(free).min_by_key(|at| (Reverse(near(**at)), running[**at], **at));
            if let Some(at) = best {
                running[*at] += 1;
                return Ok(Slot { pool: self, at: *at });
            }
            self.freed.wait_for(&mut running, TICK);
        }
    }

    /// The places of the engines that a job may go to. One that runs a platform natively is
    /// preferred to all that would emulate it; one that says what it builds builds nothing else.
    fn fitting(&self, wanted: &Wanted) -> Vec<usize> {
        let allowed = |at: usize| wanted.only.as_ref().is_none_or(|only| only[at]);
        let candidates = self.nodes.iter().enumerate().filter(|(at, node)| {
            node.unreachable().is_none() && allowed(*at) && wanted.labels.is_subset(&node.labels)
        });
        if self.is_one() {
            return candidates.map(|(at, _)| at).collect();
        }
        let (mut native, mut able) = (Vec::new(), Vec::new());
        for (at, node) in candidates {
            let Some(identity) = self.identity(node) else { continue };
            if !wanted.builder.is_empty()
                && builder(&identity) != wanted.builder.split('/').next().unwrap_or_default()
            {
                continue;
            }
            let own = [identity.platform];
            let platforms = if node.platforms.is_empty() { &own[..] } else { &node.platforms[..] };
            if platforms.iter().any(|it| platform::same(it, &wanted.platform)) {
                native.push(at);
            } else if node.platforms.is_empty() {
                able.push(at);
            }
        }
        if native.is_empty() { able } else { native }
    }

    /// The identity of an engine; one that does not say is used no more.
    pub fn identity(&self, node: &Node) -> Option<EngineIdentity> {
        if node.unreachable().is_some() {
            return None;
        }
        node.engine.identity().map_err(|error| self.mark_unreachable(node, error)).ok()
    }

    /// Whether any engine could ever be given such a job, as far as that shows without asking one.
    pub fn could(&self, wanted: &Wanted) -> bool {
        let builds = |node: &Node| {
            self.is_one()
                || wanted.platform.is_empty()
                || node.platforms.is_empty()
                || node.platforms.iter().any(|it| platform::same(it, &wanted.platform))
        };
        self.nodes.iter().any(|node| wanted.labels.is_subset(&node.labels) && builds(node))
    }

    /// Every engine with what it is for and, where it is so, why it is unreachable: for messages.
    pub fn described(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.described()).collect()
    }
}

/// Whether a failure looks like the end of its engine: a connection that broke, or a command that was killed
/// (128 + 9, 128 + 15).
fn ends_with_its_engine(message: &str, exit_code: Option<i64>) -> bool {
    let words =
        ["connection", "canceled", "EOF", "closing", "shutting down", "broken pipe", "transport", "signal"];
    matches!(exit_code, Some(137 | 143)) || words.iter().any(|word| message.contains(word))
}

/// `buildkit` of `buildkit/overlay2`.
fn builder(identity: &EngineIdentity) -> &str {
    identity.builder.split('/').next().unwrap_or_default()
}
