//! Several engines: who builds what, how bases travel, and what happens when an engine dies.

use super::*;
use crate::build::run;
use crate::engine::{Caches, EngineError, EnginePool, Node};
use crate::gc::clean::{self, Extent};
use crate::gc::sweep::{self, GcOptions, Sweep};
use crate::gc::tests::publish::Wire;
use crate::plan::{ready, verdicts};
use crate::query::problem::Problem;

/// `base`, and two that are built on it; one of them on an engine with a label.
const FILES: &str = r#"
//- Imagefile.ron
(prefix: "r.example/", images: {"base": (), "api": (engine_labels: ["gpu"]), "web": (engine_labels: ["gpu"])})
//- base/Dockerfile
FROM scratch
COPY file /
//- base/file
base
//- api/Dockerfile
FROM base
COPY file /
//- api/file
api
//- web/Dockerfile
FROM base
COPY file /
//- web/file
web
"#;

/// A repository with a home engine, `Lab::engine`, and a second one.
struct Two {
    lab: Lab,
    other: Arc<FakeEngine>,
    /// How many jobs each may do at once.
    limits: [Option<usize>; 2],
    platforms: Vec<String>,
}

impl Two {
    fn new(files: &str) -> Self {
        let lab = Lab::new(files);
        let other = Arc::new(FakeEngine::new());
        let identity = lab.engine.identity().unwrap();
        other.pose_as(EngineIdentity { id: "OTHER".into(), ..identity });
        for engine in [&lab.engine, &other] {
            engine.connect(Arc::new(Wire(Arc::clone(&lab.registry))));
        }
        Self { lab, other, limits: [None, None], platforms: Vec::new() }
    }

    /// A session with both; the second has the label `gpu`.
    fn open(&self) -> Session {
        let session = self.lab.open().unwrap();
        let mut home = Node::new("home", Arc::clone(&self.lab.engine) as _);
        let mut other = Node::new("other", Arc::clone(&self.other) as _);
        [home.jobs, other.jobs] = self.limits;
        other.labels.insert("gpu".into());
        other.platforms.clone_from(&self.platforms);
        session.executor.enlist(EnginePool::new(home, vec![other]));
        session
    }

    fn run_with(&self, words: &str, options: &BuildOptions) -> Summary {
        self.other.clear_record();
        self.lab.run_on(self.open(), words, options, true).summary
    }

    fn run(&self, words: &str) -> Summary {
        self.run_with(words, &BuildOptions::default())
    }

    /// The images that the default engine and the other one built.
    fn built(&self) -> [String; 2] {
        [&self.lab.engine, &self.other].map(|engine| {
            let mut names = engine.built();
            names.sort();
            names.join(" ")
        })
    }

    fn gc(&self, keep: usize) -> Sweep {
        let mut session = self.open();
        let synced = ready::sync(&mut session, &[]).unwrap();
        let plan = verdicts::plan(&session, &synced, false);
        let sweep = sweep::sweep(&session, &synced, &plan, &GcOptions { keep, published: false });
        sweep::carry_out(&mut session, &synced, sweep).unwrap()
    }

    fn problems(&self) -> Vec<Problem> {
        let mut session = self.open();
        let synced = ready::sync(&mut session, &[]).unwrap();
        run::problems(&session, &synced, false, &Caches::default()).into_values().flatten().collect()
    }

    #[track_caller]
    fn all_fresh(&self) {
        let summary = self.run("");
        assert!(summary.endings.values().all(|ending| *ending == Ending::Fresh), "{:?}", summary.endings);
        assert!(summary.retagged.is_empty() && summary.untagged.is_empty(), "{summary:?}");
    }
}

fn failed<'a>(summary: &'a Summary, image: &str) -> &'a BuildError {
    match &summary.endings[image] {
        Ending::Failed(error) => error,
        other => panic!("{image}: {other:?}"),
    }
}

fn tagged(engine: &FakeEngine, name: &str) -> bool {
    engine.tags().contains_key(name)
}

