//! The key of a receipt: everything that a pass of a test rests on. Pure.
//!
//! The image's content counts and not its id or tags, so the same image built twice is not tested again.

use std::collections::BTreeMap;

use crate::model::hash::{ContentHash, FieldHasher};
use crate::syntax::container::suite::Test;

/// Raised when the same definition comes to mean something else.
const RUNNER: u64 = 1;

/// The grounds of a pass.
#[derive(Clone, Debug, Default)]
pub struct Grounds {
    /// The content of the image under test.
    pub content: String,
    /// The contents of the other images, by the names that the test gives them.
    pub images: BTreeMap<String, String>,
    /// The contents of the files of the repository, by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The engine's platform.
    pub platform: String,
}

/// The key of a test on these grounds; `None` for one that no key can stand for: it uses this machine, and
/// does not say how long a pass is believed.
pub fn key(name: &str, test: &Test, grounds: &Grounds) -> Option<ContentHash> {
    if test.uses_the_host() && test.max_age.is_none() {
        return None;
    }
    let mut key = FieldHasher::new("imk test v1");
    key.number(RUNNER).field(env!("CARGO_PKG_VERSION")).field(name);
    key.field(serde_json::to_string(test).ok()?).field(&grounds.content).field(&grounds.platform);
    for (name, content) in &grounds.images {
        key.field("image").field(name).field(content);
    }
    for (path, content) in &grounds.files {
        key.field("file").field(path).field(content);
    }
    Some(key.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::container::suite::Step;

    #[test]
    fn everything_that_a_pass_rests_on_counts_and_what_uses_the_host_needs_an_age() {
        let script = |inside: Option<&str>| Step::Script {
            file: "a.sh".into(),
            args: Vec::new(),
            inside: inside.map(str::to_owned),
            status: 0,
            out: Vec::new(),
        };
        let test = Test { steps: vec![script(Some("t"))], ..Test::default() };
        let grounds = Grounds { content: "c".into(), platform: "linux/amd64".into(), ..Grounds::default() };
        let whole = key("a", &test, &grounds);
        assert_eq!(whole, key("a", &test, &grounds));
        let others = [
            key("b", &test, &grounds),
            key("a", &Test { tries: Some(2), ..test.clone() }, &grounds),
            key("a", &test, &Grounds { content: "d".into(), ..grounds.clone() }),
            key("a", &test, &Grounds { platform: "linux/arm64".into(), ..grounds.clone() }),
            key(
                "a",
                &test,
                &Grounds { images: BTreeMap::from([("t".into(), "c".into())]), ..grounds.clone() },
            ),
            key(
                "a",
                &test,
                &Grounds { files: BTreeMap::from([("a.sh".into(), b"x".to_vec())]), ..grounds.clone() },
            ),
        ];
        assert!(others.iter().all(|other| other.is_some() && *other != whole));
        let on_the_host = Test { steps: vec![script(None)], ..Test::default() };
        assert_eq!(key("a", &on_the_host, &grounds), None);
        assert!(key("a", &Test { max_age: Some(1), ..on_the_host }, &grounds).is_some());
    }
}
