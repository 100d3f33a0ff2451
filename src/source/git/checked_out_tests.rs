//! A commit as it would be checked out here, against real checkouts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;

use super::super::GitStore;
use super::super::modules::tests::{World, git};
use super::CheckedOut;
use crate::source::disk::DiskTree;
use crate::source::tree::{Selection, SourceTree};
use crate::state::folder::StateFolder;
use crate::syntax::glob;
use crate::syntax::reads::{ReadSource, Reads};

fn copies(pattern: &str) -> Selection {
    let source = ReadSource {
        pattern: pattern.into(),
        wildcard: glob::has_wildcards(pattern),
        required: !pattern.is_empty(),
        ..Reads::whole().sources.remove(0)
    };
    Selection {
        root: String::new(),
        ignore: Some(".git".into()),
        reads: Reads { sources: vec![source] },
        overlays: Vec::new(),
        named: Default::default(),
    }
}

const PATTERNS: [&str; 10] =
    ["", "one.txt", "*.txt", "run.sh", "win.bat", "ident.txt", "lib", "dist/app", "hollow", "link"];

/// All that counts of what each pattern copies: paths, kinds, modes, content.
fn all(tree: &dyn SourceTree) -> Vec<String> {
    let one = |pattern: &&str| match tree.used_files(&copies(pattern)) {
        Ok(files) => {
            let counted = files.files.iter().filter(|file| file.counts);
            let told =
                counted.map(|it| format!("{} {:?} {:o} {}", it.path, it.kind, it.mode, it.hash.short(8)));
            format!("{pattern:?}: {:?}", told.collect::<Vec<_>>())
        }
        Err(error) => format!("{pattern:?}: {error}"),
    };
    PATTERNS.iter().map(one).collect()
}

fn at(root: &Path, rev: &str) -> CheckedOut {
    let store = GitStore::open(root).unwrap();
    let tree = store.tree(&store.commit(rev).unwrap()).unwrap();
    CheckedOut::new(tree, root, &StateFolder::nowhere("a test")).unwrap()
}

