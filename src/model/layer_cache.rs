//! Layer caches as BuildKit is told them: a kind and its settings.
//!
//! Values only. How they are spelled is in `syntax/imagefile/caches`.

use std::collections::BTreeMap;
use std::fmt;

/// The kind that is a folder of the caller's.
pub const LOCAL: &str = "local";
/// Settings that are logins.
const LOGINS: [&str; 5] = ["token", "ghtoken", "access_key_id", "secret_access_key", "session_token"];

/// A place where layers are taken from, or left for others.
#[derive(Clone, PartialEq, Eq)]
pub struct LayerCache {
    /// `registry`, `local`, `gha`, `s3` or `azblob`.
    pub kind: String,
    /// Its settings, as docker names them.
    pub attributes: BTreeMap<String, String>,
}

impl LayerCache {
    /// The logins among its settings.
    pub fn logins(&self) -> impl Iterator<Item = &str> {
        LOGINS.iter().filter_map(|key| self.attributes.get(*key)).map(String::as_str)
    }

    /// Whether it is a folder of the caller's.
    pub fn is_local(&self) -> bool {
        self.kind == LOCAL
    }
}

/// A login is not shown.
impl fmt::Debug for LayerCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |(key, value): (&String, &String)| {
            let value = if LOGINS.contains(&key.as_str()) { "…".to_owned() } else { value.clone() };
            (key.clone(), value)
        };
        let attributes: BTreeMap<String, String> = self.attributes.iter().map(shown).collect();
        f.debug_struct("LayerCache").field("kind", &self.kind).field("attributes", &attributes).finish()
    }
}
