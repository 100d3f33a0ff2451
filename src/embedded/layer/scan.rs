//! Reading a layer's headers into its index.
//!
//! A layer may come from anybody: names that lead out of the root, more entries than any image has,
//! and files larger than announced are refused by name. Nothing is written to the disk but the index.

use std::io::{self, Read};
use std::sync::Arc;

use tar::EntryType;

use super::index::{Entry, Index, IndexBuilder, Kind, join, name, parent};
use super::tarball::{self, Head, Tarball};
use crate::embedded::store::{NoteKind, Store};
use crate::embedded::trouble::Result;
use crate::model::hash::ContentHash;

/// More entries than this has no layer that anybody needs.
const MOST_ENTRIES: usize = 4_000_000;
/// No layer has longer names in all: each may name two thousand folders on its way.
const MOST_NAMES: usize = 512 << 20;
/// No path is longer; the kernel takes no longer ones.
const LONGEST_PATH: usize = 4096;
/// Attributes that layers keep: what a file may do when it is run. Engines keep no others.
const KEPT: &str = "security.capability";
const MARK: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Keeps the index of a layer.
pub fn keep_index(store: &Store, diff_id: &str, index: &Index) -> Result<()> {
    store.place_bytes(NoteKind::Index, diff_id, &index.to_bytes())
}

/// The index of a layer, if it was ever made.
pub fn kept_index(store: &Store, diff_id: &str) -> Option<Index> {
    Index::from_bytes(&store.placed_bytes(NoteKind::Index, diff_id)?)
}

/// A kept index, shared.
pub fn shared(store: &Store, diff_id: &str) -> Option<Arc<Index>> {
    kept_index(store, diff_id).map(Arc::new)
}

/// Reads a layer to its end; `most` is how many bytes it may hold.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn scan(layer: &mut dyn Read, most: u64) -> std::result::Result<Index, String> {
    let mut tarball = Tarball::new(Limited { inner: layer, left: most });
    let (mut index, mut count) = (IndexBuilder::default(), 0);
    while let Some(head) = tarball.next().map_err(wrong)? {
        let Some(entry) = entry(&head, &mut tarball)? else { continue };
        if let Some(file) = index.in_the_way(&entry.path) {
            let shown = |path| String::from_utf8_lossy(path).into_owned();
            return Err(format!("`{}` lies in `{}`, which is no folder", shown(&entry.path), shown(file)));
        }
        index.add(entry);
        count += 1;
        if count > MOST_ENTRIES {
            return Err(format!("it has more than {MOST_ENTRIES} entries"));
        }
        if index.weight() > MOST_NAMES {
            return Err(format!("its names take more than {} MiB", MOST_NAMES >> 20));
        }
    }
    // The digest is one of all bytes, those behind the end included.
    io::copy(&mut tarball.into_inner(), &mut io::sink()).map_err(wrong)?;
    Ok(index.finish())
}

fn wrong(error: io::Error) -> String {
    format!("it is no layer: {error}")
}

