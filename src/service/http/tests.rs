//! The skeleton over a real socket: names, bodies that are too big, heads that never come, an end that waits.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use tokio::sync::watch;

use super::*;
use crate::service::logs::FileLogs;
use crate::service::queue::Rules;
use crate::service::queue::sqlite::SqliteQueue;
use crate::syntax::serve::Settings;

fn shared(folder: &std::path::Path) -> Arc<Shared> {
    shared_with(Settings::default(), folder)
}

/// A service that nobody serves.
pub(super) fn shared_with(settings: Settings, folder: &std::path::Path) -> Arc<Shared> {
    let queue = Arc::new(SqliteQueue::in_memory(Rules::default()).unwrap());
    let logs = Arc::new(FileLogs::open(&folder.join("logs"), 1 << 20).unwrap());
    Arc::new(Shared::new(settings, folder, queue, logs))
}

fn ask(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn the_service_answers_to_its_names_and_ends_when_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = crate::runtime::start().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (end, ended) = watch::channel(false);
    let served = runtime.spawn(listen::serve(listener, None, router(shared(folder.path())), ended));
    let get = |host: &str| format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    assert_eq!(ask(address, &get("localhost")), "HTTP/1.1 200 OK");
    assert_eq!(ask(address, &get("evil.example.com")), "HTTP/1.1 421 Misdirected Request");
    assert_eq!(
        ask(address, "GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"),
        "HTTP/1.1 404 Not Found"
    );
    end.send(true).unwrap();
    runtime.block_on(served).unwrap().unwrap();
    assert!(TcpStream::connect(address).is_err());
}
