//! Whole builds over a tree in memory and an engine that can fail and
//! forget: every run is a new process as far as state goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard};

use fs_err as fs;

use crate::build::run::{self, BuildOptions, Ending, Summary};
use crate::engine::fake::{Failures, FakeEngine};
use crate::engine::{Cancel, Engine, EngineIdentity, ImageId, ImageInfo};
use crate::model::file::UsedFiles;
use crate::model::reason::Code;
use crate::model::time::UnixSeconds;
use crate::plan::{ready, verdicts};
use crate::query::effect::BuildError;
use crate::registry::FakeRegistry;
use crate::session::open::{OpenError, Opening, Session};
use crate::session::project::Overrides;
use crate::session::upstream::LookupOptions;
use crate::source::locate::Located;
use crate::source::memory::MemoryTree;
use crate::source::tree::{ReadError, Selected, Selection, SourceTree};
use crate::state::folder::StateFolder;

mod damage;
mod engine_upgrades;
mod engines;
mod gc;
mod machines;
mod platforms;
mod publish;
mod random;
mod times;

/// A tree that the test edits between runs.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<MemoryTree>>);

impl Shared {
    fn get(&self) -> MutexGuard<'_, MemoryTree> {
        self.0.lock().unwrap()
    }
}

impl SourceTree for Shared {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.get().read(path)
    }
    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        self.get().is_folder(path)
    }
    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        self.get().select(selections)
    }
    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        self.get().used_files(selection)
    }
    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, ReadError> {
        self.get().open(path)
    }
}

/// A repository, an engine, and a folder for state.
struct Lab {
    tree: Shared,
    engine: Arc<FakeEngine>,
    folder: tempfile::TempDir,
    jobs: usize,
    registry: Arc<FakeRegistry>,
    now: UnixSeconds,
}

/// The outcome of one run.
struct Outcome {
    summary: Summary,
    built: BTreeSet<String>,
    /// Queries executed, by name.
    ran: BTreeMap<String, usize>,
}

impl Lab {
    fn new(fixture: &str) -> Self {
        let tree = Shared(Arc::new(Mutex::new(MemoryTree::new(fixture))));
        let (engine, registry) = (Arc::new(FakeEngine::new()), Arc::new(FakeRegistry::new()));
        Self {
            tree,
            engine,
            folder: tempfile::tempdir().unwrap(),
            jobs: 3,
            registry,
            now: UnixSeconds(1_000_000),
        }
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        self.tree.get().write(path, text);
        self
    }

    fn open(&self) -> Result<Session, OpenError> {
        self.open_as("Imagefile.ron")
    }

    fn open_as(&self, imagefile: &str) -> Result<Session, OpenError> {
        self.open_with(imagefile, Overrides::default())
    }

    fn open_with(&self, imagefile: &str, overrides: Overrides) -> Result<Session, OpenError> {
        let root = self.folder.path().to_owned();
        let opening = Opening {
            state: StateFolder::at(&root.join(".imk")),
            located: Located { root, imagefile: Some(imagefile.into()) },
            overrides,
            engine: Arc::clone(&self.engine) as Arc<dyn Engine>,
            tree: Arc::new(self.tree.clone()),
            registry: Arc::clone(&self.registry) as _,
            lookups: LookupOptions { now: self.now, ..LookupOptions::default() },
            cancel: Cancel::default(),
            environment: BTreeMap::new(),
            exclusive: true,
        };
        Session::open(opening, || Ok(Vec::new()), |_| {})
    }

    /// One process: open, build, save.
    fn run(&self, words: &str) -> Outcome {
        self.run_with(words, &BuildOptions::default(), true)
    }

    fn run_with(&self, words: &str, options: &BuildOptions, save: bool) -> Outcome {
        self.run_on(self.open().unwrap(), words, options, save)
    }

