//! A tree with a cache agrees with a fresh one, whatever happens between.

use fs_err as fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, SystemTime};

use super::*;
use crate::source::tree::{Overlay, OverlaySide};
use crate::syntax::reads::Reads;

struct Repo {
    dir: tempfile::TempDir,
}

impl Repo {
    fn new(files: &[(&str, &str)]) -> Self {
        let repo = Self { dir: tempfile::tempdir().unwrap() };
        for (path, text) in files {
            repo.write(path, text);
        }
        repo
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn tree(&self) -> DiskTree {
        DiskTree::open(self.dir.path(), &StateFolder::at(&self.path(".imk"))).unwrap()
    }

    /// The answers of an imk with the cache, which it leaves behind.
    fn cached(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        let tree = self.tree();
        let answers = tree.select(selections);
        tree.save().unwrap();
        answers
    }

    /// The answers of an imk without any state.
    fn fresh(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        let other = tempfile::tempdir().unwrap();
        let tree = DiskTree::open(self.dir.path(), &StateFolder::at(&other.path().join("state"))).unwrap();
        tree.select(selections)
    }

    fn hash(&self, selection: &Selection) -> ContentHash {
        let cached = self.cached(std::slice::from_ref(selection)).remove(0).unwrap();
        assert_eq!(self.fresh(std::slice::from_ref(selection)).remove(0).unwrap(), cached);
        cached.hash
    }

    /// Long enough for nothing to be racy any more.
    fn settle(&self, selections: &[Selection]) {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(5));
            let tree = self.tree();
            tree.select(selections);
            let unsaved = tree.known.lock().unsaved;
            tree.save().unwrap();
            if !unsaved {
                return;
            }
        }
        panic!("the cache never settles");
    }
}

fn reads(root: &str, sources: &[&str]) -> Selection {
    let source = Reads::whole().sources.remove(0);
    let sources = sources.iter().map(|pattern| {
        let wildcard = crate::syntax::glob::has_wildcards(pattern);
        let pattern = (*pattern).to_owned();
        crate::syntax::reads::ReadSource {
            required: !pattern.is_empty(),
            pattern,
            wildcard,
            ..source.clone()
        }
    });
    Selection {
        root: root.into(),
        ignore: None,
        reads: Reads { sources: sources.collect() },
        overlays: Vec::new(),
        named: Default::default(),
    }
}

/// Edits a file without a trace in its size or modification time.
fn edit_in_secret(path: &Path, text: &str) {
    let before = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, text).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
}

/// One row of the table of traps: does this edit change what the image reads?
fn trap(counts: bool, edit: impl Fn(&Repo)) {
    let repo =
        Repo::new(&[("app/a", "one"), ("app/sub/b", "two"), ("app/skip/c", "three"), ("app/beside", "4")]);
    let selection = Selection { ignore: Some("skip\n".into()), ..reads("app", &["a", "sub", "skip*"]) };
    let before = repo.hash(&selection);
    repo.settle(std::slice::from_ref(&selection));
    edit(&repo);
    let after = repo.hash(&selection);
    assert_eq!(before != after, counts);
    assert_eq!(repo.hash(&selection), after);
}

#[test]
fn touch_does_not_count() {
    trap(false, |repo| {
        fs::File::options()
            .write(true)
            .open(repo.path("app/a"))
            .unwrap()
            .set_modified(SystemTime::now())
            .unwrap();
    });
}

#[test]
fn chmod_counts() {
    trap(true, |repo| {
        fs::set_permissions(repo.path("app/a"), std::fs::Permissions::from_mode(0o755)).unwrap();
    });
    trap(true, |repo| {
        fs::set_permissions(repo.path("app/sub"), std::fs::Permissions::from_mode(0o700)).unwrap();
    });
}

#[test]
fn deletion_rename_and_addition_count() {
    trap(true, |repo| fs::remove_file(repo.path("app/sub/b")).unwrap());
    trap(true, |repo| fs::rename(repo.path("app/sub/b"), repo.path("app/sub/c")).unwrap());
    trap(true, |repo| repo.write("app/sub/new", ""));
    trap(true, |repo| fs::create_dir(repo.path("app/sub/empty")).unwrap());
}

