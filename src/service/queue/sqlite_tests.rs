//! The queue's rules, each as somebody meets it. `contract` is held by every kind of queue.

use super::super::contract;
use super::*;
use crate::service::model::StateKind;

#[test]
fn the_queue_in_memory_holds_the_contract() {
    contract::check(|rules| SqliteQueue::in_memory(rules).unwrap());
}

#[test]
fn jobs_that_ran_when_the_service_was_killed_wait_again_and_nothing_else_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = SqliteQueue::open(&path, Rules::default()).unwrap();
    let first = queue.offer(&contract::work("a", "main", 1), Running::Finish).unwrap().job().unwrap();
    let second = queue.offer(&contract::work("b", "main", 1), Running::Finish).unwrap().job().unwrap();
    let lease = queue.take(&contract::worker("w")).unwrap().unwrap();
    assert_eq!((lease.job.id, lease.job.tries), (first, 1));
    drop(queue);
    let queue = SqliteQueue::open(&path, Rules::default()).unwrap();
    let states: Vec<_> =
        queue.jobs(&Filter::default()).unwrap().into_iter().map(|job| (job.id, job.state)).collect();
    assert_eq!(states, [(second, JobState::Queued), (first, JobState::Queued)]);
    // Whatever the old process's worker still says, it has the job no more.
    assert_eq!(queue.finish(&lease, &Outcome::default()).unwrap(), Settled::Lost);
    assert_eq!(queue.renew(&lease).unwrap(), Renewed::Lost);
}

#[test]
fn a_job_that_ends_the_service_each_time_is_dead_at_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    SqliteQueue::open(&path, Rules::default())
        .unwrap()
        .offer(&contract::work("a", "main", 1), Running::Finish)
        .unwrap();
    for _ in 0..MOST_ORPHANED {
        let queue = SqliteQueue::open(&path, Rules::default()).unwrap();
        assert!(queue.take(&contract::worker("w")).unwrap().is_some());
    }
    let queue = SqliteQueue::open(&path, Rules::default()).unwrap();
    assert_eq!(queue.counts().unwrap(), Counts { dead: 1, ..Counts::default() });
}

#[test]
fn a_file_of_a_newer_imk_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    drop(SqliteQueue::open(&path, Rules::default()).unwrap());
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let error = SqliteQueue::open(&path, Rules::default()).err().unwrap();
    assert!(error.to_string().contains("a newer imk wrote it"), "{error}");
}

#[test]
fn offers_of_many_at_once_are_all_there_and_share_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = SqliteQueue::open(&path, Rules::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let queue = &queue;
            scope.spawn(move || {
                for number in 0..10_u8 {
                    let work = contract::work(&format!("r{thread}"), &format!("b{number}"), thread + 1);
                    queue.offer(&work, Running::Finish).unwrap();
                }
            });
        }
    });
    assert_eq!(*queue.synced.lock(), 80);
    drop(queue);
    let queue = SqliteQueue::open(&path, Rules::default()).unwrap();
    assert_eq!(queue.counts().unwrap().queued, 80);
}

/// The ways that SQLite goes through a statement.
fn ways(queue: &SqliteQueue, sql: &str, values: &[rusqlite::types::Value]) -> Vec<String> {
    let inner = queue.inner.lock();
    let mut query = inner.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    // Of a statement that is not run its values do not matter, but for their number.
    let count = query.parameter_count();
    let values =
        values.iter().cloned().chain(std::iter::repeat_n(rusqlite::types::Value::Null, count)).take(count);
    let ways = query.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap();
    ways.map(Result::unwrap).collect()
}

