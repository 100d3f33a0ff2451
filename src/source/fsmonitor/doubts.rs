//! Files that may change without a word from the kernel: those that somebody has open, or that bear other names.
//!
//! A program that writes through a mapping is heard of when it opens the file and when it lets go, and not between.
//! So an open file is looked at whenever somebody asks. The kernel joins equal news, so that openings are counted
//! too low at times: files that seem closed are looked at as well, the last thousand of them. Knows names, not how
//! to look.

use std::collections::HashMap;
use std::sync::Arc;

/// Closed files that stay in doubt.
const LINGERING: usize = 1000;

/// A file by its folder and its name.
pub type Name = (Arc<str>, Box<[u8]>);

/// The files in doubt.
#[derive(Default)]
pub struct Doubts {
    files: HashMap<Name, Doubt>,
    closed: usize,
    clock: u64,
}

#[derive(Clone, Copy, Default)]
struct Doubt {
    /// Openings without an end.
    open: u32,
    /// It has other names, through which it can be written unheard.
    linked: bool,
    /// The last news of it.
    last: u64,
}

impl Doubt {
    fn lingers(self) -> bool {
        self.open == 0 && !self.linked
    }
}

impl Doubts {
    /// Somebody opened a file.
    pub fn opened(&mut self, name: Name) {
        self.change(name, |doubt| doubt.open = doubt.open.saturating_add(1));
    }

    /// Somebody let go of it.
    pub fn closed(&mut self, name: Name) {
        self.change(name, |doubt| doubt.open = doubt.open.saturating_sub(1));
    }

    /// It is new here: who has it open is not known.
    pub fn arrived(&mut self, name: Name) {
        self.change(name, |_| {});
    }

    /// It has other names.
    pub fn linked(&mut self, name: Name) {
        self.change(name, |doubt| doubt.linked = true);
    }

    /// It is gone.
    pub fn gone(&mut self, name: &Name) {
        if self.files.remove(name).is_some_and(Doubt::lingers) {
            self.closed -= 1;
        }
    }

    /// All files of some folders are gone.
    pub fn folders_gone(&mut self, is_gone: impl Fn(&str) -> bool) {
        self.files.retain(|(folder, _), _| !is_gone(folder));
        self.closed = self.files.values().filter(|doubt| doubt.lingers()).count();
    }

    /// All of them.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.files.keys()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    fn change(&mut self, name: Name, change: impl FnOnce(&mut Doubt)) {
        self.clock += 1;
        let is_new = !self.files.contains_key(&name);
        let doubt = self.files.entry(name).or_default();
        let lingered = doubt.lingers() && !is_new;
        change(doubt);
        doubt.last = self.clock;
        self.closed += usize::from(doubt.lingers());
        self.closed -= usize::from(lingered);
        if self.closed > 2 * LINGERING {
            self.forget();
        }
    }

    /// Forgets the closed files that were not heard of for longest.
    fn forget(&mut self) {
        let lingering = self.files.values().filter(|doubt| doubt.lingers());
        let mut times: Vec<u64> = lingering.map(|doubt| doubt.last).collect();
        times.sort_unstable();
        let first = times[times.len() - LINGERING];
        self.files.retain(|_, doubt| !doubt.lingers() || doubt.last >= first);
        self.closed = LINGERING;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        (Arc::from("d"), name.as_bytes().into())
    }

    #[test]
    fn an_open_file_stays_in_doubt_and_closed_ones_give_way() {
        let mut doubts = Doubts::default();
        doubts.opened(name("open"));
        doubts.linked(name("linked"));
        for number in 0..10_000 {
            doubts.opened(name(&number.to_string()));
            doubts.closed(name(&number.to_string()));
        }
        let has = |doubts: &Doubts, text: &str| doubts.names().any(|known| *known == name(text));
        assert!(has(&doubts, "open") && has(&doubts, "linked") && has(&doubts, "9999"));
        assert!(!has(&doubts, "0") && doubts.count() <= 2 * LINGERING + 2);
        doubts.gone(&name("open"));
        doubts.folders_gone(|folder| folder == "d");
        assert_eq!((doubts.count(), doubts.closed), (0, 0));
    }
}
