//! Digests as registries write them: `sha256:…` of the bytes.
//!
//! Hashes and compares. Knows nothing of where the bytes come from.

use ring::digest::{Algorithm, Context, SHA256, SHA512};

/// The `sha256:…` of some bytes.
pub fn of(bytes: &[u8]) -> String {
    let mut sum = Sum::new();
    sum.update(bytes);
    sum.finish()
}

/// Whether the bytes are those the digest names. A digest of an unknown kind names nothing.
pub fn is(digest: &str, bytes: &[u8]) -> bool {
    let Some(mut sum) = Sum::like(digest) else { return false };
    sum.update(bytes);
    sum.finish() == digest
}

/// A digest in the making.
pub struct Sum {
    context: Context,
    name: &'static str,
}

impl Default for Sum {
    fn default() -> Self {
        Self::new()
    }
}

impl Sum {
    /// Of nothing yet, by SHA-256.
    pub fn new() -> Self {
        Self::by(&SHA256, "sha256")
    }

    /// Of the kind of that digest; `None` for a kind that registries do not use.
    pub fn like(digest: &str) -> Option<Self> {
        match digest.split_once(':')?.0 {
            "sha256" => Some(Self::new()),
            "sha512" => Some(Self::by(&SHA512, "sha512")),
            _ => None,
        }
    }

    fn by(algorithm: &'static Algorithm, name: &'static str) -> Self {
        Self { context: Context::new(algorithm), name }
    }

    /// Adds bytes at the end.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// The digest of all that was added.
    pub fn finish(self) -> String {
        let digits = self.context.finish();
        let hex: String = hex::encode(digits);
        format!("{}:{hex}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_what_the_standard_says() {
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(b"abc"), abc);
        assert!(is(abc, b"abc"));
        assert!(!is(abc, b"abd"));
    }

    #[test]
    fn other_kinds_are_known_or_name_nothing() {
        let mut sum = Sum::like("sha512:").unwrap();
        sum.update(b"abc");
        let digest = sum.finish();
        assert!(digest.starts_with("sha512:ddaf35a193617aba"));
        assert!(is(&digest, b"abc"));
        assert!(!is("md5:900150983cd24fb0d6963f7d28e17f72", b"abc"));
        assert!(!is("", b""));
    }
}
