//! Remarks on what works and deserves a word: each once in a run, and none again in a run with nothing to build.
//!
//! A plan tells all of them, for it was asked. A build tells what no earlier run told, and at its end those that are
//! about what it built. Knows no remark.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::cli::out;
use crate::state::folder::StateFolder;
use crate::state::told::Told;

/// One remark, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The images that it is about; none when it is about the repository.
    pub images: BTreeSet<String>,
    /// A line without `warning: `.
    pub line: String,
}

impl Remark {
    /// A remark on some images.
    pub fn on<'a>(images: impl IntoIterator<Item = &'a str>, line: String) -> Self {
        Self { images: images.into_iter().map(str::to_owned).collect(), line }
    }
}

/// The remarks of one build.
pub struct Remarks {
    told: Told,
    state: StateFolder,
    /// Those that an earlier run told.
    known: Vec<Remark>,
    /// Those on the world that an earlier run told today: they matter to whatever is built.
    known_of_world: Vec<String>,
}

impl Remarks {
    /// None yet; `state` remembers those that earlier runs told.
    pub fn begin(state: &StateFolder) -> Self {
        Self { told: Told::read(state), state: state.clone(), known: Vec::new(), known_of_world: Vec::new() }
    }

    /// Tells a remark if no earlier run did, and else keeps it for the end.
    pub fn add(&mut self, remark: Remark) {
        match self.told.is_new(&remark.line) {
            true => out::warning(&remark.line),
            false => self.known.push(remark),
        }
    }

    /// The same for one on a host that is away: a new day's silence is another one.
    pub fn add_of_world(&mut self, line: String) {
        let day = Timestamp::now().strftime("%F");
        match self.told.is_new(&format!("{day} {line}")) {
            true => out::warning(line),
            false => self.known_of_world.push(line),
        }
    }

    /// Tells what was kept and is about images that were built.
    pub fn end(self, built: &BTreeSet<String>) {
        let of_world = self.known_of_world.iter().filter(|_| !built.is_empty());
        let of_images = self.known.iter().filter(|remark| !remark.images.is_disjoint(built));
        of_world.chain(of_images.map(|remark| &remark.line)).for_each(out::warning);
    }
}

impl Drop for Remarks {
    /// Remembers what was told, however the run ends.
    fn drop(&mut self) {
        // Told once more, at the worst.
        let _ = self.told.save(&self.state);
    }
}
