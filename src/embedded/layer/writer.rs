//! A layer as it is written: a tar of which every byte is decided here.
//!
//! Entries come sorted, folders before what they hold. Owners have numbers and no names, times are
//! whole seconds and one for all, and PAX records stand only where a header is too small. The index of
//! the layer is made on the way.

use std::io::{self, Read, Write};

use tar::{EntryType, Header};

use super::index::{Entry, Index, Kind};
use crate::embedded::store::{Draft, Store};
use crate::embedded::trouble::{During, Result};
use crate::model::hash::ContentHash;

/// Seconds since 1970 that files bear when nobody says otherwise: the second of January 1980, which
/// a zip file can hold in every time zone.
pub const TIME: u64 = 315_619_200;

/// The largest number that seven octal digits hold: owners and device numbers.
const SEVEN: u64 = 0o7_777_777;
/// The largest number that eleven octal digits hold: sizes and times.
const ELEVEN: u64 = 0o77_777_777_777;
/// Bytes of a name that a header holds.
const NAME: usize = 100;
/// tar counts in blocks of so many bytes.
const BLOCK: u64 = 512;
/// Bytes of a file that are read at once.
const PIECE: usize = 64 << 10;

/// A layer in the making.
pub struct LayerWriter<'s> {
    draft: io::BufWriter<Draft<'s>>,
    at: u64,
    time: u64,
    entries: Vec<Entry>,
    /// Bytes of a file that were read at once.
    buffer: Vec<u8>,
}

/// A layer that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The digest of the uncompressed layer.
    pub diff_id: String,
    /// Bytes of the uncompressed layer.
    pub size: u64,
}

impl<'s> LayerWriter<'s> {
    /// A layer whose files bear this time, in seconds since 1970.
    pub fn new(store: &'s Store, time: u64) -> Result<Self> {
        let draft = io::BufWriter::with_capacity(256 << 10, store.draft()?);
        Ok(Self { draft, at: 0, time, entries: Vec::new(), buffer: vec![0; PIECE] })
    }

    /// Adds an entry. `content` is read for files only, to its end, and must have as many bytes as the entry says.
    pub fn add(&mut self, mut entry: Entry, content: &mut dyn Read) -> Result<()> {
        let what = || format!("writing `/{}` into a layer", String::from_utf8_lossy(&entry.path));
        let is_mark = |part: &[u8]| part.starts_with(b".wh.");
        if entry.kind != Kind::Gone && entry.path.split(|byte| *byte == b'/').any(is_mark) {
            let why =
                "a name that begins with `.wh.` says in a layer that a file is gone, so no image can hold it";
            return Err(crate::embedded::trouble::refusal(what(), why));
        }
        if let Kind::File { size, .. } = entry.kind {
            let (hash, at) = self.file(&entry, size, content).during(what)?;
            entry.kind = Kind::File { size, hash, at };
        } else {
            self.head(&entry, 0).during(what)?;
        }
        if let Kind::Folder { opaque: true, .. } = entry.kind {
            // Its name is `.wh..wh..opq`: a whiteout of what begins like one.
            let path = super::index::join(&entry.path, b".wh..opq");
            let mark = Entry { kind: Kind::Gone, ..Entry::folder(&path, 0) };
            self.head(&mark, 0).during(what)?;
        }
        self.entries.push(entry);
        Ok(())
    }

