//! A commit's files are those of its checkout.

use fs_err as fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use git2::Repository;

use super::history::{History, Range};
use super::*;
use crate::model::file::UsedFile;
use crate::source::disk::DiskTree;
use crate::state::folder::StateFolder;
use crate::syntax::reads::{ReadSource, Reads};

/// A repository on a disk, with modes as a checkout under the umask 022 makes them.
struct Repo {
    folder: tempfile::TempDir,
    git: Repository,
}

impl Repo {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let git = Repository::init(folder.path()).unwrap();
        Self { folder, git }
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        self
    }

    fn link(&self, path: &str, target: &str) -> &Self {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
        self
    }

    fn executable(&self, path: &str) -> &Self {
        fs::set_permissions(self.folder.path().join(path), std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn commit(&self) -> Oid {
        let mut index = self.git.index().unwrap();
        index.add_all(["*"], git2::IndexAddOption::FORCE, None).unwrap();
        index.write().unwrap();
        let tree = self.git.find_tree(index.write_tree().unwrap()).unwrap();
        let who = git2::Signature::new("imk", "imk@invalid", &git2::Time::new(1_700_000_000, 0)).unwrap();
        let parent = self.git.head().ok().map(|head| head.peel_to_commit().unwrap());
        let parents: Vec<_> = parent.iter().collect();
        self.git.commit(Some("HEAD"), &who, &who, "change", &tree, &parents).unwrap()
    }

    fn store(&self) -> Arc<GitStore> {
        GitStore::open(self.folder.path()).unwrap()
    }

    fn tree(&self, store: &Arc<GitStore>, rev: &str) -> GitTree {
        store.tree(&store.commit(rev).unwrap()).unwrap()
    }
}

fn mixed() -> Repo {
    let repo = Repo::new();
    repo.write("app/main.rs", "main")
        .write("app/run.sh", "run")
        .executable("app/run.sh")
        .write("app/lib/a.rs", "a")
        .write("app/lib/b.md", "b")
        .write("app/lib-x/c.rs", "c")
        .write("app/lib.rs", "sorted between lib-x and lib/ by git")
        .write("shared/one.txt", "1")
        .write("shared/deep/two.txt", "2")
        .link("app/latest", "run.sh")
        .link("app/inner", "lib")
        .link("context", "app")
        .link("outer", "shared/deep")
        .link("loop", "loop");
    repo.commit();
    repo
}

fn selection(root: &str, patterns: &[&str], ignore: &str) -> Selection {
    let source = |pattern: &&str| ReadSource {
        pattern: (*pattern).into(),
        wildcard: glob::has_wildcards(pattern),
        required: !pattern.is_empty() && !glob::has_wildcards(pattern),
        ..Reads::whole().sources.remove(0)
    };
    Selection {
        root: root.into(),
        ignore: (!ignore.is_empty()).then(|| ignore.into()),
        reads: Reads { sources: patterns.iter().map(source).collect() },
        overlays: Vec::new(),
        named: Default::default(),
    }
}

#[test]
fn a_commit_and_its_checkout_have_the_same_files() {
    let repo = mixed();
    let state = tempfile::tempdir().unwrap();
    let disk = DiskTree::open(repo.folder.path(), &StateFolder::at(&state.path().join("state"))).unwrap();
    let git = repo.tree(&repo.store(), "HEAD");
    // A checkout has `.git`, a commit has not.
    let cases = [
        selection("", &[""], ".git"),
        selection("", &[""], ".git\n**/*.md\n!app/lib/b.md\nshared"),
        selection("app", &[""], ""),
        selection("app", &["*.rs", "lib/*"], ""),
        selection("app", &["latest", "inner", "lib-x"], ""),
        selection("app", &["l*"], "lib-x"),
        selection("context", &["main.rs", "inner/a.rs"], ""),
        selection("", &["outer", "outer/two.txt", "app/run.sh/x", "nothing"], ""),
        selection("", &["out*"], ".git"),
        selection("", &["loop"], ""),
        selection("nowhere", &[""], ""),
    ];
    let without_time = |files: Result<UsedFiles, ReadError>| {
        files.map(|files| files.files.into_iter().map(|f| UsedFile { mtime_ns: 0, ..f }).collect::<Vec<_>>())
    };
    for case in &cases {
        let (ours, theirs) = (git.used_files(case), disk.used_files(case));
        match (without_time(ours), without_time(theirs)) {
            (Err(_), Err(_)) => {}
            (ours, theirs) => assert_eq!(ours, theirs, "{case:?}"),
        }
    }
    let (ours, theirs) = (git.select(&cases), disk.select(&cases));
    for ((case, ours), theirs) in cases.iter().zip(ours).zip(theirs) {
        assert_eq!(ours.ok(), theirs.ok(), "{case:?}");
    }
}

#[test]
fn what_is_at_a_path_is_as_on_the_disk() {
    let repo = mixed();
    repo.write("deep/Dockerfile", "FROM scratch").write("deep/dev.Dockerfile", "FROM scratch");
    repo.link("Containerfile", "deep/Dockerfile").link("Dockerfile.gone", "nowhere");
    repo.commit();
    let git = repo.tree(&repo.store(), "HEAD");
    assert_eq!(git.read("context/latest").unwrap().unwrap(), b"run");
    assert_eq!(git.read("nothing").unwrap(), None);
    assert_eq!(git.read("loop").unwrap(), None);
    assert!(git.read("app").is_err());
    assert!(git.is_folder("").unwrap() && git.is_folder("context/inner").unwrap());
    assert!(!git.is_folder("app/main.rs").unwrap());
    assert_eq!(git.recipes().unwrap(), ["Containerfile", "deep/Dockerfile", "deep/dev.Dockerfile"]);
}

#[test]
fn an_answer_is_remembered_until_what_it_rests_on_changes() {
    let repo = mixed();
    let store = repo.store();
    let plain = selection("app", &["lib"], "");
    let linked = selection("", &["out*"], "");
    let answers = |rev: &str| {
        let tree = repo.tree(&store, rev);
        [&plain, &linked].map(|case| tree.answer(case).unwrap().hash)
    };
    let first = answers("HEAD");
    let known = || store.answers.lock().len();
    assert_eq!(known(), 2);
    repo.write("app/main.rs", "other");
    repo.commit();
    // The link may lead anywhere, so its answer rests on the whole commit.
    assert_eq!(answers("HEAD"), first);
    assert_eq!(known(), 3);
    repo.write("shared/deep/two.txt", "3");
    repo.commit();
    let third = answers("HEAD");
    assert_eq!(third[0], first[0]);
    assert_ne!(third[1], first[1]);
    repo.executable("app/lib/a.rs");
    repo.commit();
    assert_ne!(answers("HEAD")[0], first[0]);
    assert_eq!(answers("HEAD~3"), first);
}

#[test]
fn only_what_differs_is_listed() {
    let repo = mixed();
    repo.write("app/lib/a.rs", "other").write("app/lib/new.rs", "n").write("shared/one.txt", "other");
    fs::remove_file(repo.folder.path().join("app/main.rs")).unwrap();
    repo.git.index().unwrap().remove_path(Path::new("app/main.rs")).unwrap();
    repo.commit();
    let store = repo.store();
    let [old, new] = ["HEAD~1", "HEAD"].map(|rev| repo.tree(&store, rev));
    let listed = |this: &GitTree, other: &GitTree| {
        let files = changes::only_in(this, other, &selection("app", &[""], "")).unwrap().files;
        files.into_iter().map(|file| file.path).collect::<Vec<_>>()
    };
    assert_eq!(listed(&old, &new), ["lib", "lib/a.rs", "main.rs"]);
    assert_eq!(listed(&new, &old), ["lib", "lib/a.rs", "lib/new.rs"]);
    assert_eq!(listed(&new, &new), [""; 0]);
}

#[test]
fn a_range_has_a_start_unless_history_begins_in_it() {
    let repo = mixed();
    let ids: Vec<String> =
        (0..3).map(|number| repo.write("n", &number.to_string()).commit().to_string()).collect();
    let store = repo.store();
    let shown = |range: Range| {
        let History { start, commits } = store.history(&range, false).unwrap();
        (start.map(|commit| commit.id), commits.into_iter().map(|commit| commit.id).collect::<Vec<_>>())
    };
    assert_eq!(shown(Range::Last(2)), (Some(ids[0].clone()), ids[1..].to_vec()));
    assert_eq!(shown(Range::Between("HEAD~2..HEAD~1".into())), (Some(ids[0].clone()), vec![ids[1].clone()]));
    let (start, all) = shown(Range::Last(99));
    assert_eq!((start, all.len()), (None, 4));
}

#[test]
fn a_tree_with_a_name_that_leads_out_is_refused_by_its_name() {
    let repo = Repo::new();
    repo.write("f", "x").commit();
    let odb = repo.git.odb().unwrap();
    let blob = odb.write(git2::ObjectType::Blob, b"x").unwrap();
    for name in ["..", ".", ".git", ".GIT", "a/../../b"] {
        let tree = [format!("100644 {name}\0").as_bytes(), blob.as_bytes()].concat();
        let tree = odb.write(git2::ObjectType::Tree, &tree).unwrap();
        let error = repo.store().tree_at(tree).unwrap_err();
        assert!(error.why.contains(&format!("{name:?}, which no checkout can have")), "{error}");
    }
}
