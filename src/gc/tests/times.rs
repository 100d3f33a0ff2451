//! Times of several machines that push into one registry: they stand still.

use super::publish::{Wire, machine, push};
use super::*;
use crate::build::publish::{self as publishing, Pulled};
use crate::model::time::UnixSeconds;
use crate::plan::tags::newest;
use crate::registry::Registry as _;
use crate::syntax::reference;

const NAME: &str = "r.example/app";

/// A clone with an engine of its own.
struct Machine(Lab);

impl Machine {
    fn new(registry: &Arc<FakeRegistry>) -> Self {
        let mut this = Self(machine(registry));
        this.0.jobs = 1;
        this.0.write(
            "Imagefile.ron",
            r#"(prefix: "r.example/", images: {"app": (tags: ["{time}", "latest"])})"#,
        );
        this.0.write("app/Dockerfile", "FROM scratch\nCOPY file /\n").write("app/file", "0");
        this
    }

    fn edit(&self, text: &str) {
        self.0.write("app/file", text);
    }

    fn build(&mut self, now: u64) {
        self.0.now = UnixSeconds(now);
        self.0.run("");
    }

    fn push(&mut self, now: u64) {
        self.0.now = UnixSeconds(now);
        let summary = push(&self.0, "").summary;
        assert!(summary.unpublished.is_empty(), "{:?}", summary.unpublished);
    }

    fn pull(&mut self, now: u64) -> Pulled {
        self.0.now = UnixSeconds(now);
        let mut session = self.0.open().unwrap();
        let synced = ready::sync(&mut session, &[]).unwrap();
        let pulled = publishing::pull(&mut session, &synced).remove("app").unwrap();
        session.save().unwrap();
        pulled
    }

    /// The newest name, if there is one.
    fn newest(&self) -> Option<String> {
        let mut session = self.0.open().unwrap();
        let synced = ready::sync(&mut session, &[]).unwrap();
        let told = newest::newest(&session, &synced, "app", true);
        told.published.or(told.newest).map(|newest| newest.reference)
    }

    /// Pushes and pulls go there from now on.
    fn reach(&mut self, registry: &Arc<FakeRegistry>) {
        self.0.registry = Arc::clone(registry);
        self.0.engine.connect(Arc::new(Wire(Arc::clone(registry))));
    }

    fn lose_state(&self) {
        let _ = fs::remove_dir_all(self.0.folder.path().join(".imk"));
    }

    /// Names with a time that the engine has.
    fn names(&self) -> Vec<String> {
        self.0.engine.tags().into_keys().filter(|name| name.ends_with('Z')).collect()
    }
}

/// The times that the registry has, with the digests that they stand for.
fn times(registry: &FakeRegistry) -> BTreeMap<String, String> {
    let tags = registry.tags(&reference::parse(NAME).unwrap()).unwrap();
    let timed = tags.into_iter().filter(|tag| tag.len() == 16 && tag.ends_with('Z'));
    timed.map(|tag| (tag.clone(), registry.digest(&format!("{NAME}:{tag}")).unwrap())).collect()
}

const NOON: u64 = 1_537_690_996;

#[test]
fn a_fresh_clone_on_another_engine_makes_no_new_tag_at_each_push() {
    let registry = Arc::new(FakeRegistry::new());
    let (mut first, mut second) = (Machine::new(&registry), Machine::new(&registry));
    first.push(NOON);
    let pushed = times(&registry);
    assert_eq!(pushed.keys().collect::<Vec<_>>(), ["20180923T082316Z"]);
    for later in 1..4 {
        second.push(NOON + later * 60);
        first.push(NOON + later * 60 + 30);
        assert_eq!(times(&registry), pushed);
    }
    // A name made here before anybody was asked names nothing in the registry.
    let mut third = Machine::new(&Arc::default());
    third.build(NOON + 600);
    third.reach(&registry);
    third.push(NOON + 660);
    assert_eq!(times(&registry), pushed);
    assert_eq!(third.newest().as_deref(), Some("r.example/app:20180923T082316Z"));
}

#[test]
fn what_is_pulled_bears_the_time_that_its_registry_has() {
    let registry = Arc::new(FakeRegistry::new());
    let (mut first, mut second) = (Machine::new(&registry), Machine::new(&registry));
    first.push(NOON);
    assert_eq!(second.pull(NOON + 60), Pulled::Fetched);
    assert_eq!(second.names(), ["r.example/app:20180923T082316Z"]);
    assert_eq!(second.pull(NOON + 120), Pulled::Here);
    assert_eq!(second.names(), ["r.example/app:20180923T082316Z"]);
    second.build(NOON + 180);
    assert_eq!(second.names(), ["r.example/app:20180923T082316Z"]);
}

