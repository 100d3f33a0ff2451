//! Heads and trees of a repository beside this one, without any server.

use std::process::Command;

use super::super::fetcher::has;
use super::*;
use crate::source::tree::SourceTree;
use crate::syntax::git_source::url;

/// A repository, and a folder from which it is used.
struct Lab {
    folder: tempfile::TempDir,
    url: GitUrl,
}

impl Lab {
    fn new() -> Self {
        Self::with("sha1")
    }

    fn with(format: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = url("lib").unwrap();
        let lab = Self { folder, url };
        lab.git(&["init", "-q", "-b", "main", &format!("--object-format={format}"), "."]);
        lab
    }

    fn git(&self, words: &[&str]) -> String {
        let home = self.folder.path().join("lib");
        fs_err::create_dir_all(&home).unwrap();
        let mut git = Command::new("git");
        git.current_dir(&home).args(["-c", "user.name=imk", "-c", "user.email=imk@invalid"]).args(words);
        let output = git.output().unwrap();
        assert!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, text: &str) -> String {
        fs_err::write(self.folder.path().join("lib/a.txt"), text).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "-qm", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn remotes(&self) -> Remotes {
        Remotes::new(self.folder.path(), &StateFolder::at(&self.folder.path().join(".imk")), BTreeMap::new())
    }

    /// The commit, or what is said instead.
    fn head(&self, wanted: Wanted, options: &RemoteOptions) -> String {
        let mut heads = self.remotes().heads(&self.url, &BTreeSet::from([wanted.clone()]), options);
        match heads.remove(&wanted).unwrap() {
            Ok(head) => head.commit,
            Err(error) => error.to_string(),
        }
    }
}

fn main() -> Wanted {
    Wanted::Branch("main".into())
}

#[test]
fn a_head_is_asked_for_remembered_and_believed_as_long_as_allowed() {
    let lab = Lab::new();
    let first = lab.commit("one");
    let now = RemoteOptions::default();
    let offline = RemoteOptions { offline: true, ..now };
    assert_eq!(lab.head(main(), &offline), "imk is not to ask it, and does not know where `main` stands");
    assert_eq!(lab.head(main(), &now), first);
    let second = lab.commit("two");
    assert_eq!(lab.head(main(), &offline), first);
    assert_eq!(
        lab.head(main(), &RemoteOptions { offline: false, max_age: Duration::from_secs(3600) }),
        first
    );
    assert_eq!(lab.head(main(), &now), second);
    assert_eq!(lab.head(Wanted::Head, &now), second);
    assert_eq!(lab.head(Wanted::Branch("x".into()), &now), "it has no branch `x`");
    // A whole id needs nobody.
    assert_eq!(lab.head(Wanted::Commit(first.clone()), &offline), first);
}

#[test]
fn a_name_without_a_kind_is_a_tag_before_it_is_a_branch() {
    let lab = Lab::new();
    let first = lab.commit("one");
    lab.git(&["tag", "-am", "annotated", "both"]);
    let second = lab.commit("two");
    lab.git(&["branch", "both"]);
    let any = |name: &str| lab.head(Wanted::Any(name.into()), &RemoteOptions::default());
    assert_eq!(any("both"), first);
    assert_eq!(any("refs/heads/both"), second);
    assert_eq!(any("main"), second);
    assert_eq!(lab.head(Wanted::Tag("both".into()), &RemoteOptions::default()), first);
    assert_eq!(lab.head(Wanted::Tag("main".into()), &RemoteOptions::default()), "it has no tag `main`");
}

#[test]
fn a_commit_is_fetched_once_and_without_its_history() {
    ["sha1", "sha256"].into_iter().for_each(fetched_once);
}

fn fetched_once(format: &str) {
    let lab = Lab::with(format);
    let first = lab.commit("one");
    let second = lab.commit("two");
    let remotes = lab.remotes();
    let tree = remotes.tree(&lab.url, &second, &main(), false).unwrap();
    assert_eq!(tree.read("a.txt").unwrap().unwrap(), b"two");
    let folder = remotes.kept(&Remotes::folder_name(&lab.url));
    assert!(has(&folder, &second) && !has(&folder, &first), "one commit and no more");
    // Offline, what is there is there, and what is not is told.
    assert!(remotes.tree(&lab.url, &second, &main(), true).is_ok());
    let error = remotes.tree(&lab.url, &first, &main(), true).unwrap_err().to_string();
    assert_eq!(error, format!("imk is not to ask it, and does not have its commit {}", &first[..12]));
    let old = remotes.tree(&lab.url, &first, &main(), false).unwrap();
    assert_eq!(old.read("a.txt").unwrap().unwrap(), b"one");
    let error = remotes.tree(&lab.url, &"1".repeat(first.len()), &main(), false).unwrap_err().to_string();
    assert_eq!(error, "it has no commit 111111111111");
}

#[test]
fn commits_that_nobody_uses_are_dropped_and_the_others_stay() {
    let lab = Lab::new();
    let commits = [lab.commit("one"), lab.commit("two")];
    let remotes = lab.remotes();
    for commit in &commits {
        remotes.tree(&lab.url, commit, &main(), false).unwrap();
    }
    let folder = Remotes::folder_name(&lab.url);
    let used = BTreeSet::from([commits[1].clone()]);
    assert_eq!(remotes.unused(&folder, &used), [format!("refs/imk/{}", commits[0])]);
    remotes.drop_unused(&folder, &used);
    assert_eq!(remotes.unused(&folder, &used), [""; 0]);
    let remotes = lab.remotes();
    assert!(remotes.tree(&lab.url, &commits[1], &main(), true).is_ok());
    assert!(remotes.tree(&lab.url, &commits[0], &main(), true).is_err());
}
