//! Random histories over several machines and one registry: edits, builds, pushes, pulls, clean-ups,
//! lost state and kills. Never stale, no push fails, names stand for current results, nothing is lost.

use super::publish::{machine, push};
use super::random::Dice;
use super::*;
use crate::build::publish::{self as publishing, Publication, Pulled};
use crate::gc::sweep::{self as sweeping, GcOptions};
use crate::query::effect::Built;

const IMAGES: [&str; 3] = ["api", "base", "web"];

/// One machine: its lab, and the number in each image's file.
struct Machine {
    lab: Lab,
    files: [usize; 3],
}

impl Machine {
    fn write(&self) {
        for (image, number) in IMAGES.iter().zip(self.files) {
            self.lab.write(&format!("{image}/file"), &format!("{number} of {image}"));
        }
    }

    /// The key of every image, by a clean evaluation of the same files. Contents may differ by machine.
    fn keys(&self) -> BTreeMap<String, crate::model::hash::ContentHash> {
        let clean = Self { lab: machine(&Arc::new(FakeRegistry::new())), files: self.files };
        clean.write();
        let results = clean.lab.run("").summary.results;
        results.into_iter().map(|(name, built)| (name, built.key)).collect()
    }

    /// After a run: all results are those of the files, with their names, and a second run has nothing to do.
    fn check(&self, outcome: &Outcome, at: &str) {
        let summary = &outcome.summary;
        for (name, key) in self.keys() {
            let ending = &summary.endings[&name];
            let Some(Built { key: found, id, .. }) = summary.results.get(&name) else {
                panic!("{at}: {name} is {ending:?}")
            };
            assert_eq!(*found, key, "{at}: {name} is {ending:?} and stale");
            let tag = format!("r.example/{name}:latest");
            let behind = summary.outdated_names.iter().any(|behind| behind.tag == tag);
            let named = self.lab.engine.tags().get(&tag).cloned();
            if let Some(named) = named
                && named != *id
            {
                assert!(behind, "{at}: `{tag}` is left on an older result without a word ({ending:?})");
            }
        }
        let again = self.lab.run("");
        assert!(again.built.is_empty(), "{at}: a second run built {:?}", again.built);
    }

    /// After a push: the registry has each result, and its names stand for it.
    fn is_published(&self, outcome: &Outcome, registry: &FakeRegistry, at: &str) {
        assert!(outcome.summary.unpublished.is_empty(), "{at}: {:?}", outcome.summary.unpublished);
        for name in IMAGES {
            let Publication::Done { at: there, .. } = &outcome.summary.publications[name] else {
                panic!("{at}: {name} is {:?}", outcome.summary.publications[name])
            };
            let digest = registry.digest(&format!("r.example/{name}:latest"));
            assert_eq!(digest.as_deref(), there.rsplit_once('@').map(|(_, digest)| digest), "{at}: {name}");
        }
    }

    fn lose_state(&self, dice: &mut Dice) {
        for part in ["ledger", "snapshot", "evidence", "upstream", "images"] {
            let path = self.lab.folder.path().join(".imk").join(part);
            if dice.roll(3) == 0 {
                let _ = fs::remove_file(&path);
                let _ = fs::remove_dir_all(&path);
            }
        }
    }
}

fn history(seed: u64, steps: usize) {
    let mut dice = Dice(seed);
    let registry = Arc::new(FakeRegistry::new());
    if dice.roll(2) == 0 {
        registry.keep_tags("r.example");
    }
    let mut machines: Vec<Machine> =
        (0..3).map(|_| Machine { lab: machine(&registry), files: [0; 3] }).collect();
    for (number, machine) in machines.iter().enumerate() {
        // A clock or a random number: what one machine builds is not what another does. The base is the
        // same everywhere, so that all machines mean the same keys.
        machine.lab.engine.salt("api", &format!("machine {number}"));
        machine.lab.engine.salt("web", &format!("machine {number}"));
    }
    for step in 0..steps {
        let number = dice.roll(machines.len());
        let at = format!("seed {seed}, step {step}, machine {number}");
        let others: Vec<[usize; 3]> = machines.iter().map(|machine| machine.files).collect();
        let machine = &mut machines[number];
        match dice.roll(10) {
            0..=2 => machine.files[dice.roll(3)] = dice.roll(3),
            // What git brings from another machine.
            3 => machine.files = others[dice.roll(others.len())],
            4 => machine.lose_state(&mut dice),
            5 => {
                let images: Vec<ImageId> = machine.lab.engine.images().into_iter().collect();
                if !images.is_empty() {
                    machine.lab.engine.forget(&images[dice.roll(images.len())]);
                }
            }
            6 => {
                machine.write();
                let mut session = machine.lab.open().unwrap();
                let synced = ready::sync(&mut session, &[]).unwrap();
                let plan = verdicts::plan(&session, &synced, false);
                let options = GcOptions { keep: dice.roll(3), published: dice.roll(2) == 0 };
                let sweep = sweeping::sweep(&session, &synced, &plan, &options);
                sweeping::carry_out(&mut session, &synced, sweep).unwrap();
            }
            7 => {
                machine.write();
                let mut session = machine.lab.open().unwrap();
                let synced = ready::sync(&mut session, &[]).unwrap();
                for (name, pulled) in publishing::pull(&mut session, &synced) {
                    assert!(!matches!(pulled, Pulled::Failed(_)), "{at}: {name}: {pulled:?}");
                }
            }
            // Killed before it saved, with or without a push.
            8 => {
                machine.write();
                let push = dice.roll(2) == 0;
                machine.lab.run_with("", &BuildOptions { push, ..BuildOptions::default() }, false);
            }
            _ => {}
        }
        machine.write();
        if dice.roll(2) == 0 {
            let outcome = push(&machine.lab, "");
            machine.is_published(&outcome, &registry, &at);
            machine.check(&outcome, &at);
        } else {
            let outcome = machine.lab.run("");
            machine.check(&outcome, &at);
        }
    }
}

