//! One build by the classic builder, or by Podman: the whole context travels as one archive.
//!
//! Only for engines without BuildKit. Slower, and without secrets or mounts.
//! The archive is made from the same list as everything else, streamed, and
//! never whole in memory.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::StreamBody;
use hyper::Request;
use hyper::body::Frame;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::podman::{self, Podman};
use super::sending::{CheckedFile, Traffic, engine_error, with_parents};
use super::session::{common_query, query_string, read_answer, refused, supervise};
use super::transport::Link;
use super::{BuildEvent, BuildRequest, Cancel, ContextFiles, EngineError, ImageId, control, transport};
use crate::model::file::{FileKind, Special, UsedFile};
use crate::model::hash::ContentHash;

/// Bytes gathered before they travel.
const CHUNK: usize = 64 * 1024;

/// The builder that reads the archive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// Docker's old builder.
    Classic,
    /// Podman.
    Podman(Podman),
}

impl Reader {
    fn refusal(self, request: &BuildRequest) -> Option<String> {
        match self {
            Self::Podman(podman) => podman.refusal(request),
            Self::Classic if !request.secrets.is_empty() => {
                Some("this engine has no BuildKit, and its own builder knows no secrets".into())
            }
            Self::Classic if !request.ssh.is_empty() => {
                Some("this engine has no BuildKit, and its own builder knows no ssh agents".into())
            }
            Self::Classic if control::need(request).is_some() => Some(
                "this engine has no BuildKit, which `no_cache_filter`, `entitlements` and caches beside images need".into(),
            ),
            Self::Classic if request.cache.inline => {
                Some("this engine has no BuildKit, and its own builder writes no cache into an image".into())
            }
            Self::Classic => None,
        }
    }

    fn query(self, request: &BuildRequest) -> Vec<(&'static str, String)> {
        let mut query = common_query(request);
        if let Self::Podman(podman) = self {
            query.retain(|(key, _)| *key != "networkmode");
            query.extend(podman.query(request));
        }
        query
    }

    /// The ignore file that hides the Dockerfile and itself, unless the context has one of that name.
    fn ignore_file(self) -> &'static str {
        match self {
            Self::Classic => ".dockerignore",
            Self::Podman(_) => podman::IGNORE,
        }
    }
}

/// Builds from an archive.
pub(super) async fn build(
    link: Link<'_>,
    reader: Reader,
    request: &BuildRequest,
    events: &(dyn Fn(BuildEvent) + Sync),
    cancel: &Cancel,
) -> Result<ImageId, EngineError> {
    if let Some(why) = reader.refusal(request) {
        return Err(refused(request, why));
    }
    let traffic = Arc::new(Traffic::default());
    let work = async {
        let name = dockerfile_name(&request.dockerfile);
        let mut query = reader.query(request);
        query.extend([("version", "1".to_owned()), ("dockerfile", name.clone())]);
        let (chunks, outgoing) = mpsc::channel::<io::Result<Bytes>>(8);
        let (files, text) = (Arc::clone(&request.files), request.dockerfile.clone());
        let ignore = reader.ignore_file();
        let writing = Arc::clone(&traffic);
        tokio::task::spawn_blocking(move || {
            let sink =
                Chunks { chunks: chunks.clone(), buffer: Vec::with_capacity(CHUNK), traffic: &writing };
            let dockerfile = (name.as_str(), text.as_str());
            if let Err(error) = write_archive(sink, &*files, dockerfile, ignore, &writing) {
                // A closed channel is the engine's refusal or a cancelled build, told elsewhere.
                if let Some(error) = engine_error(&error) {
                    writing.fail(error);
                }
                // The body ends with an error rather than early, so that no engine takes it for whole.
                let _ = chunks.blocking_send(Err(error));
            }
        });
        let body = StreamBody::new(ReceiverStream::new(outgoing).map(|chunk| chunk.map(Frame::data)));
        let post = Request::post(format!("/build?{}", query_string(&query)))
            .header("content-type", "application/x-tar")
            .body(body)
            .map_err(|error| refused(request, error.to_string()))?;
        let reply = transport::send(link.endpoint, post).await?;
        read_answer(reply, request, &traffic, events).await
    };
    supervise(link, work, &traffic, events, cancel).await
}