fn disk(root: &Path) -> DiskTree {
    DiskTree::open(root, &StateFolder::nowhere("a test")).unwrap()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A repository with all that git lets differ between a commit and its checkout, freshly checked out.
fn world() -> World {
    let world = World::new();
    let app = world.at("app");
    fs::write(app.join(".gitattributes"), "*.bat text eol=crlf\nident.txt ident\n").unwrap();
    fs::write(app.join(".gitignore"), "/dist\n*.log\n").unwrap();
    fs::write(app.join("win.bat"), "a\nb\n").unwrap();
    fs::write(app.join("ident.txt"), "$Id$\n").unwrap();
    fs::write(app.join("run.sh"), "x").unwrap();
    chmod(&app.join("run.sh"), 0o755);
    fs_err::os::unix::fs::symlink("one.txt", app.join("link")).unwrap();
    git(&app, "add -A");
    git(&app, "commit -q -m all");
    for path in ["win.bat", "ident.txt"] {
        fs::remove_file(app.join(path)).unwrap();
    }
    git(&app, "checkout -q -- .");
    fs::create_dir_all(app.join("dist")).unwrap();
    fs::write(app.join("dist/app"), "made").unwrap();
    fs::create_dir_all(app.join("hollow/inner")).unwrap();
    world
}

#[test]
fn where_git_says_that_nothing_is_modified_the_commit_is_the_work_tree() {
    let world = world();
    let app = world.at("app");
    assert_eq!(fs::read(app.join("win.bat")).unwrap(), b"a\r\nb\r\n");
    assert_eq!(all(&at(&app, "HEAD")), all(&disk(&app)));
    // As under the umask 002, and a secret that its owner alone may read.
    for (path, mode) in
        [("one.txt", 0o664), ("lib", 0o775), ("lib/one.txt", 0o664), ("run.sh", 0o775), ("two.txt", 0o600)]
    {
        chmod(&app.join(path), mode);
    }
    assert_eq!(all(&at(&app, "HEAD")), all(&disk(&app)));
    // Git is told not to look.
    git(&app, "update-index --assume-unchanged one.txt");
    fs::write(app.join("one.txt"), "other").unwrap();
    assert_eq!(all(&at(&app, "HEAD")), all(&disk(&app)));
}

#[test]
fn what_is_not_committed_is_not_the_commits() {
    let world = world();
    let app = world.at("app");
    let before = all(&at(&app, "HEAD"));
    for (path, text) in
        [("one.txt", "edited"), ("new.txt", "untracked"), ("win.bat", "edited"), ("lib/two.txt", "edited")]
    {
        fs::write(app.join(path), text).unwrap();
    }
    assert_eq!(all(&at(&app, "HEAD")), before);
    assert_ne!(all(&disk(&app)), before);
    // Nor is what is staged.
    git(&app, "add -A");
    assert_eq!(all(&at(&app, "HEAD")), before);
    fs::write(app.join("dist/app"), "made anew").unwrap();
    assert_ne!(all(&at(&app, "HEAD")), before);
}

#[test]
fn another_commit_is_what_git_would_check_out() {
    let world = world();
    let app = world.at("app");
    git(&app, "checkout -q -b other");
    fs::write(app.join("one.txt"), "other").unwrap();
    fs::write(app.join("win.bat"), "c\n").unwrap();
    fs::write(app.join("ident.txt"), "x $Id$ y\n").unwrap();
    fs::write(app.join("more.txt"), "more").unwrap();
    fs::remove_file(app.join("link")).unwrap();
    fs_err::os::unix::fs::symlink("two.txt", app.join("link")).unwrap();
    fs::write(app.join("lib/one.txt"), "moved").unwrap();
    git(&app.join("lib"), "commit -q -a -m moved");
    git(&app, "add -A");
    git(&app, "commit -q -m other");
    for (from, to) in [("other", "main"), ("main", "other")] {
        let foreseen = all(&at(&app, to));
        git(&app, &format!("checkout -q {to}"));
        git(&app, "submodule --quiet update --recursive");
        assert_eq!(all(&disk(&app)), foreseen, "from {from} to {to}");
        assert_eq!(all(&at(&app, "HEAD")), foreseen);
    }
}

#[test]
fn the_attributes_of_a_commit_count_and_not_those_that_lie_in_the_work_tree() {
    let world = world();
    let app = world.at("app");
    let before = all(&at(&app, "HEAD"));
    // All is to come from the commit.
    for path in ["one.txt", "win.bat", "ident.txt"] {
        fs::write(app.join(path), "edited").unwrap();
    }
    for text in ["", "* eol=crlf\n", "win.bat -text\n*.txt filter=none\n"] {
        fs::write(app.join(".gitattributes"), text).unwrap();
        assert_eq!(all(&at(&app, "HEAD")), before, "{text:?}");
        git(&app, "add .gitattributes");
        assert_eq!(all(&at(&app, "HEAD")), before, "{text:?}, staged");
    }
    // Those of a submodule are its own, whatever the repository around says.
    fs::write(app.join(".gitattributes"), "one.txt eol=crlf\n").unwrap();
    fs::write(app.join("lib/.gitattributes"), "*.txt eol=crlf\n").unwrap();
    for path in ["lib/one.txt", "lib/deep/one.txt"] {
        fs::write(app.join(path), "a\nb\n").unwrap();
    }
    for folder in ["lib/deep", "lib", ""] {
        git(&app.join(folder), "add -A");
        git(&app.join(folder), "commit -q -m attributes");
    }
    for path in ["lib/one.txt", "lib/deep/one.txt"] {
        fs::write(app.join(path), "edited").unwrap();
    }
    let tree = at(&app, "HEAD");
    assert_eq!(tree.read("lib/one.txt").unwrap().unwrap(), b"a\r\nb\r\n");
    assert_eq!(tree.read("lib/deep/one.txt").unwrap().unwrap(), b"a\nb\n");
}

#[test]
fn what_git_ignores_and_an_image_copies_is_beyond_git() {
    let world = world();
    let app = world.at("app");
    let tree = at(&app, "HEAD");
    let beyond = |tree: &CheckedOut, pattern: &str| tree.beyond_git(&copies(pattern)).unwrap();
    assert_eq!(beyond(&tree, "dist/app"), ["dist/app"]);
    assert_eq!(beyond(&tree, ""), ["dist/app"]);
    assert_eq!(beyond(&tree, "one.txt"), [""; 0]);
    // The file by which a submodule finds its repository is as good as its commit.
    assert_eq!(beyond(&tree, "lib"), [""; 0]);
    fs::remove_file(app.join("dist/app")).unwrap();
    assert_eq!(beyond(&at(&app, "HEAD"), "dist/app"), ["dist/app"]);
    assert_eq!(beyond(&tree, "nothing"), [""; 0]);
    let bare = at(&app, "HEAD").commit().clone();
    assert_eq!(bare.beyond_git(&copies("dist/app")).unwrap(), ["dist/app"]);
}

#[test]
fn the_content_behind_a_pointer_of_lfs_is_taken_from_where_git_lfs_keeps_it_or_asked_for() {
    let world = world();
    let app = world.at("app");
    let content = b"large";
    let hash = ring::digest::digest(&ring::digest::SHA256, content);
    let id: String = hex::encode(hash);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{id}\nsize 5\n");
    fs::write(app.join("run.sh"), pointer).unwrap();
    git(&app, "commit -q -a -m pointer");
    fs::write(app.join("run.sh"), content).unwrap();
    let used = || at(&app, "HEAD").used_files(&copies("run.sh"));
    let error = used().unwrap_err();
    assert!(error.path == "run.sh" && error.why.contains("git lfs fetch"), "{error}");
    let kept = app.join(format!(".git/lfs/objects/{}/{}", &id[..2], &id[2..4]));
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join(&id), content).unwrap();
    let sum = |files: crate::model::file::UsedFiles| files.files[0].hash;
    assert_eq!(used().map(sum), disk(&app).used_files(&copies("run.sh")).map(sum));
    // What is kept under a wrong name is not it.
    fs::write(kept.join(&id), "other").unwrap();
    assert!(used().is_err());
}

