//! Rounds of one run: another begins where the world was not as it was thought to be.
//!
//! A query that remembered a result may find that result gone from engine and registry, or another
//! machine's in its place; it is then asked again within the same run. As many rounds as that takes:
//! each must bring a finding that is new, and there are only so many findings — an image, or an image
//! and one of its bases, with one of four words — so the rounds end. What is found a second time was
//! lost again after it was made good in this very run, and another round would be no wiser.
//! Knows nothing of builds: the caller reports what was found and asks what to ask again.

use std::collections::BTreeSet;

use crate::exec::executor::Rerun;

/// All findings of the rounds of one run so far.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    found: BTreeSet<Rerun>,
}

impl Rounds {
    /// The images to ask again in another round; none when the last round found nothing new.
    pub fn next(&mut self, found: BTreeSet<Rerun>) -> BTreeSet<String> {
        let is_new = !found.is_subset(&self.found);
        let images = found.iter().map(|again| again.image.clone()).collect();
        self.found.extend(found);
        if is_new { images } else { BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::executor::Discrepancy;

    fn gone(image: &str) -> Rerun {
        Rerun { image: image.into(), why: Discrepancy::ResultMissing }
    }

    #[test]
    fn rounds_go_on_while_they_find_something_new_and_then_end() {
        let mut rounds = Rounds::default();
        for number in 0..100 {
            let image = format!("i{number}");
            let found = BTreeSet::from([gone("always"), gone(&image)]);
            assert_eq!(rounds.next(found), BTreeSet::from(["always".to_owned(), image]));
        }
        assert_eq!(rounds.next(BTreeSet::from([gone("always"), gone("i7")])), BTreeSet::new());
        assert_eq!(rounds.next(BTreeSet::new()), BTreeSet::new());
    }
}
