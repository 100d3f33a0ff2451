//! Removals by `gc` and `clean`, and above all what they leave alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use fs_err as fs;

use crate::build::run::{self, BuildOptions};
use crate::engine::{Engine, ImageId};
use crate::explain::why;
use crate::gc::clean::{self, Extent};
use crate::gc::engine_images::Stays;
use crate::gc::sweep::{self, GcOptions, Sweep, Why};
use crate::gc::tests::publish::{machine, push};
use crate::gc::tests::random::{Dice, Model};
use crate::gc::tests::{Lab, REPOSITORY};
use crate::plan::overview::{self, Standing};
use crate::plan::{ready, verdicts};
use crate::registry::FakeRegistry;
use crate::session::removed_images;

impl Lab {
    fn gc(&self, keep: usize) -> Sweep {
        self.gc_with(GcOptions { keep, published: false })
    }

    fn gc_with(&self, options: GcOptions) -> Sweep {
        let mut session = self.open().unwrap();
        let all: Vec<String> = session.project.images.keys().cloned().collect();
        let synced = ready::sync(&mut session, &all).unwrap();
        let plan = verdicts::plan(&session, &synced, false);
        removed_images::forget_gone(&session, &plan.keys).unwrap();
        let sweep = sweep::sweep(&session, &synced, &plan, &options);
        sweep::carry_out(&mut session, &synced, sweep).unwrap()
    }

    /// The same repository with a copy of all else: what happens there does not happen here.
    fn fork(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(self.folder.path(), folder.path());
        Self {
            tree: self.tree.clone(),
            engine: Arc::new(self.engine.fork()),
            folder,
            jobs: self.jobs,
            registry: Arc::clone(&self.registry),
            now: self.now,
        }
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn gone(sweep: &Sweep) -> Vec<(String, Why)> {
    let name = |images: &BTreeSet<String>| images.iter().cloned().collect::<Vec<_>>().join(",");
    let mut gone: Vec<_> = sweep.images.iter().map(|(held, why)| (name(&held.images), *why)).collect();
    gone.sort();
    gone
}

#[test]
fn gc_never_removes_what_the_next_imk_would_have_to_build() {
    let steps: usize = std::env::var("IMK_TEST_STEPS").ok().and_then(|n| n.parse().ok()).unwrap_or(40);
    let seeds: Vec<u64> = match std::env::var("IMK_TEST_SEED").ok().and_then(|n| n.parse().ok()) {
        Some(seed) => vec![seed],
        None => vec![0x1234_5678, 0x9abc_def1, 0x0f1e_2d3c],
    };
    let mut removed = 0;
    // A failure must not decide by chance what else is built.
    let options = BuildOptions { keep_going: true, ..BuildOptions::default() };
    for seed in seeds {
        let mut dice = Dice(seed);
        let lab = Lab::new("");
        // Bases that come out the same whatever their files are: their users wait, and are built for nothing.
        lab.engine.ignore_files("i0");
        lab.engine.ignore_files("i2");
        let mut model = Model::default();
        for name in ["i0", "i1", "i2", "i3"] {
            model.image(name);
        }
        for step in 0..steps {
            for _ in 0..=dice.roll(3) {
                model.edit(&mut dice, &lab);
            }
            model.mend();
            model.write(&lab);
            let without = lab.fork();
            let expected = without.run_with("", &options, true).built;
            let sweep = lab.gc(dice.roll(3));
            removed += sweep.images.len();
            let built = lab.run_with("", &options, true).built;
            let gone = gone(&sweep);
            let more: Vec<&String> = built.difference(&expected).collect();
            assert!(
                more.is_empty(),
                "seed {seed}, step {step}: {more:?} built: gc took {gone:?}\n{model:#?}"
            );
        }
    }
    assert!(removed > 10, "a gc that removes nothing proves nothing: {removed}");
}

#[test]
fn old_builds_go_and_the_newest_and_the_current_stay() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    for n in 2..6 {
        lab.write("app/file", &n.to_string());
        lab.run("");
    }
    let before = lab.engine.images().len();
    let sweep = lab.gc(2);
    assert_eq!(gone(&sweep), vec![("app".to_owned(), Why::Superseded); 3]);
    assert_eq!(lab.engine.images().len(), before - 3);
    assert_eq!(gone(&lab.gc(2)), []);
    lab.write("app/file", "4");
    lab.builds("");
}

#[test]
fn a_result_that_others_named_or_use_stays_and_is_told() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let (app, web) = (lab.id("app"), lab.id("web"));
    lab.engine.tag(&app, "release:1").unwrap();
    lab.engine.run_container(&web, "shop");
    for file in ["app/file", "web/file"] {
        lab.write(file, "2");
    }
    lab.run("");
    let sweep = lab.gc(0);
    assert_eq!(gone(&sweep), []);
    let why = |id: &ImageId| &sweep.stays.iter().find(|(held, _)| held.id == *id).unwrap().1;
    assert_eq!(why(&app), &Stays::Named(vec!["release:1".into()]));
    assert_eq!(why(&web), &Stays::Used(BTreeSet::from(["shop".into()])));
    assert!(lab.engine.images().is_superset(&BTreeSet::from([app, web])));
}

