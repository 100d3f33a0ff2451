//! The readers of hooks, under any bytes: see `crate::fuzz`.
//!
//! An input is a request: lines of headers, an empty line, the body.

use jiff::Timestamp;
use ring::hmac;

use super::{Fault, Headers, HookSecret, Received, Terms, receive, receive_images};
use crate::syntax::{git_source, reference};

/// The secret that senders of the corpus know.
const KNOWN: &str = "a secret for tests";
/// One that nobody knows.
const UNKNOWN: &str = "nobody has ever seen this";

fn secret(text: &str) -> Vec<HookSecret> {
    vec![HookSecret::new(text).expect("it is long enough")]
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).expect("it is a time")
}

/// The headers of a request, and its body.
fn request(bytes: &[u8]) -> (Vec<(String, Vec<u8>)>, &[u8]) {
    let at = bytes.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = at.map_or((bytes, &[][..]), |at| (&bytes[..at], &bytes[at + 2..]));
    let headers = head.split(|byte| *byte == b'\n').filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..at]).into_owned();
        Some((name, line[at + 1..].to_vec()))
    });
    (headers.collect(), body)
}

fn headers_of(all: &[(String, Vec<u8>)]) -> Headers {
    Headers::new(all.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
}

/// A sender who knows the secret says anything: names, ids and texts of it are of a form that can do no harm.
pub(crate) fn payload(bytes: &[u8]) {
    let (mut headers, body) = request(bytes);
    headers.retain(|(name, _)| !name.to_ascii_lowercase().contains("signature"));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KNOWN.as_bytes()), body);
    let hex: String = hex::encode(tag);
    headers.push(("X-Hub-Signature-256".into(), format!("sha256={hex}").into_bytes()));
    let headers = headers_of(&headers);
    for checks_forks in [true, false] {
        let lists = |branch: &str, own: Option<&str>| {
            for name in [Some(branch), own].into_iter().flatten() {
                assert!(git_source::reference(name).is_ok() && !name.starts_with('-'), "{name:?}");
            }
            true
        };
        let terms = Terms { lists: &lists, checks_forks, allows_sha1: false };
        match receive(&headers, body, &secret(KNOWN), &terms, now()) {
            Err(Fault::Refused) => panic!("a right signature counts"),
            Err(Fault::Unreadable(why)) => is_line(&why),
            Ok(delivery) => {
                is_line(&delivery.id);
                is_sound(&delivery.received, checks_forks);
            }
        }
    }
    if let Ok(delivery) = receive_images(&headers, body, KNOWN, &secret(KNOWN)) {
        is_sound(&delivery.received, false);
    }
}

#[track_caller]
fn is_line(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
}

#[track_caller]
fn is_commit(id: &str) {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(matches!(id.len(), 40 | 64) && id.bytes().all(is_digit), "{id:?}");
}

#[track_caller]
fn is_sound(received: &Received, checks_forks: bool) {
    match received {
        Received::Pushes(pushes) => {
            assert!(!pushes.is_empty());
            for push in pushes {
                assert!(git_source::reference(&push.branch).is_ok() && !push.branch.starts_with('-'));
                is_commit(&push.commit);
                is_line(&push.message);
            }
        }
        Received::Proposal(proposal) => {
            assert!(checks_forks, "requests of forks are looked at by option alone");
            assert!(git_source::reference(&proposal.reference).is_ok(), "{}", proposal.reference);
            assert!(git_source::reference(&proposal.onto).is_ok() && !proposal.onto.starts_with('-'));
            is_commit(&proposal.commit);
            is_line(&proposal.title);
        }
        Received::Images(images) => {
            for image in images {
                assert_eq!(reference::parse(&image.to_string()).as_ref(), Ok(image));
            }
        }
        Received::Ignored(why) => is_line(why),
        Received::Ping => {}
    }
}

/// A sender who does not know the secret is refused whatever he sends, before anybody looks at his payload; one who knows it
/// has signed these very bytes.
pub(crate) fn signature(bytes: &[u8]) {
    let (headers, body) = request(bytes);
    let headers = headers_of(&headers);
    let nobody =
        Terms { lists: &|_, _| panic!("asked for a stranger"), checks_forks: true, allows_sha1: true };
    let got = receive(&headers, body, &secret(UNKNOWN), &nobody, now());
    assert_eq!(got, Err(Fault::Refused));
    let shown = headers.one("x-gitlab-token").unwrap_or_default();
    assert_eq!(receive_images(&headers, body, shown, &secret(UNKNOWN)), Err(Fault::Refused));
    for allows_sha1 in [false, true] {
        let terms = Terms { lists: &|_, _| true, checks_forks: true, allows_sha1 };
        let is_known = receive(&headers, body, &secret(KNOWN), &terms, now()) != Err(Fault::Refused);
        if is_known && !headers.has("x-gitlab-token") {
            let longer = [body, b" "].concat();
            assert_eq!(receive(&headers, &longer, &secret(KNOWN), &terms, now()), Err(Fault::Refused));
        }
    }
}