#[test]
fn machines_that_share_a_registry_are_never_stale_and_never_fail_each_other() {
    let steps: usize = std::env::var("IMK_TEST_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(20);
    let seeds: Vec<u64> = match std::env::var("IMK_TEST_SEED").ok().and_then(|n| n.parse().ok()) {
        Some(seed) => vec![seed],
        None => vec![0x51ab_17c3, 0x7e57_0002, 0x0bad_cafe],
    };
    seeds.into_iter().for_each(|seed| history(seed, steps));
}

#[test]
fn pushes_at_the_same_moment_do_not_fail_each_other() {
    for keeps_tags in [false, true] {
        let registry = Arc::new(FakeRegistry::new());
        if keeps_tags {
            registry.keep_tags("r.example");
        }
        let labs: Vec<Lab> = (0..4).map(|_| machine(&registry)).collect();
        for (number, lab) in labs.iter().enumerate() {
            lab.engine.salt("base", &format!("machine {number}"));
            lab.write("api/file", &format!("{}", number % 2));
        }
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let pushes: Vec<_> = labs.iter().map(|lab| scope.spawn(|| push(lab, ""))).collect();
            pushes.into_iter().map(|push| push.join().unwrap()).collect()
        });
        for outcome in outcomes {
            assert!(outcome.summary.unpublished.is_empty(), "{:?}", outcome.summary.unpublished);
            assert!(
                !outcome
                    .summary
                    .publications
                    .values()
                    .any(|publication| *publication == Publication::Overtaken)
            );
        }
        // Numbers 0 and 2 have the same files, and so have 1 and 3: nothing is built again, and a key means
        // the same to all.
        for lab in labs.iter().chain(&labs) {
            assert!(push(lab, "").built.is_empty());
        }
        let base = registry.digest("r.example/base:latest");
        for pair in [[&labs[0], &labs[2]], [&labs[1], &labs[3]]] {
            let contents = pair.map(|lab| {
                let results = lab.builds("").summary.results;
                results.into_iter().map(|(name, built)| (name, built.content)).collect::<BTreeMap<_, _>>()
            });
            assert_eq!(contents[0], contents[1]);
        }
        assert!(push(&labs[0], "").built.is_empty());
        assert_eq!(base, registry.digest("r.example/base:latest"));
    }
}

#[test]
fn two_repositories_with_equal_names_on_one_engine_leave_each_others_results() {
    let one = Lab::new(REPOSITORY);
    let other = Lab { engine: Arc::clone(&one.engine), ..Lab::new(REPOSITORY) };
    other.write("base/file", "of the other").write("web/file", "of the other");
    one.run("");
    let before = one.id("web");
    let outcome = other.run("");
    let taken = outcome.summary.taken_names.iter().find(|taken| taken.tag == "web:latest").unwrap();
    assert_eq!(taken.from, before);
    let kept_as = taken.kept_as.clone().unwrap();
    assert_eq!(one.engine.tags()[&kept_as], before, "no clean-up of the engine takes it");
    for _ in 0..3 {
        for (lab, _) in [(&one, 1), (&other, 2)] {
            let outcome = lab.builds("");
            assert_eq!(lab.id("web"), outcome.summary.results["web"].id);
            let mut session = lab.open().unwrap();
            let synced = ready::sync(&mut session, &[]).unwrap();
            let plan = verdicts::plan(&session, &synced, false);
            let options = GcOptions { keep: 0, published: false };
            let sweep = sweeping::sweep(&session, &synced, &plan, &options);
            sweeping::carry_out(&mut session, &synced, sweep).unwrap();
        }
    }
    assert!(
        one.run("").summary.taken_names.iter().any(|taken| taken.tag == "web:latest"),
        "it is told each time"
    );
}

#[test]
fn after_another_machines_push_an_old_local_name_is_told_and_pull_moves_it() {
    let registry = Arc::new(FakeRegistry::new());
    let (first, second) = (machine(&registry), machine(&registry));
    second.run("");
    first.write("web/file", "2");
    push(&first, "");
    second.write("web/file", "2");
    let outcome = second.run("");
    assert_eq!(outcome.summary.endings["web"], Ending::AlreadyPublished);
    let told: Vec<&str> = outcome.summary.outdated_names.iter().map(|behind| behind.tag.as_str()).collect();
    assert_eq!(told, ["r.example/web:latest"]);
    assert_eq!(second.run("").summary.outdated_names.len(), 1, "as long as it is so");
    let mut session = second.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    publishing::pull(&mut session, &synced);
    drop(session);
    assert_eq!(second.run("").summary.outdated_names, []);
}
