//! Layers, whiteouts and archives as a stranger makes them: see `crate::fuzz`.
//!
//! Bytes become an archive whose headers are sound, since few others get past the first sum. A line an entry:
//! `KIND MODE PATH[>TARGET][=CONTENT]`; what begins with `raw` is an archive as it is, with its sums made right.

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use tar::{EntryType, Header};

use super::assemble::archive;
use super::assemble::copy::{Rules, Target};
use super::assemble::patch::Patch;
use super::layer::index::{Entry, Index, Kind, parents};
use super::layer::scan;
use super::layer::view::{Origin, View};
use super::layer::writer::{LayerWriter, TIME};
use super::store::Store;

/// tar counts in blocks of so many bytes.
const BLOCK: usize = 512;
/// Plain bytes of a layer here.
const MOST: u64 = 1 << 20;

/// Headers of a layer lie within the root, and are the same when they are written and read again.
pub(crate) fn layer(bytes: &[u8]) {
    let archive = archive_of(bytes);
    let Ok(index) = scan::scan(&mut archive.as_slice(), MOST) else { return };
    sound(&index);
    assert_eq!(Index::from_bytes(&index.to_bytes()).as_ref(), Some(&index), "it is kept as it is");
    let mut layer = LayerWriter::new(store(), TIME).expect("a layer can be begun");
    let mut wanted = Vec::new();
    for entry in index.entries() {
        let mut entry = entry.clone();
        let content: &[u8] = match &entry.kind {
            Kind::File { size, at, .. } => &archive[*at as usize..(*at + *size) as usize],
            _ => b"",
        };
        if let Kind::Folder { implied, .. } = &mut entry.kind {
            *implied = false;
        }
        layer.add(entry.clone(), &mut &*content).expect("what was read can be written");
        wanted.push(entry);
    }
    let written = layer.keep(store()).expect("a layer can be kept");
    let mut again = store().open(&written.diff_id).expect("it was kept");
    let again = scan::scan(&mut again, u64::MAX).expect("what was written can be read");
    let entries: Vec<Entry> = again.entries().iter().map(placeless).collect();
    assert_eq!(entries, wanted.iter().map(placeless).collect::<Vec<_>>());
}

/// A tree of several layers (`---` between them) is the same entry by entry and as a whole, and no link leads out.
pub(crate) fn whiteouts(bytes: &[u8]) {
    let mut layers = Vec::new();
    for part in bytes.split(|byte| *byte == b'~').take(5) {
        let Ok(index) = scan::scan(&mut archive_of(part).as_slice(), MOST) else { continue };
        layers.push((Origin::Layer(layers.len().to_string()), Arc::new(index)));
    }
    let names: Vec<Vec<u8>> =
        layers.iter().flat_map(|(_, index)| index.entries().iter().map(|it| it.path.clone())).collect();
    let view = View::new(layers);
    let all = view.below(b"");
    for path in names.iter().filter(|path| !path.is_empty()) {
        let alone = view.get(path).map(|(_, entry)| entry.into_owned());
        let shown = String::from_utf8_lossy(path);
        match (all.get(path), alone) {
            (None, None) => {}
            (Some((_, whole)), Some(alone)) => {
                // Of folders that layers only imply, either may stand for all; a view's folders hide nothing more.
                let kind = |entry: &Entry| if entry.is_folder() { Kind::FOLDER } else { entry.kind.clone() };
                assert_eq!((kind(whole), whole.mode), (kind(&alone), alone.mode), "{shown}");
                for folder in parents(path) {
                    assert!(
                        all.get(folder)
                            .is_some_and(|(_, it)| it.is_folder() || matches!(it.kind, Kind::Link(_))),
                        "`{shown}` lies in nothing"
                    );
                }
            }
            (whole, alone) => panic!("`{shown}` is {whole:?} and {alone:?}"),
        }
        if let Ok(end) = view.resolve(path) {
            within(&end);
        }
        if let Some((layer, entry)) = view.get(path)
            && let Some((_, file)) = view.file(layer, &entry)
        {
            assert!(!matches!(file.kind, Kind::Hard(_) | Kind::Gone), "`{shown}` leads to no file");
        }
    }
}

