//! Turns of machines that release at the same moment: one after the other, or told exactly what stands.
//!
//! A registry knows no lock, but its list of tags is the same for all who ask. So whoever releases writes a
//! claim into the log first and looks at the log afterwards; of two that do so, at least one sees the other.
//!
//! 1. A claim that is open is waited for. When it has stood still for longer than moves take, its machine is
//!    taken for dead, and whoever waits completes it: the claim says all that is needed.
//! 2. The claim is written, and names the newest release that it follows.
//! 3. The log is looked at. With a newer release, or an open claim of a smaller name, the claim is withdrawn and
//!    everything begins again. An open claim of a larger name is waited for: its machine has seen
//!    this one and withdraws, or has not and completes. When there was any other claim, the log is looked at once more:
//!    a release may have ended between the list and the reading of its claim.
//! 4. The tags move, each only while it stands for what it did; the record is written; the log is looked at again.
//!
//! A machine that was taken for dead and was not finds its own record in the log, or a tag that is not as it
//! was, and takes nothing back. Where a registry's lists lag, so that neither sees the other, the second look
//! finds the other's record.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::Cancel;
use crate::registry::{RegistryError, by_tag};
use crate::release::error::ReleaseError;
use crate::release::journal::{self, Completed, Journal};
use crate::release::log::{Claim, Look, ReleaseLog};
use crate::release::moves::{self, Moved, TagMove};
use crate::release::record::Release;
use crate::state::folder::StateFolder;
use crate::syntax::reference;

/// Between two looks at a claim that is waited for.
const TICK: Duration = Duration::from_millis(500);
/// The time that a move may take its machine, beside its patience.
const A_MOVE: Duration = Duration::from_secs(1);

/// An event of a release that has to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The release of this id, of another machine, is under way.
    For(String),
    /// Another machine's release was cut off, and is complete now.
    Completed(Completed),
    /// Another machine's release was cut off and cannot be completed: it is given up, and its tags are as they are.
    GivenUp {
        /// Its id.
        release: String,
        /// Why it cannot be completed.
        why: RegistryError,
    },
}

/// A place where releases are made.
pub(super) struct Place<'a> {
    /// The log.
    pub log: &'a ReleaseLog<'a>,
    /// Where the journal is.
    pub state: &'a StateFolder,
    /// The repositories of the images here: a release that others left is completed in these alone.
    pub repositories: &'a BTreeSet<String>,
    /// Asked before each move.
    pub cancel: &'a Cancel,
    /// How long another machine's claim may stand still before that machine is taken for dead.
    pub patience: Duration,
    /// Is told when it has to wait.
    pub tell: &'a dyn Fn(Waiting),
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It is done.
    Out,
    /// Something else was released meanwhile: it must be thought out again.
    Past,
}

