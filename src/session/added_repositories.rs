//! Repositories that `ADD` names, for a builder that does not fetch them itself.
//!
//! The commit is the one in the key, so what is built is what was planned. Knows no instruction: what it says is
//! handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Read};
use std::sync::Arc;

use crate::engine::{AddedRepository, ContextFiles};
use crate::exec::executor::Repositories;
use crate::model::file::{FileKind, UsedFile, UsedFiles};
use crate::model::hash::ContentHash;
use crate::session::open::Session;
use crate::source::git::GitTree;
use crate::source::git::remote::{RemoteOptions, Remotes};
use crate::source::tree::{Selection, SourceTree};
use crate::syntax::error::Span;
use crate::syntax::git_source;
use crate::syntax::reads::{ReadSource, Reads};

/// Finds the files of repositories as this session's keys have them.
pub(crate) fn of(session: &Session) -> Repositories {
    let (remotes, options) = session.git_sources.for_additions();
    let commits = session.workspace().remotes(&session.db).clone();
    Arc::new(move |wanted: &AddedRepository<'_>| files(&remotes, &options, &commits, wanted))
}

fn files(
    remotes: &Remotes,
    options: &RemoteOptions,
    commits: &BTreeMap<String, String>,
    wanted: &AddedRepository<'_>,
) -> Result<Arc<dyn ContextFiles>, String> {
    let source = git_source::parse(wanted.address)?;
    let commit = match commits.get(wanted.address) {
        Some(commit) => commit.clone(),
        None => {
            let heads = remotes.heads(&source.url, &BTreeSet::from([source.wanted.clone()]), options);
            let head = heads.into_values().next().ok_or("nobody says where it stands")?;
            head.map_err(|error| error.to_string())?.commit
        }
    };
    let sum = wanted.checksum.to_ascii_lowercase();
    if !sum.is_empty() && (!commit.starts_with(&sum) || sum.len() < 7) {
        return Err(format!("it stands at commit {commit}, and {sum} was asked for"));
    }
    let tree = remotes.tree(&source.url, &commit, &source.wanted, options.offline);
    let tree = tree.map_err(|error| error.to_string())?;
    // A clone of a part of a repository is none, so BuildKit leaves `.git` out of it.
    let git = match wanted.keep_git_dir && source.subdir.is_empty() {
        true => tree.clone_of(&source.url, &commit)?,
        false => BTreeMap::new(),
    };
    let tree = tree.below(&source.subdir).map_err(|error| error.to_string())?;
    let tree = tree.ok_or_else(|| format!("it has no folder `{}`", source.subdir))?;
    let mut list = tree.used_files(&whole()).map_err(|error| error.to_string())?;
    let folders = folders_of(git.iter().map(|(path, bytes)| (format!("{GIT}/{path}"), bytes.is_none())));
    list.files.extend(folders.into_iter().map(folder));
    let named = git.into_iter().filter_map(|(path, bytes)| Some((format!("{GIT}/{path}"), bytes?)));
    let git: BTreeMap<String, Arc<[u8]>> = named.map(|(path, bytes)| (path, bytes.into())).collect();
    list.files.extend(git.iter().map(|(path, bytes)| UsedFile {
        kind: FileKind::File,
        mode: 0o644,
        size_bytes: bytes.len() as u64,
        hash: ContentHash::of(bytes),
        ..folder(path.clone())
    }));
    Ok(Arc::new(Files { tree, list, git }))
}

/// The folder of a clone that is git's own.
const GIT: &str = ".git";

fn folder(path: String) -> UsedFile {
    UsedFile {
        path,
        kind: FileKind::Folder,
        mode: 0o755,
        size_bytes: 0,
        mtime_ns: 0,
        hash: ContentHash::of(b""),
        target: String::new(),
        counts: true,
    }
}

/// All folders above these paths, and those that are folders themselves.
fn folders_of(paths: impl Iterator<Item = (String, bool)>) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for (path, is_folder) in paths {
        let ends = path.match_indices('/').map(|(at, _)| at).chain(is_folder.then_some(path.len()));
        folders.extend(ends.map(|end| path[..end].to_owned()));
    }
    folders
}

/// All files of a tree.
fn whole() -> Selection {
    let source = ReadSource {
        pattern: String::new(),
        wildcard: false,
        exclude: Vec::new(),
        include: None,
        required: false,
        span: Span::default(),
    };
    Selection {
        root: String::new(),
        ignore: None,
        reads: Reads { sources: vec![source] },
        overlays: Vec::new(),
        named: BTreeMap::new(),
    }
}

struct Files {
    tree: GitTree,
    list: UsedFiles,
    git: BTreeMap<String, Arc<[u8]>>,
}

impl ContextFiles for Files {
    fn list(&self) -> &UsedFiles {
        &self.list
    }

    fn open(&self, file: &UsedFile) -> Result<Box<dyn Read + Send>, String> {
        match self.git.get(&file.path) {
            Some(bytes) => Ok(Box::new(Cursor::new(Arc::clone(bytes)))),
            None => self.tree.open(&file.path).map_err(|error| error.to_string()),
        }
    }
}
