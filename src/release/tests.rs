//! Releases on a registry in memory that fails where it is told to.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Cancel;
use crate::model::hash::ContentHash;
use crate::registry::fake::{FakeFault, FakeRegistry};
use crate::registry::{Registry, RegistryError};
use crate::release::journal::{self, Completed, Journal};
use crate::release::log::{Claim, ReleaseLog};
use crate::release::moves::{self, Moved, TagMove};
use crate::release::record::{Kind, Release, ReleasedImage, ReleasedTag};
use crate::release::rollback::{self, RollbackError};
use crate::state::folder::StateFolder;
use crate::syntax::reference::{self, Reference};

mod forged;
mod turns;

const HOST: &str = "r.example";

/// A registry with images of two repositories, and what was released of them so far.
struct Shop {
    registry: FakeRegistry,
    clock: u64,
}

impl Shop {
    fn open() -> Self {
        Self { registry: FakeRegistry::new(), clock: 0 }
    }

    fn log(&self) -> ReleaseLog<'_> {
        ReleaseLog::new(&self.registry, at("r.example/base"))
    }

    /// A time that goes on by itself.
    fn tick(&mut self) -> String {
        self.clock += 1;
        format!("20261126T{:06}Z", self.clock)
    }

    /// Puts a result there, under a tag of its own as a published one has, and gives its digest.
    fn put(&self, image: &str, content: &str) -> String {
        self.registry.add_image(&format!("{HOST}/{image}:imk-{}", key(content).short(32)), content)
    }

    /// The moves that give each image its tags: `web=2:latest,2`.
    fn set(&self, words: &str) -> (Vec<ReleasedImage>, Vec<TagMove>) {
        let (mut images, mut all) = (Vec::new(), Vec::new());
        for word in words.split_whitespace() {
            let (name, rest) = word.split_once('=').unwrap();
            let (content, tags) = rest.split_once(':').unwrap();
            let digest = self.put(name, content);
            let repository = format!("{HOST}/{name}");
            let tags: Vec<String> = tags.split(',').map(|tag| format!("{repository}:{tag}")).collect();
            let needed = moves::needed(&self.registry, name, &digest, &tags).unwrap();
            let released = tags.iter().map(|tag| {
                let moved = needed.iter().find(|step| step.tag == *tag);
                let tag = tag.rsplit(':').next().unwrap().to_owned();
                let around_time = tag.starts_with("2026").then(|| (String::new(), String::new()));
                let before = moved.map_or(Some(digest.clone()), |step| step.before.clone());
                ReleasedTag { tag, before, around_time }
            });
            images.push(ReleasedImage {
                name: name.to_owned(),
                key: Some(key(content)),
                repository,
                digest: digest.clone(),
                tags: released.collect(),
            });
            all.extend(needed);
        }
        (images, all)
    }

    /// Releases a set, and gives the release's id.
    fn release(&mut self, words: &str) -> String {
        let (images, all) = self.set(words);
        let release = Release::new(&self.tick(), Kind::Publish, None, images);
        let held = self.log().newest().unwrap().map(|newest| newest.held).unwrap_or_default();
        assert_eq!(make(&self.registry, &all), Moved::All);
        self.log().append(&Release { held, ..release.clone() }).unwrap();
        release.id
    }

    fn roll_back(&mut self, to: Option<&str>) -> Result<rollback::Rollback, RollbackError> {
        let time = self.tick();
        let way = rollback::plan(&self.log(), &here(), to, &time)?;
        assert_eq!(make(&self.registry, &way.moves), Moved::All);
        self.log().append(&way.release).unwrap();
        Ok(way)
    }

    /// The tags of an image with the contents they stand for: `1:latest 2:2`. Tags of imk's own are left out.
    fn tags(&self, image: &str) -> String {
        let name = format!("{HOST}/{image}");
        let of: BTreeMap<String, String> = (0..9)
            .map(|n| n.to_string())
            .filter_map(|content| Some((self.there(image, &content)?, content)))
            .collect();
        let mut tags: Vec<String> = Vec::new();
        for tag in self.registry.tags_of(&name).into_iter().filter(|tag| !tag.starts_with("imk-")) {
            let digest = self.registry.digest(&format!("{name}:{tag}")).unwrap();
            tags.push(format!("{}:{tag}", of.get(&digest).map_or("?", String::as_str)));
        }
        tags.join(" ")
    }

    fn there(&self, image: &str, content: &str) -> Option<String> {
        self.registry.digest(&format!("{HOST}/{image}:imk-{}", key(content).short(32)))
    }
}