/// An archive that `ADD` unpacks stays within the image, whatever links there are.
pub(crate) fn archive(bytes: &[u8]) {
    let (below, bytes) = match bytes.iter().position(|byte| *byte == b'~') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&b""[..], bytes),
    };
    let below = scan::scan(&mut archive_of(below).as_slice(), MOST).unwrap_or_default();
    let view = View::new(vec![(Origin::Context, Arc::new(below))]);
    let mut spot = tempfile::NamedTempFile::new().expect("there is a place for temporary files");
    spot.write_all(&archive_of(bytes)).expect("a file can be written");
    let mut patch = Patch::over(&view);
    let to = Target { path: b"srv".to_vec(), folder: true };
    if archive::unpack(&mut patch, &spot.into_temp_path(), &to, &Rules::default()).is_ok() {
        sound(&Index::new(patch.entries().cloned()));
    }
}

/// An entry without its place in the archive, which another archive may have elsewhere.
fn placeless(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    if let Kind::File { at, .. } = &mut entry.kind {
        *at = 0;
    }
    entry
}

fn sound(index: &Index) {
    let mut before: Option<&[u8]> = None;
    for entry in index.entries() {
        assert!(before.is_none_or(|before| before < entry.path.as_slice()), "entries are sorted");
        before = Some(&entry.path);
        within(&entry.path);
        if let Kind::Hard(target) = &entry.kind {
            within(target);
        }
        for folder in parents(&entry.path) {
            assert!(index.get(folder).is_some(), "folders on the way are there");
        }
        assert!(entry.mode <= 0o7777);
    }
}

fn within(path: &[u8]) {
    let odd = |part: &[u8]| matches!(part, b"" | b"." | b"..") || part.contains(&0);
    let shown = String::from_utf8_lossy(path);
    assert!(path.is_empty() || !path.split(|byte| *byte == b'/').any(odd), "`{shown}` leads out");
}

fn store() -> &'static Store {
    static STORE: OnceLock<(tempfile::TempDir, Store)> = OnceLock::new();
    let (_, store) = STORE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let store = Store::at(Path::new(folder.path()).join("store"));
        (folder, store)
    });
    store
}

fn archive_of(bytes: &[u8]) -> Vec<u8> {
    if let Some(raw) = bytes.strip_prefix(b"raw") {
        return summed(raw.to_vec());
    }
    let mut builder = tar::Builder::new(Vec::new());
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(200) {
        if entry(&mut builder, line).is_err() {
            break;
        }
    }
    builder.into_inner().unwrap_or_default()
}

fn entry(builder: &mut tar::Builder<Vec<u8>>, line: &[u8]) -> io::Result<()> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (kind, mode) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rest = words.next().unwrap_or_default();
    let split = |text: &[u8], by: u8| match text.iter().position(|byte| *byte == by) {
        Some(at) => (text[..at].to_vec(), Some(text[at + 1..].to_vec())),
        None => (text.to_vec(), None),
    };
    let (rest, content) = split(rest, b'=');
    let (path, target) = split(&rest, b'>');
    let (content, target) = (content.unwrap_or_default(), target.unwrap_or_default());
    let kind = match kind.first() {
        Some(b'd') => EntryType::Directory,
        Some(b'l') => EntryType::Symlink,
        Some(b'h') => EntryType::Link,
        Some(b'c') => EntryType::Char,
        Some(b'b') => EntryType::Block,
        Some(b'p') => EntryType::Fifo,
        Some(b'x') => EntryType::XHeader,
        Some(b'g') => EntryType::XGlobalHeader,
        Some(b's') => EntryType::GNUSparse,
        Some(b'n') => EntryType::GNULongName,
        _ => EntryType::Regular,
    };
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    let mode = std::str::from_utf8(mode).ok().and_then(|mode| u32::from_str_radix(mode, 8).ok());
    header.set_mode(mode.unwrap_or(0o644));
    header.set_uid(u64::from(mode.unwrap_or_default()));
    header.set_gid(0);
    header.set_size(content.len() as u64);
    if let Some(gnu) = header.as_gnu_mut() {
        for (field, text) in [(&mut gnu.name, &path), (&mut gnu.linkname, &target)] {
            let length = text.len().min(field.len());
            field[..length].copy_from_slice(&text[..length]);
        }
    }
    header.set_cksum();
    builder.append(&header, content.as_slice())
}

/// An archive of which every block that stands where a header would has the right sum.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..at + BLOCK) {
        let mut header = Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(block);
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        header.set_cksum();
        block.copy_from_slice(header.as_bytes());
        let size = header.entry_size().unwrap_or_default().min(bytes.len() as u64) as usize;
        at += BLOCK + size.div_ceil(BLOCK) * BLOCK;
    }
    bytes
}
