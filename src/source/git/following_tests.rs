//! A checkout follows a branch, whatever happened to both.

use std::path::PathBuf;

use super::*;
use crate::source::git::modules::tests::git;

/// A repository that others push to, and a place for checkouts of it.
struct Lab {
    folder: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        let lab = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(lab.origin()).unwrap();
        git(&lab.origin(), "init -q -b main .");
        lab.commit("a.txt", "one\n");
        lab
    }

    fn origin(&self) -> PathBuf {
        self.folder.path().join("origin")
    }

    fn checkout(&self) -> PathBuf {
        self.folder.path().join("checkout")
    }

    fn commit(&self, path: &str, text: &str) {
        fs::write(self.origin().join(path), text).unwrap();
        git(&self.origin(), "add -A");
        git(&self.origin(), "commit -q -m next");
    }

    fn open(&self, branch: Option<&str>) -> Result<Following, String> {
        let address = self.origin().display().to_string();
        let environment = std::env::vars_os().collect();
        Following::open(&self.checkout(), &address, branch, environment, Patience::default())
    }

    fn catch_up(&self) -> Followed {
        self.open(None).unwrap().catch_up().unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.checkout().join(path)).unwrap()
    }
}

#[test]
fn it_follows_the_branch_and_says_when_that_moved() {
    let lab = Lab::new();
    let first = lab.catch_up();
    assert_eq!((first.branch.as_str(), first.before.as_deref()), ("main", None));
    assert_eq!(lab.read("a.txt"), "one\n");
    assert_eq!(lab.catch_up(), Followed { before: None, ..first.clone() });
    lab.commit("a.txt", "two\n");
    let next = lab.catch_up();
    assert_eq!(next.before, Some(first.commit));
    assert_eq!(lab.read("a.txt"), "two\n");
    assert_eq!(Repository::open(lab.checkout()).unwrap().head().unwrap().shorthand().ok(), Some("main"));
}

#[test]
fn history_that_was_rewritten_is_followed_and_a_tag_that_moved_or_went_too() {
    let lab = Lab::new();
    git(&lab.origin(), "tag v1");
    lab.catch_up();
    let tags = || Repository::open(lab.checkout()).unwrap().tag_names(None).unwrap().len();
    assert_eq!(tags(), 1);
    git(&lab.origin(), "commit -q --amend -m other");
    git(&lab.origin(), "tag -f v1");
    git(&lab.origin(), "tag v2");
    let moved = lab.catch_up();
    let repository = Repository::open(lab.checkout()).unwrap();
    let tag = repository.revparse_single("v1").unwrap().peel_to_commit().unwrap().id();
    assert_eq!((tag.to_string(), tags()), (moved.commit.clone(), 2));
    // No commit moved, and a tag went.
    git(&lab.origin(), "tag -d v2");
    assert_eq!(lab.catch_up().before, None);
    assert_eq!(tags(), 1);
}

#[test]
fn what_somebody_left_in_the_checkout_is_gone_and_imks_state_is_not() {
    let lab = Lab::new();
    lab.catch_up();
    for path in [".imk", "build"] {
        fs::create_dir(lab.checkout().join(path)).unwrap();
        fs::write(lab.checkout().join(path).join("file"), "left").unwrap();
    }
    fs::write(lab.checkout().join("a.txt"), "edited").unwrap();
    lab.catch_up();
    assert_eq!(lab.read("a.txt"), "one\n");
    assert_eq!(lab.read(".imk/file"), "left");
    assert!(!lab.checkout().join("build").exists());
}

#[test]
fn locks_of_a_git_that_was_killed_are_in_nobodys_way() {
    let lab = Lab::new();
    lab.catch_up();
    lab.commit("a.txt", "two\n");
    for lock in ["index.lock", "HEAD.lock", "refs/heads/main.lock", "refs/remotes/origin/main.lock"] {
        fs::write(lab.checkout().join(".git").join(lock), "").unwrap();
    }
    lab.catch_up();
    assert_eq!(lab.read("a.txt"), "two\n");
}

#[test]
fn a_folder_with_files_of_somebody_else_is_left_alone() {
    let lab = Lab::new();
    fs::create_dir(lab.checkout()).unwrap();
    fs::write(lab.checkout().join("thesis.txt"), "years of work").unwrap();
    let why = lab.open(None).err().unwrap();
    assert!(why.contains("what is in it would be lost"), "{why}");
    assert_eq!(lab.read("thesis.txt"), "years of work");
    // A clone that a person made is no checkout of ours either.
    let clone = lab.folder.path().join("clone");
    git(lab.folder.path(), "clone -q origin clone");
    let address = lab.origin().display().to_string();
    assert!(Following::open(&clone, &address, None, BTreeMap::new(), Patience::default()).is_err());
}

#[test]
fn a_folder_that_follows_another_address_is_left_alone() {
    let lab = Lab::new();
    lab.catch_up();
    let other = Lab::new();
    let address = other.origin().display().to_string();
    let opened = Following::open(&lab.checkout(), &address, None, BTreeMap::new(), Patience::default());
    assert!(opened.err().unwrap().contains("follows"));
}

#[test]
fn a_branch_that_is_not_there_and_a_repository_without_any_are_named() {
    let lab = Lab::new();
    let why = lab.open(Some("no")).unwrap().catch_up().unwrap_err();
    assert_eq!(why.to_string(), "it has no branch `no`");
    assert!(lab.open(Some("--upload-pack=sh")).is_err());
    let empty = Lab { folder: tempfile::tempdir().unwrap() };
    fs::create_dir(empty.origin()).unwrap();
    git(&empty.origin(), "init -q -b main .");
    let why = empty.open(None).unwrap().catch_up().unwrap_err().to_string();
    assert!(why.starts_with("it has no branch"), "{why}");
    assert!(!empty.checkout().exists(), "nothing is made for nothing");
}

#[test]
fn a_name_for_a_folder_is_readable_and_no_path() {
    let name = Following::folder_name("https://user:secret@h.example/team/app.git", Some("main"));
    assert!(name.starts_with("app-") && !name.contains("secret"), "{name}");
    assert_ne!(name, Following::folder_name("https://h.example/team/app.git", None));
    for odd in ["..", "/", "https://h.example/..", "a/../../b\n"] {
        let name = Following::folder_name(odd, None);
        assert!(!name.contains('/') && !name.starts_with('.'), "{odd:?} {name}");
    }
}
