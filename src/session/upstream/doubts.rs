//! Answers that nobody confirmed, of one session: what makes a key provisional.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::exec::doubt::Doubt;
use crate::query::inputs::OutsideBase;
use crate::syntax::git_source;

/// The unconfirmed answers, and why.
#[derive(Debug, Default)]
pub struct Doubts {
    bases: Mutex<BTreeMap<OutsideBase, String>>,
    addresses: Mutex<BTreeMap<String, String>>,
}

impl Doubts {
    /// Nobody confirmed which image a base is, or what it brings.
    pub fn doubt(&self, base: &OutsideBase, why: impl Into<String>) {
        self.bases.lock().insert(base.clone(), why.into());
    }

    /// Nobody confirmed the state of what is fetched from an address.
    pub fn doubt_address(&self, url: &str, why: impl Into<String>) {
        self.addresses.lock().insert(url.to_owned(), why.into());
    }

    /// Forgets the doubt of a base that is asked for anew.
    pub fn forget(&self, base: &OutsideBase) {
        self.bases.lock().remove(base);
    }

    /// The doubt about a base.
    pub fn of_base(&self, base: &OutsideBase) -> Option<Doubt> {
        let why = self.bases.lock().get(base)?.clone();
        Some(Doubt { about: base.reference.clone(), why })
    }

    /// The doubt about what is fetched from an address, which is told without secrets.
    pub fn of_address(&self, url: &str) -> Option<Doubt> {
        let why = self.addresses.lock().get(url)?.clone();
        Some(Doubt { about: git_source::masked(url), why })
    }
}
