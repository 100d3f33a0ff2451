//! The attributes that a commit gives its files, as `gitattributes(5)` has them.
//!
//! A checkout of a commit goes by the `.gitattributes` of that commit; those of the work tree are another commit's, or
//! nobody's yet. libgit2 reads attributes from an index, so one in memory is given what a path needs, and a work tree in
//! which there is nothing. The repository's own `info/attributes` and the user's settings count as ever. Knows no
//! content.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use git2::{AttrCheckFlags, AttrValue, Index, IndexEntry, IndexTime, ObjectType, Oid, Repository};

use crate::model::name::join;

const FILE: &str = ".gitattributes";
/// A regular file.
const PLAIN: u32 = 0o100_644;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Unspecified,
    Set,
    Unset,
    Is(String),
}

/// The attributes of the files of one tree.
pub(super) struct Attributes {
    /// A handle of its own, with an index and a work tree of its own.
    repository: Repository,
    /// Empty, as long as the handle lives.
    _work_tree: tempfile::TempDir,
    root: Oid,
    /// Folders whose file of attributes is in the index, if they have one.
    known: BTreeSet<String>,
}

/// The attributes of a commit and of the submodules in it.
#[derive(Default)]
pub(super) struct AllAttributes(HashMap<Oid, Attributes>);

impl AllAttributes {
    /// The attributes that count at a path below the tree `root`, and the path as they know it.
    ///
    /// # Errors
    /// When git cannot read a tree on the way.
    pub fn at(
        &mut self,
        repository: &Repository,
        root: Oid,
        path: &str,
    ) -> Result<(&Attributes, String), git2::Error> {
        let (root, inside) = innermost(repository, root, path)?;
        let attributes = match self.0.entry(root) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(open) => open.insert(Attributes::of(repository, root)?),
        };
        attributes.read(repository, &inside)?;
        Ok((attributes, inside))
    }
}

impl Attributes {
    fn of(repository: &Repository, root: Oid) -> Result<Self, git2::Error> {
        let cannot = |error: std::io::Error| git2::Error::from_str(&error.to_string());
        let work_tree = tempfile::Builder::new().prefix("imk-git-").tempdir().map_err(cannot)?;
        let repository = Repository::open(repository.path())?;
        repository.set_workdir(work_tree.path(), false)?;
        repository.set_index(&mut Index::new_ext(repository.object_format())?)?;
        Ok(Self { repository, _work_tree: work_tree, root, known: BTreeSet::new() })
    }

    /// Has the files of attributes on the way to a path in the index.
    fn read(&mut self, objects: &Repository, path: &str) -> Result<(), git2::Error> {
        let mut folder = String::new();
        let mut tree = objects.find_tree(self.root)?;
        let mut names = path.split('/').peekable();
        while let Some(name) = names.next() {
            if self.known.insert(folder.clone())
                && let Some(entry) = tree.get_name(FILE)
                && entry.kind() == Some(ObjectType::Blob)
                // A link in its place is none.
                && entry.filemode() & 0o170_000 == 0o100_000
            {
                self.add(objects, &join(&folder, FILE), entry.id())?;
            }
            if names.peek().is_none() {
                break;
            }
            let below = tree.get_name(name).filter(|entry| entry.kind() == Some(ObjectType::Tree));
            let Some(below) = below.map(|entry| entry.id()) else { break };
            (tree, folder) = (objects.find_tree(below)?, join(&folder, name));
        }
        Ok(())
    }

    /// Puts a file in the index. Its blob may be in a submodule's repository, which this handle does not know.
    fn add(&mut self, objects: &Repository, path: &str, id: Oid) -> Result<(), git2::Error> {
        if !self.repository.odb()?.exists(id) {
            let odb = self.repository.odb()?;
            odb.add_new_mempack_backend(1)?;
            odb.write(ObjectType::Blob, objects.odb()?.read(id)?.data())?;
        }
        let never = IndexTime::new(0, 0);
        let (dev, ino, uid, gid, file_size, flags, flags_extended) = (0, 0, 0, 0, 0, 0, 0);
        self.repository.index()?.add(&IndexEntry {
            ctime: never,
            mtime: never,
            dev,
            ino,
            mode: PLAIN,
            uid,
            gid,
            file_size,
            id,
            flags,
            flags_extended,
            path: path.as_bytes().to_vec(),
        })
    }

    /// The value of an attribute at a path.
    pub fn get(&self, path: &str, name: &str) -> Attribute {
        let value = self.repository.get_attr_bytes(Path::new(path), name, AttrCheckFlags::INDEX_ONLY);
        value.ok().flatten().map_or(Attribute::Unspecified, Attribute::of)
    }
}

/// The tree of the innermost submodule around a path of a tree, or the tree itself, and the path from there.
fn innermost(repository: &Repository, root: Oid, path: &str) -> Result<(Oid, String), git2::Error> {
    let (mut top, mut inside) = (root, path);
    let mut tree = repository.find_tree(root)?;
    let mut rest = path;
    while let Some((name, after)) = rest.split_once('/') {
        let entry = tree.get_name(name).map(|entry| (entry.kind(), entry.id()));
        tree = match entry {
            Some((Some(ObjectType::Tree), id)) => repository.find_tree(id)?,
            Some((Some(ObjectType::Commit), id)) => {
                let below = repository.find_commit(id)?.tree()?;
                (top, inside) = (below.id(), after);
                below
            }
            _ => break,
        };
        rest = after;
    }
    Ok((top, inside.to_owned()))
}

impl Attribute {
    fn of(value: &[u8]) -> Self {
        match AttrValue::from_bytes(Some(value)) {
            AttrValue::True => Self::Set,
            AttrValue::False => Self::Unset,
            AttrValue::Unspecified => Self::Unspecified,
            AttrValue::String(text) => Self::Is(text.to_owned()),
            AttrValue::Bytes(bytes) => Self::Is(String::from_utf8_lossy(bytes).into_owned()),
        }
    }

    /// Whether it is this text.
    pub fn is(&self, value: &str) -> bool {
        matches!(self, Self::Is(text) if text == value)
    }
}