/// A name no file of the context has by accident.
fn dockerfile_name(text: &str) -> String {
    format!(".imk-dockerfile-{}", ContentHash::of(text.as_bytes()).short(16))
}

/// The Dockerfile, the files, and an ignore file that hides the Dockerfile and itself from `COPY`.
fn write_archive(
    sink: Chunks<'_>,
    files: &dyn ContextFiles,
    (dockerfile, text): (&str, &str),
    ignore: &str,
    traffic: &Traffic,
) -> io::Result<()> {
    let mut archive = tar::Builder::new(sink);
    let list = files.list();
    append_text(&mut archive, dockerfile, text)?;
    // An engine removes its .dockerignore and the Dockerfile before it builds when the
    // .dockerignore names them. A context with a .dockerignore of its own keeps that one,
    // and `COPY .` then sees our Dockerfile as well: the classic builder knows no other way.
    if !list.files.iter().any(|file| file.path == ignore) {
        append_text(&mut archive, ignore, &format!("{ignore}\n{dockerfile}\n"))?;
    }
    for file in with_parents(list) {
        let mut header = header(&file);
        match file.kind {
            FileKind::Folder => archive.append_data(&mut header, format!("{}/", file.path), io::empty())?,
            FileKind::Link => archive.append_link(&mut header, &file.path, &file.target)?,
            // An archive has no sockets, and docker's own client leaves them out of it.
            FileKind::Special if file.special() == Some(Special::Socket) => {}
            FileKind::Special => archive.append_data(&mut header, &file.path, io::empty())?,
            FileKind::File => {
                let mut content = CheckedFile::open(files, &file).map_err(io::Error::other)?;
                archive.append_data(&mut header, &file.path, &mut content)?;
                // tar stops asking after `size` bytes when it likes; ask once more for the verdict.
                io::copy(&mut content, &mut io::sink())?;
                traffic.add_file();
            }
        }
    }
    archive.into_inner()?.flush()
}

fn append_text(archive: &mut tar::Builder<Chunks<'_>>, path: &str, text: &str) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(text.len() as u64);
    archive.append_data(&mut header, path, text.as_bytes())
}

/// Mode bits are kept: a chmod counts, so the engine must see it.
fn header(file: &UsedFile) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    let (kind, mode) = match file.kind {
        FileKind::Folder => (tar::EntryType::Directory, file.mode),
        FileKind::Link => (tar::EntryType::Symlink, 0o777),
        FileKind::File => (tar::EntryType::Regular, file.mode),
        FileKind::Special => (special_entry(&mut header, file), file.mode),
    };
    header.set_entry_type(kind);
    header.set_mode(mode & 0o7777);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(if file.kind == FileKind::File { file.size_bytes } else { 0 });
    header.set_mtime(u64::try_from(file.mtime_ns / 1_000_000_000).unwrap_or_default());
    header
}

/// The type of an entry that is no file, with the numbers of a device.
fn special_entry(header: &mut tar::Header, file: &UsedFile) -> tar::EntryType {
    let Some(Special::Device { character, major, minor }) = file.special() else {
        return tar::EntryType::Fifo;
    };
    // The old form of headers has room for both; a number that does not fit stays zero, as tar has it.
    let _ = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
    if character { tar::EntryType::Char } else { tar::EntryType::Block }
}

/// Turns what is written into a stream of pieces; waits while the engine is slow.
struct Chunks<'a> {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
    traffic: &'a Traffic,
}

impl Write for Chunks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        if piece.is_empty() {
            return Ok(());
        }
        self.traffic.add_bytes(piece.len());
        let sent = self.chunks.blocking_send(Ok(Bytes::from(piece)));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the engine stopped listening"))
    }
}
