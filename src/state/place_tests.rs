//! Places of the state: whose `.imk` is used, and where it goes otherwise.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;
use std::sync::{Arc, Mutex};

use fs_err as fs;
use fs_err::os::unix::fs::symlink;

use super::*;

/// A user that this test is not.
const STRANGER: u32 = 65_533;

/// A repository, a cache beside it, and what was told.
struct Lab {
    dir: tempfile::TempDir,
    told: Arc<Mutex<Vec<String>>>,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lab = Self { dir, told: Arc::default() };
        fs::create_dir(lab.root()).unwrap();
        lab
    }

    fn with_git() -> Self {
        let lab = Self::new();
        lab.git(&["init", "-q", "-b", "main", "."]);
        lab.commit();
        lab
    }

    fn root(&self) -> PathBuf {
        self.dir.path().canonicalize().unwrap().join("repo")
    }

    fn write(&self, path: &str) -> &Self {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
        self
    }

    fn git(&self, words: &[&str]) -> &Self {
        let mut git = Command::new("git");
        git.current_dir(self.root())
            .args(["-c", "user.name=imk", "-c", "user.email=imk@invalid"])
            .args(words);
        assert!(git.output().unwrap().status.success(), "git {words:?}");
        self
    }

    fn commit(&self) -> &Self {
        self.git(&["add", "-f", "."]).git(&["commit", "-q", "--allow-empty", "-m", "change"])
    }

    fn find_with(&self, wish: &Wish) -> io::Result<StateFolder> {
        let told = Arc::clone(&self.told);
        let tell: Tell = Arc::new(move |line| told.lock().unwrap().push(line.to_owned()));
        find(&self.root(), wish, &tell)
    }

    fn find(&self) -> StateFolder {
        self.find_with(&Wish { named: None, cache: Some(self.dir.path().join("cache")) }).unwrap()
    }

    fn told(&self) -> String {
        std::mem::take(&mut *self.told.lock().unwrap()).join("\n")
    }

    /// Whether `.imk` is used, and what is said.
    #[track_caller]
    fn check(&self, uses: bool, said: &str) {
        let path = self.find().path().unwrap();
        assert_eq!(path == self.root().join(STATE), uses, "{}", path.display());
        assert!(uses || path.starts_with(self.dir.path().join("cache/imk")), "{}", path.display());
        let told = self.told();
        assert!(told.contains(said) && told.is_empty() == said.is_empty(), "{told}");
        assert!(told.lines().count() <= 1, "{told}");
    }
}

#[test]
fn a_folder_of_our_own_is_used_and_remembered() {
    for lab in [Lab::new(), Lab::with_git()] {
        lab.find().replace("ledger", b"1").unwrap();
        lab.check(true, "");
        assert_eq!(lab.find().read("ledger").unwrap(), b"1");
    }
}

#[test]
fn what_git_tracks_is_not_used_wherever_it_lies_below() {
    for path in [".imk/ledger", ".imk/git/0123/config", ".imk", ".IMK/ledger"] {
        let lab = Lab::with_git();
        lab.write(path).commit();
        lab.check(false, if path == ".imk" { "it is a file" } else { "git tracks `." });
        // Neither is what was tracked and is gone from the disk: git may bring it back at any time.
        fs::remove_dir_all(lab.root().join(".imk")).ok();
        fs::remove_file(lab.root().join(".imk")).ok();
        lab.check(false, "git tracks `.");
    }
    let lab = Lab::with_git();
    lab.write(".imk-notes/ledger").write(".imkx").commit();
    lab.check(true, "");
}

#[test]
fn what_is_only_committed_or_only_added_is_tracked_too() {
    let lab = Lab::with_git();
    lab.write(".imk/ledger").git(&["add", "-f", "."]);
    lab.check(false, "git tracks `.imk/ledger`");
    lab.git(&["commit", "-qm", "state"]).git(&["rm", "-rq", "--cached", ".imk"]);
    lab.check(false, "git tracks `.imk`");
}

#[test]
fn a_pull_that_brings_state_over_ours_is_seen() {
    let lab = Lab::with_git();
    lab.git(&["checkout", "-qb", "hostile"]).write(".imk/git/0123/config").commit();
    lab.git(&["checkout", "-q", "main"]);
    lab.find().replace("ledger", b"1").unwrap();
    lab.check(true, "");
    // Git overwrites what is ignored without a word.
    lab.git(&["merge", "-q", "hostile"]);
    assert!(lab.root().join(".imk/ledger").exists(), "our own is still there");
    lab.check(false, "git tracks `.imk/git/0123/config`");
}

#[test]
fn a_mark_that_came_along_says_nothing() {
    let lab = Lab::with_git();
    lab.find().make().unwrap();
    lab.check(true, "");
    let mark = fs::read(lab.root().join(".imk/mark")).unwrap();
    let other = Lab::with_git();
    other.write(".imk/ledger").commit();
    fs::write(other.root().join(".imk/mark"), &mark).unwrap();
    other.check(false, "git tracks");
    // Nor does our own after the folder is another one of the same name.
    lab.write(".imk/ledger").git(&["add", "-f", ".imk/ledger"]);
    lab.check(false, "git tracks");
}