#[test]
fn ignored_and_unread_files_do_not_count() {
    trap(false, |repo| repo.write("app/skip/c", "changed"));
    trap(false, |repo| repo.write("app/skip/new", ""));
    trap(false, |repo| repo.write("app/beside", "changed"));
    trap(false, |repo| repo.write("elsewhere", "new"));
    trap(false, |repo| repo.write("app/new", "new"));
}

#[test]
fn a_secret_edit_counts() {
    trap(true, |repo| edit_in_secret(&repo.path("app/sub/b"), "TWO"));
}

#[test]
fn an_older_file_moved_over_it_counts() {
    trap(true, |repo| {
        repo.write("older", "OLD");
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        fs::File::options().write(true).open(repo.path("older")).unwrap().set_modified(at).unwrap();
        fs::rename(repo.path("older"), repo.path("app/a")).unwrap();
    });
}

#[test]
fn there_and_back_does_not_count() {
    trap(false, |repo| {
        repo.write("app/a", "other");
        repo.cached(&[reads("app", &["a"])]);
        repo.write("app/a", "one");
        fs::rename(repo.path("app/sub"), repo.path("away")).unwrap();
        fs::rename(repo.path("away"), repo.path("app/sub")).unwrap();
    });
}

#[test]
fn a_link_in_the_place_of_a_file_or_folder_counts() {
    trap(true, |repo| {
        fs::rename(repo.path("app/a"), repo.path("app/real")).unwrap();
        symlink("real", repo.path("app/a")).unwrap();
    });
    trap(true, |repo| {
        fs::rename(repo.path("app/sub"), repo.path("app/real")).unwrap();
        symlink("real", repo.path("app/sub")).unwrap();
    });
}

#[test]
fn edits_right_after_the_cache_was_written_are_seen() {
    let repo = Repo::new(&[("a", "000")]);
    let selection = reads("", &["a"]);
    let mut last = repo.hash(&selection);
    for round in 1..200 {
        edit_in_secret(&repo.path("a"), &format!("{round:03}"));
        let now = repo.cached(std::slice::from_ref(&selection)).remove(0).unwrap().hash;
        assert_ne!(now, last, "round {round}");
        last = now;
    }
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let repo = Repo::new(&[("a/b", "1"), ("c", "2")]);
    let selections =
        [Selection { reads: Reads::whole(), ..reads("", &[]) }, reads("a", &["b"]), reads("", &["no*"])];
    repo.settle(&selections);
    let before = fs::metadata(repo.path(".imk/stat")).unwrap().modified().unwrap();
    repo.cached(&selections);
    assert_eq!(fs::metadata(repo.path(".imk/stat")).unwrap().modified().unwrap(), before);
    assert_eq!(fs::read_to_string(repo.path(".imk/.gitignore")).unwrap(), "*\n");
    assert!(
        fs::read_to_string(repo.path(".imk/CACHEDIR.TAG")).unwrap().starts_with("Signature: 8a477f597d28d17")
    );
}

#[test]
fn a_damaged_cache_is_an_empty_one() {
    let repo = Repo::new(&[("a/b", "1"), ("c", "2")]);
    let selection = reads("", &[""]);
    let right = repo.hash(&selection);
    let whole = fs::read(repo.path(".imk/stat")).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        assert_eq!(StatCache::parse(damaged, || None).folders, 0, "byte {at}");
        assert_eq!(StatCache::parse(whole[..at].to_vec(), || None).folders, 0, "cut at {at}");
    }
    fs::write(repo.path(".imk/stat"), "nonsense").unwrap();
    assert_eq!(repo.hash(&selection), right);
}

#[test]
fn state_never_counts_and_a_git_folder_does() {
    let repo = Repo::new(&[("a", "1")]);
    let before = repo.hash(&reads("", &[""]));
    repo.write(".imk/other", "2");
    assert_eq!(repo.hash(&reads("", &[""])), before);
    repo.write(".git/HEAD", "ref");
    assert_ne!(repo.hash(&reads("", &[""])), before);
}

