//! File sync: BuildKit asks for a folder, we announce what is in it, it asks for what it lacks.
//!
//! The protocol is fsutil's: one STAT for each entry, numbered from 0 in
//! order; an empty STAT at the end; REQ from the other side at any time, even
//! while we still announce; DATA for each REQ, an empty one at the end of a
//! file; FIN both ways. imk has applied `.dockerignore` before, so the
//! patterns that come with the question are not applied again.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::engine::sending::{CheckedFile, Traffic, with_parents};
use crate::engine::{ContextFiles, EngineError};
use crate::model::file::{FileKind, Special, UsedFile, UsedFiles};
use crate::model::hash::{ContentHash, FieldHasher};

/// Bytes in one DATA packet, fsutil's own choice.
const CHUNK: usize = 32 * 1024;
/// Packets that may wait for the engine: half a megabyte at the most, so that memory stays flat.
const QUEUE: usize = 16;

// Go's `fs.FileMode`, which is not what Unix calls a mode.
const GO_FOLDER: u32 = 1 << 31;
const GO_LINK: u32 = 1 << 27;
const GO_DEVICE: u32 = 1 << 26;
const GO_PIPE: u32 = 1 << 25;
const GO_CHARACTERS: u32 = 1 << 21;
const GO_SET_UID: u32 = 1 << 23;
const GO_SET_GID: u32 = 1 << 22;
const GO_STICKY: u32 = 1 << 20;

/// The folders that one build can be asked for.
pub(super) struct Folders {
    pub dockerfile: Arc<dyn ContextFiles>,
    pub context: Arc<dyn ContextFiles>,
    /// Those of named contexts, by the folders that they are asked by.
    pub named: BTreeMap<String, Arc<dyn ContextFiles>>,
    pub traffic: Arc<Traffic>,
}

/// A folder that holds nothing but `Dockerfile`.
pub(super) struct DockerfileOnly {
    list: UsedFiles,
    text: String,
}

impl DockerfileOnly {
    pub fn new(text: &str) -> Self {
        let hash = ContentHash::of(text.as_bytes());
        // No disk has seen this file; its seconds may come from the hash, too.
        let seconds = i64::from(u32::from_le_bytes([hash.0[4], hash.0[5], hash.0[6], hash.0[7]]) >> 2);
        let file = UsedFile {
            counts: true,
            path: "Dockerfile".into(),
            kind: FileKind::File,
            mode: 0o644,
            size_bytes: text.len() as u64,
            mtime_ns: seconds * 1_000_000_000,
            hash,
            target: String::new(),
        };
        Self { list: UsedFiles { files: vec![file] }, text: text.to_owned() }
    }
}

impl ContextFiles for DockerfileOnly {
    fn list(&self) -> &UsedFiles {
        &self.list
    }

    fn open(&self, _: &UsedFile) -> Result<Box<dyn std::io::Read + Send>, String> {
        Ok(Box::new(std::io::Cursor::new(self.text.clone().into_bytes())))
    }
}

type Packets = Pin<Box<dyn Stream<Item = Result<Packet, Status>> + Send>>;

#[tonic::async_trait]
impl FileSync for Folders {
    type DiffCopyStream = Packets;
    type TarStreamStream = Packets;

    async fn diff_copy(&self, request: Request<Streaming<Packet>>) -> Result<Response<Packets>, Status> {
        let asked = |key: &str| -> Vec<String> {
            let values = request.metadata().get_all(key);
            values.iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
        };
        let folder = asked("dir-name").pop().unwrap_or_default();
        let paths = asked("followpaths");
        let files: Arc<dyn ContextFiles> = match folder.as_str() {
            "dockerfile" => Arc::clone(&self.dockerfile),
            // 20.10 asks `context` for its .dockerignore first, under another
            // name in its own cache: the whole context would travel twice.
            "context" if only_ignore_file(&paths) => Arc::new(Nothing::default()),
            "context" => Arc::clone(&self.context),
            other => match self.named.get(other) {
                // Files that it hides are not offered: it need not travel itself.
                Some(_) if only_ignore_file(&paths) => Arc::new(Nothing::default()),
                Some(files) => Arc::clone(files),
                None => return Err(Status::not_found(format!("no folder `{other}` is offered"))),
            },
        };
        let (packets, outgoing) = mpsc::channel(QUEUE);
        let traffic = Arc::clone(&self.traffic);
        tokio::spawn(answer(files, request.into_inner(), packets, traffic));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<Packets>, Status> {
        Err(Status::unimplemented("imk speaks DiffCopy only"))
    }
}

/// An empty folder.
#[derive(Default)]
struct Nothing(UsedFiles);

impl ContextFiles for Nothing {
    fn list(&self) -> &UsedFiles {
        &self.0
    }

