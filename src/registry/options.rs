//! Options about registries.
//!
//! Values only; nothing is read or asked here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use crate::state::folder::StateFolder;
use std::sync::Arc;
use std::time::Duration;

use crate::credentials::Credentials;
use crate::patience::Patience;

/// Says whether somebody asked to stop; asked often.
#[derive(Clone)]
pub struct Stop(Arc<dyn Fn() -> bool + Send + Sync>);

impl Stop {
    /// Asks this, such as `move || cancel.is_cancelled()`.
    pub fn when(asked: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(asked))
    }

    /// Whether to stop.
    pub fn is_asked(&self) -> bool {
        (self.0)()
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::when(|| false)
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stop(…)")
    }
}

/// How often a question is repeated that got no answer, or one that may be better next time.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in all, at least one.
    pub tries: u32,
    /// The wait before the second try; each further one is twice as long.
    pub first: Duration,
    /// No wait is longer. A registry that asks for more has throttled us.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 4, first: Duration::from_millis(250), longest: Duration::from_secs(30) }
    }
}

/// Everything a caller may choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where logins are looked for.
    pub credentials: Credentials,
    /// Hosts (`r.example:5000`) that may speak plain HTTP or show any certificate. This machine itself always may.
    pub insecure: BTreeSet<String>,
    /// Host → addresses (`https://mirror.example/`) that are asked before it when something is read.
    pub mirrors: BTreeMap<String, Vec<String>>,
    /// A folder a host with certificates, as docker keeps them.
    pub certificates: PathBuf,
    /// Where indexes are kept by their digest; only in memory when `None`.
    pub cache_folder: Option<StateFolder>,
    /// Repeating.
    pub retry: Retry,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long a host may say nothing, and who is told that it is waited for.
    pub patience: Patience,
    /// How long one piece of an upload may take.
    pub upload_timeout: Duration,
    /// Bytes of one piece of an upload; what is not larger goes in one.
    pub piece: usize,
    /// Blobs under way at once in one copy.
    pub at_once: usize,
    /// Asked while waiting.
    pub stop: Stop,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            credentials: Credentials::default(),
            insecure: BTreeSet::new(),
            mirrors: BTreeMap::new(),
            certificates: "/etc/docker/certs.d".into(),
            cache_folder: None,
            retry: Retry::default(),
            connect_timeout: Duration::from_secs(10),
            patience: Patience::default(),
            upload_timeout: Duration::from_secs(300),
            piece: 8 << 20,
            at_once: 4,
            stop: Stop::default(),
        }
    }
}
