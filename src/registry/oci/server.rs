//! A server of the tests: on loopback, with answers that a test writes.
//!
//! Speaks plain HTTP/1.1 and turns TLS away as Go's servers do. Records what it
//! was asked but for the front door, which it opens to everybody.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    /// Path and query.
    pub target: String,
    /// By small name.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// `GET /v2/app/manifests/1`
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Whole,
    /// The connection ends instead.
    Reset,
    /// It ends in the middle.
    Half,
    /// It begins so late.
    Late(Duration),
}

/// An answer with that status and body.
pub fn reply(status: u16, body: impl AsRef<[u8]>) -> Reply {
    Reply { status, headers: Vec::new(), body: body.as_ref().to_vec(), how: How::Whole }
}

/// No answer.
pub fn reset() -> Reply {
    Reply { how: How::Reset, ..reply(500, "") }
}

impl Reply {
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn half(self) -> Self {
        Self { how: How::Half, ..self }
    }

    pub fn late(self, by: Duration) -> Self {
        Self { how: How::Late(by), ..self }
    }
}

type Script = dyn Fn(&Seen, usize) -> Reply + Send + Sync;

/// Serves until the end of the process; its port is its own.
pub struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    /// `script` gets each request, and how many with the same first line came before it.
    pub fn start(script: impl Fn(&Seen, usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (script, record): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, record) = (Arc::clone(&script), Arc::clone(&record));
                // A client that goes away ends its thread, and nothing else.
                std::thread::spawn(move || serve(stream, &*script, &record));
            }
        });
        Self { port, seen }
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Everything it was asked.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The first lines of everything it was asked.
    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }

    /// How many requests began so.
    pub fn count(&self, line: &str) -> usize {
        self.lines().iter().filter(|seen| seen.starts_with(line)).count()
    }
}

fn serve(stream: TcpStream, script: &Script, record: &Mutex<Vec<Seen>>) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        if *reader.fill_buf().ok()?.first()? == 0x16 {
            writer.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").ok()?;
            return writer.shutdown(Shutdown::Both).ok();
        }
        let request = read(&mut reader)?;
        if request.target == "/v2/" {
            writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").ok()?;
            continue;
        }
        let before = {
            let mut record = record.lock();
            let before = record.iter().filter(|seen| seen.line() == request.line()).count();
            record.push(request.clone());
            before
        };
        let reply = script(&request, before);
        match reply.how {
            How::Reset => return writer.shutdown(Shutdown::Both).ok(),
            How::Late(by) => std::thread::sleep(by),
            How::Whole | How::Half => {}
        }
        let mut head = format!("HTTP/1.1 {} Said\r\n", reply.status);
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // To HEAD, the length of what is not sent.
        if !reply.headers.iter().any(|(name, _)| name == "content-length") {
            head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
        }
        writer.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        if request.method != "HEAD" {
            let length = if reply.how == How::Half { reply.body.len() / 2 } else { reply.body.len() };
            writer.write_all(&reply.body[..length]).ok()?;
        }
        if reply.how == How::Half {
            return writer.shutdown(Shutdown::Both).ok();
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen { method, target, headers, body })
}