fn make(registry: &FakeRegistry, moves: &[TagMove]) -> Moved {
    moves::make(registry, moves, &Cancel::default(), &|| true)
}

fn complete(shop: &Shop, state: &StateFolder) -> Result<Option<Completed>, RegistryError> {
    journal::complete(&shop.registry, state, &here(), &Cancel::default())
}

/// The repositories of the images here.
fn here() -> BTreeSet<String> {
    ["api", "base", "web"].map(|image| at(&format!("{HOST}/{image}")).name()).into()
}

fn at(name: &str) -> Reference {
    reference::parse(name).unwrap()
}

fn key(content: &str) -> ContentHash {
    ContentHash::of(content.as_bytes())
}

#[test]
fn a_release_is_read_back_as_it_was_written() {
    let mut shop = Shop::open();
    let first = shop.release("base=1:latest web=1:latest,1.0");
    let second = shop.release("web=2:latest,2.0");
    assert_eq!(shop.log().ids().unwrap(), [first.clone(), second.clone()]);
    let release = shop.log().newest().unwrap().unwrap();
    assert_eq!(release.id, second);
    assert_eq!(release.image("web").unwrap().tags[0].before, shop.there("web", "1"));
    assert_eq!(release.image("web").unwrap().tags[1].before, None);
    assert_eq!(shop.log().read("20200101T000000Z-00000000").unwrap(), None);
}

#[test]
fn a_record_that_was_copied_under_another_id_is_no_release() {
    let mut shop = Shop::open();
    let id = shop.release("web=1:latest");
    let log = at("r.example/base");
    let manifest =
        shop.registry.manifest(&crate::registry::by_tag(&log, &format!("imk-release-{id}"))).unwrap();
    let forged = crate::registry::by_tag(&log, "imk-release-20991231T000000Z-00000000");
    shop.registry.put_manifest(&forged, &manifest.unwrap()).unwrap();
    let error = shop.log().newest().unwrap_err();
    assert!(error.to_string().contains("calls itself"), "{error}");
}

/// A refusal at any question leaves every tag as it was, or every tag moved, or the error names those that stand.
#[test]
fn a_refusal_between_any_two_steps_leaves_all_tags_or_none_moved() {
    let words = "base=2:latest web=2:latest,2.0 api=2:latest";
    for times in [Some(1), Some(2), None] {
        for after in 0..60 {
            let mut shop = Shop::open();
            shop.release("base=1:latest web=1:latest api=1:latest");
            let (_, all) = shop.set(words);
            let before: Vec<_> = ["base", "web", "api"].map(|image| shop.tags(image)).into();
            shop.registry.fail_after(HOST, after, times, FakeFault::Refused("no".into()));
            let moved = make(&shop.registry, &all);
            shop.registry.mend(HOST);
            let now: Vec<_> = ["base", "web", "api"].map(|image| shop.tags(image)).into();
            match moved {
                Moved::All => assert_eq!(now, ["2:latest", "2:2.0 2:latest", "2:latest"], "{after}"),
                Moved::None { .. } => assert_eq!(now, before, "after {after}, {times:?} times"),
                Moved::Overruled => panic!("nobody else is there"),
                Moved::Some { standing, .. } => {
                    for step in &all {
                        let is_new = moves::stands_for(&shop.registry, step) == Some(true);
                        let is_told = standing.iter().any(|(told, _)| told == step);
                        assert!(!is_new || is_told, "after {after}: {} stands and is not told", step.tag);
                    }
                    // Afterwards they can be taken back.
                    let told: Vec<TagMove> = standing.into_iter().map(|(step, _)| step).collect();
                    assert_eq!(moves::take_back(&shop.registry, &told), []);
                    let now: Vec<_> = ["base", "web", "api"].map(|image| shop.tags(image)).into();
                    assert_eq!(now, before, "after {after}, {times:?} times");
                }
            }
        }
    }
}

