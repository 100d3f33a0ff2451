//! The `.git` of a clone of one commit without its history, as `ADD --keep-git-dir` leaves it.
//!
//! Made of objects that are here and never by git itself, whose folders bear times, samples and settings of the
//! machine: so it is the same, byte for byte, wherever it is made. Submodules have none.

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use git2::{Index, ObjectType, Odb, Oid, Repository};

use super::{GitTree, object_id};
use crate::syntax::git_source::GitUrl;

/// The files below `.git`, by path, and folders, which hold nothing.
pub type Files = BTreeMap<String, Option<Vec<u8>>>;

/// Git's mode of a submodule: its commit is another repository's.
const SUBMODULE: i32 = 0o160_000;

impl GitTree {
    /// The files of `.git` for a clone of the repository at `url` with this commit checked out.
    ///
    /// # Errors
    /// When git cannot read the commit, as a sentence.
    pub fn clone_of(&self, url: &GitUrl, commit: &str) -> Result<Files, String> {
        let repository = self.store.repository.lock();
        clone(&repository, url, commit).map_err(|error| format!("git says: {}", error.message()))
    }
}

fn clone(repository: &Repository, url: &GitUrl, commit: &str) -> Result<Files, git2::Error> {
    let id = object_id::parse(commit)?;
    let found = repository.find_commit(id)?;
    let tree = found.tree()?;
    let mut files = Files::new();
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        files.insert(folder.into(), None);
    }
    let line = format!("{commit}\n").into_bytes();
    if found.parent_count() > 0 {
        files.insert("shallow".into(), Some(line.clone()));
    }
    files.insert("HEAD".into(), Some(line));
    files.insert("config".into(), Some(config(url, commit).into_bytes()));
    let odb = repository.odb()?;
    object(&odb, id, &mut files)?;
    let mut waiting = vec![tree.id()];
    while let Some(id) = waiting.pop() {
        if !object(&odb, id, &mut files)? {
            continue;
        }
        for entry in &repository.find_tree(id)? {
            match entry.kind() {
                Some(ObjectType::Tree) => waiting.push(entry.id()),
                _ if entry.filemode() == SUBMODULE => {}
                _ => drop(object(&odb, entry.id(), &mut files)?),
            }
        }
    }
    let folder = tempfile::tempdir().map_err(|error| git2::Error::from_str(&error.to_string()))?;
    let path = folder.path().join("index");
    let mut index = Index::open(&path)?;
    index.read_tree(&tree)?;
    index.write()?;
    let index = fs_err::read(&path).map_err(|error| git2::Error::from_str(&error.to_string()))?;
    files.insert("index".into(), Some(index));
    Ok(files)
}

/// Adds an object as git keeps one alone. `false` when it is there already.
fn object(odb: &Odb<'_>, id: Oid, files: &mut Files) -> Result<bool, git2::Error> {
    let hex = id.to_string();
    let path = format!("objects/{}/{}", &hex[..2], &hex[2..]);
    if files.contains_key(&path) {
        return Ok(false);
    }
    let object = odb.read(id)?;
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::new(6));
    let written = packed
        .write_all(format!("{} {}\0", object.kind().str(), object.len()).as_bytes())
        .and_then(|()| packed.write_all(object.data()))
        .and_then(|()| packed.finish());
    let written = written.map_err(|error| git2::Error::from_str(&error.to_string()))?;
    files.insert(path, Some(written));
    Ok(true)
}

fn config(url: &GitUrl, commit: &str) -> String {
    let address = url.address.replace('\\', "\\\\").replace('"', "\\\"");
    let (version, format) = match object_id::format_of(commit) {
        git2::ObjectFormat::Sha256 => (1, "[extensions]\n\tobjectformat = sha256\n"),
        git2::ObjectFormat::Sha1 => (0, ""),
    };
    format!(
        "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n{format}\
         [remote \"origin\"]\n\turl = \"{address}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
    )
}
