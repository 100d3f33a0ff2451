//! Policies against a registry and an engine that can fail, with a clock that the test winds.

use std::io::Cursor;

use super::*;
use crate::engine::{FakeEngine, ImageId};
use crate::model::time::UnixSeconds;
use crate::registry::fake::FakeFault;
use crate::registry::{Descriptor, FakeRegistry, Manifest, digest, document};

const HOUR: u64 = 3600;

struct Lab {
    registry: Arc<FakeRegistry>,
    engine: FakeEngine,
    folder: tempfile::TempDir,
    lock: Lockfile,
    lookups: LookupOptions,
}

impl Lab {
    fn new() -> Self {
        let lookups = LookupOptions { now: UnixSeconds(1_000_000 * HOUR), ..LookupOptions::default() };
        let folder = tempfile::tempdir().unwrap();
        let registry = Arc::new(FakeRegistry::new());
        Self { registry, engine: FakeEngine::new(), folder, lock: Lockfile::default(), lookups }
    }

    fn later(&mut self, seconds: u64) {
        self.lookups.now.0 += seconds;
    }

    /// One process: looks at `r.example/base:1` under a policy, and says what it found, how many
    /// questions that took, and what is to be told.
    fn look(&self, policy: Policy) -> (Outside, usize, Vec<Note>) {
        self.registry.clear_record();
        let state = StateFolder::at(self.folder.path());
        let registry = Arc::clone(&self.registry) as Arc<dyn Registry>;
        let upstream = Upstream::new(registry, self.lock.clone(), self.lookups.clone(), state);
        let base = OutsideBase {
            reference: "r.example/base:1".into(),
            platform: "linux/amd64".into(),
            policy,
            own: false,
        };
        let found = upstream.resolve(&self.engine, &BTreeSet::from([base.clone()]));
        upstream.save().unwrap();
        (found[&base].clone(), self.registry.count("platform"), upstream.take_notes())
    }

    #[track_caller]
    fn check(&self, policy: Policy, expected: &str, questions: usize) {
        let (found, asked, notes) = self.look(policy);
        assert_eq!((found.exact, asked, notes), (Exact::Digest(expected.to_owned()), questions, vec![]));
    }

    fn push(&self, content: &str) -> String {
        self.registry.add_image("r.example/base:1", content)
    }

    fn local(&self, id: &str, repo_digests: &[&str]) {
        let info = ImageInfo {
            id: ImageId(id.into()),
            platform: "linux/amd64".into(),
            repo_digests: repo_digests.iter().map(|digest| (*digest).to_owned()).collect(),
            tags: vec![],
            onbuild: vec!["RUN here".into()],
            environment: BTreeMap::new(),
            own_bases: None,
            size_bytes: 0,
            manifest: None,
            content: id.into(),
        };
        self.engine.add_image("r.example/base:1", info);
    }
}

#[test]
fn a_floating_name_is_asked_for_again_when_its_answer_is_an_hour_old() {
    let mut lab = Lab::new();
    let first = lab.push("one");
    lab.check(Policy::Float, &first, 1);
    let second = lab.push("two");
    lab.later(HOUR - 1);
    lab.check(Policy::Float, &first, 0);
    lab.later(1);
    lab.check(Policy::Float, &second, 1);
    lab.lookups.anew = true;
    lab.check(Policy::Float, &second, 1);
}

#[test]
fn a_clock_that_was_set_back_is_no_reason_to_believe_an_answer_for_years() {
    let mut lab = Lab::new();
    let first = lab.push("one");
    lab.check(Policy::Float, &first, 1);
    lab.lookups.now.0 -= 1000 * HOUR;
    lab.check(Policy::Float, &first, 1);
}

#[test]
fn a_period_has_one_answer_for_everybody_who_asks_in_it() {
    let mut lab = Lab::new();
    let week = Policy::Every(std::time::Duration::from_secs(7 * 24 * HOUR));
    lab.lookups.now = UnixSeconds(10 * 7 * 24 * HOUR);
    let first = lab.push("one");
    lab.check(week, &first, 1);
    let second = lab.push("two");
    lab.later(7 * 24 * HOUR - 1);
    lab.check(week, &first, 0);
    lab.later(1);
    lab.check(week, &second, 1);
}

#[test]
fn a_locked_name_is_never_asked_for() {
    let mut lab = Lab::new();
    let now = lab.push("now");
    let locked = format!("sha256:{}", "a".repeat(64));
    lab.lock.bases.insert(("r.example/base:1".into(), "linux/amd64".into()), locked.clone());
    lab.check(Policy::LockedIfAny, &locked, 0);
    lab.check(Policy::Locked, &locked, 0);
    lab.check(Policy::Float, &now, 1);
    lab.lookups.locked = true;
    lab.check(Policy::Float, &locked, 0);
}

#[test]
fn a_name_that_must_be_locked_and_is_not_is_told() {
    let mut lab = Lab::new();
    lab.push("one");
    let state = || StateFolder::at(lab.folder.path());
    let upstream = |lookups: &LookupOptions| {
        Upstream::new(Arc::clone(&lab.registry) as _, lab.lock.clone(), lookups.clone(), state())
    };
    let base = |reference: &str, policy| OutsideBase {
        reference: reference.into(),
        platform: "linux/amd64".into(),
        policy,
        own: false,
    };
    let digest = format!("x@sha256:{}", "a".repeat(64));
    let all = [
        base("a", Policy::Locked),
        base("b", Policy::Float),
        base("c", Policy::LockedIfAny),
        base(&digest, Policy::Locked),
    ];
    let names = |lookups: &LookupOptions| -> Vec<String> {
        upstream(lookups).unlocked(all.iter()).iter().map(|base| base.reference.clone()).collect()
    };
    assert_eq!(names(&lab.lookups), ["a"]);
    let locked = LookupOptions { locked: true, ..lab.lookups.clone() };
    assert_eq!(names(&locked), ["a", "b", "c"]);
    lab.lookups.locked = true;
    assert_eq!(lab.look(Policy::Float).1, 0, "with --locked no registry is asked");
}

