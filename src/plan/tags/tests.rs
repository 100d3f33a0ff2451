//! Tags over a real git repository and an engine that only pretends.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use fs_err as fs;
use git2::{IndexAddOption, Oid, Repository, Signature, Time};

use crate::build::run::{self, BuildOptions, Ending, Summary};
use crate::engine::{Cancel, Engine, FakeEngine};
use crate::model::hash::ContentHash;
use crate::model::time::UnixSeconds;
use crate::plan::ready;
use crate::plan::tags::missing::Missing;
use crate::plan::tags::newest::{self, NewestAnswer};
use crate::plan::tags::tagging;
use crate::plan::tags::tagging::*;
use crate::plan::verdicts::{self, Plan, Verdict};
use crate::registry::FakeRegistry;
use crate::registry::fake::FakeFault;
use crate::session::open::{OpenError, Opening, Session};
use crate::session::project::Overrides;
use crate::session::sync::SyncError;
use crate::session::upstream::LookupOptions;
use crate::source::disk::DiskTree;
use crate::source::locate::Located;
use crate::state::folder::StateFolder;

/// A repository under git with two images that share nothing, and one on the first.
struct Lab {
    folder: tempfile::TempDir,
    git: Repository,
    engine: Arc<FakeEngine>,
    registry: Arc<FakeRegistry>,
    environment: BTreeMap<OsString, OsString>,
    overrides: Overrides,
    now: UnixSeconds,
}

impl Lab {
    /// The images are all tagged alike.
    fn new(tags: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let git = Repository::init(folder.path()).unwrap();
        git.set_head("refs/heads/main").unwrap();
        let lab = Self {
            folder,
            git,
            engine: Arc::default(),
            registry: Arc::default(),
            environment: BTreeMap::new(),
            overrides: Overrides::default(),
            now: UnixSeconds(1_537_690_996),
        };
        lab.declare(tags);
        lab.write("app/Dockerfile", "FROM scratch\nARG X\nCOPY . /\n").write("app/file", "1");
        lab.write("web/Dockerfile", "FROM scratch\nCOPY file /\n").write("web/file", "1");
        lab.write("sub/Dockerfile", "FROM app\n").write(".gitignore", "*.log\n");
        lab.commit();
        lab
    }