impl Place<'_> {
    /// Waits until no other release is under way, and completes those whose machine is dead.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub(super) fn settle(&self) -> Result<(), RegistryError> {
        self.wait(|look| self.open(look, ""))
    }

    /// Waits for the claims that `which` finds until there are none.
    fn wait(
        &self,
        which: impl Fn(&Look) -> Result<BTreeMap<String, Claim>, RegistryError>,
    ) -> Result<(), RegistryError> {
        let mut seen: BTreeMap<String, Instant> = BTreeMap::new();
        loop {
            let open = which(&self.log.look()?)?;
            if open.is_empty() {
                return Ok(());
            }
            if self.cancel.is_cancelled() {
                return Err(RegistryError::Interrupted);
            }
            for (name, claim) in &open {
                let since = *seen.entry(name.clone()).or_insert_with(|| {
                    (self.tell)(Waiting::For(claim.release.id.clone()));
                    Instant::now()
                });
                let moves = u32::try_from(claim.moves.len()).unwrap_or(u32::MAX);
                if since.elapsed() >= self.patience.saturating_add(A_MOVE.min(self.patience) * moves) {
                    self.complete(name, claim)?;
                }
            }
            thread::sleep(TICK.min(self.patience));
        }
    }

    /// Completes a claim whose machine is dead.
    fn complete(&self, name: &str, claim: &Claim) -> Result<(), RegistryError> {
        let outcome = match claim.is_within(self.repositories) {
            true => journal::completed(self.log, name, claim, self.cancel),
            false => Err(RegistryError::Refused {
                host: self.log.at.registry.clone(),
                repository: self.log.at.repository.clone(),
                what: "completing a release".into(),
                why: "it moves tags of repositories that no image here has".into(),
            }),
        };
        match outcome {
            Ok(completed) => (self.tell)(Waiting::Completed(completed)),
            Err(why @ (RegistryError::Refused { .. } | RegistryError::Corrupt { .. })) => {
                self.withdraw(name, claim)?;
                (self.tell)(Waiting::GivenUp { release: claim.release.id.clone(), why });
            }
            Err(why) => return Err(why),
        }
        Ok(())
    }

    /// The claims that are open, but for `ours`.
    fn open(&self, look: &Look, ours: &str) -> Result<BTreeMap<String, Claim>, RegistryError> {
        let mut open = BTreeMap::new();
        for name in look.open_claims().filter(|name| *name != ours) {
            if let Some(claim) = self.log.claim(name)?.filter(|claim| !claim.withdrawn) {
                open.insert(name.clone(), claim);
            }
        }
        Ok(open)
    }

    /// Takes a claim back.
    fn withdraw(&self, name: &str, claim: &Claim) -> Result<(), RegistryError> {
        if self.log.drop_claim(name)? {
            return Ok(());
        }
        self.log.put_claim(name, &Claim { withdrawn: true, ..claim.clone() })
    }

    /// Makes a release: its moves and its record, or neither. `newest` is the release that it follows; `nonce`
    /// is like no other machine's.
    ///
    /// # Errors
    /// See [`ReleaseError`].
    pub(super) fn carry_out(
        &self,
        newest: Option<&str>,
        release: &Release,
        moves: &[TagMove],
        nonce: &str,
    ) -> Result<Carried, ReleaseError> {
        let name = format!("{}-{nonce}", release.id);
        let claim = Claim { release: release.clone(), moves: moves.to_vec(), withdrawn: false };
        let journal = Journal { log: self.log.at.to_string(), claim: name.clone() };
        journal.begin(self.state).map_err(ReleaseError::State)?;
        let outcome = match self.log.put_claim(&name, &claim) {
            Ok(()) => match self.is_our_turn(&name, newest) {
                Ok(true) => self.move_all(&claim),
                Ok(false) => Ok(Carried::Past),
                Err(why) => Err(why.into()),
            },
            Err(why) => Err(why.into()),
        };
        let outcome = self.settled(&name, &claim, outcome)?;
        Journal::end(self.state).map_err(ReleaseError::State)?;
        if outcome == Carried::Out {
            self.look_back(newest, release, moves)?;
        }
        Ok(outcome)
    }

    /// Takes the claim away: the record speaks for the release now, or there is none. The journal is kept with a
    /// claim that stays, for both mean that somebody completes it.
    fn settled(
        &self,
        name: &str,
        claim: &Claim,
        outcome: Result<Carried, ReleaseError>,
    ) -> Result<Carried, ReleaseError> {
        if let Ok(Carried::Out) = outcome {
            let _ = self.log.drop_claim(name);
            return outcome;
        }
        let (release, end) = (claim.release.id.clone(), self.withdraw(name, claim));
        match (outcome, end) {
            (outcome, Ok(())) => outcome.inspect_err(|_| drop(Journal::end(self.state))),
            // It was never let in: there is nothing to take away.
            (Err(ReleaseError::Registry(why)), Err(_)) if is_no(&why) => {
                let _ = Journal::end(self.state);
                Err(ReleaseError::Registry(why))
            }
            (Ok(_), Err(why)) => Err(ReleaseError::Unsettled { release, cause: Box::new(why.into()) }),
            (Err(cause), Err(_)) => Err(ReleaseError::Unsettled { release, cause: Box::new(cause) }),
        }
    }

    /// Whether nothing else was released since `newest`, and nobody else is about to.
    fn is_our_turn(&self, ours: &str, newest: Option<&str>) -> Result<bool, RegistryError> {
        let look = self.log.look()?;
        if look.ids.last().map(String::as_str) != newest {
            return Ok(false);
        }
        let others = self.open(&look, ours)?;
        if others.keys().any(|other| other.as_str() < ours) {
            return Ok(false);
        }
        if !others.is_empty() {
            self.wait(|look| {
                let open = self.open(look, ours)?;
                Ok(open.into_iter().filter(|(name, _)| others.contains_key(name)).collect())
            })?;
        } else if look.open_claims().all(|name| name == ours) {
            return Ok(true);
        }
        // A claim that the list had and that is gone when it is read is one of a release that ended in between.
        Ok(self.log.look()?.ids.last().map(String::as_str) == newest)
    }

    /// Moves the tags and writes the release down: both, or neither.
    fn move_all(&self, claim: &Claim) -> Result<Carried, ReleaseError> {
        let (registry, moves) = (self.log.registry, &claim.moves);
        let is_ours = || !matches!(self.log.read(&claim.release.id), Ok(Some(_)));
        let failed = match moves::make(registry, moves, self.cancel, &is_ours) {
            Moved::All => match self.log.append(&claim.release) {
                // An answer that was lost on its way says nothing: the record may be there.
                Err(why) if is_ours() => Some((why, moves::take_back(registry, moves))),
                _ => None,
            },
            // Whoever took us for dead has completed it, and written it down.
            Moved::Overruled => None,
            Moved::None { why } => Some((why, Vec::new())),
            Moved::Some { why, standing } => Some((why, standing)),
        };
        match failed {
            None => Ok(Carried::Out),
            Some((why, standing)) if standing.is_empty() => {
                Err(ReleaseError::NotMoved { why: Box::new(why), moves: moves.clone() })
            }
            Some((why, standing)) => Err(ReleaseError::HalfMoved { why: Box::new(why), standing }),
        }
    }

    /// Looks whether another machine's release crossed this one, and what each tag stands for if so.
    fn look_back(
        &self,
        newest: Option<&str>,
        release: &Release,
        moves: &[TagMove],
    ) -> Result<(), ReleaseError> {
        let ids = self.log.ids()?;
        let since = |id: &&String| newest.is_none_or(|newest| id.as_str() > newest) && **id != release.id;
        let others: Vec<String> = ids.iter().filter(since).cloned().collect();
        if others.is_empty() {
            return Ok(());
        }
        // Each tag is to stand for the last release that has it.
        let mut wanted: BTreeMap<String, (String, String)> = BTreeMap::new();
        for id in ids.iter().filter(|id| others.contains(id) || **id == release.id) {
            let Some(record) = self.log.read(id)? else { continue };
            for image in &record.images {
                let Ok(at) = reference::parse(&image.repository) else { continue };
                for tag in &image.tags {
                    let name = by_tag(&at, &tag.tag).to_string();
                    wanted.insert(name, (image.digest.clone(), id.clone()));
                }
            }
        }
        let mut crossed = BTreeMap::new();
        for step in moves {
            let Ok(tag) = reference::parse(&step.tag) else { continue };
            let now = self.log.registry.head(&tag)?.map(|found| found.digest);
            let expected = wanted.get(&tag.to_string());
            if expected.is_some_and(|(digest, _)| now.as_ref() != Some(digest)) {
                crossed.insert(step.tag.clone(), now);
            }
        }
        match crossed.is_empty() {
            true => Ok(()),
            false => Err(ReleaseError::Crossed { release: release.id.clone(), others, tags: crossed }),
        }
    }
}

/// Whether a registry has said no: what it was asked to do is not done.
fn is_no(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Refused { .. } | RegistryError::Denied { .. })
}