    fn open(&self, file: &UsedFile) -> Result<Box<dyn std::io::Read + Send>, String> {
        Err(format!("`{}` was never offered", file.path))
    }
}

fn only_ignore_file(paths: &[String]) -> bool {
    !paths.is_empty() && paths.iter().all(|path| path.ends_with(".dockerignore"))
}

type Outgoing = mpsc::Sender<Result<Packet, Status>>;

async fn answer(
    files: Arc<dyn ContextFiles>,
    mut incoming: Streaming<Packet>,
    packets: Outgoing,
    traffic: Arc<Traffic>,
) {
    let entries: Arc<[UsedFile]> = with_parents(files.list()).into();
    let announcing = tokio::spawn(announce(Arc::clone(&entries), packets.clone()));
    // Requests are numbers; however many wait, they cost little.
    let (wanted, requests) = mpsc::unbounded_channel();
    let (outgoing, sending_traffic) = (packets.clone(), Arc::clone(&traffic));
    // Files are read where blocking is allowed, one after the other.
    let sending = tokio::task::spawn_blocking(move || {
        send_wanted(&*files, &entries, requests, &outgoing, &sending_traffic);
    });
    let mut finished = false;
    while let Ok(Some(packet)) = incoming.message().await {
        match packet.r#type() {
            PacketType::PacketReq => {
                let _ = wanted.send(packet.id);
            }
            PacketType::PacketFin => {
                finished = true;
                break;
            }
            PacketType::PacketErr => {
                traffic.fail(EngineError::Refused {
                    what: "receiving the context".into(),
                    why: String::from_utf8_lossy(&packet.data).into_owned(),
                });
                break;
            }
            _ => {}
        }
    }
    drop(wanted);
    let _ = announcing.await;
    let _ = sending.await;
    if finished {
        let fin = Packet { r#type: PacketType::PacketFin as i32, ..Packet::default() };
        let _ = packets.send(Ok(fin)).await;
    }
}

async fn announce(entries: Arc<[UsedFile]>, packets: Outgoing) {
    for stat in entries.iter().map(|file| Some(stat(file))).chain([None]) {
        let packet = Packet { r#type: PacketType::PacketStat as i32, stat, ..Packet::default() };
        if packets.send(Ok(packet)).await.is_err() {
            return;
        }
    }
}

fn send_wanted(
    files: &dyn ContextFiles,
    entries: &[UsedFile],
    mut requests: mpsc::UnboundedReceiver<u32>,
    packets: &Outgoing,
    traffic: &Traffic,
) {
    while let Some(id) = requests.blocking_recv() {
        let Some(file) = entries.get(id as usize) else { continue };
        match send_file(files, file, id, packets, traffic) {
            Ok(true) => traffic.add_file(),
            Ok(false) => return,
            Err(error) => {
                // The engine gets no end-of-file, so it can never take the file for whole.
                let _ = packets.blocking_send(Err(Status::aborted(error.to_string())));
                traffic.fail(error);
                return;
            }
        }
    }
}

/// False when the engine no longer listens.
fn send_file(
    files: &dyn ContextFiles,
    file: &UsedFile,
    id: u32,
    packets: &Outgoing,
    traffic: &Traffic,
) -> Result<bool, EngineError> {
    if file.kind == FileKind::Special {
        // An engine that makes a file of it asks for its content, which is nothing.
        let end = Packet { r#type: PacketType::PacketData as i32, id, ..Packet::default() };
        return Ok(packets.blocking_send(Ok(end)).is_ok());
    }
    let mut reader = CheckedFile::open(files, file)?;
    loop {
        let mut data = vec![0; CHUNK.min(file.size_bytes as usize + 1)];
        let count = reader.next(&mut data)?;
        data.truncate(count);
        let packet = Packet { r#type: PacketType::PacketData as i32, id, data, ..Packet::default() };
        if packets.blocking_send(Ok(packet)).is_err() {
            return Ok(false);
        }
        if count == 0 {
            return Ok(true);
        }
        traffic.add_bytes(count);
    }
}

/// The stat of a file, as BuildKit is told it.
fn stat(file: &UsedFile) -> Stat {
    let mut mode = file.mode & 0o777;
    for (unix, go) in [(0o4000, GO_SET_UID), (0o2000, GO_SET_GID), (0o1000, GO_STICKY)] {
        if file.mode & unix != 0 {
            mode |= go;
        }
    }
    let (mut major, mut minor) = (0, 0);
    let (mode, size) = match file.kind {
        FileKind::Folder => (mode | GO_FOLDER, 0),
        FileKind::Link => (0o777 | GO_LINK, file.target.len() as i64),
        FileKind::File => (mode, file.size_bytes as i64),
        FileKind::Special => match file.special() {
            Some(Special::Device { character, major: driver, minor: number }) => {
                (major, minor) = (i64::from(driver), i64::from(number));
                (mode | GO_DEVICE | if character { GO_CHARACTERS } else { 0 }, 0)
            }
            Some(Special::Pipe) => (mode | GO_PIPE, 0),
            // As docker's own client (fsutil): no archive has a socket, and an empty file stands for it.
            Some(Special::Socket) | None => (mode, 0),
        },
    };
    Stat {
        path: file.path.clone(),
        mode,
        size,
        mod_time: announced_time(file),
        linkname: file.target.clone(),
        devmajor: major,
        devminor: minor,
        ..Stat::default()
    }
}

/// The file's own second, with nanoseconds that stand for its content.
///
/// BuildKit compares size, mode and time as rsync does and fetches a file only
/// when one of them differs: an edit that keeps the size and puts the time
/// back would give an image with the old bytes. What is announced has to
/// change whenever the content does.
fn announced_time(file: &UsedFile) -> i64 {
    let mut hasher = FieldHasher::new("imk announced time v1");
    let hash =
        hasher.field(file.hash.0).number(file.kind as u64).number(file.mode.into()).field(&file.target);
    let hash = hash.finish().0;
    let number = u64::from_le_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]]);
    let nanoseconds = (number % 1_000_000_000) as i64;
    file.mtime_ns.div_euclid(1_000_000_000).saturating_mul(1_000_000_000).saturating_add(nanoseconds)
}

/// Where the mode of a folder is not the most common one.
///
/// fsutil sets the new mode of a folder that it has already and forgets to tell
/// the cache of contents (`DiskWriter.HandleChange`): an image would get the
/// folder with its old mode. So no cache of sent files ever sees a folder change
/// its mode; ordinary folders may come and go without losing it.
pub(super) fn folder_modes(files: &UsedFiles) -> String {
    let folders = with_parents(files).into_iter().filter(|file| file.kind == FileKind::Folder);
    let mut by_mode: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for folder in folders {
        by_mode.entry(folder.mode).or_default().push(folder.path);
    }
    let Some((&most, _)) = by_mode.iter().max_by_key(|(mode, paths)| (paths.len(), **mode)) else {
        return String::new();
    };
    by_mode.remove(&most);
    format!("{most:o} {by_mode:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &[u8]) -> UsedFile {
        UsedFile {
            counts: true,
            path: path.into(),
            kind: FileKind::File,
            mode: 0o644,
            size_bytes: content.len() as u64,
            mtime_ns: 1_700_000_000_123_456_789,
            hash: ContentHash::of(content),
            target: String::new(),
        }
    }

    #[test]
    fn ordinary_folders_come_and_go_without_a_new_cache() {
        let folder = |path: &str, mode| UsedFile { kind: FileKind::Folder, mode, ..file(path, b"") };
        let modes = |files: &[UsedFile]| folder_modes(&UsedFiles { files: files.to_vec() });
        let two = modes(&[folder("a", 0o755), folder("b", 0o755)]);
        assert_eq!(two, modes(&[folder("a", 0o755), folder("c", 0o755), file("d/f", b"1")]));
        let odd = modes(&[folder("a", 0o755), folder("b", 0o700), folder("c", 0o755)]);
        assert_ne!(two, odd);
        assert_ne!(odd, modes(&[folder("a", 0o700), folder("b", 0o755), folder("c", 0o755)]));
        assert_ne!(two, modes(&[folder("a", 0o775), folder("b", 0o775)]));
        assert_eq!(modes(&[file("f", b"1")]), "");
    }

    #[test]
    fn the_announced_time_follows_the_content_and_keeps_the_second() {
        let (one, two) = (announced_time(&file("a", b"one")), announced_time(&file("a", b"two")));
        assert_ne!(one, two);
        assert_eq!(one / 1_000_000_000, 1_700_000_000);
        assert_eq!(two / 1_000_000_000, 1_700_000_000);
        assert_eq!(one, announced_time(&file("a", b"one")));
    }

    #[test]
    fn times_before_1970_keep_their_second() {
        let old = UsedFile { mtime_ns: -1, ..file("a", b"one") };
        assert_eq!(announced_time(&old).div_euclid(1_000_000_000), -1);
    }

    #[test]
    fn missing_folders_are_added_and_siblings_sorted_by_component() {
        let list = UsedFiles { files: vec![file("a.b", b""), file("a/z", b""), file("a-c/x/y", b"")] };
        let paths: Vec<_> = with_parents(&list).into_iter().map(|file| file.path).collect();
        assert_eq!(paths, ["a", "a/z", "a-c", "a-c/x", "a-c/x/y", "a.b"]);
    }

    #[test]
    fn modes_are_gos() {
        let folder = UsedFile { kind: FileKind::Folder, mode: 0o1777, ..file("d", b"") };
        assert_eq!(stat(&folder).mode, GO_FOLDER | GO_STICKY | 0o777);
        let link = UsedFile { kind: FileKind::Link, mode: 0, target: "to".into(), ..file("l", b"") };
        assert_eq!((stat(&link).mode, stat(&link).linkname.as_str()), (GO_LINK | 0o777, "to"));
        let program = UsedFile { mode: 0o4755, ..file("p", b"x") };
        assert_eq!(stat(&program).mode, GO_SET_UID | 0o755);
    }

    #[test]
    fn a_question_for_the_ignore_file_alone_is_recognised() {
        assert!(only_ignore_file(&[".dockerignore".into()]));
        assert!(!only_ignore_file(&[]));
        assert!(!only_ignore_file(&["src".into(), ".dockerignore".into()]));
    }
}
