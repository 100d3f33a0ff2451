//! Recipes found on a disk, first and again.

use fs_err as fs;

use super::*;

struct Repo(tempfile::TempDir);

impl Repo {
    fn new(files: &[&str]) -> Self {
        let repo = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|path| repo.write(path, "FROM scratch\n"));
        repo
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn write_bytes(&self, path: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(path), bytes).unwrap();
    }

    /// Three times: the later answers come from the cache.
    fn found(&self) -> String {
        let once =
            || discover(self.0.path(), &StateFolder::at(&self.0.path().join(".imk"))).unwrap().join(" ");
        let first = once();
        std::thread::sleep(std::time::Duration::from_millis(5));
        assert_eq!(once(), first);
        assert_eq!(once(), first);
        first
    }

    fn git(&self) -> git2::Repository {
        git2::Repository::init(self.0.path()).unwrap()
    }
}

/// The cache of a repository that was looked through.
fn found_in(repo: &Repo) -> Found {
    repo.found();
    Found::unpack(&fs::read(repo.0.path().join(".imk/recipes")).unwrap()).unwrap()
}

#[test]
fn recipes_come_sorted_and_hidden_folders_are_seen() {
    let repo = Repo::new(&["b/Dockerfile", "Dockerfile", ".ci/Containerfile", "a/x.Dockerfile", "a/x.txt"]);
    repo.write(".imk/Dockerfile", "");
    repo.write(".git/Dockerfile", "");
    assert_eq!(repo.found(), ".ci/Containerfile Dockerfile a/x.Dockerfile b/Dockerfile");
}

#[test]
fn what_git_ignores_is_left_out_unless_it_is_tracked() {
    let repo = Repo::new(&["a/Dockerfile", "out/Dockerfile", "out/kept/Dockerfile"]);
    let git = repo.git();
    repo.write(".gitignore", "out\n");
    assert_eq!(repo.found(), "a/Dockerfile");
    let mut index = git.index().unwrap();
    index.add_path(Path::new("out/kept/Dockerfile")).unwrap();
    index.write().unwrap();
    assert_eq!(repo.found(), "a/Dockerfile out/kept/Dockerfile");
    fs::remove_file(repo.0.path().join("out/kept/Dockerfile")).unwrap();
    assert_eq!(repo.found(), "a/Dockerfile");
}

#[test]
fn every_change_is_seen() {
    let repo = Repo::new(&["a/Dockerfile"]);
    assert_eq!(repo.found(), "a/Dockerfile");
    repo.write("a/b/c/Dockerfile", "");
    assert_eq!(repo.found(), "a/Dockerfile a/b/c/Dockerfile");
    repo.write("a/.gitignore", "c\n");
    assert_eq!(repo.found(), "a/Dockerfile");
    repo.write("a/.gitignore", "x\n");
    assert_eq!(repo.found(), "a/Dockerfile a/b/c/Dockerfile");
    repo.git();
    repo.write(".git/info/exclude", "b\n");
    assert_eq!(repo.found(), "a/Dockerfile");
    fs::rename(repo.0.path().join("a"), repo.0.path().join("z")).unwrap();
    assert_eq!(repo.found(), "z/Dockerfile");
    fs::remove_file(repo.0.path().join("z/Dockerfile")).unwrap();
    assert_eq!(repo.found(), "");
}

#[test]
fn what_an_older_rule_found_is_looked_for_again() {
    let repo = Repo::new(&["a/Dockerfile-test"]);
    let old = Found { rule: RULE - 1, walked: BTreeSet::new(), ..found_in(&repo) };
    repo.write_bytes(".imk/recipes", &old.pack().unwrap());
    assert_eq!(repo.found(), "a/Dockerfile-test");
}

#[test]
fn a_damaged_cache_is_no_cache() {
    let repo = Repo::new(&["a/Dockerfile"]);
    repo.found();
    for text in ["", "nonsense", &"x".repeat(500)] {
        repo.write(".imk/recipes", text);
        assert_eq!(repo.found(), "a/Dockerfile");
    }
}

#[test]
fn an_error_that_says_nothing_of_a_folder_is_no_absence() {
    let error = |number| ignore::Error::Io(io::Error::from_raw_os_error(number));
    // EMFILE, ENFILE, EIO, ENOMEM, ESTALE
    for number in [24, 23, 5, 12, 116] {
        assert!(is_no_answer(&&error(number)), "{number}");
        let within = ignore::Error::WithPath { path: "a".into(), err: Box::new(error(number)) };
        assert!(is_no_answer(&&ignore::Error::Partial(vec![error(2), within])), "{number}");
    }
    // ENOENT, EACCES, ENOTDIR
    for number in [2, 13, 20] {
        assert!(!is_no_answer(&&error(number)), "{number}");
    }
    assert!(!is_no_answer(&&ignore::Error::Glob { glob: None, err: "odd".to_owned() }));
}

#[test]
fn a_root_that_is_not_there_is_named() {
    let error =
        discover(Path::new("/nowhere/at/all"), &StateFolder::at(Path::new("/nowhere/state"))).unwrap_err();
    assert_eq!(error.to_string(), "cannot read `/nowhere/at/all`: no such file or directory");
}