    fn file(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> io::Result<(ContentHash, u64)> {
        self.head(entry, size)?;
        let at = self.at;
        let (mut hasher, mut count) = (blake3::Hasher::new(), 0);
        loop {
            let read = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            count += read as u64;
            if count > size {
                break;
            }
            hasher.update(&self.buffer[..read]);
            self.draft.write_all(&self.buffer[..read])?;
            self.at += read as u64;
        }
        if count != size {
            return Err(io::Error::other(format!("it has {count} bytes or more, and {size} were announced")));
        }
        self.pad()?;
        Ok((ContentHash(*hasher.finalize().as_bytes()), at))
    }

    fn head(&mut self, entry: &Entry, size: u64) -> io::Result<()> {
        let mut pax = Records::default();
        let header = header(entry, size, self.time, &mut pax)?;
        if !pax.0.is_empty() {
            let mut extension = Header::new_ustar();
            extension.set_entry_type(EntryType::XHeader);
            set_name(&mut extension, b"PaxHeaders/entry");
            extension.set_mode(0o644);
            extension.set_uid(0);
            extension.set_gid(0);
            extension.set_mtime(0);
            extension.set_size(pax.0.len() as u64);
            extension.set_cksum();
            self.write(extension.as_bytes())?;
            self.write(&pax.0)?;
            self.pad()?;
        }
        self.write(header.as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.draft.write_all(bytes)
    }

    fn pad(&mut self) -> io::Result<()> {
        let odd = self.at % BLOCK;
        if odd == 0 { Ok(()) } else { self.write(&[0; BLOCK as usize][..(BLOCK - odd) as usize]) }
    }

    /// Ends the layer and gives it its place in the store, with its index.
    pub fn keep(mut self, store: &Store) -> Result<Written> {
        let what = || "ending a layer".to_owned();
        self.write(&[0; 2 * BLOCK as usize]).during(what)?;
        let draft = self.draft.into_inner().map_err(io::IntoInnerError::into_error).during(what)?;
        let (diff_id, size) = draft.keep()?;
        super::scan::keep_index(store, &diff_id, &Index::new(self.entries))?;
        Ok(Written { diff_id, size })
    }
}

/// Records for all that a header has no room for.
#[derive(Default)]
struct Records(Vec<u8>);

impl Records {
    /// `LENGTH KEY=VALUE\n`, where the length counts itself.
    fn add(&mut self, key: &str, value: &[u8]) {
        let bare = key.len() + value.len() + 3;
        let mut length = bare + bare.to_string().len();
        if bare + length.to_string().len() != length {
            length = bare + length.to_string().len();
        }
        self.0.extend_from_slice(format!("{length} {key}=").as_bytes());
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }
}

fn header(entry: &Entry, size: u64, time: u64, pax: &mut Records) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    let mut path = entry.path.clone();
    let mut target: &[u8] = b"";
    let (mut major, mut minor) = (0, 0);
    header.set_entry_type(match &entry.kind {
        Kind::File { .. } => EntryType::Regular,
        Kind::Folder { .. } => {
            path.push(b'/');
            EntryType::Directory
        }
        Kind::Link(to) => {
            target = to;
            EntryType::Symlink
        }
        Kind::Hard(to) => {
            target = to;
            EntryType::Link
        }
        Kind::Device { character, major: driver, minor: number } => {
            (major, minor) = (*driver, *number);
            if *character { EntryType::Char } else { EntryType::Block }
        }
        Kind::Pipe => EntryType::Fifo,
        Kind::Gone => {
            path = super::index::join(
                super::index::parent(&path),
                &[b".wh.", super::index::name(&path)].concat(),
            );
            EntryType::Regular
        }
    });
    header.set_mode(entry.mode & 0o7777);
    let mut number = |key: &str, value: u64, most: u64| {
        if value > most {
            pax.add(key, value.to_string().as_bytes());
        }
        if value > most { 0 } else { value }
    };
    let uid = number("uid", u64::from(entry.uid), SEVEN);
    let gid = number("gid", u64::from(entry.gid), SEVEN);
    let shown = number("size", size, ELEVEN);
    header.set_uid(uid);
    header.set_gid(gid);
    header.set_size(shown);
    header.set_mtime(time);
    header.set_device_major(major)?;
    header.set_device_minor(minor)?;
    if path.len() > NAME || !path.is_ascii() {
        pax.add("path", &path);
    }
    if target.len() > NAME || !target.is_ascii() {
        pax.add("linkpath", target);
    }
    set_name(&mut header, &path);
    if let Some(ustar) = header.as_ustar_mut() {
        let length = target.len().min(NAME);
        ustar.linkname[..length].copy_from_slice(&target[..length]);
    }
    for (name, value) in &entry.xattrs {
        pax.add(&format!("SCHILY.xattr.{name}"), value);
    }
    header.set_cksum();
    Ok(header)
}

fn set_name(header: &mut Header, path: &[u8]) {
    if let Some(ustar) = header.as_ustar_mut() {
        let length = path.len().min(NAME);
        ustar.name[..length].copy_from_slice(&path[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn file(path: &[u8], size: usize) -> Entry {
        let kind = Kind::File { size: size as u64, hash: ContentHash::default(), at: 0 };
        Entry { kind, ..Entry::folder(path, 0o4755) }
    }

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_owned());
        (folder, store)
    }

    #[test]
    fn what_is_written_is_read_back_the_same() {
        let (_folder, store) = store();
        let long = [b"d/".to_vec(), vec![b'n'; 250]].concat();
        let odd = b"d/\xff\xfe name".to_vec();
        let mut owned = file(&long, 3);
        (owned.uid, owned.gid) = (3_000_000, 4_294_967_294);
        owned.xattrs = BTreeMap::from([("security.capability".to_owned(), vec![1, 0, 0, 2, b'\n', 0xff])]);
        let hard = Entry { kind: Kind::Hard(long.clone()), ..Entry::folder(b"e", 0o644) };
        let link = Entry { kind: Kind::Link(b"\xff/x".to_vec()), ..Entry::folder(b"f", 0o777) };
        let device = Kind::Device { character: true, major: 1, minor: 3 };
        let device = Entry { kind: device, ..Entry::folder(b"null", 0o666) };
        let gone = Entry { kind: Kind::Gone, ..Entry::folder(b"old/x", 0) };
        let mut layer = LayerWriter::new(&store, TIME).unwrap();
        layer.add(Entry::folder(b"d", 0o1777), &mut io::empty()).unwrap();
        layer.add(owned.clone(), &mut &b"abc"[..]).unwrap();
        layer.add(file(&odd, 0), &mut io::empty()).unwrap();
        for entry in [hard, link, device, gone] {
            layer.add(entry, &mut io::empty()).unwrap();
        }
        let written = layer.keep(&store).unwrap();
        let known = super::super::scan::kept_index(&store, &written.diff_id).unwrap();
        let read = super::super::scan::scan(&mut store.open(&written.diff_id).unwrap(), u64::MAX).unwrap();
        assert_eq!(read, known);
        let back = read.get(&long).unwrap();
        assert_eq!((back.uid, back.gid, back.mode), (3_000_000, 4_294_967_294, 0o4755));
        assert_eq!(back.xattrs, owned.xattrs);
        assert_eq!(read.get(b"old/x").unwrap().kind, Kind::Gone);
    }

    #[test]
    fn a_file_that_would_be_taken_for_a_whiteout_is_refused() {
        let (_folder, store) = store();
        let mut layer = LayerWriter::new(&store, TIME).unwrap();
        for path in [b".wh.a".as_slice(), b"a/.wh..wh..opq", b".wh.d/x"] {
            assert!(layer.add(file(path, 0), &mut io::empty()).is_err());
        }
    }

    #[test]
    fn a_file_of_nine_gigabytes_and_one_of_a_long_name_have_records() {
        for (path, size) in
            [(b"large".to_vec(), 9_u64 << 30), ([b"d/".to_vec(), vec![b'x'; 255]].concat(), 0)]
        {
            let mut pax = Records::default();
            let entry =
                Entry { kind: Kind::File { size, hash: ContentHash::default(), at: 0 }, ..file(&path, 0) };
            let header = header(&entry, size, TIME, &mut pax).unwrap();
            let mut extension = Header::new_ustar();
            extension.set_entry_type(EntryType::XHeader);
            extension.set_size(pax.0.len() as u64);
            extension.set_cksum();
            let mut bytes = [extension.as_bytes().as_slice(), &pax.0].concat();
            bytes.resize(bytes.len().next_multiple_of(512), 0);
            bytes.extend_from_slice(header.as_bytes());
            let head = super::super::tarball::Tarball::new(bytes.as_slice()).next().unwrap().unwrap();
            assert_eq!((head.path, head.size), (path, size));
        }
    }

    #[test]
    fn the_same_files_give_the_same_bytes_and_a_changed_size_is_noticed() {
        let (_folder, store) = store();
        let write = |content: &[u8], size: usize| {
            let mut layer = LayerWriter::new(&store, TIME).unwrap();
            layer.add(file(b"a", size), &mut &content[..])?;
            layer.keep(&store)
        };
        assert_eq!(write(b"abc", 3), write(b"abc", 3));
        assert!(write(b"ab", 3).is_err());
        assert!(write(b"abcd", 3).is_err());
    }
}
