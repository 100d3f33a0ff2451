//! A blake3 hash, and how several values become one.
//!
//! Knows nothing of files or images. A *content hash* is ours; a *digest*
//! (`sha256:…`) belongs to a registry or an engine and is never mixed with it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A blake3 hash of 32 bytes: of a file's content, of an image's own inputs, of an action key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// The hash of `bytes` alone.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The first `digits` hexadecimal digits, as people are shown them.
    pub fn short(&self, digits: usize) -> String {
        let mut text = self.to_string();
        text.truncate(digits);
        text
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short(12))
    }
}

/// The text was not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAHash;

impl FromStr for ContentHash {
    type Err = NotAHash;

    fn from_str(text: &str) -> Result<Self, NotAHash> {
        let hash = blake3::Hash::from_hex(text).map_err(|_| NotAHash)?;
        Ok(Self(*hash.as_bytes()))
    }
}

impl Serialize for ContentHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for ContentHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = ContentHash;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a blake3 hash")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ContentHash, E> {
                text.parse().map_err(|NotAHash| E::custom("not a blake3 hash"))
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<ContentHash, E> {
                let bytes = bytes.try_into().map_err(|_| E::custom("not 32 bytes"))?;
                Ok(ContentHash(bytes))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_bytes(Visitor)
        }
    }
}

/// Hashes a sequence of values without ambiguity: every value goes in with its
/// length in front, so `("ab", "c")` and `("a", "bc")` differ, and `domain`
/// keeps two kinds of hash apart even when their values agree.
///
/// ```
/// use imk::model::hash::FieldHasher;
///
/// // Where a value ends is hashed with it, so these two differ.
/// let one = FieldHasher::new("example").field("ab").field("c").finish();
/// let two = FieldHasher::new("example").field("a").field("bc").finish();
/// assert_ne!(one, two);
/// ```
pub struct FieldHasher(blake3::Hasher);

impl FieldHasher {
    /// `domain` names what is hashed and the version of its layout, such as
    /// `imk 2026 context v1`.
    pub fn new(domain: &str) -> Self {
        Self(blake3::Hasher::new_derive_key(domain))
    }

    /// Adds one value.
    pub fn field(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let bytes = bytes.as_ref();
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a number, such as a count or permission bits.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.field(number.to_le_bytes())
    }

    /// The hash of all that was added.
    pub fn finish(&self) -> ContentHash {
        ContentHash(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_into_each_other() {
        let ab_c = FieldHasher::new("test").field("ab").field("c").finish();
        let a_bc = FieldHasher::new("test").field("a").field("bc").finish();
        assert_ne!(ab_c, a_bc);
    }

    #[test]
    fn a_domain_keeps_equal_values_apart() {
        let one = FieldHasher::new("one").field("x").finish();
        let two = FieldHasher::new("two").field("x").finish();
        assert_ne!(one, two);
    }

    #[test]
    fn text_and_bytes_come_back() {
        let hash = ContentHash::of(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        let json = serde_json::to_string(&hash).unwrap();
        assert_eq!(serde_json::from_str::<ContentHash>(&json).unwrap(), hash);
        let packed = rmp_serde::to_vec(&hash).unwrap();
        assert_eq!(rmp_serde::from_slice::<ContentHash>(&packed).unwrap(), hash);
    }
}