#[test]
fn a_new_tag_that_a_registry_takes_away_from_nobody_is_told() {
    let shop = Shop::open();
    shop.registry.keep_tags(HOST);
    let (_, all) = shop.set("base=1:latest web=1:latest");
    // Two manifests are read, one tag is asked for and put, another is asked for.
    shop.registry.fail_after(HOST, 5, Some(1), FakeFault::Denied);
    let Moved::Some { why: RegistryError::Denied { .. }, standing } = make(&shop.registry, &all) else {
        panic!("a tag stands that was not there")
    };
    assert_eq!(standing.len(), 1);
    assert_eq!(standing[0].0.tag, "r.example/base:latest");
}

#[test]
fn nothing_moves_when_a_result_is_not_there() {
    let shop = Shop::open();
    let (_, mut all) = shop.set("base=1:latest web=1:latest");
    all[1].after = format!("sha256:{}", "0".repeat(64));
    assert!(matches!(make(&shop.registry, &all), Moved::None { .. }));
    assert_eq!(shop.tags("base"), "");
}

/// A release that was let in and moved nothing yet.
fn begun(shop: &Shop, state: &StateFolder, release: &Release, moves: &[TagMove]) {
    let claim = Claim { release: release.clone(), moves: moves.to_vec(), withdrawn: false };
    shop.log().put_claim(&release.id, &claim).unwrap();
    Journal { log: "r.example/base".into(), claim: release.id.clone() }.begin(state).unwrap();
}

#[test]
fn a_release_that_was_killed_between_any_two_moves_is_completed_by_the_next_run() {
    for made in 0..=4 {
        let mut shop = Shop::open();
        shop.release("base=1:latest web=1:latest");
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::at(&folder.path().join(".imk"));
        let (images, moves) = shop.set("base=2:latest web=2:latest,2.0 api=2:latest");
        let release = Release::new(&shop.tick(), Kind::Publish, None, images);
        begun(&shop, &state, &release, &moves);
        assert_eq!(make(&shop.registry, &moves[..made]), Moved::All);

        let completed = complete(&shop, &state).unwrap().unwrap();
        assert_eq!((completed.release, completed.left_alone), (release.id.clone(), vec![]));
        assert_eq!(
            ["base", "web", "api"].map(|it| shop.tags(it)),
            ["2:latest", "2:2.0 2:latest", "2:latest"]
        );
        assert_eq!(shop.log().newest().unwrap(), Some(release));
        assert_eq!(complete(&shop, &state), Ok(None));
    }
}

#[test]
fn a_tag_that_somebody_moved_meanwhile_is_left_to_them() {
    let mut shop = Shop::open();
    shop.release("base=1:latest web=1:latest");
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::at(folder.path());
    let (images, moves) = shop.set("base=2:latest web=2:latest");
    let release = Release::new(&shop.tick(), Kind::Publish, None, images);
    begun(&shop, &state, &release, &moves);
    shop.registry.add_image("r.example/web:latest", "3");
    let completed = complete(&shop, &state).unwrap().unwrap();
    assert_eq!(completed.left_alone, ["r.example/web:latest"]);
    assert_eq!((shop.tags("base").as_str(), shop.tags("web").as_str()), ("2:latest", "?:latest"));
}

