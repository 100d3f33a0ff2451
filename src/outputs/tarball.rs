//! The files of an image as one archive, in the order of their paths: the same tree gives the same bytes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::tree::{Kind, Node, Tree};

/// Writes a tree.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write(tree: &Tree, into: &mut dyn Write) -> io::Result<()> {
    let mut archive = Builder::new(into);
    let mut first: BTreeMap<(usize, u64), &[u8]> = BTreeMap::new();
    for (path, node) in tree {
        let name = Path::new(OsStr::from_bytes(path));
        let attributes: Vec<(String, &[u8])> = node
            .attributes
            .iter()
            .map(|(key, value)| (format!("SCHILY.xattr.{key}"), value.as_slice()))
            .collect();
        archive.append_pax_extensions(attributes.iter().map(|(key, value)| (key.as_str(), *value)))?;
        let mut header = header(node);
        match &node.kind {
            Kind::File(content) => match first.get(&content.number) {
                Some(first) => {
                    header.set_entry_type(EntryType::Link);
                    header.set_size(0);
                    archive.append_link(&mut header, name, Path::new(OsStr::from_bytes(first)))?;
                }
                None => {
                    first.insert(content.number, path);
                    archive.append_data(&mut header, name, content.part.read())?;
                }
            },
            Kind::Folder => {
                let name = [path.as_slice(), b"/"].concat();
                archive.append_data(&mut header, Path::new(OsStr::from_bytes(&name)), io::empty())?;
            }
            Kind::Link(target) => {
                archive.append_link(&mut header, name, Path::new(OsStr::from_bytes(target)))?;
            }
            Kind::Device { .. } | Kind::Pipe => archive.append_data(&mut header, name, io::empty())?,
        }
    }
    archive.into_inner()?.flush()
}

fn header(node: &Node) -> Header {
    let mut header = Header::new_gnu();
    let (kind, size) = match &node.kind {
        Kind::File(content) => (EntryType::Regular, content.part.size),
        Kind::Folder => (EntryType::Directory, 0),
        Kind::Link(_) => (EntryType::Symlink, 0),
        Kind::Device { character: true, .. } => (EntryType::Char, 0),
        Kind::Device { .. } => (EntryType::Block, 0),
        Kind::Pipe => (EntryType::Fifo, 0),
    };
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(node.mode);
    header.set_uid(node.uid);
    header.set_gid(node.gid);
    header.set_mtime(node.mtime);
    if let Kind::Device { major, minor, .. } = node.kind {
        // A number that does not fit stays zero, as tar has it.
        let _ = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
    }
    header
}
