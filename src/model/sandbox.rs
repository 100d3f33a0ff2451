//! Sandbox: the surroundings that an image's `RUN` steps find, beside files and network.
//!
//! Values only, as docker build's flags say them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The surroundings of `RUN` steps, as far as something is said of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Sandbox {
    /// Addresses of hosts by name; `host-gateway` stands for the engine's machine.
    pub hosts: BTreeMap<String, String>,
    /// Bytes of `/dev/shm`.
    pub shm_size_bytes: Option<i64>,
    /// Limits on processes: the one in force, and the most that they may raise it to.
    pub ulimits: BTreeMap<String, (i64, i64)>,
}

impl Sandbox {
    /// Whether nothing is said.
    pub fn is_usual(&self) -> bool {
        self.hosts.is_empty() && self.shm_size_bytes.is_none() && self.ulimits.is_empty()
    }
}