#[test]
fn the_checkout_of_a_submodule_that_is_gone_is_not_used() {
    let lab = Lab::with_git();
    lab.write(".imk/.git").write(".imk/git/0123/config");
    lab.check(false, "`.imk/.git` came with another checkout");
    let lab = Lab::with_git();
    lab.write(".imk/git/.git/config");
    lab.check(false, "`.imk/git/.git` came with another checkout");
}

#[test]
fn a_link_or_a_file_in_its_place_is_not_used_and_stays() {
    let lab = Lab::new();
    let out = lab.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    symlink(&out, lab.root().join(STATE)).unwrap();
    lab.check(false, "`.imk` is not used: it is a link");
    lab.find().replace("ledger", b"1").unwrap();
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    let lab = Lab::new();
    lab.write(STATE);
    lab.check(false, "`.imk` is not used: it is a file");
    assert!(lab.root().join(STATE).is_file());
}

#[test]
fn a_folder_that_others_can_write_is_closed_when_all_in_it_is_ours() {
    let lab = Lab::with_git();
    lab.write(".imk/logs/web.log");
    let set = |path: &str, mode| {
        fs::set_permissions(lab.root().join(path), PermissionsExt::from_mode(mode)).unwrap()
    };
    let mode = |path: &str| fs::metadata(lab.root().join(path)).unwrap().mode() & 0o7777;
    for open in [0o775, 0o777, 0o757] {
        set(".imk", open);
        set(".imk/logs", open);
        lab.check(true, "");
        assert_eq!([mode(".imk"), mode(".imk/logs")], [0o700; 2]);
    }
}

#[test]
fn what_belongs_to_another_user_is_not_used() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let chown = |path: &Path| std::os::unix::fs::lchown(path, Some(STRANGER), Some(STRANGER)).unwrap();
    let lab = Lab::new();
    lab.write(".imk/ledger");
    chown(&lab.root().join(STATE));
    lab.check(false, "`.imk` belongs to another user (65533)");
    let lab = Lab::new();
    lab.write(".imk/logs/web.log");
    fs::set_permissions(lab.root().join(STATE), PermissionsExt::from_mode(0o777)).unwrap();
    chown(&lab.root().join(".imk/logs/web.log"));
    lab.check(false, "`.imk/logs/web.log` belongs to another user (65533)");
    let mode = fs::metadata(lab.root().join(STATE)).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o777, "what is not ours is left as it is");
    // A checkout of another user, as in CI's containers: root makes a folder of its own in it.
    let lab = Lab::with_git();
    chown(&lab.root());
    chown(&lab.root().join(".git"));
    lab.find().replace("ledger", b"1").unwrap();
    lab.check(true, "");
}

#[test]
fn state_that_the_user_places_is_apart_for_each_repository() {
    let (one, two) = (Lab::new(), Lab::new());
    let wish = Wish { named: Some(one.dir.path().join("kept")), cache: None };
    let places = [&one, &two].map(|lab| {
        let folder = lab.find_with(&wish).unwrap();
        folder.replace("ledger", b"1").unwrap();
        folder.path().unwrap()
    });
    assert_ne!(places[0], places[1]);
    assert!(places.iter().all(|place| place.starts_with(one.dir.path().join("kept"))));
    assert!(!one.root().join(STATE).exists() && one.told().is_empty());
    assert_eq!(one.find_with(&wish).unwrap().path().unwrap(), places[0], "the same each time");
    // A place that cannot be used is an error, and no reason to go elsewhere.
    fs::remove_dir_all(&places[0]).unwrap();
    symlink(one.root(), &places[0]).unwrap();
    let error = one.find_with(&wish).unwrap_err().to_string();
    assert!(error.contains("it is a link"), "{error}");
}

#[test]
fn a_place_in_the_checkout_is_judged_like_the_usual_one() {
    let lab = Lab::with_git();
    let wish = Wish { named: Some(lab.root().join("state")), cache: None };
    let at = lab.find_with(&wish).unwrap().path().unwrap();
    let below = at.strip_prefix(lab.root()).unwrap().to_str().unwrap().to_owned();
    lab.write(&format!("{below}/ledger")).commit();
    assert!(lab.find_with(&wish).unwrap_err().to_string().contains("git tracks"));
    let lab = Lab::with_git();
    let out = lab.dir.path().join("out");
    fs::create_dir(&out).unwrap();
    symlink(&out, lab.root().join("state")).unwrap();
    let wish = Wish { named: Some(lab.root().join("state")), cache: None };
    assert!(lab.find_with(&wish).unwrap_err().to_string().contains("reached by a link"));
}

#[test]
fn without_any_place_nothing_is_kept_and_it_is_said() {
    let lab = Lab::new();
    lab.write(STATE);
    let folder = lab.find_with(&Wish::default()).unwrap();
    assert!(folder.path().is_none());
    assert!(lab.told().contains("imk keeps no state"));
    let why = folder.replace("ledger", b"1").unwrap_err().to_string();
    assert!(why.starts_with("`.imk` is not used: it is a file"), "{why}");
}
