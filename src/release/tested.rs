//! Tests that a release asks for: those of its images and of what these are built on here.
//!
//! Knows which they are and whether what is released is what was tested. How a test is run is for
//! `containers/`.

use std::collections::{BTreeMap, BTreeSet};

use crate::containers::suite::plan::{self, Wanted};
use crate::query::effect::Built;
use crate::session::open::Session;
use crate::session::platforms;
use crate::session::sync::Synced;

/// The tests of the images of an order: of its targets and of all that these are built on. Images without
/// any are left out. Of a name for several platforms the engine's own is tested.
pub fn wanted(session: &Session, synced: &Synced) -> Wanted {
    let names = platforms::of_engine(session, &synced.order.names.iter().cloned().collect());
    let mut wanted = plan::wanted(&session.project, &names, None);
    wanted.retain(|_, tests| !tests.is_empty());
    wanted
}

/// The images of which another content is there than the one that was tested. A registry may have
/// another machine's result of the same key, which is taken in place of ours when ours is sent.
pub fn changed(
    wanted: &Wanted,
    tested: &BTreeMap<String, Built>,
    now: &BTreeMap<String, Built>,
) -> BTreeSet<String> {
    let content =
        |results: &BTreeMap<String, Built>, name: &str| results.get(name).map(|built| built.content);
    wanted.keys().filter(|name| content(tested, name) != content(now, name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ImageId;
    use crate::model::hash::ContentHash;

    #[test]
    fn another_machines_result_of_the_same_key_was_not_tested() {
        let built = |content: &str| Built {
            key: ContentHash::of(b"key"),
            id: ImageId("sha256:1".into()),
            content: ContentHash::of(content.as_bytes()),
        };
        let of = |web: &str, api: &str| {
            BTreeMap::from([("web".to_owned(), built(web)), ("api".to_owned(), built(api))])
        };
        let wanted = Wanted::from([("web".to_owned(), Vec::new())]);
        assert!(changed(&wanted, &of("1", "1"), &of("1", "2")).is_empty());
        assert_eq!(changed(&wanted, &of("1", "1"), &of("2", "1")), BTreeSet::from(["web".to_owned()]));
        assert_eq!(changed(&wanted, &of("1", "1"), &BTreeMap::new()), BTreeSet::from(["web".to_owned()]));
    }
}
