//! Which of the jobs that wait a worker gets.
//!
//! One at a time of a repository, those first whose repository was served longest ago, and a repository with the worker that
//! has its checkout and caches. Pure: it is told how things stand.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::api::Worker;
use crate::service::model::{JobId, Labels, RepositoryName};

/// A job waits so long for the worker that its repository is used to, while that lives and has other work.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// A job that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub id: JobId,
    pub repository: RepositoryName,
    pub labels: Labels,
    /// How long it has waited.
    pub since: Duration,
}

/// How things stand.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// In the order in which they came.
    pub waiting: Vec<Waiting>,
    /// Repositories that somebody is at work on.
    pub busy: BTreeSet<RepositoryName>,
    /// The turn at which a repository was last served, and by whom.
    pub served: BTreeMap<RepositoryName, (u64, String)>,
    /// Workers that live, with their labels.
    pub alive: BTreeMap<String, Labels>,
}

/// The job that a worker gets, if any.
pub(super) fn choose(standing: &Standing, worker: &Worker) -> Option<JobId> {
    let may = |job: &&Waiting| {
        if standing.busy.contains(&job.repository) || !job.labels.is_subset(&worker.labels) {
            return false;
        }
        match standing.served.get(&job.repository) {
            Some((_, other)) if *other != worker.name => {
                let can = standing.alive.get(other).is_some_and(|labels| job.labels.is_subset(labels));
                !can || job.since >= PATIENCE
            }
            _ => true,
        }
    };
    let turn = |job: &&Waiting| standing.served.get(&job.repository).map_or(0, |(turn, _)| *turn);
    // The first of equals is the one that came first.
    standing.waiting.iter().filter(may).min_by_key(turn).map(|job| job.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::serve::names::labels;

    fn waiting(id: u64, repository: &str, wants: &str) -> Waiting {
        let repository = RepositoryName::new(repository).unwrap();
        Waiting { id: JobId(id), repository, labels: labels(wants).unwrap(), since: Duration::ZERO }
    }

    fn worker(name: &str, has: &str) -> Worker {
        Worker { name: name.into(), labels: labels(has).unwrap() }
    }

    #[test]
    fn repositories_take_turns_however_many_jobs_one_has() {
        let mut standing = Standing {
            waiting: vec![waiting(1, "a", ""), waiting(2, "a", ""), waiting(3, "b", "")],
            ..Standing::default()
        };
        assert_eq!(choose(&standing, &worker("w", "")), Some(JobId(1)));
        standing.served.insert(RepositoryName::new("a").unwrap(), (1, "w".into()));
        assert_eq!(choose(&standing, &worker("w", "")), Some(JobId(3)));
        standing.busy.insert(RepositoryName::new("b").unwrap());
        assert_eq!(choose(&standing, &worker("w", "")), Some(JobId(1)));
        standing.busy.insert(RepositoryName::new("a").unwrap());
        assert_eq!(choose(&standing, &worker("w", "")), None);
    }

    #[test]
    fn a_worker_gets_only_jobs_of_which_it_has_all_labels() {
        let standing = Standing {
            waiting: vec![waiting(1, "a", "JDK8+sbt"), waiting(2, "b", "gpu")],
            ..Standing::default()
        };
        assert_eq!(choose(&standing, &worker("w", "jdk8")), None);
        assert_eq!(choose(&standing, &worker("w", "SBT+jdk8+x")), Some(JobId(1)));
        assert_eq!(choose(&standing, &worker("w", "gpu")), Some(JobId(2)));
    }

    #[test]
    fn a_repository_stays_with_its_worker_while_that_lives_and_can() {
        let name = RepositoryName::new("a").unwrap();
        let mut standing = Standing { waiting: vec![waiting(1, "a", "x")], ..Standing::default() };
        standing.served.insert(name, (1, "one".into()));
        standing.alive.insert("one".into(), labels("x").unwrap());
        assert_eq!(choose(&standing, &worker("two", "x")), None);
        assert_eq!(choose(&standing, &worker("one", "x")), Some(JobId(1)));
        // It was started again without the label.
        standing.alive.insert("one".into(), Labels::new());
        assert_eq!(choose(&standing, &worker("two", "x")), Some(JobId(1)));
        standing.alive.insert("one".into(), labels("x").unwrap());
        standing.waiting[0].since = PATIENCE;
        assert_eq!(choose(&standing, &worker("two", "x")), Some(JobId(1)));
        standing.waiting[0].since = Duration::ZERO;
        standing.alive.clear();
        assert_eq!(choose(&standing, &worker("two", "x")), Some(JobId(1)));
    }
}
