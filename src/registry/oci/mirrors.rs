//! Mirrors that did not answer are left alone for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::base::Base;

/// How long a mirror that gave no answer is left alone.
const REST: Duration = Duration::from_secs(60);

/// Mirrors that gave no answer, and when.
#[derive(Default)]
pub(super) struct Mirrors(Mutex<BTreeMap<String, Instant>>);

impl Mirrors {
    pub(super) fn rests(&self, base: &Base) -> bool {
        let resting = self.0.lock();
        resting.get(base.url.as_str()).is_some_and(|since| since.elapsed() < REST)
    }

    pub(super) fn rest(&self, base: &Base) {
        let mut resting = self.0.lock();
        resting.insert(base.url.to_string(), Instant::now());
    }
}
