//! Any commit of a followed repository is checked out fresh, whatever was done to the last checkout.

use std::path::PathBuf;

use super::*;
use crate::source::git::modules::tests::git;

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

    fn commit(&self, path: &str, text: &str) -> String {
        fs::write(self.origin().join(path), text).unwrap();
        git(&self.origin(), "add -A");
        git(&self.origin(), "commit -q -m next");
        self.mirror().heads().unwrap().branches["main"].clone()
    }

    fn mirror(&self) -> Mirror {
        let address = self.origin().display().to_string();
        let environment = std::env::vars_os().collect();
        Mirror::open(&self.folder.path().join("mirrors"), &address, environment, Patience::default()).unwrap()
    }

    fn checkout(&self) -> PathBuf {
        self.folder.path().join("checkout")
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.checkout().join(path)).unwrap()
    }
}

#[test]
fn the_very_commit_is_checked_out_and_nothing_of_the_last_one_stays() {
    let lab = Lab::new();
    let heads = lab.mirror().heads().unwrap();
    assert_eq!(heads.default.as_deref(), Some("main"));
    let one = heads.branches["main"].clone();
    let two = lab.commit("a.txt", "two\n");
    git(&lab.origin(), "tag v1");
    let checked = lab.mirror().check_out("main", None, &one, &lab.checkout()).unwrap();
    assert_eq!((checked.message.trim_end(), lab.read("a.txt").as_str()), ("next", "one\n"));
    // A step may leave anything, also where git looks.
    fs::write(lab.checkout().join("left"), "1").unwrap();
    fs::write(lab.checkout().join(".git/config"), "[core]\n\tsshCommand = touch /tmp/no\n").unwrap();
    fs::remove_dir_all(lab.checkout().join(".git/objects")).unwrap();
    lab.mirror().check_out("main", None, &two, &lab.checkout()).unwrap();
    assert_eq!(lab.read("a.txt"), "two\n");
    assert!(!lab.checkout().join("left").exists() && !lab.read(".git/config").contains("sshCommand"));
    assert_eq!(lab.read(".git/HEAD"), "ref: refs/heads/main\n");
    let repository = Repository::open(lab.checkout()).unwrap();
    assert!(repository.find_reference("refs/tags/v1").is_ok());
    assert!(repository.statuses(None).unwrap().is_empty());
}

#[test]
fn a_commit_that_the_branch_left_is_still_had_and_a_request_has_a_ref_of_its_own() {
    let lab = Lab::new();
    let one = lab.commit("a.txt", "kept\n");
    lab.mirror().check_out("main", None, &one, &lab.checkout()).unwrap();
    git(&lab.origin(), "commit -q --amend -m other");
    lab.mirror().check_out("main", None, &one, &lab.checkout()).unwrap();
    git(&lab.origin(), "update-ref refs/pull/7/head HEAD");
    git(&lab.origin(), "reset -q --hard HEAD~1");
    let head = lab.mirror().heads().unwrap();
    assert_eq!(head.branches.len(), 1);
    let repository = Repository::open(lab.origin()).unwrap();
    let request = repository.find_reference("refs/pull/7/head").unwrap().target().unwrap().to_string();
    let checked =
        lab.mirror().check_out("main", Some("refs/pull/7/head"), &request, &lab.checkout()).unwrap();
    assert_eq!(checked.message.trim_end(), "other");
}

#[test]
fn words_of_a_payload_are_no_options_and_no_paths() {
    let lab = Lab::new();
    let one = lab.mirror().heads().unwrap().branches["main"].clone();
    for branch in ["--upload-pack=touch x", "../x", "a b", ""] {
        assert!(lab.mirror().check_out(branch, None, &one, &lab.checkout()).is_err(), "{branch}");
    }
    for commit in ["HEAD", "--help", "../../x", &one[..12]] {
        assert!(lab.mirror().check_out("main", None, commit, &lab.checkout()).is_err(), "{commit}");
    }
    assert!(lab.mirror().check_out("main", Some("--x"), &one, &lab.checkout()).is_err());
    let gone = "0".repeat(40);
    let error = lab.mirror().check_out("main", None, &gone, &lab.checkout()).unwrap_err();
    assert!(matches!(error, RemoteError::NoRef(_)), "{error}");
    assert!(!lab.checkout().exists());
}