#[test]
fn nothing_that_is_asked_often_reads_all_jobs() {
    let queue = SqliteQueue::in_memory(Rules::default()).unwrap();
    let name = RepositoryName::new("a").unwrap();
    let all = [StateKind::Done, StateKind::Dead, StateKind::Queued];
    let mut asked = Vec::new();
    for repository in [None, Some(name)] {
        for branch in [None, Some("main".to_owned())] {
            for states in [&all[..0], &all[..1], &all] {
                for (before, brief) in [(None, true), (Some(JobId(7)), false)] {
                    let (repository, branch, states) = (repository.clone(), branch.clone(), states.to_vec());
                    // A branch is of a repository: nobody asks for it alone.
                    if repository.is_some() || branch.is_none() {
                        let filter = Filter { repository, branch, states, before, limit: 50, brief };
                        let listing::Statement { sql, values } = listing::of_filter(&filter);
                        asked.push((sql, values));
                    }
                }
            }
        }
    }
    let others = [
        RUN_OTHERS,
        "SELECT id FROM jobs WHERE state = 'running'",
        "SELECT * FROM lines WHERE repository = ?1 ORDER BY line",
        "SELECT id FROM jobs WHERE repository = ?1 AND line = ?2 ORDER BY id DESC LIMIT 1",
        "SELECT id FROM jobs WHERE state = 'queued' ORDER BY place",
        "SELECT repository FROM jobs WHERE state = 'running'",
        "SELECT id FROM jobs WHERE ended_at < ?1 AND state IN ('done') ORDER BY ended_at LIMIT ?2",
        "DELETE FROM deliveries WHERE at < ?1",
        "SELECT max(other.id) FROM jobs AS other, jobs AS this WHERE this.id = ?1 AND other.id > this.id
         AND other.repository = this.repository AND other.line = this.line AND other.state = 'queued'",
    ];
    asked.extend(others.map(|sql| (sql.to_owned(), Vec::new())));
    for (sql, values) in asked {
        for way in ways(&queue, &sql, &values) {
            // A list of all jobs by their numbers is read in its order, as far as its limit.
            let is_list = way == "SCAN jobs" && !sql.contains("state =") && !sql.contains("repository =");
            assert!(
                is_list || !way.contains("SCAN jobs") && !way.contains("SCAN deliveries"),
                "{way}: {sql}"
            );
        }
    }
}

#[test]
fn many_jobs_are_listed_counted_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let queue = SqliteQueue::open(&folder.path().join("queue.db"), Rules::default()).unwrap();
    let done = |number: u32| {
        let work = Work { commit: format!("{number:040x}"), ..contract::work("a", "main", 1) };
        queue.offer(&work, Running::Finish).unwrap();
        let lease = queue.take(&contract::worker("w")).unwrap().unwrap();
        queue.finish(&lease, &Outcome { ok: number.is_multiple_of(2), ..Outcome::default() }).unwrap();
    };
    (0..2).for_each(done);
    // The others are copies of these, for a disk is slow.
    let sql = "INSERT INTO jobs (repository, branch, line, commit_id, work, state, detail, ok, place, queued_at, ended_at)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)
         SELECT repository, branch, line, commit_id, work, state, detail, ok, place, queued_at, 1 FROM jobs, n WHERE id = 1";
    queue.inner.lock().connection.execute(sql, []).unwrap();
    done(7);
    let counts = queue.counts().unwrap();
    assert_eq!((counts.succeeded, counts.failed, counts.queued), (2001, 2, 0));
    let page = Filter { states: vec![StateKind::Done, StateKind::Dead], limit: 3, ..Filter::default() };
    let ids: Vec<u64> = queue.jobs(&page).unwrap().iter().map(|job| job.id.0).collect();
    assert_eq!(ids, [2003, 2002, 2001]);
    let mut gone = 0;
    loop {
        let some = queue.forget_before(UnixSeconds(2)).unwrap();
        assert!(some.len() <= usize::try_from(statements::AT_ONCE).unwrap());
        gone += some.len();
        if some.is_empty() {
            break;
        }
    }
    assert_eq!((gone, queue.counts().unwrap().succeeded), (2000, 1));
}