#[test]
fn a_label_leads_an_image_to_its_engine_and_its_base_travels_once() {
    let two = Two::new(FILES);
    two.run("");
    assert_eq!(two.built(), ["base", "api web"]);
    let pulls = two.other.pulls();
    assert_eq!(pulls.len(), 1, "{pulls:?}");
    assert!(pulls[0].starts_with("r.example/base@sha256:"), "{pulls:?}");
    assert!(two.other.builds()[0].dockerfile.starts_with("FROM imk.invalid/base:"));
    assert!(tagged(&two.other, "r.example/api:latest") && tagged(&two.lab.engine, "r.example/base:latest"));
    assert!(!tagged(&two.lab.engine, "r.example/api:latest"));
    let left = |engine: &FakeEngine| {
        engine.tags().into_keys().filter(|tag| tag.contains("imk.invalid") || tag.contains("staging")).count()
    };
    assert_eq!((left(&two.lab.engine), left(&two.other)), (0, 0), "names for a moment are taken away");
    two.all_fresh();
    // The base is there now: it does not travel again.
    two.lab.write("web/file", "2");
    two.run("");
    assert_eq!((two.built(), two.other.pulls().len()), ([String::new(), "web".into()], 0));
}

#[test]
fn a_platform_goes_to_the_engine_that_runs_it() {
    let mut two = Two::new(FILES);
    two.platforms = vec!["linux/arm64".into()];
    two.lab.write(
        "Imagefile.ron",
        r#"(prefix: "r.example/", images: {"base": (), "api": (platform: "linux/arm64/v8"), "web": ()})"#,
    );
    two.run("");
    assert_eq!(two.built(), ["base web", "api"]);
    two.all_fresh();
}

#[test]
fn an_engine_of_another_platform_is_told_which_one_is_meant() {
    let two = Two::new(FILES);
    let identity = two.other.identity().unwrap();
    two.other.pose_as(EngineIdentity { platform: "linux/arm64".into(), ..identity });
    two.run("");
    // It says nothing of what it builds, so it may emulate; what it makes is for home's platform.
    assert_eq!(two.built(), ["base", "api web"]);
    let id = two.other.tags()["r.example/api:latest"].clone();
    assert_eq!(two.other.inspect(&id.0).unwrap().unwrap().platform, "linux/amd64");
}

#[test]
fn no_engine_ever_does_more_jobs_than_it_may() {
    let names: Vec<String> = (0..9).map(|number| format!("i{number}")).collect();
    let images: Vec<String> = names.iter().map(|name| format!("\"{name}\": ()")).collect();
    let mut files = format!("//- Imagefile.ron\n(images: {{{}}})\n", images.join(", "));
    for name in &names {
        files += &format!("//- {name}/Dockerfile\nFROM scratch\nCOPY file /\n//- {name}/file\n{name}\n");
    }
    let mut two = Two::new(&files);
    two.limits = [Some(1), Some(2)];
    two.lab.jobs = 9;
    for name in &names {
        two.lab.engine.delay(name, std::time::Duration::from_millis(20));
        two.other.delay(name, std::time::Duration::from_millis(20));
    }
    two.run("");
    assert_eq!((two.lab.engine.most_at_once(), two.other.most_at_once()), (1, 2));
    assert_eq!(two.lab.engine.built().len() + two.other.built().len(), 9);
    two.all_fresh();
}

