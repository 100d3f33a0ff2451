//! A message on its way: over TLS or to this machine, once more when the other side is in trouble, and never for long.

use std::collections::BTreeMap;
use std::fmt;
use std::thread;
use std::time::Duration;

use crate::engine::Cancel;
use crate::registry::{Registry, RegistryError};

/// How soon a wish to stop is seen while there is a wait.
const TICK: Duration = Duration::from_millis(50);

/// A request that posts something.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its address, which may be a secret.
    pub url: String,
    /// Headers, which may hold secrets.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether address or headers hold a secret.
    pub is_secret: bool,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.body.len())
    }
}

/// The waits between tries.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Before the second try, before the third, and so on.
    pub waits: Vec<Duration>,
    /// Tells when somebody wants it stopped.
    pub cancel: Cancel,
}

impl Default for Patience {
    fn default() -> Self {
        Self { waits: [1, 5, 20].map(Duration::from_secs).into(), cancel: Cancel::default() }
    }
}

/// Sends a message until it is taken, it is refused, or the tries are used up.
///
/// # Errors
/// A sentence, which holds neither address nor secret.
pub fn send(registry: &dyn Registry, message: &Message, patience: &Patience) -> Result<(), String> {
    if message.is_secret && !is_private(&message.url) {
        return Err("its address is plain http, and it bears a secret: write https".into());
    }
    let mut waits = patience.waits.iter();
    loop {
        let (why, is_passing) = match registry.post(&message.url, &message.headers, message.body.clone()) {
            Ok(200..=299) => return Ok(()),
            Ok(status) => (refusal(status), matches!(status, 408 | 425 | 429 | 500..)),
            Err(RegistryError::Unreachable { host, why, .. }) => {
                (format!("{host} does not answer: {why}"), true)
            }
            Err(RegistryError::Throttled { host, .. }) => (format!("{host} has had too many requests"), true),
            Err(error) => (error.to_string(), false),
        };
        let Some(wait) = waits.next().filter(|_| is_passing) else { return Err(why) };
        if !slept(*wait, &patience.cancel) {
            return Err(why);
        }
    }
}

fn refusal(status: u16) -> String {
    let hint = match status {
        301..=308 => "; it sends elsewhere, and a message with a secret goes nowhere else",
        401 | 403 => "; the token may be wrong, or may not do that",
        404 => "; it knows no such place, or does not show it to this token",
        _ => "",
    };
    format!("the server says {status}{hint}")
}

/// Waits; `false` when somebody wanted it stopped.
fn slept(mut time: Duration, cancel: &Cancel) -> bool {
    while !time.is_zero() && !cancel.is_cancelled() {
        let step = time.min(TICK);
        thread::sleep(step);
        time -= step;
    }
    !cancel.is_cancelled()
}

/// Whether nobody on the way reads it.
fn is_private(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return url.starts_with("https://") };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::fake::{FakeFault, FakeRegistry};

    fn message(url: &str) -> Message {
        Message { url: url.into(), headers: BTreeMap::new(), body: b"{}".to_vec(), is_secret: true }
    }

    fn at_once() -> Patience {
        Patience { waits: vec![Duration::ZERO; 2], cancel: Cancel::default() }
    }

    #[test]
    fn a_server_in_trouble_is_asked_again_and_one_that_says_no_is_not() {
        for (fault, tries) in [
            (FakeFault::Unreachable, 3),
            (FakeFault::Throttled(None), 3),
            (FakeFault::Refused("s3cr3t".into()), 1),
        ] {
            let registry = FakeRegistry::new();
            registry.fail("chat.example", fault.clone());
            let why = send(&registry, &message("https://chat.example/services/s3cr3t-path"), &at_once())
                .unwrap_err();
            assert_eq!(registry.count("post"), tries, "{fault:?}");
            assert!(!why.contains("s3cr3t-path"), "{why}");
        }
    }

    #[test]
    fn a_secret_goes_over_tls_or_to_this_machine() {
        let registry = FakeRegistry::new();
        for good in
            ["https://a.example/x", "http://127.0.0.1:80/x", "http://localhost/x", "http://[::1]:80/x"]
        {
            assert_eq!(send(&registry, &message(good), &at_once()), Ok(()), "{good}");
        }
        for bad in [
            "http://a.example/x",
            "http://localhost.evil.example/x",
            "ftp://a/x",
            "http://127.0.0.1@evil.example/",
        ] {
            assert!(send(&registry, &message(bad), &at_once()).unwrap_err().contains("https"), "{bad}");
        }
        assert_eq!(registry.posted().len(), 4);
        assert_eq!(format!("{:?}", message("https://a.example/s3cr3t")), "Message(2 bytes)");
    }
}
