//! Releases of two machines at one moment: one after the other, or told what stands; and machines that die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{HOST, at, key};
use crate::engine::Cancel;
use crate::registry::fake::{FakeFault, FakeRegistry};
use crate::release::journal;
use crate::release::log::{Claim, ReleaseLog};
use crate::release::moves::{self, TagMove};
use crate::release::publish::ReleaseError;
use crate::release::record::{Kind, Release, ReleasedImage, ReleasedTag};
use crate::release::turn::{Carried, Place, Waiting};
use crate::state::folder::StateFolder;

/// A machine that releases sets of two images under one tag.
struct Machine {
    name: &'static str,
    folder: tempfile::TempDir,
    patience: Duration,
    told: parking_lot::Mutex<Vec<Waiting>>,
}

const IMAGES: [&str; 3] = ["api", "base", "web"];

impl Machine {
    fn new(name: &'static str, patience_ms: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let patience = Duration::from_millis(patience_ms);
        Self { name, folder, patience, told: parking_lot::Mutex::default() }
    }

    fn state(&self) -> StateFolder {
        StateFolder::at(&self.folder.path().join(".imk"))
    }

    /// Releases the content of its own name as `latest` of all images.
    fn publish(&self, registry: &FakeRegistry) -> Result<(), ReleaseError> {
        let log = ReleaseLog::new(registry, at("r.example/base"));
        let tell = |waiting| self.told.lock().push(waiting);
        let (state, cancel) = (self.state(), Cancel::default());
        let repositories = repositories();
        let place = Place {
            log: &log,
            repositories: &repositories,
            state: &state,
            cancel: &cancel,
            patience: self.patience,
            tell: &tell,
        };
        for _ in 0..50 {
            place.settle()?;
            let newest = log.newest()?;
            let (mut images, mut all) = (Vec::new(), Vec::new());
            for image in IMAGES {
                let repository = format!("{HOST}/{image}");
                let digest = registry.add_image(&format!("{repository}:imk-{}", self.name), self.name);
                let tag = format!("{repository}:latest");
                let needed = moves::needed(registry, image, &digest, std::slice::from_ref(&tag))?;
                let before = needed.first().map_or(Some(digest.clone()), |step| step.before.clone());
                let tags = vec![ReleasedTag { tag: "latest".into(), before, around_time: None }];
                let name = image.to_owned();
                images.push(ReleasedImage { name, key: Some(key(self.name)), repository, digest, tags });
                all.extend(needed);
            }
            if all.is_empty() {
                return Ok(());
            }
            let now = "20261126T000000Z".to_owned();
            let time = newest.as_ref().map_or_else(|| now.clone(), |newest| newest.later(&now));
            let release = Release::new(&time, Kind::Publish, None, images);
            let follows = newest.map(|newest| newest.id);
            if place.carry_out(follows.as_deref(), &release, &all, self.name)? == Carried::Out {
                return Ok(());
            }
        }
        Err(ReleaseError::Busy)
    }

    /// Completes what it left, as each run does first.
    fn complete(&self, registry: &FakeRegistry) {
        journal::complete(registry, &self.state(), &repositories(), &Cancel::default()).unwrap();
    }
}

fn repositories() -> BTreeSet<String> {
    IMAGES.map(|image| at(&format!("{HOST}/{image}")).name()).into()
}

/// The contents that the tags stand for: `b b b`.
fn standing(registry: &FakeRegistry) -> String {
    let of = |image: &str| {
        let now = registry.digest(&format!("{HOST}/{image}:latest"));
        let content = ["0", "a", "b"].into_iter().find(|content| {
            registry.digest(&format!("{HOST}/{image}:imk-{content}")) == now && now.is_some()
        });
        content.unwrap_or("-")
    };
    IMAGES.map(of).join(" ")
}

fn is_whole(standing: &str) -> bool {
    ["- - -", "0 0 0", "a a a", "b b b"].contains(&standing)
}

/// The digests that the newest release of the log gives the tags.
fn in_force(registry: &FakeRegistry) -> String {
    let newest = ReleaseLog::new(registry, at("r.example/base")).newest().unwrap().unwrap();
    let names: BTreeMap<String, &str> = IMAGES
        .iter()
        .flat_map(|image| ["0", "a", "b"].map(|content| (format!("{HOST}/{image}:imk-{content}"), content)))
        .filter_map(|(name, content)| Some((registry.digest(&name)?, content)))
        .collect();
    newest.images.iter().map(|image| names[&image.digest]).collect::<Vec<_>>().join(" ")
}