    fn run_on(&self, mut session: Session, words: &str, options: &BuildOptions, save: bool) -> Outcome {
        self.engine.clear_record();
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let synced = ready::sync(&mut session, &words).unwrap();
        let options = BuildOptions { jobs: self.jobs, ..options.clone() };
        let summary = run::build(&mut session, &synced, &options, &(Arc::new(|_| {}) as _));
        if save {
            session.save().unwrap();
        }
        let mut ran = BTreeMap::new();
        for query in session.db.take_log() {
            let name = query.split('(').next().unwrap().to_owned();
            *ran.entry(name).or_default() += 1;
        }
        Outcome { summary, built: self.engine.built().into_iter().collect(), ran }
    }

    /// Runs everything and compares what was built.
    #[track_caller]
    fn builds(&self, expected: &str) -> Outcome {
        let outcome = self.run("");
        let built = outcome.built.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        assert_eq!(built, expected);
        outcome
    }

    fn id(&self, image: &str) -> crate::engine::ImageId {
        self.engine.tags()[&format!("{image}:latest")].clone()
    }
}

const REPOSITORY: &str = r#"//- Imagefile.ron
(images: {"base": (), "api": (), "web": (), "app": ()})
//- base/Dockerfile
FROM scratch
COPY . /
//- base/file
1
//- api/Dockerfile
FROM base
COPY file /
//- api/file
1
//- web/Dockerfile
FROM base
COPY file /
//- web/file
web
//- app/Dockerfile
FROM api
COPY --from=web / /w
COPY . /
//- app/file
1
"#;

#[test]
fn a_second_run_builds_nothing_and_runs_no_query() {
    let lab = Lab::new(REPOSITORY);
    lab.builds("api app base web");
    let outcome = lab.builds("");
    assert_eq!(outcome.ran, BTreeMap::new());
    assert!(outcome.summary.endings.values().all(|ending| *ending == Ending::Fresh));
}

#[test]
fn a_second_run_does_not_rewrite_the_snapshot() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let path = lab.folder.path().join(".imk/snapshot");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    lab.run("");
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
}

#[test]
fn after_a_load_an_input_can_be_set_and_asked_for() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    // The first setter after a load panics when salsa was not primed.
    lab.write("api/file", "2");
    lab.builds("api app");
}

#[test]
fn a_comment_builds_nothing_and_reaches_no_user() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    lab.write("api/Dockerfile", "# why\nFROM base\ncopy   file /\n");
    let outcome = lab.builds("");
    // Its own image is asked once more, for the text it would send, and the ledger answers.
    assert_eq!(outcome.ran.get("image"), Some(&1), "{:?}", outcome.ran);
    assert_eq!(outcome.ran.get("image_content"), None, "{:?}", outcome.ran);
}

#[test]
fn a_base_that_comes_out_the_same_leaves_its_users_alone() {
    let lab = Lab::new(REPOSITORY);
    lab.engine.ignore_files("base");
    lab.run("");
    lab.write("base/file", "2");
    let outcome = lab.builds("base");
    assert_eq!(outcome.summary.kept, BTreeSet::from(["api".to_owned(), "web".to_owned()]));
    assert_eq!(outcome.ran.get("image"), Some(&1), "{:?}", outcome.ran);
}

#[test]
fn a_result_gone_from_the_engine_is_built_again_and_its_users_are_not() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    lab.engine.forget(&lab.id("web"));
    let outcome = lab.builds("web");
    let Some(Ending::Built { reasons, .. }) = outcome.summary.endings.get("web") else { panic!() };
    assert_eq!(reasons[0].code, Code::Missing);
    lab.engine.forget(&lab.id("base"));
    lab.builds("base");
    lab.builds("");
}

#[test]
fn a_failure_is_tried_again_and_once_mended_all_follows() {
    let lab = Lab::new(REPOSITORY);
    lab.engine.fail("base", Failures::Times(2));
    for _ in 0..2 {
        let outcome = lab.builds("base");
        assert!(matches!(outcome.summary.endings["base"], Ending::Failed(BuildError::Engine(_))));
        assert_eq!(outcome.summary.endings["app"], Ending::Skipped);
    }
    lab.builds("api app base web");
    lab.builds("");
}

