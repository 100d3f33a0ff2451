//! Everything that may stand where imk keeps a file or a folder.

use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use parking_lot::Mutex;

use super::*;

/// A noun, and what puts such a thing at a path.
type Trick = (&'static str, Box<dyn Fn(&Path)>);

/// A state folder beside a folder with a precious file, and what was told.
struct Lab {
    dir: tempfile::TempDir,
    folder: StateFolder,
    told: Arc<Mutex<Vec<String>>>,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("out")).unwrap();
        fs::write(dir.path().join("out/file"), "precious").unwrap();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let to = Arc::clone(&told);
        let tell: Tell = Arc::new(move |line| to.lock().push(line.to_owned()));
        let folder = StateFolder::opened_at(dir.path().join("state"), None, None, tell);
        folder.make().unwrap();
        Self { dir, folder, told }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Every way to have something else in a file's place.
    fn tricks(&self) -> Vec<Trick> {
        let out = self.path("out");
        let (file, absent, folder) = (out.join("file"), out.join("absent"), out.clone());
        vec![
            ("a link", Box::new(move |at: &Path| symlink(&file, at).unwrap())),
            ("a link", Box::new(move |at: &Path| symlink(&absent, at).unwrap())),
            ("a link", Box::new(move |at: &Path| symlink(&folder, at).unwrap())),
            ("a pipe", Box::new(|at: &Path| node(at, FileType::Fifo))),
            ("a device", Box::new(|at: &Path| node(at, FileType::CharacterDevice))),
            ("a socket", Box::new(|at: &Path| drop(UnixListener::bind(at).unwrap()))),
            (
                "a folder",
                Box::new(move |at: &Path| {
                    fs::create_dir(at).unwrap();
                    fs::write(at.join("inner"), "x").unwrap();
                    symlink(&out, at.join("link")).unwrap();
                }),
            ),
        ]
    }

    #[track_caller]
    fn assert_untouched(&self) {
        let names: Vec<_> =
            fs::read_dir(self.path("out")).unwrap().flatten().map(|it| it.file_name()).collect();
        assert_eq!(names, ["file"]);
        assert_eq!(fs::read_to_string(self.path("out/file")).unwrap(), "precious");
    }
}

fn node(at: &Path, kind: FileType) {
    // The terminal's own device: opened by mistake it would wait or become ours.
    let device = rustix::fs::makedev(5, 0);
    rustix::fs::mknodat(rustix::fs::CWD, at, kind, FILE, device).unwrap();
}

#[test]
fn whatever_stands_in_a_files_place_is_told_and_gives_way() {
    type Write = fn(&StateFolder, &str);
    let ways: [Write; 4] = [
        |folder, name| folder.replace(name, b"new").unwrap(),
        |folder, name| folder.open_file(name, true).unwrap().write_all(b"new").unwrap(),
        |folder, name| folder.open_file(name, false).unwrap().write_all(b"new").unwrap(),
        |folder, name| folder.create(name).unwrap().write_all(b"new").unwrap(),
    ];
    for way in ways {
        for name in ["ledger", "logs/web.log", "logs/team/web.log"] {
            let lab = Lab::new();
            for (noun, trick) in lab.tricks() {
                if noun == "a device" && !rustix::process::geteuid().is_root() {
                    continue;
                }
                let at = lab.path("state").join(name);
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                trick(&at);
                lab.told.lock().clear();
                lab.folder.top.told.lock().clear();
                assert_eq!(lab.folder.try_read(name).unwrap(), None, "{noun}");
                assert_eq!(lab.folder.try_read(name).unwrap(), None, "{noun}");
                let line = format!(
                    "`{}` is {noun}, where imk keeps a file: it counts as none, and is made anew",
                    at.display()
                );
                assert_eq!(*lab.told.lock(), [line], "told once");
                way(&lab.folder, name);
                assert_eq!(lab.folder.try_read(name).unwrap().unwrap(), b"new");
                let mode = fs::symlink_metadata(&at).unwrap().mode();
                assert_eq!(mode & 0o7777, 0o600, "{noun}");
                lab.folder.remove(name).unwrap();
                lab.assert_untouched();
            }
        }
    }
}

#[test]
fn whatever_stands_in_a_folders_place_is_told_and_gives_way() {
    for name in ["logs/web.log", "logs/team/web.log"] {
        for place in ["logs", "logs/team"].iter().filter(|place| name.starts_with(&format!("{place}/"))) {
            let lab = Lab::new();
            for (noun, trick) in lab.tricks().into_iter().filter(|(noun, _)| *noun != "a folder") {
                if noun == "a device" && !rustix::process::geteuid().is_root() {
                    continue;
                }
                let at = lab.path("state").join(place);
                fs::create_dir_all(at.parent().unwrap()).unwrap();
                trick(&at);
                lab.told.lock().clear();
                lab.folder.top.told.lock().clear();
                assert_eq!(lab.folder.try_read(name).unwrap(), None, "{noun}");
                assert_eq!(lab.folder.sub("logs/team").list().unwrap(), []);
                lab.folder.remove(name).unwrap();
                let line = format!(
                    "`{}` is {noun}, where imk keeps a folder: it counts as none, and is made anew",
                    at.display()
                );
                assert_eq!(lab.told.lock().first(), Some(&line));
                lab.assert_untouched();
                lab.folder.replace(name, b"new").unwrap();
                assert_eq!(lab.folder.try_read(name).unwrap().unwrap(), b"new");
                let made = fs::symlink_metadata(&at).unwrap();
                assert!(made.is_dir() && made.mode() & 0o777 == 0o700, "{noun}");
                lab.folder.remove("logs").unwrap();
                lab.assert_untouched();
            }
        }
    }
}

