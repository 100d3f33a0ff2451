//! Wishes to look at a repository now: a registry told of an image, a person asked. Whoever polls takes them.
//!
//! A wish is no work yet: which commits there are is found by looking. Several of one repository are one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::model::{Occasion, RepositoryName};

/// The wishes that nobody has taken yet.
#[derive(Debug, Default)]
pub struct Wishes {
    wished: Mutex<BTreeMap<RepositoryName, Occasion>>,
    bell: Condvar,
}

impl Wishes {
    /// Wishes that somebody looks at a repository soon. A wish of a person stays one.
    pub fn wish(&self, repository: &RepositoryName, occasion: Occasion) {
        let mut wished = self.wished.lock();
        let kept = wished.entry(repository.clone()).or_insert(occasion);
        if occasion == Occasion::Asked {
            *kept = occasion;
        }
        self.bell.notify_all();
    }

    /// All wishes, waiting for so long when there is none.
    pub fn take(&self, at_most: Duration) -> BTreeMap<RepositoryName, Occasion> {
        let until = Instant::now() + at_most;
        let mut wished = self.wished.lock();
        while wished.is_empty() && !self.bell.wait_until(&mut wished, until).timed_out() {}
        std::mem::take(&mut *wished)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_wishes_of_a_repository_are_one_and_wake_whoever_waits() {
        let wishes = Wishes::default();
        let name = RepositoryName::new("team/app").unwrap();
        assert!(wishes.take(Duration::ZERO).is_empty());
        let taken = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| wishes.take(Duration::from_secs(600)));
            wishes.wish(&name, Occasion::Registry);
            waiting.join().unwrap()
        });
        assert_eq!(taken[&name], Occasion::Registry);
        wishes.wish(&name, Occasion::Asked);
        wishes.wish(&name, Occasion::Registry);
        assert_eq!(wishes.take(Duration::ZERO), BTreeMap::from([(name, Occasion::Asked)]));
    }
}