#[test]
fn keep_going_builds_all_that_does_not_depend_on_the_failure() {
    let lab = Lab::new(REPOSITORY);
    lab.engine.fail("api", Failures::Always);
    let options = BuildOptions { keep_going: true, ..BuildOptions::default() };
    let outcome = lab.run_with("", &options, true);
    assert_eq!(outcome.built.iter().collect::<Vec<_>>(), ["api", "base", "web"]);
    assert_eq!(outcome.summary.endings["app"], Ending::Skipped);
}

#[test]
fn a_process_that_dies_before_saving_loses_no_finished_build() {
    let lab = Lab::new(REPOSITORY);
    lab.run_with("api", &BuildOptions::default(), false);
    lab.builds("app web");
}

#[test]
fn a_snapshot_of_another_imk_or_with_a_flipped_byte_costs_no_build() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let path = lab.folder.path().join(".imk/snapshot");
    let whole = fs::read(&path).unwrap();
    for at in [0, 8, 20, 40, 60, 80, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&path, &damaged).unwrap();
        lab.builds("");
    }
    for length in [0, 7, 30, 72, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        lab.builds("");
    }
    fs::remove_dir_all(lab.folder.path().join(".imk")).unwrap();
    // Without the ledger the engine is asked, whose own cache answers.
    lab.builds("api app base web");
}

#[test]
fn own_spec_is_read_before_the_bases() {
    let lab = Lab::new(REPOSITORY);
    lab.write("tool/Dockerfile", "FROM scratch\nCOPY . /\n").write("tool/file", "1");
    lab.write("Imagefile.ron", r#"(images: {"base": (), "tool": (), "api": ()})"#);
    lab.run("");
    // api moves to another base, and its old base changes too: nobody needs that one.
    lab.write("api/Dockerfile", "FROM tool\nCOPY . /\n").write("base/file", "2");
    let outcome = lab.run("api");
    assert_eq!(outcome.built.iter().collect::<Vec<_>>(), ["api"]);
}

#[test]
fn a_cycle_is_told_with_its_whole_path_before_any_query_recurses() {
    let lab = Lab::new(REPOSITORY);
    lab.write("base/Dockerfile", "FROM scratch\nCOPY --from=app / /\n");
    let mut session = lab.open().unwrap();
    let circles = ready::sync(&mut session, &[]).unwrap().order.circles;
    assert_eq!(circles.keys().collect::<Vec<_>>(), ["api", "app", "base", "web"]);
    assert_eq!(
        circles["app"].message,
        "images are built on each other in a circle: `api` -> `base` -> `app` -> `api`"
    );
}

#[test]
fn a_revert_serves_the_older_result_and_moves_the_tag_back() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let first = lab.id("app");
    lab.write("app/file", "2");
    lab.builds("app");
    assert_ne!(lab.id("app"), first);
    lab.write("app/file", "1\n");
    let outcome = lab.builds("");
    assert_eq!(outcome.summary.endings["app"], Ending::Reused);
    assert_eq!(outcome.summary.retagged, BTreeSet::from(["app".to_owned()]));
    assert_eq!(lab.id("app"), first);
}

#[test]
fn another_engine_has_other_results() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    lab.engine.forget_all();
    let mut other = lab.engine.identity().unwrap();
    other.id = "OTHER".into();
    lab.engine.pose_as(other);
    lab.builds("api app base web");
    lab.builds("");
}

#[test]
fn another_builder_makes_everything_stale() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let identity = lab.engine.identity().unwrap();
    lab.engine.pose_as(EngineIdentity { builder: "classic/overlay2".into(), ..identity });
    lab.builds("api app base web");
}

#[test]
fn always_make_builds_the_targets_alone() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let options = BuildOptions { always: true, ..BuildOptions::default() };
    let outcome = lab.run_with("api", &options, true);
    assert_eq!(outcome.built.iter().collect::<Vec<_>>(), ["api"]);
    lab.builds("");
}

