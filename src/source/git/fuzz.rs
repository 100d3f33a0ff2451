//! Git's objects as a stranger makes them, and what is remembered of them: see `crate::fuzz`.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use git2::{ObjectType, Oid, Repository};

use super::memory::Memory;
use super::store::GitStore;
use crate::model::hash::ContentHash;
use crate::source::tree::{Selected, Selection, SourceTree};
use crate::state::folder::StateFolder;
use crate::syntax::{dockerfile, resolve};

/// The bytes of a tree object, each id in it replaced by that of a blob, a tree or none: `MODE NAME\0` and twenty bytes
/// of which the first says which. What a context of it holds never leads out of it.
pub(crate) fn tree(bytes: &[u8]) {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("there is a place for temporary files"));
    let Ok(repository) = Repository::init_bare(folder.path()) else { return };
    let Ok(odb) = repository.odb() else { return };
    let blob = odb.write(ObjectType::Blob, b"FROM scratch\n").expect("an object can be written");
    let inner = [b"100644 f\0".as_slice(), blob.as_bytes()].concat();
    let inner = odb.write(ObjectType::Tree, &inner).expect("an object can be written");
    let Ok(top) = odb.write(ObjectType::Tree, &with_ids(bytes, blob, inner)) else { return };
    let store = GitStore::open(folder.path()).expect("the repository was made");
    let Ok(tree) = store.tree_at(top) else { return };
    let file = dockerfile::parse("FROM scratch\nCOPY . /\n").expect("it is a Dockerfile");
    let reads = resolve::resolve(&file, &resolve::Request::default()).expect("it has one stage").reads;
    let selection = Selection {
        root: String::new(),
        ignore: None,
        reads,
        overlays: Vec::new(),
        named: Default::default(),
    };
    let _ = Arc::clone(&store).recipes_of(&tree.top);
    if let Ok(used) = tree.used_files(&selection) {
        for file in &used.files {
            let mut parts = file.path.split('/');
            assert!(!file.path.contains('\0'), "{:?}", file.path);
            assert!(parts.all(|part| !matches!(part, "" | "." | "..")), "{:?} leads out", file.path);
        }
    }
}

fn with_ids(mut bytes: &[u8], blob: Oid, tree: Oid) -> Vec<u8> {
    let mut made = Vec::new();
    while let Some(end) = bytes.iter().position(|byte| *byte == 0) {
        let (entry, rest) = bytes.split_at(end + 1);
        made.extend_from_slice(entry);
        let (id, rest) = rest.split_at(rest.len().min(20));
        match id.first() {
            Some(b'b') => made.extend_from_slice(blob.as_bytes()),
            Some(b't') => made.extend_from_slice(tree.as_bytes()),
            _ => made.extend_from_slice(id),
        }
        bytes = rest;
    }
    made.extend_from_slice(bytes);
    made
}

/// The lines that git writes to a hook.
pub(crate) fn pushed(bytes: &[u8]) {
    match super::pushed::pushed(&String::from_utf8_lossy(bytes)) {
        Ok(all) => assert!(all.iter().all(|one| one.id.as_ref().is_none_or(|id| !id.is_empty()))),
        Err(line) => assert!(!line.trim().is_empty()),
    }
}

fn answer() -> Selected {
    Selected { hash: ContentHash::of(b"answer"), missing: vec![1], empty: vec![0], count: 2, bytes: 3 }
}

fn id() -> Oid {
    Oid::from_bytes(&[7; 20]).expect("twenty bytes are an id")
}

fn state() -> StateFolder {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("there is a place for temporary files"));
    StateFolder::at(folder.path()).sub("state")
}

/// Both files, as this build writes them.
pub(crate) fn memory_seeds() -> Vec<Vec<u8>> {
    let state = state().sub("seeds");
    let (answer, recipes) = (answer(), ["a/Dockerfile".to_owned()]);
    let blobs = HashMap::from([(id(), (ContentHash::of(b"blob"), 4))]);
    Memory::read(state.clone())
        .save([(answer.hash, &answer)].into_iter(), [(id(), recipes.as_slice())].into_iter(), &blobs)
        .expect("it can be written");
    ["git-answers", "git-blobs"].into_iter().filter_map(|name| state.read(name)).collect()
}

/// Invariant: all that is remembered was learned, or nothing is.
pub(crate) fn memory(bytes: &[u8]) {
    let state = state();
    for name in ["git-answers", "git-blobs"] {
        state.replace(name, bytes).expect("the file can be written");
    }
    let memory = Memory::read(state);
    assert!(memory.answer(&answer().hash).is_none_or(|found| found == answer()));
    assert!(memory.recipes(id()).is_none_or(|found| found == ["a/Dockerfile"]));
    assert!(memory.blob(id()).is_none_or(|found| found == (ContentHash::of(b"blob"), 4)));
}