#[test]
fn one_image_alone_does_not_forget_the_others() {
    let repo = Repo::new(&[("a/x", "1"), ("b/x", "2")]);
    let (a, b) = (reads("a", &[""]), reads("b", &[""]));
    repo.settle(&[a.clone(), b.clone()]);
    repo.write("a/x", "3");
    repo.cached(&[a]);
    let tree = repo.tree();
    let memos = &tree.cache().memos;
    assert!(memos.iter().any(|memo| memo.key == key(&b)));
    tree.select(&[b]);
    assert!(!tree.known.lock().unsaved);
}

#[test]
fn pipes_and_sockets_are_used_files_that_are_never_opened() {
    let repo = Repo::new(&[("a", "1")]);
    rustix::fs::mknodat(rustix::fs::CWD, repo.path("pipe"), rustix::fs::FileType::Fifo, 0o644.into(), 0)
        .unwrap();
    assert!(repo.cached(&[reads("", &["a"])])[0].is_ok());
    let all = reads("", &[""]);
    let before = repo.cached(std::slice::from_ref(&all)).remove(0).unwrap();
    assert_eq!(repo.cached(std::slice::from_ref(&all)).remove(0).unwrap(), before, "from the cache as well");
    assert_eq!(before.bytes, 1);
    // Another kind of thing is another image, and so are other permissions.
    fs::remove_file(repo.path("pipe")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(repo.path("pipe")).unwrap();
    let socket = repo.cached(std::slice::from_ref(&all)).remove(0).unwrap();
    assert_ne!(socket.hash, before.hash);
    fs::set_permissions(repo.path("pipe"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_ne!(repo.cached(&[all]).remove(0).unwrap().hash, socket.hash);
}

#[test]
fn a_name_that_is_not_utf8_is_refused_only_when_it_is_read() {
    use std::os::unix::ffi::OsStrExt;
    let repo = Repo::new(&[("a", "1")]);
    fs::write(repo.dir.path().join(std::ffi::OsStr::from_bytes(b"b\xff")), "").unwrap();
    assert!(repo.cached(&[reads("", &["a"])])[0].is_ok());
    let error = repo.cached(&[reads("", &[""])]).remove(0).unwrap_err();
    assert!(error.why.contains("not UTF-8"), "{error}");
}

#[test]
fn a_missing_context_is_named() {
    let repo = Repo::new(&[("a", "1")]);
    let answers = repo.cached(&[reads("no", &[""]), reads("a", &[""])]);
    assert_eq!(answers[0].clone().unwrap_err().to_string(), "cannot read `no`: there is no such folder");
    assert_eq!(answers[1].clone().unwrap_err().to_string(), "cannot read `a`: it is not a folder");
}

#[test]
fn a_context_may_be_a_link() {
    let repo = Repo::new(&[("real/a", "1")]);
    symlink("real", repo.path("ctx")).unwrap();
    let selection = reads("ctx", &["a"]);
    let before = repo.hash(&selection);
    repo.settle(std::slice::from_ref(&selection));
    repo.write("real/a", "2");
    assert_ne!(repo.hash(&selection), before);
    repo.write("other/a", "1");
    fs::remove_file(repo.path("ctx")).unwrap();
    symlink("other", repo.path("ctx")).unwrap();
    assert_eq!(repo.hash(&selection), before);
}

#[test]
fn used_files_see_what_changed_since_the_scan() {
    let repo = Repo::new(&[("a", "one")]);
    let selection = reads("", &["a"]);
    repo.settle(std::slice::from_ref(&selection));
    let tree = repo.tree();
    let hash = tree.select(std::slice::from_ref(&selection)).remove(0).unwrap().hash;
    assert_eq!(tree.used_files(&selection).unwrap().hash(), hash);
    edit_in_secret(&repo.path("a"), "two");
    assert_ne!(tree.used_files(&selection).unwrap().hash(), hash);
}

/// A small generator, so that a failure can be played again.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }
}

const NAMES: [&str; 9] = ["a", "b", "d", "d/e", "d/f", "d/g", "d/g/h", "d/g/k", "x"];

/// Edits inside the repository only: a link may point anywhere, and is never written through.
fn random_edit(repo: &Repo, dice: &mut Dice) {
    let root = repo.dir.path().canonicalize().unwrap();
    let place = |path: &str| {
        let path = repo.path(path);
        let parent = path.parent()?.canonicalize().ok().filter(|parent| parent.starts_with(&root))?;
        Some(parent.join(path.file_name()?))
    };
    let (path, other) = (place(NAMES[dice.roll(NAMES.len())]), place(NAMES[dice.roll(NAMES.len())]));
    let (Some(path), Some(other)) = (path, other) else { return };
    let is_link = path.is_symlink();
    // Whether an edit is possible at all is not the test's concern.
    let _ = match dice.roll(12) {
        0..4 if !is_link => fs::write(&path, format!("{:02}", dice.roll(100))),
        4 if path.is_file() && !is_link => {
            edit_in_secret(&path, &format!("{:02}", dice.roll(100)));
            Ok(())
        }
        5 if !is_link => fs::set_permissions(
            &path,
            std::fs::Permissions::from_mode([0o755, 0o644, 0o700][dice.roll(3)] | 0o700),
        ),
        6 => fs::rename(&path, &other),
        7 => fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path)),
        8 | 9 => fs::create_dir(&path),
        10 => symlink(["d", "a", "../a", "/d/g", "x", "."][dice.roll(6)], &path),
        _ => Ok(()),
    };
}

