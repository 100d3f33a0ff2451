//! Records that somebody wrote who may push to the log and to nothing else.

use std::collections::BTreeSet;

use super::{Shop, at};
use crate::release::record::{Kind, Release, ReleasedImage, ReleasedTag};
use crate::release::rollback;

fn forge(shop: &mut Shop, images: Vec<ReleasedImage>) -> String {
    let release = Release::new(&shop.tick(), Kind::Publish, None, images);
    shop.log().append(&release).unwrap();
    release.id
}

fn forged(repository: &str, tag: &str, digest: &str, before: Option<&str>) -> ReleasedImage {
    ReleasedImage {
        name: "web".into(),
        key: None,
        repository: repository.into(),
        digest: digest.into(),
        tags: vec![ReleasedTag {
            tag: tag.into(),
            before: before.map(str::to_owned),
            around_time: Some(("5000/other:".into(), String::new())),
        }],
    }
}

#[test]
fn a_forged_record_moves_no_tag_of_a_repository_that_no_image_here_has() {
    let mut shop = Shop::open();
    let first = shop.release("web=1:latest");
    let second = shop.release("web=2:latest");
    let old = shop.registry.add_image("r.example/other:old", "1");
    let new = shop.registry.add_image("r.example/other:latest", "2");
    let other = |digest: &str, before| forged("r.example/other", "latest", digest, before);
    let id = forge(&mut shop, vec![other(&new, Some(&old))]);

    // It is no release of ours: the one before the last of ours is gone back to.
    let way = shop.roll_back(None).unwrap();
    assert_eq!(way.release.kind, Kind::Rollback { to: first });
    assert_eq!(way.elsewhere.iter().collect::<Vec<_>>(), ["r.example/other"]);
    assert_eq!(shop.tags("web"), "1:latest");
    // By its id it restores what was before it and of images here, and no more.
    let way = shop.roll_back(Some(&id)).unwrap();
    assert_eq!(shop.tags("web"), "2:latest");
    assert_eq!(way.moves.len(), 1, "{:?}", way.moves);
    let target = forge(&mut shop, vec![other(&old, None)]);
    assert_eq!(shop.roll_back(Some(&target)).unwrap().moves, []);
    assert_eq!(shop.registry.digest("r.example/other:latest"), Some(new));
    assert!(shop.roll_back(Some(&second)).unwrap().moves.is_empty());
}

#[test]
fn a_forged_tag_makes_no_other_repository_of_ours() {
    let mut shop = Shop::open();
    shop.release("web=1:latest");
    let digest = shop.there("web", "1").unwrap();
    let at = BTreeSet::from([at("web").name()]);
    // `web` and `5000/other:latest` together read as a repository of the host `web:5000`.
    let id = forge(&mut shop, vec![forged("web", "5000/other:latest", &digest, None)]);
    let way = rollback::plan(&shop.log(), &at, Some(&id), "20270101T000000Z").unwrap();
    assert_eq!(way.moves, []);
    assert_eq!(way.release.images[0].tags, []);
    assert_eq!(way.stay, BTreeSet::new());
}