#[test]
fn what_serves_again_is_the_newest_by_name_in_the_registry_too() {
    let registry = Arc::new(FakeRegistry::new());
    let mut machine = Machine::new(&registry);
    for (number, text) in (0..).zip(["0", "1", "0"]) {
        machine.edit(text);
        machine.push(NOON + number * 60);
    }
    let all: Vec<String> = times(&registry).into_values().collect();
    assert_eq!((all.len(), all[0] == all[2], all[0] == all[1]), (3, true, false));
}

#[test]
fn a_pull_of_older_content_bears_the_time_that_the_registry_has_for_it() {
    let registry = Arc::new(FakeRegistry::new());
    let (mut first, mut second) = (Machine::new(&registry), Machine::new(&registry));
    first.push(NOON);
    first.edit("1");
    first.push(NOON + 60);
    assert_eq!(second.pull(NOON + 120), Pulled::Fetched);
    assert_eq!(second.names(), ["r.example/app:20180923T082316Z"]);
}

/// Two machines whose clocks differ edit, build, push, pull and lose their state, in any order.
fn history(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut roll = |sides: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % sides
    };
    let registry = Arc::new(FakeRegistry::new());
    let mut machines = [Machine::new(&registry), Machine::new(&registry)];
    let mut texts = ["0".to_owned(), "0".to_owned()];
    let ahead = [0, roll(3) * 90];
    let mut now = NOON;
    let mut stood: BTreeMap<String, String> = BTreeMap::new();
    // The digest of each content that was pushed.
    let mut pushed: BTreeMap<String, String> = BTreeMap::new();
    for step in 0..10 {
        let number = roll(2) as usize;
        let (machine, text) = (&mut machines[number], &mut texts[number]);
        let at = format!("seed {seed}, step {step}");
        // Two pushes may well fall into one second.
        now += roll(3);
        let clock = now + ahead[number];
        let before = machine.names();
        let added = |machine: &Machine| -> Vec<String> {
            let mut names = machine.names();
            names.retain(|name| !before.contains(name));
            names
        };
        let published = |name: &String| registry.digest(name);
        let newest = stood.last_key_value().map(|(tag, digest)| (format!("{NAME}:{tag}"), digest));
        match roll(8) {
            0 | 1 => {
                *text = roll(3).to_string();
                machine.edit(text);
            }
            2 => {
                machine.build(clock);
                if let Some((name, _)) = newest.filter(|(_, digest)| pushed.get(text) == Some(*digest)) {
                    let added = added(machine);
                    assert!(added.iter().all(|new| *new == name), "{at}: {added:?} beside {name}");
                }
            }
            3 | 4 => {
                let pulled = machine.pull(clock);
                let digest = pushed.get(text);
                assert!(digest.is_none() || pulled != Pulled::Nowhere, "{at}: {text} was pushed");
                for name in added(machine) {
                    assert_eq!(published(&name).as_ref(), digest, "{at}: pull made the name {name}");
                }
                if let Some(newest) = machine.newest().filter(|_| !stood.is_empty()) {
                    assert!(published(&newest).is_some(), "{at}: {newest} is in no registry");
                }
            }
            5 => machine.lose_state(),
            _ => {
                machine.push(clock);
                let after = times(&registry);
                let key = |times: &BTreeMap<String, String>| times.last_key_value().map(|(_, it)| it.clone());
                let latest = registry.digest(&format!("{NAME}:latest"));
                // The newest name is that of what was pushed last.
                assert_eq!(key(&after), latest, "{at}");
                assert_eq!(after.len() > stood.len(), key(&stood) != latest, "{at}");
                let digest = latest.unwrap();
                assert_eq!(pushed.entry(text.clone()).or_insert_with(|| digest.clone()), &digest, "{at}");
                machine.push(clock + 1);
                assert_eq!(times(&registry), after, "{at}: the second push made a name");
            }
        }
        let all = times(&registry);
        assert!(stood.iter().all(|(tag, digest)| all.get(tag) == Some(digest)), "{at}: a time was moved");
        stood = all;
    }
}

#[test]
fn times_of_two_machines_stand_still_whatever_they_do() {
    let count = std::env::var("IMK_TEST_HISTORIES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    (0..count).for_each(history);
}