/// One entry, whose content is read for its hash; none for what means nothing in a layer.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn entry(head: &Head, content: &mut dyn Read) -> std::result::Result<Option<Entry>, String> {
    let path = clean(&head.path)?;
    // Old unions kept notes in such folders; a folder that is written again would be a whiteout.
    if super::index::parents(&path).any(|folder| name(folder).starts_with(MARK)) {
        return Ok(None);
    }
    if name(&path).starts_with(MARK) {
        return Ok(mark(&path));
    }
    let header = &head.header;
    let old = header.as_old();
    let owner = |key: &str, field: &[u8], own: io::Result<u64>| -> std::result::Result<u32, String> {
        let value = match tarball::number(&head.records, key).map_err(wrong)? {
            Some(value) => value,
            None => tarball::filled(field, own).map_err(wrong)?,
        };
        u32::try_from(value).map_err(|_| format!("`{value}` is no {key}"))
    };
    let (uid, gid) = (owner("uid", &old.uid, header.uid())?, owner("gid", &old.gid, header.gid())?);
    let mode = tarball::filled(&old.mode, header.mode().map(u64::from)).map_err(wrong)?;
    let mode = (mode & 0o7777) as u32;
    let attribute = head.records.get(&format!("SCHILY.xattr.{KEPT}"));
    let xattrs = attribute.map(|value| (KEPT.to_owned(), value.clone())).into_iter().collect();
    let device = |character| -> std::result::Result<Kind, String> {
        let number = |it: io::Result<Option<u32>>| it.map_err(wrong).map(Option::unwrap_or_default);
        let (major, minor) = (number(header.device_major())?, number(header.device_minor())?);
        Ok(Kind::Device { character, major, minor })
    };
    let kind = match header.entry_type() {
        EntryType::Directory => Kind::FOLDER,
        EntryType::Symlink => Kind::Link(head.target.clone()),
        EntryType::Link => Kind::Hard(clean(&head.target)?),
        EntryType::Char => device(true)?,
        EntryType::Block => device(false)?,
        EntryType::Fifo => Kind::Pipe,
        EntryType::Regular | EntryType::Continuous
            if head.records.keys().all(|key| !key.starts_with("GNU.sparse")) =>
        {
            // Old archives mark a folder by the end of its name.
            if head.path.ends_with(b"/") {
                Kind::FOLDER
            } else {
                let hash = hash(content, head.size).map_err(wrong)?;
                Kind::File { size: head.size, hash, at: head.at }
            }
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let shown = String::from_utf8_lossy(&path).into_owned();
            return Err(format!("`{shown}` is kept with holes (tar -S), which layers are not"));
        }
        // Notes for the whole archive, and kinds that no engine unpacks.
        _ => return Ok(None),
    };
    // Whatever else stood there would hide all that other layers have.
    if path.is_empty() && kind != Kind::FOLDER {
        return Err("its root is no folder".to_owned());
    }
    Ok(Some(Entry { path, kind, mode, uid, gid, xattrs }))
}

/// The meaning of a name that begins with `.wh.` (OCI image specification, "Representing Changes").
fn mark(path: &[u8]) -> Option<Entry> {
    let folder = parent(path);
    if name(path) == OPAQUE {
        let kind = Kind::Folder { opaque: true, implied: true };
        return Some(Entry { kind, ..Entry::folder(folder, 0o755) });
    }
    let rest = &name(path)[MARK.len()..];
    // `.wh..wh.…` are notes of old unions and name nothing.
    if rest.is_empty() || rest.starts_with(MARK) || rest == b"." || rest == b".." {
        return None;
    }
    Some(Entry { kind: Kind::Gone, mode: 0, ..Entry::folder(&join(folder, rest), 0) })
}

fn hash(content: &mut dyn Read, size: u64) -> io::Result<ContentHash> {
    let (mut hasher, mut left, mut buffer) = (blake3::Hasher::new(), size, vec![0; 64 << 10]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match content.read(&mut buffer[..most])? {
            0 => return Err(io::Error::other("a file ends before its announced size")),
            read => {
                hasher.update(&buffer[..read]);
                left -= read as u64;
            }
        }
    }
    Ok(ContentHash(*hasher.finalize().as_bytes()))
}