#[test]
fn an_image_gone_from_the_imagefile_leaves_its_result_for_gc() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let web = lab.id("web");
    let whole = "(images: {\"base\": (), \"api\": (), \"web\": (), \"app\": ()})";
    lab.write("Imagefile.ron", "(images: {\"base\": (), \"api\": ()})");
    lab.builds("");
    let session = lab.open().unwrap();
    assert_eq!(session.executor.ledger.images(), BTreeSet::from(["api".into(), "base".into()]));
    drop(session);
    // On another branch it may still be there.
    let elsewhere = lab.fork();
    lab.write("Imagefile.ron", whole);
    elsewhere.builds("");
    lab.write("Imagefile.ron", "(images: {\"base\": (), \"api\": ()})");
    let sweep = lab.gc(3);
    assert_eq!(gone(&sweep), [("app".to_owned(), Why::Undeclared), ("web".to_owned(), Why::Undeclared)]);
    assert!(!lab.engine.images().contains(&web));
    assert_eq!(lab.open().unwrap().executor.ledger.left(), []);
}

#[test]
fn a_renamed_image_is_not_built_and_keeps_its_history() {
    let lab = Lab::new(
        "//- Imagefile.ron\n(images: {\"web\": (context: \"w\")})\n//- w/Dockerfile\nFROM scratch\nCOPY file /\n//- w/file\n1\n",
    );
    lab.builds("web");
    lab.write("Imagefile.ron", "(images: {\"site\": (context: \"w\")})");
    lab.builds("");
    let session = lab.open().unwrap();
    assert_eq!(why::history(&session, &BTreeSet::from(["site".to_owned()])).len(), 1);
    assert_eq!(session.executor.ledger.left(), []);
}

#[test]
fn an_image_of_another_imagefile_is_neither_forgotten_nor_swept() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    lab.write("Other.ron", "(images: {\"base\": ()})");
    let mut session = lab.open_as("Other.ron").unwrap();
    let synced = ready::sync(&mut session, &["base".to_owned()]).unwrap();
    run::build(&mut session, &synced, &Default::default(), &(Arc::new(|_| {}) as _));
    session.save().unwrap();
    let plan = verdicts::plan(&session, &synced, false);
    let sweep = sweep::sweep(&session, &synced, &plan, &GcOptions { keep: 0, published: false });
    assert_eq!(gone(&sweep), []);
    drop(session);
    assert_eq!(lab.open().unwrap().executor.ledger.images().len(), 4);
}

#[test]
fn clean_forgets_and_the_images_that_others_use_stay() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let (api, base) = (lab.id("api"), lab.id("base"));
    lab.engine.run_container(&api, "shop");
    let names = BTreeSet::from(["api".to_owned(), "base".to_owned()]);
    let mut session = lab.open().unwrap();
    let planned = clean::to_clean(&session, Extent::Images(&names), true).unwrap();
    assert_eq!(planned.builds, 2);
    let cleaned = clean::clean(&mut session, Extent::Images(&names), planned).unwrap();
    drop(session);
    assert_eq!(cleaned.images.iter().map(|held| &held.id).collect::<Vec<_>>(), [&base]);
    assert_eq!(cleaned.stays.len(), 1);
    assert!(lab.engine.images().contains(&api) && !lab.engine.images().contains(&base));
    lab.builds("api base");
    let mut session = lab.open().unwrap();
    let planned = clean::to_clean(&session, Extent::All, false).unwrap();
    clean::clean(&mut session, Extent::All, planned).unwrap();
    drop(session);
    assert_eq!(lab.open().unwrap().executor.ledger.images(), BTreeSet::new());
    lab.builds("api app base web");
}

#[test]
fn names_that_a_killed_run_left_behind_go_but_never_the_last_of_a_result() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let (base, web) = (lab.id("base"), lab.id("web"));
    let nonce = lab.open().unwrap().nonce();
    lab.engine.tag(&base, &format!("imk.invalid/base:0123{nonce}")).unwrap();
    lab.engine.tag(&base, "imk.invalid/base:0123-of-another").unwrap();
    lab.engine.tag(&web, &format!("imk.invalid/base:4567{nonce}")).unwrap();
    lab.engine.tag(&web, "web:imk-staging").unwrap();
    lab.engine.untag("web:latest").unwrap();
    let sweep = lab.gc(3);
    assert_eq!(sweep.names, [(String::new(), format!("imk.invalid/base:0123{nonce}"))]);
    let tags: BTreeMap<String, ImageId> = lab.engine.tags();
    assert!(tags.contains_key("imk.invalid/base:0123-of-another"));
    assert!(lab.engine.images().contains(&web), "the last names of a result stay");
}

#[test]
fn a_current_result_goes_only_when_asked_for_and_when_its_registry_has_it() {
    let registry = Arc::new(FakeRegistry::new());
    let lab = machine(&registry);
    push(&lab, "api");
    lab.run("");
    assert_eq!(gone(&lab.gc(0)), []);
    let sweep = lab.gc_with(GcOptions { keep: 0, published: true });
    assert_eq!(gone(&sweep), [("api".to_owned(), Why::Published), ("base".to_owned(), Why::Published)]);
    assert!(lab.engine.tags().contains_key("r.example/web:latest"), "nobody else has it");
    let mut session = lab.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    overview::ask_newest_results(&session, &synced);
    let images = overview::overview(&session, &synced, &verdicts::plan(&session, &synced, false));
    let standing: Vec<_> = images.iter().map(|image| (image.name.as_str(), image.standing)).collect();
    assert_eq!(
        standing,
        [("api", Standing::Published), ("base", Standing::Published), ("web", Standing::Fresh)]
    );
    drop(session);
    lab.builds("");
}

#[test]
fn an_older_result_stays_that_is_current_once_its_base_is_built_again() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let base = lab.id("base");
    lab.write("base/file", "2");
    lab.builds("api app base web");
    // The first base is wanted again and gone; what is built on it is known by its content, not its id.
    lab.write("base/file", "1\n");
    lab.engine.forget(&base);
    assert_eq!(gone(&lab.gc(0)), []);
    lab.builds("base");
}