#[test]
fn an_image_taken_out_of_the_imagefile_is_forgotten_and_comes_back_fresh() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    lab.write("Imagefile.ron", r#"(images: {"base": (), "api": (), "web": ()})"#);
    lab.builds("");
    lab.write("Imagefile.ron", r#"(images: {"base": (), "api": (), "web": (), "app": ()})"#);
    lab.builds("");
}

#[test]
fn triggers_of_a_base_count_as_the_users_own_instructions() {
    let lab = Lab::new(REPOSITORY);
    lab.write("base/Dockerfile", "FROM scratch\nONBUILD COPY sealed /sealed\n");
    lab.write("api/Dockerfile", "FROM base\n").write("api/sealed", "1").write("web/sealed", "1");
    lab.run("");
    lab.write("api/file", "2");
    lab.builds("");
    lab.write("api/sealed", "2");
    lab.builds("api app");
}

#[test]
fn an_outside_base_that_became_another_image_makes_its_users_stale() {
    let outside = |id: &str, onbuild: &[&str]| ImageInfo {
        id: ImageId(id.into()),
        platform: "linux/amd64".into(),
        repo_digests: vec![],
        tags: vec![],
        onbuild: onbuild.iter().map(|line| (*line).to_owned()).collect(),
        environment: BTreeMap::new(),
        own_bases: None,
        size_bytes: 0,
        manifest: None,
        content: id.into(),
    };
    let lab = Lab::new(REPOSITORY);
    lab.write("base/Dockerfile", "FROM alpine:3\n").write("base/sealed", "1");
    lab.engine.add_image("alpine:3", outside("sha256:1", &[]));
    lab.run("");
    lab.builds("");
    lab.engine.add_image("alpine:3", outside("sha256:2", &["COPY sealed /"]));
    let outcome = lab.run("base");
    let Ending::Built { reasons, .. } = &outcome.summary.endings["base"] else { panic!() };
    assert!(reasons.iter().any(|reason| reason.code == Code::Upstream), "{reasons:?}");
    // And its triggers are instructions of whoever is built on it.
    lab.run("");
    lab.write("base/sealed", "2");
    assert_eq!(lab.run("base").built.len(), 1);
}

#[test]
fn a_base_that_moved_in_its_registry_makes_its_users_stale_and_is_what_they_are_built_on() {
    let mut lab = Lab::new(REPOSITORY);
    lab.write("base/Dockerfile", "FROM r.example/os:3\n");
    let first = lab.registry.add_image("r.example/os:3", "one");
    lab.run("");
    let sent = |lab: &Lab| lab.engine.builds()[0].dockerfile.clone();
    assert_eq!(sent(&lab), format!("FROM r.example/os@{first}\n"));
    let second = lab.registry.add_image("r.example/os:3", "two");
    lab.builds("");
    lab.now.0 += 3600;
    let outcome = lab.run("base");
    let Ending::Built { reasons, .. } = &outcome.summary.endings["base"] else { panic!() };
    assert_eq!((reasons[0].code, reasons[0].after.as_ref()), (Code::Upstream, Some(&second)));
    assert_eq!(sent(&lab), format!("FROM r.example/os@{second}\n"));
}

#[test]
fn a_file_that_add_fetches_makes_its_image_stale_when_its_server_has_another() {
    let mut lab = Lab::new(REPOSITORY);
    let url = "https://files.example/tool.tgz";
    lab.write("base/Dockerfile", &format!("FROM scratch\nADD {url} /tool.tgz\n"));
    lab.registry.put_file(url, "etag 1");
    lab.run("");
    lab.registry.put_file(url, "etag 2");
    lab.builds("");
    lab.now.0 += 3600;
    let outcome = lab.run("base");
    let Ending::Built { reasons, .. } = &outcome.summary.endings["base"] else { panic!() };
    assert_eq!((reasons[0].code, reasons[0].subject.as_str()), (Code::Upstream, url));
    // With a checksum there is nothing to ask.
    let sum = format!("sha256:{}", "a".repeat(64));
    lab.write("base/Dockerfile", &format!("FROM scratch\nADD --checksum={sum} {url} /tool.tgz\n"));
    lab.run("base");
    lab.registry.put_file(url, "etag 3");
    lab.registry.clear_record();
    lab.now.0 += 3600;
    assert!(lab.run("base").built.is_empty());
    assert_eq!(lab.registry.count("web"), 0);
}

#[test]
fn a_word_that_needs_the_environment_of_a_base_reads_no_more_than_it_says() {
    let lab = Lab::new(REPOSITORY);
    lab.write("base/Dockerfile", "FROM scratch\nENV DIR=sub\nENV DEEP=$DIR/x\n");
    lab.write("api/Dockerfile", "FROM base\nARG DIR=arg\nENV MORE=$DEEP\n");
    lab.write("web/Dockerfile", "FROM api\nCOPY $MORE /\n").write("web/sub/x", "1").write("web/y", "1");
    lab.run("");
    lab.write("web/y", "2");
    lab.builds("");
    lab.write("web/sub/x", "2");
    assert!(lab.run("").built.contains("web"));
    // The base's base decides which file it is.
    lab.write("base/Dockerfile", "FROM scratch\nENV DIR=sub\nENV DEEP=y\n");
    lab.run("");
    lab.write("web/sub/x", "3");
    lab.builds("");
    lab.write("web/y", "3");
    assert!(lab.run("").built.contains("web"));
}

#[test]
fn bases_in_a_circle_are_told_though_a_word_needs_their_environment() {
    let lab = Lab::new(REPOSITORY);
    lab.write("base/Dockerfile", "FROM app\nCOPY $X /\n");
    lab.write("app/Dockerfile", "FROM base\nCOPY $X /\n");
    let synced = ready::sync(&mut lab.open().unwrap(), &[]).unwrap();
    assert_eq!(synced.order.circles.keys().collect::<Vec<_>>(), ["app", "base"]);
}

#[test]
fn a_child_is_sent_with_the_exact_name_of_its_base() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let builds = lab.engine.builds();
    let api = builds.iter().find(|build| build.image == "api").unwrap();
    assert!(api.dockerfile.starts_with("FROM imk.invalid/base:"), "{}", api.dockerfile);
    assert_eq!(api.dockerfile.lines().count(), 2, "line for line: {}", api.dockerfile);
    let left: Vec<_> = lab.engine.tags().into_keys().filter(|tag| tag.starts_with("imk.invalid")).collect();
    assert_eq!(left, [""; 0], "names given for a moment are taken away");
}