#[test]
fn a_registry_that_does_not_answer_is_no_absence_and_what_was_known_serves() {
    for trouble in [
        FakeFault::Unreachable,
        FakeFault::Denied,
        FakeFault::Throttled(Some(60)),
        FakeFault::Refused("no".into()),
        FakeFault::Corrupt,
    ] {
        let mut lab = Lab::new();
        let known = lab.push("one");
        lab.check(Policy::Float, &known, 1);
        lab.later(HOUR);
        lab.registry.fail("r.example", trouble.clone());
        lab.local("sha256:other", &["r.example/base@sha256:0"]);
        let (found, _, notes) = lab.look(Policy::Float);
        assert_eq!(found.exact, Exact::Digest(known), "{trouble:?}");
        assert_eq!(notes.len(), 1, "{trouble:?}");
        assert_eq!(notes[0].instead, Instead::LastKnown);
    }
}

#[test]
fn a_registry_that_is_gone_is_left_in_peace_for_a_minute() {
    let mut lab = Lab::new();
    lab.registry.fail("r.example", FakeFault::Unreachable);
    let (found, asked, notes) = lab.look(Policy::Float);
    assert_eq!((found.exact, asked), (Exact::Unknown, 1));
    assert_eq!(notes[0].instead, Instead::Name);
    let (_, asked, notes) = lab.look(Policy::Float);
    assert_eq!((asked, notes.len()), (0, 1), "and it is told all the same");
    lab.registry.mend("r.example");
    let digest = lab.push("one");
    lab.later(60);
    lab.check(Policy::Float, &digest, 1);
}

#[test]
fn an_image_that_the_registry_no_longer_has_is_the_engines() {
    let mut lab = Lab::new();
    let known = lab.push("one");
    lab.check(Policy::Float, &known, 1);
    lab.registry.remove("r.example/base:1");
    lab.later(HOUR);
    lab.local("sha256:here", &["r.example/base@sha256:0"]);
    let (found, _, notes) = lab.look(Policy::Float);
    assert_eq!((found.exact, notes), (Exact::Local("sha256:here".into()), vec![]));
}

#[test]
fn an_image_that_was_built_here_is_not_looked_for_in_a_registry() {
    let lab = Lab::new();
    lab.push("one");
    lab.local("sha256:mine", &[]);
    let (found, asked, _) = lab.look(Policy::Float);
    assert_eq!((found.exact, asked), (Exact::Local("sha256:mine".into()), 0));
    assert_eq!(found.brings.unwrap().triggers, ["RUN here"]);
}

#[test]
fn offline_nothing_is_asked() {
    let mut lab = Lab::new();
    let known = lab.push("one");
    lab.check(Policy::Float, &known, 1);
    lab.later(HOUR);
    lab.lookups.offline = true;
    lab.check(Policy::Float, &known, 0);
    assert!(lab.registry.questions().is_empty());
    let fresh = Lab { lookups: LookupOptions { offline: true, ..LookupOptions::default() }, ..Lab::new() };
    fresh.push("one");
    assert_eq!(fresh.look(Policy::Float).0.exact, Exact::Unknown);
    assert!(fresh.registry.questions().is_empty());
}

#[test]
fn an_index_that_moved_for_another_architecture_is_no_news() {
    let mut lab = Lab::new();
    lab.registry.add_index("r.example/base:1", &[("linux/amd64", "x"), ("linux/arm64", "y")]);
    let (before, ..) = lab.look(Policy::Float);
    lab.registry.add_index("r.example/base:1", &[("linux/amd64", "x"), ("linux/arm64", "z")]);
    lab.later(HOUR);
    let (after, ..) = lab.look(Policy::Float);
    assert_eq!(before, after);
    assert!(matches!(after.exact, Exact::Digest(_)));
}

#[test]
fn what_a_base_brings_is_read_from_its_registry_once() {
    let mut lab = Lab::new();
    let name = reference::parse("r.example/base:1").unwrap();
    let config = br#"{"config":{"Env":["A=1","PATH=/bin"],"OnBuild":["COPY x /"]}}"#;
    let config_digest = digest::of(config);
    lab.registry.upload(&name, &config_digest, &mut Cursor::new(config)).unwrap();
    let config = Descriptor {
        media_type: "application/vnd.oci.image.config.v1+json".into(),
        digest: config_digest,
        size: config.len() as u64,
    };
    let manifest = Manifest::new(document::MANIFEST, document::image(&config, &[]));
    lab.registry.put_manifest(&name, &manifest).unwrap();
    let (found, ..) = lab.look(Policy::Float);
    let brings = found.brings.unwrap();
    assert_eq!(brings.triggers, ["COPY x /"]);
    assert_eq!(brings.environment["A"], "1");
    lab.later(HOUR);
    let (again, ..) = lab.look(Policy::Float);
    assert_eq!(again.brings, Some(brings));
    assert_eq!(lab.registry.count("blob"), 0, "a digest never changes its meaning");
}
