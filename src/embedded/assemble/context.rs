//! The files that were sent with a build, as one tree.
//!
//! Names come from the list behind the key and nothing else; contents are checked on their way.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use crate::embedded::layer::index::{Entry, Index, Kind};
use crate::embedded::layer::view::{Origin, View};
use crate::embedded::trouble::{Result, refused};
use crate::engine::{CheckedFile, ContextFiles};
use crate::model::file::{FileKind, Special};
use crate::model::hash::ContentHash;

/// A context of a build.
pub struct Context {
    files: Arc<dyn ContextFiles>,
    index: Arc<Index>,
}

impl Context {
    /// The tree of what was sent.
    pub fn new(files: Arc<dyn ContextFiles>) -> Result<Self> {
        let list = files.list();
        // A folder that is there only for something in it is none that an instruction finds.
        let counting = list.files.iter().enumerate().filter(|(_, file)| file.counts);
        let entries = counting.map(|(at, file)| Entry {
            path: file.path.clone().into_bytes(),
            kind: match file.kind {
                FileKind::File => Kind::File { size: file.size_bytes, hash: file.hash, at: at as u64 },
                FileKind::Special => match file.special() {
                    Some(Special::Pipe) => Kind::Pipe,
                    Some(Special::Device { character, major, minor }) => {
                        Kind::Device { character, major, minor }
                    }
                    // BuildKit makes an empty file of a socket that its client sends.
                    Some(Special::Socket) | None => {
                        Kind::File { size: 0, hash: ContentHash::of(b""), at: at as u64 }
                    }
                },
                FileKind::Folder => Kind::FOLDER,
                FileKind::Link => Kind::Link(file.target.clone().into_bytes()),
            },
            mode: if file.kind == FileKind::Link { 0o777 } else { file.mode & 0o7777 },
            uid: 0,
            gid: 0,
            xattrs: BTreeMap::new(),
        });
        let index = Arc::new(Index::new(entries));
        Ok(Self { files, index })
    }

    /// As a tree to copy from.
    pub fn view(&self) -> View {
        View::new(vec![(Origin::Context, Arc::clone(&self.index))])
    }

    /// A file by its place in the list. It turns into an error when it is not the one in the key.
    pub fn open(&self, at: u64) -> Result<Box<dyn Read + '_>> {
        let list = &self.files.list().files;
        let file = usize::try_from(at).ok().and_then(|at| list.get(at));
        match file {
            Some(file) if file.kind == FileKind::Special => Ok(Box::new(std::io::empty())),
            Some(file) => Ok(Box::new(CheckedFile::open(&*self.files, file)?)),
            None => refused("reading a file of the context", "it is not in the list"),
        }
    }
}
