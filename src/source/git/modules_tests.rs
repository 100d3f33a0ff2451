//! Submodules in the commits of a repository, and in its work tree.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use fs_err as fs;

use super::super::fetcher::Fetcher;
use super::super::{GitStore, GitTree, changes};
use crate::source::tree::{Selection, SourceTree};
use crate::state::folder::StateFolder;
use crate::syntax::reads::{ReadSource, Reads};

pub fn git(folder: &Path, words: &str) {
    let mut git = Command::new("git");
    git.current_dir(folder).args(["-c", "user.name=t", "-c", "user.email=t@localhost"]);
    git.args(["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"]);
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let ran = git.args(words.split(' ')).output().unwrap();
    assert!(ran.status.success(), "git {words}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// `app` has the submodule `lib`, which has the submodule `deep`.
pub struct World(tempfile::TempDir);

impl World {
    pub fn new() -> Self {
        Self::with("sha1")
    }

    /// One whose ids are of a kind.
    pub fn with(format: &str) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        for (name, inner) in [("deep", None), ("lib", Some("deep")), ("app", Some("lib"))] {
            let folder = this.at(name);
            fs::create_dir(&folder).unwrap();
            git(&folder, &format!("init -q --object-format={format}"));
            fs::write(folder.join("one.txt"), name).unwrap();
            fs::write(folder.join("two.txt"), name).unwrap();
            if let Some(inner) = inner {
                git(&folder, &format!("submodule --quiet add {} {inner}", this.at(inner).display()));
            }
            git(&folder, "add -A");
            git(&folder, "commit -q -m one");
        }
        git(&this.at("app"), "submodule --quiet update --init --recursive");
        this
    }

    pub fn at(&self, path: &str) -> std::path::PathBuf {
        self.0.path().join(path)
    }

    /// Commits a change of `app/lib/one.txt` there, and the move of the submodule.
    fn moved(&self) -> &Self {
        fs::write(self.at("app/lib/one.txt"), "moved").unwrap();
        git(&self.at("app/lib"), "commit -q -a -m moved");
        git(&self.at("app"), "commit -q -a -m moved");
        self
    }

    /// A clone of `app` without the files of its submodules.
    pub fn bare_clone(&self) -> std::path::PathBuf {
        let (from, to) = (self.at("app"), self.at("clone"));
        git(self.0.path(), &format!("clone -q {} {}", from.display(), to.display()));
        to
    }
}

fn at(store: &Arc<GitStore>, rev: &str) -> GitTree {
    store.tree(&store.commit(rev).unwrap()).unwrap()
}

fn copies(pattern: &str) -> Selection {
    let source = ReadSource { pattern: pattern.into(), required: true, ..Reads::whole().sources.remove(0) };
    Selection {
        root: String::new(),
        ignore: Some(".git\n**/.git".into()),
        reads: Reads { sources: vec![source] },
        overlays: Vec::new(),
        named: Default::default(),
    }
}

fn hash(tree: &GitTree, pattern: &str) -> String {
    tree.select(&[copies(pattern)]).remove(0).unwrap().hash.to_string()
}

fn paths(tree: &GitTree, pattern: &str) -> Vec<String> {
    tree.used_files(&copies(pattern)).unwrap().files.into_iter().map(|file| file.path).collect()
}

#[test]
fn a_moved_submodule_changes_what_copies_of_it_and_nothing_else() {
    ["sha1", "sha256"].into_iter().for_each(moves);
}

fn moves(format: &str) {
    let world = World::with(format);
    world.moved();
    let store = GitStore::open(&world.at("app")).unwrap();
    let [old, new] = ["HEAD~1", "HEAD"].map(|rev| at(&store, rev));
    for pattern in ["", "lib", "lib/one.txt"] {
        assert_ne!(hash(&old, pattern), hash(&new, pattern), "{pattern:?}");
    }
    for pattern in ["lib/two.txt", "lib/deep", "one.txt"] {
        assert_eq!(hash(&old, pattern), hash(&new, pattern), "{pattern:?}");
    }
    assert_eq!(paths(&new, "lib/deep"), ["lib", "lib/deep", "lib/deep/one.txt", "lib/deep/two.txt"]);
    let only = changes::only_in(&new, &old, &copies("")).unwrap().files;
    assert_eq!(only.into_iter().map(|file| file.path).collect::<Vec<_>>(), ["lib", "lib/one.txt"]);
    let changed = store.changed_since(&store.commit("HEAD~1").unwrap()).unwrap();
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["lib/one.txt"]);
}