#[test]
fn a_rollback_moves_every_tag_back_and_keeps_the_versions() {
    let mut shop = Shop::open();
    let first = shop.release("base=1:latest web=1:latest,1.0");
    shop.release("base=2:latest web=2:latest,2.0");
    let way = shop.roll_back(None).unwrap();
    assert_eq!(way.release.kind, Kind::Rollback { to: first });
    assert_eq!((shop.tags("base").as_str(), shop.tags("web").as_str()), ("1:latest", "1:1.0 2:2.0 1:latest"));
    assert_eq!(way.stay.into_iter().collect::<Vec<_>>(), ["r.example/web:2.0"]);
    let held: Vec<_> = way.release.held.iter().map(|it| (it.image.as_str(), it.key)).collect();
    assert_eq!(held, [("base", key("2")), ("web", key("2"))]);
}

#[test]
fn what_was_released_for_one_image_alone_is_rolled_back_too() {
    let mut shop = Shop::open();
    shop.release("base=1:latest web=1:latest");
    let second = shop.release("web=2:latest");
    shop.release("base=3:latest");
    // Before the second release there is a world of both images, and its record has them.
    let way = shop.roll_back(Some(&second[..16])).unwrap();
    assert_eq!((shop.tags("base").as_str(), shop.tags("web").as_str()), ("1:latest", "2:latest"));
    assert_eq!(way.moves.len(), 1);
}

#[test]
fn a_second_rollback_goes_one_further_and_a_release_after_it_stands() {
    let mut shop = Shop::open();
    for content in 1..=3 {
        shop.release(&format!("web={content}:latest"));
    }
    shop.roll_back(None).unwrap();
    assert_eq!(shop.tags("web"), "2:latest");
    shop.roll_back(None).unwrap();
    assert_eq!(shop.tags("web"), "1:latest");
    assert!(matches!(shop.roll_back(None), Err(RollbackError::Oldest(_))));
    shop.release("web=4:latest");
    assert_eq!(shop.tags("web"), "4:latest");
    let way = shop.roll_back(None).unwrap();
    assert_eq!(shop.tags("web"), "1:latest");
    // What was rolled back before stays held, what is in force is not.
    let held: Vec<_> = way.release.held.iter().map(|it| it.key).collect();
    assert_eq!(held.len(), 3);
    assert!(!held.contains(&key("1")));
}

#[test]
fn the_restored_result_gets_the_newest_time() {
    let mut shop = Shop::open();
    shop.release("web=1:latest,20261126T000001Z");
    shop.release("web=2:latest,20261126T000002Z");
    let way = shop.roll_back(None).unwrap();
    assert_eq!(way.moves.len(), 2);
    assert_eq!(shop.tags("web"), "1:20261126T000001Z 2:20261126T000002Z 1:20261126T000003Z 1:latest");
    // And once more, which changes nothing, gives no further name.
    assert!(matches!(shop.roll_back(None), Err(RollbackError::Oldest(_))));
}

#[test]
fn an_id_that_is_not_there_or_means_several_is_told_with_those_that_are() {
    let mut shop = Shop::open();
    assert!(matches!(shop.roll_back(None), Err(RollbackError::NoReleases)));
    let ids = [shop.release("web=1:latest"), shop.release("web=2:latest")];
    for asked in ["2019", "2026"] {
        match shop.roll_back(Some(asked)) {
            Err(RollbackError::Unknown { known, .. }) => assert_eq!(known, ids),
            other => panic!("{asked}: {other:?}"),
        }
    }
}

#[test]
fn releases_of_one_second_or_of_a_clock_that_is_behind_are_in_order() {
    let release = Release::new("20261231T235959Z", Kind::Publish, None, Vec::new());
    assert_eq!(release.later("20270101T000005Z"), "20270101T000005Z");
    assert_eq!(release.later("20261231T235959Z"), "20270101T000000Z");
    assert_eq!(release.later("20200101T000000Z"), "20270101T000000Z");
}
