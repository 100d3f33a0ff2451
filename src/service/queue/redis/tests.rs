//! The same rules as of every queue, with a real Redis.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::super::contract;
use super::*;

/// Debian's Redis, for one test.
struct Server {
    folder: tempfile::TempDir,
    child: Child,
}

impl Server {
    fn open(test: &str) -> Option<Self> {
        let is_there = Command::new("redis-server").arg("--version").output().is_ok();
        if !is_there && std::env::var_os("IMK_TEST_NO_ENGINE").is_some() {
            eprintln!("SKIPPED {test}: there is no `redis-server`, and IMK_TEST_NO_ENGINE is set");
            return None;
        }
        assert!(is_there, "{test} needs `redis-server`; run: ci/packages redis-server");
        let folder = tempfile::Builder::new().prefix("imk-redis-").tempdir().unwrap();
        let child = started(folder.path());
        let server = Self { folder, child };
        server.queue(Rules::default());
        Some(server)
    }

    fn address(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("redis.sock").display())
    }

    fn queue(&self, rules: Rules) -> RedisQueue {
        let until = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            match RedisQueue::open(&self.address(), rules) {
                Ok(queue) => return queue,
                Err(error) => assert!(std::time::Instant::now() < until, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn started(folder: &Path) -> Child {
    let words = "--port 0 --unixsocket redis.sock --appendonly yes --appendfsync always --save";
    Command::new("redis-server")
        .args(words.split(' '))
        .arg("")
        .current_dir(folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn the_queue_in_redis_holds_the_contract() {
    let Some(server) = Server::open("redis-contract") else { return };
    contract::check(|rules| {
        let queue = server.queue(rules);
        queue.with(|connection| redis::cmd("FLUSHALL").query::<()>(connection)).unwrap();
        queue
    });
}

#[test]
fn a_redis_that_was_killed_has_every_job_and_every_lease() {
    let Some(mut server) = Server::open("redis-killed") else { return };
    let queue = server.queue(Rules::default());
    assert_eq!(queue.warning(), None);
    let first = queue.offer(&contract::work("a", "main", 1), Running::Finish).unwrap().job().unwrap();
    let second = queue.offer(&contract::work("b", "main", 1), Running::Finish).unwrap().job().unwrap();
    let lease = queue.take(&contract::worker("w")).unwrap().unwrap();
    server.kill();
    let error = queue.offer(&contract::work("c", "main", 1), Running::Finish).unwrap_err();
    assert!(matches!(error, QueueError::Unreachable(_)), "{error:?}");
    server.child = started(server.folder.path());
    drop(server.queue(Rules::default()));
    assert_eq!(queue.renew(&lease).unwrap(), Renewed::Kept);
    let good = Outcome { ok: true, ..Outcome::default() };
    assert_eq!(queue.finish(&lease, &good).unwrap(), Settled::Kept);
    // The answer was lost, and it is asked again.
    assert_eq!(queue.finish(&lease, &good).unwrap(), Settled::Kept);
    let states: Vec<_> =
        queue.jobs(&Filter::default()).unwrap().into_iter().map(|job| (job.id, job.state.kind())).collect();
    assert_eq!(states, [(second, StateKind::Queued), (first, StateKind::Done)]);
}

#[test]
fn a_wrong_address_is_refused_without_its_password() {
    let error = RedisQueue::open("redis://:s3cret@127.0.0.1:notaport", Rules::default()).err().unwrap();
    assert!(!error.to_string().contains("s3cret"), "{error}");
    let error = RedisQueue::open("redis://:s3cret@127.0.0.1:1", Rules::default()).err().unwrap();
    assert!(matches!(error, QueueError::Unreachable(_)) && !error.to_string().contains("s3cret"), "{error}");
}