/// Any repository: what is foreseen of a commit is what git then checks out, whatever lies there ignored or empty.
#[test]
fn every_commit_of_any_repository_is_foreseen() {
    for seed in 1..9u64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut roll = |sides: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % sides as u64).unwrap()
        };
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let format = if seed % 2 == 0 { "sha256" } else { "sha1" };
        git(root, &format!("init -q -b main --object-format={format}"));
        fs::write(root.join("one.txt"), "one").unwrap();
        let folders = ["", "a", "a/b", "dist", "lib"];
        let names = ["one.txt", "run.sh", "win.bat", "ident.txt", "x.log", "link"];
        let attributes = [
            "*.bat text eol=crlf\n",
            "*.txt ident\n",
            "* text=auto\n",
            "[attr]dos eol=crlf\n*.txt dos\n",
            "*.sh -text\n",
        ];
        for commit in 0..3 {
            for _ in 0..6 {
                let folder = root.join(folders[roll(folders.len())]);
                let path = folder.join(names[roll(names.len())]);
                fs::create_dir_all(&folder).unwrap();
                let _ = fs::remove_file(&path);
                match roll(6) {
                    0 => {}
                    1 => fs_err::os::unix::fs::symlink("one.txt", &path).unwrap(),
                    kind => {
                        fs::write(&path, format!("$Id$ {}\nline\n", roll(4))).unwrap();
                        chmod(&path, if kind == 2 { 0o755 } else { 0o644 });
                    }
                }
            }
            fs::write(root.join(".gitignore"), ["dist\n", "*.log\n", "a/b\n"][roll(3)]).unwrap();
            // Each commit has attributes of its own.
            for folder in ["", "a"] {
                let path = root.join(folder).join(".gitattributes");
                let _ = fs::remove_file(&path);
                if roll(3) > 0 && path.parent().unwrap().is_dir() {
                    fs::write(&path, attributes[roll(if folder.is_empty() { 5 } else { 3 })]).unwrap();
                }
            }
            git(root, "add -A");
            git(root, "commit -q --allow-empty -m c");
            git(root, &format!("branch c{commit}"));
            git(root, "clean -q -f -d");
        }
        for step in 0..6 {
            let to = format!("c{}", roll(3));
            // Attributes take hold of what is checked out anew.
            git(root, "rm -q -r --cached .");
            git(root, "reset -q --hard");
            match roll(3) {
                0 => fs::create_dir_all(root.join("hollow")).unwrap(),
                1 => fs::write(root.join("one.txt.log"), "mine").unwrap(),
                _ => {}
            }
            let status =
                std::process::Command::new("git").current_dir(root).args(["status", "--porcelain"]).output();
            let clean = status.unwrap().stdout.is_empty();
            let foreseen = all(&at(root, &to));
            if clean {
                assert_eq!(all(&at(root, "HEAD")), all(&disk(root)), "seed {seed}, step {step}");
            }
            git(root, &format!("checkout -q -f {to}"));
            if clean {
                assert_eq!(all(&disk(root)), foreseen, "seed {seed}, step {step}: {to}");
            }
        }
    }
}

#[test]
fn where_a_checkout_makes_no_links_a_commit_has_files_with_their_targets() {
    let world = world();
    let app = world.at("app");
    git(&app, "config core.symlinks false");
    for path in ["link", "one.txt"] {
        fs::remove_file(app.join(path)).unwrap();
    }
    let foreseen = all(&at(&app, "HEAD"));
    git(&app, "checkout -q -- link one.txt");
    assert_eq!(fs::read_to_string(app.join("link")).unwrap(), "one.txt");
    assert_eq!(all(&disk(&app)), foreseen);
    assert_eq!(all(&at(&app, "HEAD")), foreseen);
}
