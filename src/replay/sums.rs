//! A replay in figures.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::replay::costs::{Line, Replay, Step};

/// Builds under each rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Builds {
    /// Every image in every commit.
    pub all: usize,
    /// When the whole context counts.
    pub context: usize,
    /// When the last commit that touched it counts.
    pub shipwright: usize,
    /// imk.
    pub imk: usize,
}

/// The figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Sums {
    /// Commits that were looked at.
    pub commits: usize,
    /// Commits of which nothing can be said.
    pub skipped: usize,
    /// Commits in which some image has mistakes.
    pub with_mistakes: usize,
    /// Commits in which some image copies what git ignores.
    pub with_ignored: usize,
    /// Builds.
    pub builds: Builds,
    /// Commits that need no build; those skipped are not among them.
    pub idle: Builds,
    /// Builds of each image, those that cost imk most in front.
    pub images: Vec<(String, Builds)>,
    /// Builds that each line caused, the dearest in front.
    pub lines: Vec<(Line, usize)>,
}

impl Step {
    /// Builds of this commit.
    pub fn builds(&self) -> Builds {
        Builds {
            all: self.images.len(),
            context: self.context.len(),
            shipwright: self.shipwright.len(),
            imk: self.built.len(),
        }
    }
}

/// Adds a replay up.
pub fn sums(replay: &Replay) -> Sums {
    let mut sums = Sums { commits: replay.steps.len(), ..Sums::default() };
    let mut images: BTreeMap<&str, Builds> = BTreeMap::new();
    let mut lines: BTreeMap<&Line, usize> = BTreeMap::new();
    for step in &replay.steps {
        sums.with_mistakes += usize::from(!step.mistakes.is_empty());
        sums.with_ignored += usize::from(!step.ignored.is_empty());
        if step.skipped.is_some() {
            sums.skipped += 1;
            continue;
        }
        let builds = step.builds();
        let (all, idle) = (&mut sums.builds, &mut sums.idle);
        for (all, idle, number) in [
            (&mut all.all, &mut idle.all, builds.all),
            (&mut all.context, &mut idle.context, builds.context),
            (&mut all.shipwright, &mut idle.shipwright, builds.shipwright),
            (&mut all.imk, &mut idle.imk, builds.imk),
        ] {
            *all += number;
            *idle += usize::from(number == 0);
        }
        for name in &step.images {
            images.entry(name).or_default().all += 1;
        }
        for name in &step.context {
            images.entry(name).or_default().context += 1;
        }
        for name in &step.shipwright {
            images.entry(name).or_default().shipwright += 1;
        }
        for job in &step.built {
            images.entry(&job.name).or_default().imk += 1;
            for line in &job.lines {
                *lines.entry(line).or_default() += 1;
            }
        }
    }
    sums.images = images.into_iter().map(|(name, builds)| (name.to_owned(), builds)).collect();
    sums.images.sort_by_key(|(_, builds)| std::cmp::Reverse((builds.imk, builds.shipwright, builds.context)));
    sums.lines = lines.into_iter().map(|(line, builds)| (line.clone(), builds)).collect();
    sums.lines.sort_by_key(|(_, builds)| std::cmp::Reverse(*builds));
    sums
}