#[test]
fn a_commit_has_the_files_of_its_submodules_and_of_theirs() {
    let world = World::new();
    let store = GitStore::open(&world.at("app")).unwrap();
    let tree = at(&store, "HEAD").strict();
    assert_eq!(tree.read("lib/deep/one.txt").unwrap().unwrap(), b"deep");
    assert!(tree.is_folder("lib/deep").unwrap());
}

#[test]
fn a_submodule_that_is_not_here_is_refused_by_its_name_unless_commits_are_compared() {
    let world = World::new();
    world.moved();
    let store = GitStore::open(&world.bare_clone()).unwrap();
    let strict = at(&store, "HEAD").strict();
    for pattern in ["", "lib", "lib/one.txt"] {
        let error = strict.used_files(&copies(pattern)).unwrap_err();
        assert_eq!(error.path, "lib", "{pattern:?}");
        assert!(error.why.contains("git submodule update --init"), "{error}");
    }
    assert!(strict.read("lib/Dockerfile").is_err());
    assert_eq!(paths(&strict, "one.txt"), ["one.txt"]);
    // Whoever compares goes by the commit of the submodule.
    let [old, new] = ["HEAD~1", "HEAD"].map(|rev| at(&store, rev));
    for pattern in ["", "lib", "lib/two.txt"] {
        assert_ne!(hash(&old, pattern), hash(&new, pattern), "{pattern:?}");
    }
    assert_eq!(hash(&old, "one.txt"), hash(&new, "one.txt"));
    let only = changes::only_in(&new, &old, &copies("")).unwrap().files;
    assert_eq!(only.into_iter().map(|file| file.path).collect::<Vec<_>>(), ["lib"]);
}

/// The store of a clone without its submodules, from which fetching goes these ways.
fn fetching(world: &World, ways: &str) -> GitTree {
    let clone = world.at("clone");
    if !clone.exists() {
        world.bare_clone();
    }
    let environment = std::collections::BTreeMap::from([("GIT_ALLOW_PROTOCOL".into(), ways.into())]);
    let store = GitStore::open(&clone).unwrap();
    let state = StateFolder::at(&world.at("state"));
    store.fetch_own_modules(Fetcher::new(&clone, &state, environment), false);
    at(&store, "HEAD").strict()
}

#[test]
fn whoever_builds_has_submodules_fetched_and_those_that_are_in_them() {
    ["sha1", "sha256"].into_iter().for_each(fetches);
}

fn fetches(format: &str) {
    let world = World::with(format);
    let tree = fetching(&world, "file");
    assert_eq!(paths(&tree, "one.txt"), ["one.txt"]);
    assert!(!world.at("state/git").exists(), "nobody reads in it");
    assert_eq!(paths(&tree, "lib/deep"), ["lib", "lib/deep", "lib/deep/one.txt", "lib/deep/two.txt"]);
    assert_eq!(tree.read("lib/deep/one.txt").unwrap().unwrap(), b"deep");
    assert_eq!(hash(&tree, ""), hash(&at(&GitStore::open(&world.at("app")).unwrap(), "HEAD").strict(), ""));
    // What was fetched is there when its repository is not.
    fs::remove_dir_all(world.at("lib")).unwrap();
    assert_eq!(fetching(&world, "file").read("lib/one.txt").unwrap().unwrap(), b"lib");
}