#[test]
fn a_file_with_another_name_elsewhere_is_not_written_there() {
    let lab = Lab::new();
    fs::hard_link(lab.path("out/file"), lab.path("state/ledger")).unwrap();
    lab.folder.open_file("ledger", true).unwrap().write_all(b" line").unwrap();
    assert_eq!(lab.folder.read("ledger").unwrap(), b"precious line", "what was written down stays");
    fs::hard_link(lab.path("out/file"), lab.path("state/log")).unwrap();
    lab.folder.create("log").unwrap().write_all(b"new").unwrap();
    fs::hard_link(lab.path("out/file"), lab.path("state/stat")).unwrap();
    lab.folder.replace("stat", b"new").unwrap();
    lab.assert_untouched();
}

#[test]
fn the_state_is_for_its_owner_alone_and_kept_out_of_git_and_backups() {
    let lab = Lab::new();
    let mode = |path: &str| fs::symlink_metadata(lab.path(path)).unwrap().mode() & 0o7777;
    lab.folder.replace("a/b/c", b"1").unwrap();
    assert_eq!([mode("state"), mode("state/a"), mode("state/a/b")], [0o700; 3]);
    assert_eq!([mode("state/.gitignore"), mode("state/a/b/c")], [0o600; 2]);
    assert_eq!(fs::read_to_string(lab.path("state/.gitignore")).unwrap(), "*\n");
    let names = |path: &str| fs::read_dir(lab.path(path)).unwrap().count();
    assert_eq!(names("state/a/b"), 1, "nothing is left of the writing");
    assert!(lab.folder.clock().now > 0 && names("state") == 3);
}

#[test]
fn a_failed_replacement_leaves_the_old_file_and_nothing_else() {
    let lab = Lab::new();
    lab.folder.replace("a/file", b"old").unwrap();
    let failed = lab.folder.replace_with("a/file", true, |file| {
        file.write_all(b"half")?;
        Err(io::Error::other("no"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "no");
    assert_eq!(lab.folder.read("a/file").unwrap(), b"old");
    assert_eq!(fs::read_dir(lab.path("state/a")).unwrap().count(), 1);
}

#[test]
fn no_name_leaves_the_folder() {
    let lab = Lab::new();
    for name in ["../out/file", "/etc/passwd", "a/../../out/file", "", ".", "..", "a//b", "x\0y"] {
        assert!(lab.folder.replace(name, b"x").is_err(), "{name:?}");
        assert!(lab.folder.create(name).is_err() && lab.folder.open_file(name, true).is_err(), "{name:?}");
        assert!(lab.folder.remove(name).is_err() && lab.folder.read(name).is_none(), "{name:?}");
        assert_eq!(lab.folder.size(name), 0, "{name:?}");
    }
    lab.assert_untouched();
}

#[test]
fn a_link_that_comes_and_goes_while_files_are_written_leads_nowhere() {
    let lab = Lab::new();
    let (logs, away) = (lab.path("state/logs"), lab.path("state/away"));
    fs::create_dir(&logs).unwrap();
    symlink(lab.path("out"), &away).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let (cwd, flags) = (rustix::fs::CWD, rustix::fs::RenameFlags::EXCHANGE);
                if rustix::fs::renameat_with(cwd, &logs, cwd, &away, flags).is_err() {
                    let _ = fs::create_dir(&logs);
                    let _ = symlink(lab.path("out"), &away);
                }
            }
        });
        for _ in 0..2000 {
            // Some of these fail; none may write elsewhere.
            let _ = lab.folder.replace("logs/file", b"x");
            let _ = lab.folder.create("logs/file");
            let _ = lab.folder.open_file("logs/file", true).map(|mut file| file.write_all(b"x"));
            let _ = lab.folder.sub("logs").list();
            let _ = lab.folder.remove("logs/file");
        }
        done.store(true, Ordering::Relaxed);
    });
    lab.assert_untouched();
}

#[test]
fn nowhere_keeps_nothing_and_says_why() {
    let folder = StateFolder::nowhere("because");
    assert!(folder.read("a").is_none() && !folder.is_there() && folder.list().unwrap().is_empty());
    assert_eq!(folder.replace("a", b"").unwrap_err().to_string(), "because");
    assert_eq!(folder.sub("b").open_file("a", true).unwrap_err().to_string(), "because");
    folder.remove("a").unwrap();
}