/// The other machine comes at any question of the first and takes it for dead at once, though it is not.
#[test]
fn a_machine_that_was_taken_for_dead_takes_nothing_back_and_mixes_nothing() {
    let mut moments = 0;
    for after in 0..200 {
        let registry = Arc::new(FakeRegistry::new());
        Machine::new("0", 0).publish(&registry).unwrap();
        let (first, other) = (Machine::new("a", 0), Arc::new(Machine::new("b", 0)));
        let (acting, came) = (Arc::clone(&other), Arc::new(AtomicBool::new(false)));
        let coming = Arc::clone(&came);
        registry.interrupt(after, move |registry| {
            coming.store(true, Ordering::Relaxed);
            acting.publish(registry).unwrap();
        });
        let outcome = first.publish(&registry);
        // Too late for those that come after.
        registry.interrupt(usize::MAX, |_| {});
        let now = standing(&registry);
        moments += usize::from(came.load(Ordering::Relaxed));
        match outcome {
            Ok(()) => {
                assert!(is_whole(&now), "after {after}: {now}");
                assert_eq!(now, in_force(&registry), "after {after}");
            }
            // The one question between a look at a tag and its move is the only one in which they can cross.
            Err(ReleaseError::Crossed { tags, .. }) => {
                for (number, image) in IMAGES.iter().enumerate() {
                    let is_told = tags.contains_key(&format!("{HOST}/{image}:latest"));
                    let as_logged = now.split(' ').nth(number) == in_force(&registry).split(' ').nth(number);
                    assert_eq!(is_told, !as_logged, "after {after}: {now}");
                }
            }
            Err(error) => panic!("after {after}: {error:?}"),
        }
    }
    assert!(moments > 20, "{moments}");
}

#[test]
fn two_machines_of_one_moment_release_one_after_the_other() {
    for round in 0..20 {
        let registry = FakeRegistry::new();
        registry.delay(HOST, Duration::from_micros(50 * (round % 5)));
        let machines = [Machine::new("a", 60_000), Machine::new("b", 60_000)];
        std::thread::scope(|scope| {
            let run = |machine: &'_ Machine| machine.publish(&registry).unwrap();
            let running = machines.each_ref().map(|machine| scope.spawn(move || run(machine)));
            running.into_iter().for_each(|running| running.join().unwrap());
        });
        let log = ReleaseLog::new(&registry, at("r.example/base"));
        assert_eq!(log.ids().unwrap().len(), 2);
        let now = standing(&registry);
        assert!(now == "a a a" || now == "b b b", "{now}");
        assert_eq!(now, in_force(&registry));
        assert_eq!(log.look().unwrap().claims, Vec::<String>::new());
    }
}

/// The list of tags has the claim, and its release ends before the claim is read, or at any other question.
#[test]
fn a_release_that_ends_between_the_list_and_its_claim_is_seen() {
    let mut moments = 0;
    for (other, after) in ["20261126T000000Z-0", "20261126T000000Z-z"]
        .into_iter()
        .flat_map(|name| (0..30).map(move |after| (name, after)))
    {
        let registry = Arc::new(FakeRegistry::new());
        let log = ReleaseLog::new(&*registry, at("r.example/base"));
        let digest = registry.add_image(&format!("{HOST}/web:imk-a"), "a");
        let tag = format!("{HOST}/web:latest");
        let moves = moves::needed(&*registry, "web", &digest, std::slice::from_ref(&tag)).unwrap();
        let ours = Release::new("20261126T000000Z", Kind::Publish, None, Vec::new());
        // The other has moved its tags, and is about to write its record.
        registry.add_image(&tag, "b");
        let theirs = Release { id: other.to_owned(), ..ours.clone() };
        let claim = Claim { release: theirs.clone(), moves: Vec::new(), withdrawn: false };
        log.put_claim(&format!("{other}-b"), &claim).unwrap();
        let came = Arc::new(AtomicBool::new(false));
        let coming = Arc::clone(&came);
        registry.interrupt(after, move |registry| {
            coming.store(true, Ordering::Relaxed);
            let log = ReleaseLog::new(registry, at("r.example/base"));
            log.append(&theirs).unwrap();
            assert!(log.drop_claim(&format!("{}-b", theirs.id)).unwrap());
        });
        let (machine, repositories) = (Machine::new("a", 5), repositories());
        let (state, cancel) = (machine.state(), Cancel::default());
        let place = Place {
            log: &log,
            repositories: &repositories,
            state: &state,
            cancel: &cancel,
            patience: machine.patience,
            tell: &|_| {},
        };
        let outcome = place.carry_out(None, &ours, &moves, "a");
        assert!(matches!(outcome, Ok(Carried::Past)), "{other} after {after}: {outcome:?}");
        moments += usize::from(came.load(Ordering::Relaxed));
    }
    assert!(moments > 10, "{moments}");
}