#[test]
fn a_process_killed_while_building_leaves_names_that_the_next_takes_away() {
    let lab = Lab::new(REPOSITORY);
    lab.run("base");
    let id = lab.id("base");
    let session = lab.open().unwrap();
    let nonce = session.nonce();
    drop(session);
    lab.engine.tag(&id, &format!("imk.invalid/base:leftover{nonce}")).unwrap();
    lab.run("");
    assert!(!lab.engine.tags().keys().any(|tag| tag.starts_with("imk.invalid")), "{:?}", lab.engine.tags());
}

#[test]
fn jobs_are_limited_and_used() {
    let mut lab = Lab::new(REPOSITORY);
    for image in ["base", "api", "web", "app"] {
        lab.engine.delay(image, std::time::Duration::from_millis(20));
    }
    lab.jobs = 1;
    lab.run("");
    assert_eq!(lab.engine.most_at_once(), 1);
    lab.write("base/file", "2");
    lab.jobs = 4;
    lab.run("");
    assert_eq!(lab.engine.most_at_once(), 2, "api and web at once, and never more");
}

#[test]
fn an_unreachable_engine_is_not_a_lost_result() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    lab.engine.set_unreachable(true);
    let mut session = lab.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    assert!(synced.engine.is_err());
    assert!(synced.missing.is_empty());
    assert!(verdicts::plan(&session, &synced, false).is_fresh());
    session.save().unwrap();
    drop(session);
    lab.engine.set_unreachable(false);
    lab.builds("");
}
