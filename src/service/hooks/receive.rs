//! From a request to its meaning: the sender first, then what it says.

use jiff::Timestamp;
use serde_json::Value;

use super::forge::Forge;
use super::headers::Headers;
use super::received::Delivery;
use super::secret::HookSecret;
use super::signature::{self, Proof};
use super::terms::Terms;
use super::{bitbucket, github, gitlab, images};

/// A request that is not heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody who knows the secret sent it. Whoever asks learns no more than that.
    Refused,
    /// Its sender is known, and this is wrong with it.
    Unreadable(String),
}

/// Checks who sent a request, and reads it.
///
/// # Errors
/// When its sender is not known, or it cannot be read.
pub fn receive(
    headers: &Headers,
    body: &[u8],
    secrets: &[HookSecret],
    terms: &Terms<'_>,
    now: Timestamp,
) -> Result<Delivery, Fault> {
    let forge = Forge::of(headers);
    let proof = signature::proof(forge, headers, body, secrets, (terms.allows_sha1, now));
    let proof = proof.ok_or(Fault::Refused)?;
    let payload = payload(headers, body)?;
    let event = forge.event(headers).unwrap_or_default();
    let received = match forge {
        Forge::GitHub | Forge::Gitea | Forge::Forgejo => github::received(event, &payload, terms),
        Forge::GitLab => gitlab::received(&payload, terms),
        Forge::Bitbucket => bitbucket::received(event, &payload, terms),
        // A payload that names its kind is GitLab's, whatever headers a proxy left.
        Forge::Unknown if payload.get("object_kind").is_some() => gitlab::received(&payload, terms),
        Forge::Unknown => github::received(event, &payload, terms),
    };
    Ok(Delivery { id: id(headers, body, &proof), received })
}

/// As [`receive`], of a registry that signs nothing and shows the secret in the path.
///
/// # Errors
/// As there.
pub fn receive_images(
    headers: &Headers,
    body: &[u8],
    shown: &str,
    secrets: &[HookSecret],
) -> Result<Delivery, Fault> {
    if !signature::is_one_of(shown.as_bytes(), secrets) {
        return Err(Fault::Refused);
    }
    let received = images::of_registry(&payload(headers, body)?);
    Ok(Delivery { id: id(headers, body, &Proof::Body), received })
}

fn payload(headers: &Headers, body: &[u8]) -> Result<Value, Fault> {
    let kind = headers.one("content-type").unwrap_or_default().to_ascii_lowercase();
    let form;
    let mut text = body;
    if kind.starts_with("application/x-www-form-urlencoded") {
        form = field_of_form(body, "payload")
            .ok_or_else(|| Fault::Unreadable("the form has no field `payload`: a hook sends JSON (content type application/json), or a form with it".into()))?;
        text = form.as_bytes();
    }
    match serde_json::from_slice(text) {
        Ok(payload @ Value::Object(_)) => Ok(payload),
        Ok(_) => Err(Fault::Unreadable("the payload is no object".into())),
        // The parser's own words quote nothing of the text.
        Err(error) => Err(Fault::Unreadable(format!("the payload is no JSON: {error}"))),
    }
}

/// A field of a form, decoded.
fn field_of_form(body: &[u8], wanted: &str) -> Option<String> {
    let fields = body.split(|byte| *byte == b'&');
    let value = fields.filter_map(|field| {
        let at = field.iter().position(|byte| *byte == b'=')?;
        (&field[..at] == wanted.as_bytes()).then(|| &field[at + 1..])
    });
    let mut decoded = Vec::new();
    let mut bytes = value.take(1).next()?.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                u8::try_from(digit(bytes.next())? << 4 | digit(bytes.next())?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

/// The id of a message. A signed body is its own: headers with ids are not signed, and whoever replays it may write others.
/// Where the body is not signed, the sender's word is as good as the token that came with it.
fn id(headers: &Headers, body: &[u8], proof: &Proof) -> String {
    let said = ["idempotency-key", "x-gitlab-event-uuid"];
    match proof {
        Proof::Message(id) => format!("message {id}"),
        Proof::Token if said.iter().any(|name| headers.one(name).is_some()) => {
            let id = said.iter().find_map(|name| headers.one(name)).unwrap_or_default();
            format!("sender {}", blake3::hash(id.as_bytes()).to_hex())
        }
        Proof::Body | Proof::Token => format!("body {}", blake3::hash(body).to_hex()),
    }
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;