/// The registry stops answering one machine for good: as if it was killed at that question.
#[test]
fn a_machine_that_dies_at_any_question_leaves_all_old_or_what_the_next_run_of_any_completes() {
    for keeps_tags in [false, true] {
        for after in 0..60 {
            for by_another in [false, true] {
                let registry = FakeRegistry::new();
                Machine::new("0", 0).publish(&registry).unwrap();
                if keeps_tags {
                    registry.keep_tags(HOST);
                }
                let machine = Machine::new("a", 0);
                registry.fail_after(HOST, after, None, FakeFault::Unreachable);
                let outcome = machine.publish(&registry);
                registry.mend(HOST);
                match by_another {
                    // Another machine has the images as they were, and only looks after what it finds.
                    true => Machine::new("0", 1).publish(&registry).unwrap(),
                    false => machine.complete(&registry),
                }
                let now = standing(&registry);
                assert!(is_whole(&now), "after {after}: {now}, {outcome:?}");
                assert_eq!(now, in_force(&registry), "after {after}");
                if outcome.is_ok() && !by_another {
                    assert_eq!(now, "a a a", "after {after}");
                }
                // And whoever comes then finds nothing in the way.
                Machine::new("b", 0).publish(&registry).unwrap();
                assert_eq!(standing(&registry), "b b b");
            }
        }
    }
}

#[test]
fn a_claim_on_tags_of_other_repositories_is_completed_by_nobody_here() {
    let registry = FakeRegistry::new();
    Machine::new("0", 0).publish(&registry).unwrap();
    let old = registry.add_image("r.example/other:old", "1");
    let new = registry.add_image("r.example/other:latest", "2");
    let log = ReleaseLog::new(&registry, at("r.example/base"));
    let step = TagMove {
        image: "web".into(),
        tag: "r.example/other:latest".into(),
        before: Some(new.clone()),
        after: old,
    };
    let release = Release::new("20991231T000000Z", Kind::Publish, None, Vec::new());
    let claim = Claim { release, moves: vec![step], withdrawn: false };
    log.put_claim("20991231T000000Z-forged", &claim).unwrap();
    let machine = Machine::new("b", 0);
    machine.publish(&registry).unwrap();
    assert_eq!(registry.digest("r.example/other:latest"), Some(new));
    assert_eq!(standing(&registry), "b b b");
    assert!(machine.told.into_inner().iter().any(|it| matches!(it, Waiting::GivenUp { .. })));
}

#[test]
fn a_claim_that_cannot_be_completed_is_given_up_and_in_nobodys_way() {
    let registry = FakeRegistry::new();
    Machine::new("0", 0).publish(&registry).unwrap();
    let dead = Machine::new("a", 0);
    // Killed after it was let in: its claim is there, and its results are gone since.
    let mut after = 0;
    loop {
        registry.fail_after(HOST, after, None, FakeFault::Unreachable);
        let _ = dead.publish(&registry);
        registry.mend(HOST);
        let log = ReleaseLog::new(&registry, at("r.example/base"));
        if !log.look().unwrap().claims.is_empty() {
            break;
        }
        after += 1;
    }
    for image in IMAGES {
        let name = format!("{HOST}/{image}:imk-a");
        let digest = registry.digest(&name).unwrap();
        registry.remove(&format!("{HOST}/{image}@{digest}"));
    }
    let machine = Machine::new("b", 0);
    machine.publish(&registry).unwrap();
    assert_eq!(standing(&registry), "b b b");
    let told = machine.told.into_inner();
    assert!(told.iter().any(|it| matches!(it, Waiting::GivenUp { .. })), "{told:?}");
}