    fn declare(&self, tags: &str) {
        let text = format!(r#"(defaults: (tags: [{tags}]), images: {{"app": (), "web": (), "sub": ()}})"#);
        self.write("Imagefile.ron", &text);
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        self
    }

    fn commit(&self) -> String {
        let mut index = self.git.index().unwrap();
        index.add_all(["*"], IndexAddOption::DEFAULT, None).unwrap();
        index.update_all(["*"], None).unwrap();
        index.write().unwrap();
        let tree = self.git.find_tree(index.write_tree().unwrap()).unwrap();
        let who = who();
        let parent = self.git.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.git.commit(Some("HEAD"), &who, &who, "change", &tree, &parents).unwrap().to_string()
    }

    fn tag(&self, name: &str) {
        let head = self.git.head().unwrap().peel(git2::ObjectType::Commit).unwrap();
        self.git.tag(name, &head, &who(), "a version", false).unwrap();
    }

    fn detach(&self, commit: &str) {
        self.git.set_head_detached(Oid::from_str(commit).unwrap()).unwrap();
    }

    fn variables(&mut self, pairs: &[(&str, &str)]) {
        self.environment = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    }

    fn open(&self) -> Result<Session, OpenError> {
        let root = self.folder.path().to_owned();
        let tree = DiskTree::open(&root, &StateFolder::at(&root.join(".imk"))).unwrap();
        let opening = Opening {
            state: StateFolder::at(&root.join(".imk")),
            located: Located { root, imagefile: Some("Imagefile.ron".into()) },
            overrides: self.overrides.clone(),
            engine: Arc::clone(&self.engine) as _,
            tree: Arc::new(tree),
            registry: Arc::clone(&self.registry) as _,
            lookups: LookupOptions { now: self.now, ..LookupOptions::default() },
            cancel: Cancel::default(),
            environment: self.environment.clone(),
            exclusive: true,
        };
        Session::open(opening, || Ok(Vec::new()), |_| {})
    }

    fn run(&self) -> Summary {
        let mut session = self.open().unwrap();
        let synced = ready::sync(&mut session, &[]).unwrap();
        let options = BuildOptions { jobs: 2, ..BuildOptions::default() };
        let summary = run::build(&mut session, &synced, &options, &(Arc::new(|_| {}) as _));
        session.save().unwrap();
        summary
    }

    fn plan(&self) -> Plan {
        let mut session = self.open().unwrap();
        let synced = ready::sync(&mut session, &[]).unwrap();
        verdicts::plan(&session, &synced, false)
    }

    /// The names that an image is to have, without the repository, after a build.
    fn names(&self, image: &str) -> Vec<String> {
        let names = &self.run().names[image];
        names.iter().map(|name| name.strip_prefix(&format!("{image}:")).unwrap().to_owned()).collect()
    }

    fn newest(&self, image: &str) -> NewestAnswer {
        let mut session = self.open().unwrap();
        let synced = ready::sync(&mut session, &[]).unwrap();
        newest::newest(&session, &synced, image, true)
    }
}

fn who() -> Signature<'static> {
    Signature::new("imk", "imk@invalid", &Time::new(1_500_000_000, 0)).unwrap()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The images whose names say that they have uncommitted changes.
fn dirty(summary: &Summary) -> BTreeSet<String> {
    let is_dirty = |names: &Vec<String>| names.iter().any(|name| name.contains("-dirty-"));
    summary.names.iter().filter(|(_, names)| is_dirty(names)).map(|(image, _)| image.clone()).collect()
}

#[test]
fn fresh_images_are_only_tagged_with_the_new_commit() {
    let lab = Lab::new(r#""{git.sha:12}""#);
    lab.run();
    let before = lab.engine.tags();
    lab.write("web/file", "2");
    let commit = lab.commit();
    let summary = lab.run();
    assert_eq!(summary.retagged, set(&["app", "sub"]));
    assert!(matches!(summary.endings["web"], Ending::Built { .. }));
    let after = lab.engine.tags();
    assert_eq!(before.len() * 2, after.len(), "older names stay");
    let name = |image: &str| format!("{image}:{}", &commit[..12]);
    assert!(before.values().any(|id| *id == after[&name("app")]), "the same image under a new name");
    assert!(!before.values().any(|id| *id == after[&name("web")]));
    assert!(lab.plan().is_fresh());
}

#[test]
fn an_edit_marks_what_it_touches_and_no_other_image() {
    let lab = Lab::new(r#""{git.sha:12}", "{git.describe}""#);
    lab.write("app/file", "2");
    let summary = lab.run();
    assert_eq!(dirty(&summary), set(&["app", "sub"]), "an image on a changed one is not the commit's either");
    let suffix = format!("-dirty-{}", summary.results["app"].key.short(8));
    assert!(summary.names["app"].iter().all(|name| name.ends_with(&suffix)), "{:?}", summary.names);
    lab.write("app/file", "1");
    assert_eq!(dirty(&lab.run()), set(&[]), "an edit that was taken back");
}

#[test]
fn what_git_does_not_track_marks_an_image_that_uses_it() {
    let lab = Lab::new(r#""{git.sha:12}""#);
    lab.write("notes.txt", "x").write("web/other", "x");
    assert_eq!(dirty(&lab.run()), set(&[]), "no image uses these");
    lab.write("app/deep/er/new", "x");
    assert_eq!(dirty(&lab.run()), set(&["app", "sub"]));
    fs::remove_dir_all(lab.folder.path().join("app/deep")).unwrap();
    lab.write("app/ignored.log", "x");
    assert_eq!(dirty(&lab.run()), set(&["app", "sub"]));
}

#[test]
fn a_removed_file_an_argument_and_a_new_image_are_changes_too() {
    let lab = Lab::new(r#""{git.sha:12}""#);
    fs::remove_file(lab.folder.path().join("app/file")).unwrap();
    assert_eq!(dirty(&lab.run()), set(&["app", "sub"]));
    lab.write("app/file", "1");
    let declared = r#"(defaults: (tags: ["{git.sha:12}"]), images: {"app": (args: {"X": "1"}), "web": (), "new": (context: "web")})"#;
    lab.write("Imagefile.ron", declared);
    assert_eq!(dirty(&lab.run()), set(&["app", "new"]));
}

#[test]
fn modes_of_another_umask_are_no_change() {
    let lab = Lab::new(r#""{git.sha:12}""#);
    for (path, mode) in [("app/file", 0o664), ("web/file", 0o600), ("app", 0o775)] {
        let path = lab.folder.path().join(path);
        fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    // Something differs, so that the commit is planned at all.
    lab.write("README", "x");
    assert_eq!(dirty(&lab.run()), set(&[]));
    let path = lab.folder.path().join("web/file");
    fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(dirty(&lab.run()), set(&["web"]));
}

#[test]
fn a_repository_below_the_top_of_its_work_tree_is_told_by_its_own_files() {
    let lab = Lab::new(r#""latest""#);
    let inner = r#"(images: {"in": (context: ".", tags: ["{git.sha:12}"])})"#;
    lab.write("in/Imagefile.ron", inner)
        .write("in/Dockerfile", "FROM scratch\nCOPY a /\n")
        .write("in/a", "1");
    lab.commit();
    let root = lab.folder.path().join("in");
    lab.write("a", "beside").write("app/file", "2");
    let run = |root: &std::path::Path| {
        let tree = DiskTree::open(root, &StateFolder::at(&root.join(".imk"))).unwrap();
        let opening = Opening {
            state: StateFolder::at(&root.join(".imk")),
            located: Located { root: root.to_owned(), imagefile: Some("Imagefile.ron".into()) },
            overrides: Overrides::default(),
            engine: Arc::new(FakeEngine::new()),
            tree: Arc::new(tree),
            registry: Arc::new(FakeRegistry::new()),
            lookups: LookupOptions::default(),
            cancel: Cancel::default(),
            environment: BTreeMap::new(),
            exclusive: true,
        };
        let mut session = Session::open(opening, || Ok(Vec::new()), |_| {}).unwrap();
        let synced = ready::sync(&mut session, &[]).unwrap();
        dirty(&run::build(&mut session, &synced, &BuildOptions::default(), &(Arc::new(|_| {}) as _)))
    };
    assert_eq!(run(&root), set(&[]));
    fs::write(root.join("a"), "2").unwrap();
    assert_eq!(run(&root), set(&["in"]));
}

#[test]
fn a_fresh_image_keeps_its_time_and_a_revert_gets_a_new_one() {
    let mut lab = Lab::new(r#""{time}", "latest""#);
    let first = lab.names("web");
    assert_eq!(first, ["20180923T082316Z", "latest"]);
    lab.now.0 += 60;
    assert_eq!(lab.run().retagged, set(&[]), "nothing new at every run");
    assert!(lab.plan().is_fresh());
    assert_eq!(lab.names("web"), first);
    lab.write("web/file", "2");
    assert_eq!(lab.names("web")[0], "20180923T082416Z");
    lab.now.0 += 60;
    lab.write("web/file", "1");
    let summary = lab.run();
    assert_eq!(summary.endings["web"], Ending::Reused);
    let tags = lab.engine.tags();
    let newest = "web:20180923T082516Z";
    assert_eq!(lab.newest("web").newest.unwrap().reference, newest);
    assert_eq!(tags[newest], tags["web:20180923T082316Z"], "what serves again is the newest by name");
    assert_eq!(tags["web:latest"], tags[newest]);
    assert!(lab.plan().is_fresh());
}

#[test]
fn a_run_killed_before_it_tagged_leaves_no_older_time_as_the_newest() {
    let mut lab = Lab::new(r#""{time}""#);
    lab.run();
    lab.now.0 += 60;
    lab.write("web/file", "2");
    lab.run();
    lab.write("web/file", "1");
    lab.now.0 += 60;
    lab.run();
    lab.engine.untag("web:20180923T082516Z").unwrap();
    lab.now.0 += 60;
    let plan = lab.plan();
    let web = plan.jobs.iter().find(|(name, _)| name == "web").unwrap();
    assert_eq!(web.1, Verdict::Retag(vec!["web:20180923T082616Z".into()]));
}

#[test]
fn a_clock_that_ran_ahead_once_does_not_make_every_run_a_new_tag() {
    let mut lab = Lab::new(r#""{time}""#);
    lab.run();
    let other = lab.engine.tags()["app:20180923T082316Z"].clone();
    lab.engine.tag(&other, "web:20991231T235959Z").unwrap();
    lab.now.0 += 60;
    assert_eq!(lab.run().retagged, set(&[]));
}

#[test]
fn a_fresh_image_is_given_the_next_build_number() {
    let mut lab = Lab::new(r#""{build}""#);
    lab.variables(&[("GITHUB_RUN_NUMBER", "7"), ("BUILD_NUMBER", "")]);
    assert_eq!(lab.names("web"), ["7"]);
    lab.overrides.build_number = Some("8".into());
    let summary = lab.run();
    assert_eq!(summary.retagged, set(&["app", "sub", "web"]));
    assert_eq!(summary.names["web"], ["web:8"]);
}

#[test]
fn a_result_is_never_without_a_name() {
    let mut lab = Lab::new(r#""{build}", "{env.WHO}", When(branch: "release/*", tag: "latest")"#);
    let summary = lab.run();
    let key = summary.results["web"].key.short(16);
    assert_eq!(summary.names["web"], [format!("web:imk-{key}")]);
    assert!(lab.engine.tags().contains_key(&format!("web:imk-{key}")));
    let told = together(summary.skipped_tags.iter().map(|(image, it)| (image.as_str(), it)));
    let all = BTreeSet::from(["app", "sub", "web"]);
    assert_eq!(
        told.iter().map(|(skipped, images)| (&skipped.why, images)).collect::<Vec<_>>(),
        [(&Missing::NoBuildNumber, &all), (&Missing::NoVariable("WHO".into()), &all)],
        "a rule for other builds is passed over in silence"
    );
    assert!(lab.plan().is_fresh());
    lab.variables(&[("WHO", "me/you")]);
    assert!(lab.names("web")[0].starts_with("me-you-"));
    lab.declare("");
    assert_eq!(lab.names("web"), [format!("imk-{key}")]);
}

#[test]
fn a_detached_head_is_no_branch_unless_ci_tells_which_it_built() {
    let mut lab = Lab::new(r#""{git.branch}", When(branch: "main", tag: "latest"), "{key:16}""#);
    let key = lab.run().results["web"].key.short(16);
    assert_eq!(lab.names("web"), ["main", "latest", &key]);
    let commit = lab.commit();
    lab.detach(&commit);
    let summary = lab.run();
    assert_eq!(summary.names["web"], [format!("web:{key}")]);
    assert!(summary.skipped_tags.iter().all(|(_, skipped)| skipped.why == Missing::NoBranch));
    lab.variables(&[("CI_COMMIT_SHA", &commit), ("CI_COMMIT_BRANCH", "main")]);
    assert_eq!(lab.names("web"), ["main", "latest", &key]);
    lab.variables(&[("GITHUB_SHA", &commit), ("GITHUB_REF_TYPE", "branch"), ("GITHUB_HEAD_REF", "main")]);
    assert_eq!(lab.names("web"), ["main", &key], "a fork's `main` does not move `latest`");
}

#[test]
fn rules_go_by_git_tag_and_versions_have_parts() {
    let lab = Lab::new(
        r#"When(git_tag: ["v*", "!*-*"], tag: ["{semver}", "{semver.minor}", "{semver.major}"]), When(git_tag: "v*-*", tag: "{semver.pre}"), When(branch: "!main", tag: "no"), "{git.sha:8}""#,
    );
    assert_eq!(lab.names("web").len(), 1);
    lab.tag("v1.2.3");
    lab.tag("v1.2.3-rc.1");
    lab.tag("other");
    assert_eq!(lab.names("web")[..4], ["1.2.3", "1.2", "1", "rc.1"]);
    lab.write("web/file", "2");
    let names = lab.names("web");
    assert!(names[..4].iter().all(|name| name.contains("-dirty-")), "a version names the commit: {names:?}");
}

#[test]
fn without_git_or_a_commit_its_tags_are_skipped() {
    let lab = Lab::new(r#""{git.sha}", "{git.branch}", "latest""#);
    lab.git.set_head("refs/heads/unborn").unwrap();
    assert_eq!(lab.names("web"), ["unborn", "latest"]);
    fs::remove_dir_all(lab.folder.path().join(".git")).unwrap();
    let summary = lab.run();
    assert_eq!(summary.names["web"], ["web:latest"]);
    assert!(matches!(summary.skipped_tags[0].1.why, Missing::NoRepository));
}

#[test]
fn images_that_would_take_each_others_tags_are_a_mistake() {
    let lab = Lab::new("");
    let images = |tag: &str| {
        format!(
            r#"(images: {{"x": (context: "web", tags: ["{{git.branch}}"]), "library/x": (context: "web", tags: ["{tag}"])}})"#
        )
    };
    lab.write("Imagefile.ron", &images("main"));
    let Err(SyncError::SharedTags(problems)) = ready::sync(&mut lab.open().unwrap(), &[]) else {
        panic!("not told")
    };
    assert_eq!(problems[0].message, "the images `library/x` and `x` would both be tagged `x:main`");
    lab.write("Imagefile.ron", &images("other"));
    ready::sync(&mut lab.open().unwrap(), &[]).unwrap();
}

#[test]
fn the_newest_is_told_by_name_wherever_it_is() {
    let lab = Lab::new(r#""{time}""#);
    lab.write("Imagefile.ron", r#"(prefix: "r.example/t/", images: {"web": (tags: ["{time}"])})"#);
    lab.run();
    // Pushed last, and older by name.
    lab.registry.add_image("r.example/t/web:20190101T000000Z", "new");
    lab.registry.add_image("r.example/t/web:20170101T000000Z", "old");
    lab.registry.add_image("r.example/t/web:zzz", "no time");
    let newest = lab.newest("web").newest.unwrap();
    assert_eq!(newest.reference, "r.example/t/web:20190101T000000Z");
    assert!(newest.in_registry && !newest.on_engine);
    lab.registry.fail("r.example", FakeFault::Unreachable);
    let told = lab.newest("web");
    assert!(told.registry.is_some(), "an error is no absence");
    assert_eq!(told.newest.unwrap().reference, "r.example/t/web:20180923T082316Z");
    lab.registry.mend("r.example");
    lab.engine.set_unreachable(true);
    let told = lab.newest("web");
    assert!(told.engine.is_some());
    assert_eq!(told.newest.unwrap().time, "20190101T000000Z");
}

#[test]
fn a_name_that_nobody_can_push_to_is_asked_of_no_registry() {
    let lab = Lab::new(r#""{time}""#);
    lab.run();
    lab.registry.clear_record();
    assert!(lab.newest("web").newest.unwrap().on_engine);
    assert_eq!(lab.registry.count("tags"), 0);
}

#[test]
fn another_commit_is_planned_with_its_own_facts() {
    let mut lab = Lab::new(r#""{git.sha:12}""#);
    lab.run();
    let first = lab.commit();
    lab.write("web/file", "2");
    lab.commit();
    lab.write("app/file", "3");
    lab.overrides.commit = Some(first.clone());
    let mut session = lab.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    let tags = tagging::tagging(&session, &synced).of("app", Some(&ContentHash::of(b"x")));
    assert_eq!(tags.given[0].reference, format!("app:{}", &first[..12]));
}