/// A path below the root, without dots.
///
/// # Errors
/// When it leads out of the root.
pub fn clean(path: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let shown = || String::from_utf8_lossy(path).chars().take(200).collect::<String>();
    if path.len() > LONGEST_PATH || path.contains(&0) {
        return Err(format!("`{}…` is no path", shown()));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if parts.pop().is_none() {
                    return Err(format!("`{}` leads out of the root", shown()));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join(&b'/'))
}

/// A reader that ends with an error when it gives more than it may: a small archive can hold a very large one.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::other("it holds more bytes than any layer may, or than it was said to hold")
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            let gnu = header.as_gnu_mut().unwrap();
            gnu.name[..path.len()].copy_from_slice(path.as_bytes());
            let body = if *kind == EntryType::Regular { text.as_bytes() } else { b"" };
            if *kind != EntryType::Regular {
                gnu.linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_size(body.len() as u64);
            header.set_cksum();
            builder.append(&header, body).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn scanned(entries: &[(&str, EntryType, &str)]) -> std::result::Result<Index, String> {
        scan(&mut archive(entries).as_slice(), 1 << 20)
    }

    #[test]
    fn names_that_lead_out_are_refused_and_absolute_ones_are_below_the_root() {
        for path in ["../x", "a/../../x", "/.."] {
            assert!(scanned(&[(path, EntryType::Regular, "")]).unwrap_err().contains("leads out"), "{path}");
        }
        assert!(scanned(&[("a", EntryType::Link, "../../etc/shadow")]).is_err());
        let index = scanned(&[("/etc//./x", EntryType::Regular, "1")]).unwrap();
        assert!(index.get(b"etc/x").is_some());
    }

    #[test]
    fn a_root_that_is_no_folder_is_refused() {
        for kind in [EntryType::Regular, EntryType::Symlink, EntryType::Link, EntryType::Fifo] {
            for path in [".", "./.", "a/.."] {
                assert_eq!(scanned(&[(path, kind, "b")]).unwrap_err(), "its root is no folder", "{path}");
            }
        }
        assert!(scanned(&[("./", EntryType::Directory, ""), ("a/./", EntryType::Regular, "")]).is_ok());
    }

    #[test]
    fn a_file_in_the_place_of_a_folder_leaves_nothing_in_it_and_takes_nothing() {
        let (file, folder) = (EntryType::Regular, EntryType::Directory);
        let index =
            scanned(&[("d", folder, ""), ("d/e/f", file, ""), ("d.x", file, ""), ("d", file, "")]).unwrap();
        let paths: Vec<_> = index.entries().iter().map(|it| it.path.as_slice()).collect();
        assert_eq!(paths, [b"d".as_slice(), b"d.x"]);
        let error = scanned(&[("d", file, ""), ("d/e/f", file, "")]).unwrap_err();
        assert_eq!(error, "`d/e/f` lies in `d`, which is no folder");
        assert!(scanned(&[("d", EntryType::Symlink, "e"), ("d/f", file, "")]).is_ok());
    }

    #[test]
    fn whiteouts_are_read_and_old_notes_are_not() {
        let index = scanned(&[
            ("a/.wh.b", EntryType::Regular, ""),
            ("c/.wh..wh..opq", EntryType::Regular, ""),
            (".wh..wh.plnk", EntryType::Directory, ""),
            ("e/.wh.f/g", EntryType::Regular, ""),
            ("d/.wh.", EntryType::Regular, ""),
            ("d/.wh...", EntryType::Regular, ""),
        ])
        .unwrap();
        let paths: Vec<_> = index.entries().iter().map(|it| (it.path.as_slice(), it.kind.clone())).collect();
        let implied = |opaque| Kind::Folder { opaque, implied: true };
        assert_eq!(paths, [(b"a".as_slice(), implied(false)), (b"a/b", Kind::Gone), (b"c", implied(true)),]);
    }

    #[test]
    fn a_small_archive_cannot_ask_for_all_memory_by_its_names() {
        // Each of these lies in two thousand folders of its own.
        let mut builder = tar::Builder::new(Vec::new());
        for number in 0..600 {
            let mut header = tar::Header::new_gnu();
            header.set_size(0);
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            let path = format!("{number}/{}", "a/".repeat(2000));
            builder.append_data(&mut header, format!("{path}x"), io::empty()).unwrap();
        }
        let archive = builder.into_inner().unwrap();
        assert!(archive.len() < 5 << 20);
        let error = scan(&mut archive.as_slice(), u64::MAX).unwrap_err();
        assert!(error.contains("its names take more"), "{error}");
    }

    #[test]
    fn a_layer_that_is_cut_off_or_too_large_is_an_error() {
        let whole = archive(&[("a", EntryType::Regular, &"x".repeat(2000))]);
        assert!(scan(&mut &whole[..1000], 1 << 20).is_err());
        assert!(scan(&mut whole.as_slice(), 1000).is_err());
        assert!(
            scan(&mut &b"no archive at all, but long enough to be one block of it"[..], 1 << 20).is_err()
        );
    }
}