#[test]
fn the_cache_never_changes_an_answer() {
    let mut dice = Dice(7);
    for _ in 0..40 {
        let repo = Repo::new(&[("a", "01"), ("d/e", "02"), ("d/g/h", "03")]);
        let selections = [
            reads("", &[""]),
            reads("", &["a", "d/e"]),
            reads("", &["d/*/h", "x"]),
            reads("d", &["g"]),
            Selection { ignore: Some("d\n!d/g/h\n".into()), ..reads("", &[""]) },
            Selection { ignore: Some("**/h\n".into()), ..reads("", &["d"]) },
        ];
        for step in 0..60 {
            for _ in 0..=dice.roll(3) {
                random_edit(&repo, &mut dice);
            }
            let some = dice.roll(selections.len());
            let asked = if dice.roll(3) == 0 { &selections[some..=some] } else { &selections[..] };
            let answers = if dice.roll(2) == 0 { repo.cached(asked) } else { repo.ahead(asked, || {}) };
            assert_eq!(answers, repo.fresh(asked), "step {step}");
            if dice.roll(8) == 0 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

#[test]
fn files_written_during_a_scan_never_leave_a_stale_answer() {
    let repo = Repo::new(&[("a", "01"), ("d/e", "02"), ("d/g/h", "03")]);
    let selections = [reads("", &[""]), reads("d", &["g", "e"])];
    let mut dice = Dice(11);
    for _ in 0..150 {
        std::thread::scope(|scope| {
            scope.spawn(|| (0..20).for_each(|_| random_edit(&repo, &mut dice)));
            for _ in 0..3 {
                repo.cached(&selections);
            }
        });
        assert_eq!(repo.cached(&selections), repo.fresh(&selections));
    }
}

#[test]
fn a_cached_answer_notices_every_change_below_an_overlay_and_none_that_it_hides() {
    let files =
        [("app/a", "1"), ("app/lib/x", "hidden"), ("shared/lib/x", "2"), ("shared/lib/y", "3"), ("f", "4")];
    let repo = Repo::new(&files);
    symlink("shared", repo.path("link")).unwrap();
    let overlay = |at: &str, from: &str| Overlay { at: at.into(), from: OverlaySide::Path(from.into()) };
    let selection = Selection {
        overlays: vec![overlay("lib", "link/lib"), overlay("new/f", "f")],
        ..reads("app", &["lib/x", "new", "a"])
    };
    let mut last = repo.hash(&selection);
    repo.settle(std::slice::from_ref(&selection));
    let mut check = |path: &str, text: &str, counts: bool| {
        repo.write(path, text);
        let now = repo.hash(&selection);
        assert_eq!(now != last, counts, "{path}");
        last = now;
        repo.settle(std::slice::from_ref(&selection));
    };
    check("app/lib/x", "edited", false);
    check("shared/lib/y", "edited", false);
    check("shared/lib/x", "edited", true);
    check("f", "edited", true);
    check("app/new/beside", "added", true);
    check("app/a", "edited", true);
}

#[path = "disk_ahead_tests.rs"]
mod ahead;
#[path = "disk_monitor_tests.rs"]
mod monitored;
