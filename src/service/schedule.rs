//! Schedules: when a cron expression of a zone is due, whatever the clock does.
//!
//! A time that passed while the service was away is made up for, once. A clock that jumps ahead fires once as well; one that is
//! put back fires nothing again, and does not keep a schedule waiting for the time by which it was wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::model::RepositoryName;
use crate::model::time::UnixSeconds;
use crate::source::outside;
use crate::syntax::serve::{Schedule, Settings};

/// The file that keeps when each was last found due.
const FILE: &str = "schedule.json";
/// A clock that is put back by no more than this, in seconds, waits to where it was.
const SMALL: u64 = 3600;

/// The schedules of all repositories.
pub(super) struct Clockwork {
    path: PathBuf,
    schedules: BTreeMap<RepositoryName, Vec<Schedule>>,
    /// Up to where the time of each was looked at.
    seen: BTreeMap<RepositoryName, UnixSeconds>,
}

impl Clockwork {
    /// Those of the settings. One that is new begins now.
    pub fn open(state: &Path, settings: &Settings) -> Self {
        let path = state.join(FILE);
        let kept = outside::read(&path).ok();
        let seen = kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let all = settings.repositories.iter().map(|(name, it)| (name.clone(), it.schedule.clone()));
        Self { path, schedules: all.filter(|(_, schedules)| !schedules.is_empty()).collect(), seen }
    }

    /// Repositories for which a time came since they were last asked for.
    pub fn due(&mut self, now: UnixSeconds) -> Vec<RepositoryName> {
        let (mut fired, mut is_news) = (Vec::new(), false);
        for (name, schedules) in &self.schedules {
            let before = match self.seen.get(name) {
                None => now,
                Some(seen) if *seen > now && seen.since(now).as_secs() > SMALL => now,
                Some(seen) => *seen,
            };
            let is_due = schedules.iter().any(|schedule| comes_within(schedule, before, now));
            is_news |= is_due || !self.seen.contains_key(name);
            self.seen.insert(name.clone(), before.max(now));
            fired.extend(is_due.then(|| name.clone()));
        }
        if is_news {
            // Lost, it costs a look more or less.
            let kept = serde_json::to_vec(&self.seen).unwrap_or_default();
            let _ = outside::replace(&self.path, &kept);
        }
        fired
    }
}

/// Whether a time of the schedule is after `before`, and not after `now`.
fn comes_within(schedule: &Schedule, before: UnixSeconds, now: UnixSeconds) -> bool {
    next(schedule, before).is_some_and(|next| next <= now)
}

/// The next time of a schedule after a moment; `None` when there is none.
pub fn next(schedule: &Schedule, after: UnixSeconds) -> Option<UnixSeconds> {
    let cron: croner::Cron = schedule.cron.parse().ok()?;
    let zone = TimeZone::get(&schedule.zone).ok()?;
    let next = cron.find_next_occurrence(&after.timestamp().to_zoned(zone), false).ok()?;
    u64::try_from(next.timestamp().as_second()).ok().map(UnixSeconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixSeconds {
        UnixSeconds(text.parse::<jiff::Timestamp>().unwrap().as_second().unsigned_abs())
    }

    fn clockwork(folder: &Path, schedule: &str) -> Clockwork {
        let text = format!("(repositories: {{\"a\": (url: \"https://h/a\", schedule: \"{schedule}\")}})");
        Clockwork::open(folder, &crate::syntax::serve::read(&text).unwrap())
    }

    #[test]
    fn a_time_is_one_of_its_zone_also_when_that_changes_to_summer() {
        let schedule = Schedule { cron: "30 3 * * *".into(), zone: "Europe/Berlin".into() };
        assert_eq!(next(&schedule, at("2026-01-10T12:00:00Z")), Some(at("2026-01-11T02:30:00Z")));
        assert_eq!(next(&schedule, at("2026-07-10T12:00:00Z")), Some(at("2026-07-11T01:30:00Z")));
        // Half past two does not exist on that night.
        let lost = Schedule { cron: "30 2 * * *".into(), ..schedule };
        assert!(next(&lost, at("2026-03-28T12:00:00Z")).is_some());
    }

    #[test]
    fn a_schedule_fires_once_whatever_the_clock_does() {
        let folder = tempfile::tempdir().unwrap();
        let mut works = clockwork(folder.path(), "0 3 * * * UTC");
        let mut due = |time: &str| works.due(at(time)).len();
        assert_eq!(due("2026-05-01T02:59:59Z"), 0);
        assert_eq!((due("2026-05-01T03:00:00Z"), due("2026-05-01T03:00:01Z")), (1, 0));
        // Put back by minutes it fires nothing again, and goes on.
        assert_eq!((due("2026-05-01T02:50:00Z"), due("2026-05-01T03:00:00Z")), (0, 0));
        assert_eq!((due("2026-05-04T03:00:00Z"), due("2026-05-04T03:00:01Z")), (1, 0));
        // It was wrong by years.
        assert_eq!((due("2031-01-01T04:00:00Z"), due("2026-05-05T02:00:00Z")), (1, 0));
        assert_eq!(due("2026-05-05T03:00:00Z"), 1);
    }

    #[test]
    fn a_time_that_passed_while_the_service_was_away_is_made_up_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut works = clockwork(folder.path(), "0 3 * * * UTC");
        assert_eq!(works.due(at("2026-05-01T01:00:00Z")).len(), 0);
        let mut works = clockwork(folder.path(), "0 3 * * * UTC");
        assert_eq!(works.due(at("2026-05-03T09:00:00Z")).len(), 1);
        // A new repository has nothing to make up for.
        let other = tempfile::tempdir().unwrap();
        assert_eq!(clockwork(other.path(), "0 3 * * * UTC").due(at("2026-05-03T09:00:00Z")).len(), 0);
    }
}