#[test]
fn a_submodule_that_may_not_be_fetched_is_refused_with_its_address_and_the_command() {
    let world = World::new();
    let tree = fetching(&world, "https");
    let error = tree.used_files(&copies("lib/deep")).unwrap_err().to_string();
    for part in [
        "cannot read `lib`: it is a submodule",
        "/lib` is a path of this machine",
        "`git submodule update --init lib`",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
    // Nor is one whose commit its repository does not have.
    fs::remove_dir_all(world.at("deep")).unwrap();
    let tree = fetching(&world, "file");
    let error = tree.read("lib/deep/one.txt").unwrap_err().to_string();
    for part in
        ["cannot read `lib/deep`: it is a submodule", "it cannot be had from", "--init --recursive lib`"]
    {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn what_is_edited_in_a_submodule_is_different_in_the_work_tree() {
    ["sha1", "sha256"].into_iter().for_each(edits);
}

fn edits(format: &str) {
    let world = World::with(format);
    let store = GitStore::open(&world.at("app")).unwrap();
    let head = at(&store, "HEAD");
    assert_eq!(hash(&store.work_tree().unwrap(), ""), hash(&head, ""));
    fs::write(world.at("app/lib/deep/new.txt"), "new").unwrap();
    fs::write(world.at("app/lib/one.txt"), "edited").unwrap();
    let now = GitStore::open(&world.at("app")).unwrap().work_tree().unwrap();
    for pattern in ["", "lib/deep", "lib/one.txt"] {
        assert_ne!(hash(&now, pattern), hash(&head, pattern), "{pattern:?}");
    }
    assert_eq!(hash(&now, "lib/two.txt"), hash(&head, "lib/two.txt"));
    let changed = store.changed_since(&store.commit("HEAD").unwrap()).unwrap();
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["lib/deep/new.txt", "lib/one.txt"]);
    // Nothing was written there.
    assert_eq!(
        Command::new("git")
            .current_dir(world.at("app"))
            .args(["diff", "--cached", "--quiet"])
            .status()
            .unwrap()
            .code(),
        Some(0)
    );
}

#[test]
fn a_repository_that_just_lies_in_the_work_tree_is_what_it_holds() {
    let world = World::new();
    git(&world.at("app"), &format!("clone -q {} stray", world.at("deep").display()));
    let store = GitStore::open(&world.at("app")).unwrap();
    assert_eq!(paths(&store.work_tree().unwrap(), "stray"), ["stray", "stray/one.txt", "stray/two.txt"]);
}

#[test]
fn what_git_was_told_to_leave_out_or_not_to_look_at_is_as_the_index_has_it() {
    let world = World::new();
    let app = world.at("app");
    for (flag, path) in [("--skip-worktree", "one.txt"), ("--assume-unchanged", "two.txt")] {
        git(&app, &format!("update-index {flag} {path}"));
        fs::remove_file(app.join(path)).unwrap();
    }
    fs::write(app.join("new.txt"), "content").unwrap();
    git(&app, "add --intent-to-add new.txt");
    let store = GitStore::open(&app).unwrap();
    let changed = store.changed_since(&store.commit("HEAD").unwrap()).unwrap();
    assert_eq!(changed.into_iter().collect::<Vec<_>>(), ["new.txt"]);
    assert_eq!(store.work_tree().unwrap().read("new.txt").unwrap().unwrap(), b"content");
}

#[test]
fn the_state_of_a_project_in_a_folder_is_no_file_of_a_commit() {
    let world = World::new();
    let app = world.at("app");
    for path in [".imk/ledger", "sub/.imk/ledger"] {
        fs::create_dir_all(app.join(path).parent().unwrap()).unwrap();
        fs::write(app.join(path), "x").unwrap();
    }
    fs::write(app.join("sub/kept.txt"), "x").unwrap();
    git(&app, "add -A -f");
    git(&app, "commit -q -m state");
    let tree = at(&GitStore::open(&app).unwrap(), "HEAD");
    assert_eq!(paths(&tree, "sub"), ["sub", "sub/kept.txt"]);
    assert_eq!(paths(&tree, ".imk"), [""; 0]);
}

#[test]
fn a_file_of_a_submodule_comes_from_the_commit_that_moved_it() {
    use super::super::origin::{Origin, Start};
    let world = World::new();
    world.moved();
    let store = GitStore::open(&world.at("app")).unwrap();
    let origin = |start: Start<'_>, sought: &str| {
        store.origin("lib/one.txt", start, &|_, after| {
            after.is_some_and(|after| after.bytes == sought.as_bytes())
        })
    };
    let head = store.commit("HEAD").unwrap();
    assert_eq!(origin(Start::Head, "moved"), Some(Origin::Commit(head.clone())));
    assert_eq!(origin(Start::Disk, "moved"), Some(Origin::Commit(head)));
    assert_eq!(origin(Start::Head, "lib"), Some(Origin::Commit(store.commit("HEAD~1").unwrap())));
    fs::write(world.at("app/lib/one.txt"), "edited").unwrap();
    assert_eq!(origin(Start::Disk, "edited"), Some(Origin::Uncommitted));
}
