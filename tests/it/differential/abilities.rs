//! The abilities of the judge: which of BuildKit's newer instructions it reads, and which client speaks for it.
//!
//! Asked by building: what an engine reads depends on the BuildKit in it, and on the frontend that
//! `IMK_TEST_SYNTAX` names (an image of a registry that the engine reaches, as `# syntax=` has it).

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;

use super::oracle::Builder;

/// The instructions that a judge reads.
#[derive(Clone, Copy, Default)]
pub struct Abilities {
    /// `--link`, `--exclude`, `--unpack`, `--checksum`, modes as `u+x`, and texts in the Dockerfile.
    pub newer: bool,
    /// `COPY --parents`, which engines read without a frontend of their own since BuildKit 0.26.
    pub parents: bool,
    /// Where files can be fetched from.
    pub port: u16,
}

const NEWER: &str = "FROM scratch\nCOPY --link --exclude=none --chmod=u+r . /a/\nADD --unpack=false f /b/\nCOPY <<E /c/\nx\nE\n";
const PARENTS: &str = "FROM scratch\nCOPY --parents f /a/\n";

impl Abilities {
    /// Of this builder.
    pub fn of(builder: &Builder) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("f"), "f").unwrap();
        let reads = |text: &str| builder.build(folder.path(), text, &Default::default(), &[]).is_ok();
        let newer = reads(NEWER);
        Self { newer, parents: newer && reads(PARENTS), port: serve() }
    }
}

/// A server whose files tell by what name they were asked for. It lives as long as the tests do.
fn serve() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let first = lines.next().unwrap_or_default();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let mut words = first.split(' ');
                let is_asked = words.next() == Some("HEAD");
                let text = fetched(words.next().unwrap_or_default());
                let body = if is_asked { "" } else { text.as_str() };
                let length = text.len();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                let _ = (&stream).write_all(answer.as_bytes());
            });
        }
    });
    port
}

/// The text that the server has under a path.
pub fn fetched(path: &str) -> String {
    format!("fetched {path}\n")
}

/// The program that builds: docker's newer client where it can be had and the engine is not an old one. The
/// client of 20.10 ignores files by older rules: see `client.rs`.
pub fn newer_client() -> Option<PathBuf> {
    let version = super::oracle::docker(&["version", "--format", "{{.Server.Version}}"]).ok()?;
    let major: u32 = String::from_utf8(version).ok()?.split('.').next()?.parse().ok()?;
    // It speaks with engines through what 23 brought.
    if major < 23 {
        return None;
    }
    Some(crate::formats::peers_or_skip("differential, with docker's newer client")?.join("docker-buildx"))
}