#[test]
fn an_engine_that_dies_loses_its_running_job_to_another() {
    let two = Two::new(FILES);
    two.lab.write("Imagefile.ron", r#"(prefix: "r.example/", images: {"base": (), "api": (), "web": ()})"#);
    two.run("");
    assert_eq!(two.built(), ["api base web", ""], "near their base");
    // Home goes down while it builds; what was built there is built again elsewhere when it is needed.
    two.lab.write("api/file", "2");
    two.lab.engine.die_of("api");
    let summary = two.run("");
    assert_eq!(two.built(), ["api", "api base"]);
    assert!(matches!(summary.endings["api"], Ending::Built { .. }), "{:?}", summary.endings);
    assert_eq!(summary.endings["web"], Ending::Fresh);
    assert!(tagged(&two.other, "r.example/api:latest"));
}

#[test]
fn a_job_that_no_engine_is_left_for_says_which_there_are() {
    let two = Two::new(FILES);
    two.other.die_of("api");
    let summary = two.run("api");
    let BuildError::NoEngine { labels, engines, .. } = failed(&summary, "api") else {
        panic!("{:?}", summary.endings)
    };
    assert_eq!(labels, &["gpu"]);
    assert!(engines[1].starts_with("`other` (gpu; unreachable: no engine at fake://"), "{engines:?}");
    two.lab.engine.die_of("base");
    two.lab.write("base/file", "2");
    let summary = two.run("base");
    assert!(matches!(failed(&summary, "base"), BuildError::NoEngine { .. }), "{:?}", summary.endings);
}

#[test]
fn a_failure_of_the_build_is_no_death_of_the_engine() {
    let two = Two::new(FILES);
    two.lab.engine.fail("base", Failures::Always);
    let summary = two.run("base");
    assert!(matches!(failed(&summary, "base"), BuildError::Engine(EngineError::Failed(_))));
    assert_eq!(two.built(), ["base", ""]);
}

#[test]
fn the_ledger_answers_for_every_engine() {
    let two = Two::new(FILES);
    two.run("");
    fs::remove_file(two.lab.folder.path().join(".imk/snapshot")).unwrap();
    two.all_fresh();
    assert_eq!(two.built(), ["", ""]);
    let mut session = two.open();
    let synced = ready::sync(&mut session, &[]).unwrap();
    assert!(verdicts::plan(&session, &synced, false).is_fresh());
    drop(session);
    // What is gone from the one that had it is built again, and there.
    two.other.forget(&two.other.tags()["r.example/api:latest"].clone());
    let mut session = two.open();
    let synced = ready::sync(&mut session, &[]).unwrap();
    assert_eq!(synced.missing, BTreeSet::from(["api".to_owned()]));
    drop(session);
    two.run("");
    assert_eq!(two.built(), ["", "api"]);
}

#[test]
fn a_run_in_which_nothing_changed_does_not_speak_to_an_engine_that_has_nothing() {
    let two = Two::new(FILES);
    two.run("base");
    two.run("base");
    assert_eq!(two.other.asked(), 0);
    let alone = |two: &Two| {
        two.lab.run("base");
        two.lab.engine.asked()
    };
    let asked = two.lab.engine.asked();
    assert_eq!(asked, alone(&two), "and home is asked what it would be asked alone");
}

#[test]
fn an_engine_that_is_away_costs_a_warning_when_nothing_is_to_be_built() {
    let two = Two::new(FILES);
    two.run("");
    two.other.set_unreachable(true);
    let mut session = two.open();
    let synced = ready::sync(&mut session, &[]).unwrap();
    assert!(synced.missing.is_empty(), "an error is not an absence");
    let summary = run::build(
        &mut session,
        &synced,
        &BuildOptions { jobs: 2, ..BuildOptions::default() },
        &(Arc::new(|_| {}) as _),
    );
    assert!(summary.endings.values().all(|ending| *ending == Ending::Fresh), "{:?}", summary.endings);
    assert!(summary.untagged.is_empty());
    let gone: Vec<String> =
        session.executor.pool().take_unreachable().into_iter().map(|(name, _)| name).collect();
    assert_eq!(gone, ["other"]);
    drop(session);
    two.other.set_unreachable(false);
    two.all_fresh();
}

#[test]
fn when_home_is_away_the_others_go_on_and_build_no_more_than_they_must() {
    let two = Two::new(FILES);
    two.lab.write("Imagefile.ron", r#"(prefix: "r.example/", images: {"base": (), "api": (), "web": ()})"#);
    two.lab.engine.set_unreachable(true);
    two.run("base");
    assert_eq!(two.built(), ["", "base"], "though home was never seen");
    two.lab.engine.set_unreachable(false);
    two.other.set_unreachable(true);
    two.run("");
    assert_eq!(two.built(), ["api base web", ""]);
    two.other.set_unreachable(false);
    two.lab.engine.set_unreachable(true);
    two.lab.write("web/file", "2");
    let summary = two.run("");
    assert_eq!(two.built(), ["", "web"], "the base is here since before, and nobody asked for api");
    assert_eq!(summary.endings["api"], Ending::Fresh);
    two.lab.engine.set_unreachable(false);
    two.all_fresh();
}

#[test]
fn a_base_whose_name_has_no_registry_keeps_its_users_with_it() {
    let mut two = Two::new(FILES);
    let plain = |keys: &str| format!(r#"(images: {{"base": ({keys}), "api": (), "web": ()}})"#);
    two.limits = [None, Some(1)];
    two.lab.jobs = 4;
    two.lab.write("Imagefile.ron", &plain(r#"engine_labels: ["gpu"]"#));
    two.run("");
    assert_eq!(
        two.built(),
        ["", "api base web"],
        "one after the other where the base is, though home is free"
    );
    // Forced apart, that is an error which says so.
    two.lab.write("Imagefile.ron", r#"(images: {"base": (), "api": (engine_labels: ["gpu"]), "web": ()})"#);
    two.lab.write("base/file", "2");
    two.lab.engine.clear_record();
    let summary = two.run("");
    let error = failed(&summary, "api");
    let BuildError::Stuck { base, engine, why } = error else { panic!("{error:?}") };
    assert_eq!((base.as_str(), engine.as_str(), why.as_str()), ("base", "other", "its name has no registry"));
}

#[test]
fn a_wish_that_no_engine_grants_is_a_mistake_with_its_place_before_anything_is_built() {
    let two = Two::new(FILES);
    two.run("");
    let text = r#"(prefix: "r.example/", images: {"base": (), "api": (engine_labels: ["gpu", "jdk17"]), "web": ()})"#;
    two.lab.write("Imagefile.ron", text);
    assert_eq!(two.problems(), [], "what is there already needs no engine");
    two.lab.write("api/file", "2");
    let problems = two.problems();
    assert_eq!(problems[0].message, "image `api` needs an engine with `gpu` and `jdk17`, and there is none");
    let span = problems[0].span.unwrap();
    assert_eq!((&text[span.start..span.end], problems.len()), ("\"jdk17\"", 1));
    assert!(problems[0].hint.as_ref().unwrap().contains("`other` (gpu)"), "{problems:?}");
}

#[test]
fn a_target_that_another_engine_built_comes_home_when_that_is_asked_for() {
    let two = Two::new(FILES);
    let summary = two.run_with("api", &BuildOptions { load: true, ..BuildOptions::default() });
    assert!(summary.unfetched.is_empty(), "{:?}", summary.unfetched);
    assert_eq!(two.built(), ["base", "api"]);
    assert!(tagged(&two.lab.engine, "r.example/api:latest"));
    assert_eq!(two.lab.engine.pulls().len(), 1);
}

#[test]
fn what_another_engine_built_is_pushed_from_there() {
    let two = Two::new(FILES);
    let summary = two.run_with("", &BuildOptions { push: true, ..BuildOptions::default() });
    assert!(summary.unpublished.is_empty(), "{:?}", summary.unpublished);
    for name in ["base", "api", "web"] {
        assert!(two.lab.registry.digest(&format!("r.example/{name}:latest")).is_some(), "{name}");
    }
    two.all_fresh();
}

#[test]
fn gc_sweeps_every_engine_and_leaves_what_is_current_on_each() {
    let two = Two::new(FILES);
    two.run("");
    let first = [two.lab.engine.images(), two.other.images()];
    two.lab.write("web/file", "2");
    two.lab.write("base/file", "2");
    two.run("");
    let session = two.open();
    let old_web =
        first[1].iter().filter(|id| session.executor.default_engine().inspect(&id.0) == Ok(None)).count();
    assert!(old_web >= 2, "api and web were built on the other engine alone");
    drop(session);
    let swept = two.gc(1);
    let engines: Vec<&str> = swept.images.iter().map(|(held, _)| held.engine.as_str()).collect();
    assert!(engines.contains(&"home") && engines.contains(&"other"), "{engines:?}");
    assert!(
        first[0].intersection(&two.lab.engine.images()).next().is_none(),
        "the old base is gone from home"
    );
    assert!(first[1].intersection(&two.other.images()).next().is_none(), "and all that was made of it");
    two.all_fresh();
    assert_eq!(two.gc(1).images, []);
}

#[test]
fn an_engine_that_is_away_keeps_what_it_has_and_what_is_known_of_it() {
    let two = Two::new(FILES);
    two.run("");
    two.lab.write("base/file", "2");
    two.run("");
    two.other.set_unreachable(true);
    let swept = two.gc(0);
    assert_eq!(swept.unseen.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["other"]);
    assert!(swept.images.iter().all(|(held, _)| held.engine == "home"), "{:?}", swept.images);
    two.other.set_unreachable(false);
    two.all_fresh();
    assert!(two.gc(0).images.iter().any(|(held, _)| held.engine == "other"));
}

#[test]
fn clean_takes_images_from_every_engine_and_forgets_none_that_it_cannot_see() {
    let two = Two::new(FILES);
    two.run("");
    two.other.set_unreachable(true);
    assert!(clean::to_clean(&two.open(), Extent::All, true).is_err(), "nobody would know what is there");
    two.other.set_unreachable(false);
    let mut session = two.open();
    let planned = clean::to_clean(&session, Extent::All, true).unwrap();
    let cleaned = clean::clean(&mut session, Extent::All, planned).unwrap();
    assert_eq!(cleaned.stays, []);
    assert_eq!((two.lab.engine.images(), two.other.images()), Default::default());
}
