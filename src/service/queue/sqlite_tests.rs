//! The queue's rules, each as somebody meets it. `contract` is held by every kind of queue.

use super::super::contract;
use super::*;

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
