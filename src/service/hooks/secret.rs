//! The secret of a repository's hook.
//!
//! One text serves every forge: GitHub, Gitea and Bitbucket sign with its characters, GitLab sends it as a token, and senders
//! of Standard Webhooks sign with the bytes behind `whsec_`. Shown by nothing but [`HookSecret::shown`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom, SystemRandom};

/// The mark of a secret whose rest is base64 (Standard Webhooks).
const MARK: &str = "whsec_";
/// Bytes of a secret that is made here.
const BYTES: usize = 32;
/// Shorter texts are guessed sooner than they are useful.
const SHORTEST: usize = 8;

/// A secret that a sender must know.
#[derive(Clone, PartialEq, Eq)]
pub struct HookSecret(String);

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret(…)")
    }
}

impl HookSecret {
    /// A text that somebody chose.
    ///
    /// # Errors
    /// When it is too short to be one.
    pub fn new(text: &str) -> Result<Self, String> {
        match text.len() >= SHORTEST {
            true => Ok(Self(text.to_owned())),
            false => Err(format!("a hook's secret has at least {SHORTEST} characters")),
        }
    }

    /// A new one, from the system's source of randomness.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn random() -> Result<Self, String> {
        Ok(Self(format!("{MARK}{}", STANDARD.encode(random()?))))
    }

    /// A new one that can stand in a path.
    ///
    /// # Errors
    /// When the system gives none.
    pub fn random_for_path() -> Result<Self, String> {
        Ok(Self(URL_SAFE_NO_PAD.encode(random()?)))
    }

    /// The text, for the one who is to enter it at the forge.
    pub fn shown(&self) -> &str {
        &self.0
    }

    /// The bytes that the text stands for.
    pub(super) fn characters(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The key of Standard Webhooks: the bytes behind the mark, or the characters where there is none.
    pub(super) fn standard_key(&self) -> Vec<u8> {
        let decoded = self.0.strip_prefix(MARK).and_then(|rest| STANDARD.decode(rest).ok());
        decoded.unwrap_or_else(|| self.0.as_bytes().to_vec())
    }
}

fn random() -> Result<[u8; BYTES], String> {
    let mut bytes = [0; BYTES];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system gives no random bytes".to_owned())?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_differ_show_themselves_to_nobody_and_fit_where_they_go() {
        let (one, other) = (HookSecret::random().unwrap(), HookSecret::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(format!("{one:?}"), "HookSecret(…)");
        assert_eq!(one.standard_key().len(), BYTES);
        let path = HookSecret::random_for_path().unwrap();
        assert!(path.shown().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        assert!(HookSecret::new("").is_err() && HookSecret::new("1234567").is_err());
    }
}
