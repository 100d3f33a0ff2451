//! The proof that a request is of somebody who knows the secret.
//!
//! Every comparison takes the same time wherever two values first differ (`ring::hmac::verify`). A signature that is there
//! and wrong is never made good by another header: whoever can sign would have signed all.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::hmac::{self, Algorithm, HMAC_SHA1_FOR_LEGACY_USE_ONLY, HMAC_SHA256, Key};

use super::forge::Forge;
use super::headers::Headers;
use super::secret::HookSecret;

/// How far a signed time may be from ours, in seconds: Standard Webhooks' own limit.
const WINDOW: i64 = 300;
/// More signatures in one header are nobody's rotation.
const MOST_SIGNATURES: usize = 8;

/// The proof that was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// A signature of the whole body.
    Body,
    /// The secret itself, which says nothing of the body.
    Token,
    /// A signature of id, time and body; this is the id.
    Message(String),
}

/// Checks a request against each of the secrets; nothing when none of them made it.
pub(super) fn proof(
    forge: Forge,
    headers: &Headers,
    body: &[u8],
    secrets: &[HookSecret],
    (allows_sha1, now): (bool, Timestamp),
) -> Option<Proof> {
    // The order is what keeps a weaker header from speaking for a stronger one.
    if headers.has("webhook-signature") {
        return standard(headers, body, secrets, now);
    }
    for name in forge.bare_signatures() {
        if headers.has(name) {
            return signed(HMAC_SHA256, headers.one(name)?, body, secrets);
        }
    }
    if headers.has("x-hub-signature-256") {
        let given = headers.one("x-hub-signature-256")?.strip_prefix("sha256=")?;
        return signed(HMAC_SHA256, given, body, secrets);
    }
    if headers.has("x-hub-signature") {
        let given = headers.one("x-hub-signature")?;
        return match given.split_once('=')? {
            ("sha256", given) => signed(HMAC_SHA256, given, body, secrets),
            ("sha1", given) if allows_sha1 => signed(HMAC_SHA1_FOR_LEGACY_USE_ONLY, given, body, secrets),
            _ => None,
        };
    }
    if forge == Forge::GitLab && headers.has("x-gitlab-token") {
        let given = headers.one("x-gitlab-token")?;
        return is_one_of(given.as_bytes(), secrets).then_some(Proof::Token);
    }
    None
}

/// Whether a text is one of the secrets, in a time that says nothing of how much of it is right.
pub(super) fn is_one_of(given: &[u8], secrets: &[HookSecret]) -> bool {
    secrets.iter().fold(false, |found, secret| {
        // Two texts are the same when both give the same tag under a key; tags are compared in constant time.
        let key = Key::new(HMAC_SHA256, b"comparison");
        let tag = hmac::sign(&key, given);
        hmac::verify(&key, secret.characters(), tag.as_ref()).is_ok() | found
    })
}

fn signed(algorithm: Algorithm, hex: &str, body: &[u8], secrets: &[HookSecret]) -> Option<Proof> {
    let given = bytes_of(hex)?;
    let found = secrets.iter().fold(false, |found, secret| {
        hmac::verify(&Key::new(algorithm, secret.characters()), body, &given).is_ok() | found
    });
    found.then_some(Proof::Body)
}

/// Standard Webhooks: `v1,BASE64`, several with spaces between, over `ID.TIME.BODY`.
fn standard(headers: &Headers, body: &[u8], secrets: &[HookSecret], now: Timestamp) -> Option<Proof> {
    let id = headers.one("webhook-id").filter(|id| !id.is_empty() && id.len() <= 256)?;
    let time = headers.one("webhook-timestamp")?;
    let seconds: i64 = time.parse().ok()?;
    if now.as_second().checked_sub(seconds)?.checked_abs()? > WINDOW {
        return None;
    }
    let message = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
    let given = headers.one("webhook-signature")?.split(' ').take(MOST_SIGNATURES);
    let given: Vec<Vec<u8>> =
        given.filter_map(|one| one.strip_prefix("v1,")).filter_map(|one| STANDARD.decode(one).ok()).collect();
    let found = secrets.iter().fold(false, |found, secret| {
        let key = Key::new(HMAC_SHA256, &secret.standard_key());
        given.iter().fold(found, |found, given| hmac::verify(&key, &message, given).is_ok() | found)
    });
    found.then(|| Proof::Message(id.to_owned()))
}

/// The bytes of hexadecimal digits, two each.
fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes = hex.as_bytes();
    if bytes.is_empty() || !bytes.len().is_multiple_of(2) || bytes.len() > 128 {
        return None;
    }
    bytes.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
