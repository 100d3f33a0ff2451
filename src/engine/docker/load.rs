//! An image on its way into the engine, of an archive as `docker save` writes it.

use std::io::{self, Write};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::engine::sending::Traffic;
use crate::engine::session::{message_of, supervise};
use crate::engine::transport::{self, Link, Reply};
use crate::engine::{ArchiveWriter, Cancel, EngineError, ImageId};
use crate::model::error_chain::error_chain;

/// Bytes that are sent at once.
const PIECE: usize = 128 << 10;

/// Said of an engine that went before all was sent.
const NO_MORE: &str = "the engine takes no more";

/// The doing that errors tell of.
const WHAT: &str = "loading an image";

/// See [`crate::engine::Engine::load`].
pub(super) fn load(
    runtime: &Runtime,
    link: Link<'_>,
    archive: &mut ArchiveWriter<'_>,
    cancel: &Cancel,
) -> Result<ImageId, EngineError> {
    let (pieces, outgoing) = mpsc::channel::<io::Result<Bytes>>(8);
    let traffic = Traffic::default();
    std::thread::scope(|scope| {
        let sent = &traffic;
        let writer = scope.spawn(move || {
            let mut sink = Pieces { pieces: &pieces, buffer: Vec::with_capacity(PIECE), traffic: sent };
            let written = archive(&mut sink).and_then(|()| sink.flush().map_err(|error| refused(&error)));
            if written.is_err() {
                // The body ends with an error rather than early, so that no engine takes it for whole.
                let _ = pieces.blocking_send(Err(io::Error::other("the archive ended early")));
            }
            written
        });
        let work = send(link, ReceiverStream::new(outgoing), &traffic);
        let loaded = runtime.block_on(supervise(link, work, &traffic, &|_| {}, cancel));
        // With the request its channel is gone, so the writer ends.
        let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (loaded, written) {
            (Ok(id), _) => Ok(id),
            // An image that cannot be read is why the engine got no whole archive.
            (Err(EngineError::Refused { .. } | EngineError::Unreachable { .. }), Err(error))
                if is_of_the_image(&error) =>
            {
                Err(error)
            }
            (Err(error), _) => Err(error),
        }
    })
}

/// Whether an error is the image's: not of the archive's way, nor of an engine that takes no more.
fn is_of_the_image(error: &EngineError) -> bool {
    !matches!(error, EngineError::Refused { what, why } if what == WHAT || why.contains(NO_MORE))
}

fn refused(why: &impl ToString) -> EngineError {
    EngineError::Refused { what: WHAT.to_owned(), why: why.to_string() }
}

async fn send(
    link: Link<'_>,
    outgoing: ReceiverStream<io::Result<Bytes>>,
    traffic: &Traffic,
) -> Result<ImageId, EngineError> {
    let body = StreamBody::new(outgoing.map(|piece| piece.map(Frame::data)));
    let post = Request::post("/images/load?quiet=1").header("content-type", "application/x-tar").body(body);
    let post = post.map_err(|error| refused(&error))?;
    let Reply { response, connection: _connection } = transport::send(link.endpoint, post).await?;
    let status = response.status();
    let mut body = response.into_body();
    let mut said = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| refused(&format!("the engine broke off: {}", error_chain(&error))))?;
        traffic.heard();
        if let Some(data) = frame.data_ref() {
            said.extend_from_slice(data);
        }
    }
    match status {
        StatusCode::OK => id(&said).map_err(|why| refused(&why)),
        _ => Err(refused(&message_of(&said))),
    }
}

/// One line of the answer.
#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    stream: String,
    error: Option<String>,
}

/// The image that an answer names. Errors come inside a stream that began with 200.
fn id(said: &[u8]) -> Result<ImageId, String> {
    let mut found = Err("the engine does not say which image it took".to_owned());
    for line in serde_json::Deserializer::from_slice(said).into_iter::<Line>() {
        let Ok(Line { stream, error }) = line else { break };
        if let Some(error) = error {
            return Err(error);
        }
        let words = ["Loaded image ID: ", "Loaded image: "];
        let told = words.iter().find_map(|words| stream.split_once(words)).map(|(_, id)| id.trim());
        if let Some(id) = told.filter(|id| !id.is_empty()) {
            let id = if id.len() == 64 { format!("sha256:{id}") } else { id.to_owned() };
            found = Ok(ImageId(id));
        }
    }
    found
}

/// Bytes on their way to the body of a request, some at once.
struct Pieces<'a> {
    pieces: &'a mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
    traffic: &'a Traffic,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (PIECE - self.buffer.len()).min(bytes.len());
        self.buffer.extend_from_slice(&bytes[..room]);
        if self.buffer.len() == PIECE {
            self.flush()?;
        }
        Ok(room)
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE));
        if piece.is_empty() {
            return Ok(());
        }
        self.traffic.heard();
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, NO_MORE);
        self.pieces.blocking_send(Ok(piece.into())).map_err(|_| gone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_that_an_engine_took_is_read_off_its_answer() {
        let hex = "a".repeat(64);
        for (said, wanted) in [
            (format!(r#"{{"stream":"Loaded image ID: sha256:{hex}\n"}}"#), Ok(format!("sha256:{hex}"))),
            // Podman names it without the kind of digest.
            (format!(r#"{{"stream":"Loaded image: {hex}\n"}}"#), Ok(format!("sha256:{hex}"))),
            (r#"{"stream":"Loaded image: web:latest\n"}"#.to_owned(), Ok("web:latest".to_owned())),
            (
                r#"{"stream":"x"}{"error":"no space left on device"}"#.to_owned(),
                Err("no space left on device"),
            ),
            (String::new(), Err("the engine does not say which image it took")),
        ]
        .map(|(said, wanted)| (said, wanted.map_err(str::to_owned)))
        {
            assert_eq!(id(said.as_bytes()), wanted.map(ImageId), "{said}");
        }
    }
}
