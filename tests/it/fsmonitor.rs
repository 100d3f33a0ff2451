//! The file system monitor as a person meets it: started, asked, told lies, ended.

use std::path::PathBuf;
use std::process::Command;

use fs_err as fs;

use crate::sandbox::{Run, Sandbox};

/// A repository with two images, built, and a folder for sockets of its own.
struct Repository {
    sandbox: Sandbox,
    runtime: tempfile::TempDir,
}

impl Repository {
    fn built() -> Self {
        let sandbox = Sandbox::with(
            r#"
            //- web/Dockerfile
            FROM scratch
            COPY src /web
            //- web/src/page
            1
            //- web/src/deep/er
            1
            //- api/Dockerfile
            FROM scratch
            COPY main /main
            //- api/main
            1
            "#,
        );
        let repository = Self { sandbox: sandbox.embedded(), runtime: tempfile::tempdir().unwrap() };
        repository.imk("").code(0);
        repository
    }

    fn command(&self, words: &str) -> Command {
        let mut command = self.sandbox.command("", words);
        command.env("XDG_RUNTIME_DIR", self.runtime.path());
        command
    }

    fn imk(&self, words: &str) -> Run<'_> {
        self.sandbox.run(self.command(words).output().unwrap())
    }

    /// Starts the monitor; false, with a word, where the file system does not tell its changes.
    fn watch(&self) -> bool {
        let run = self.imk("fsmonitor start");
        if run.err().contains("does not tell of all its changes") {
            eprintln!("SKIPPED: {} is on a file system that does not tell", self.sandbox.root().display());
            return false;
        }
        run.code(0);
        true
    }

    /// All is fresh, by the word of the monitor if there is one.
    #[track_caller]
    fn is_fresh(&self) {
        self.imk("check").code(0);
    }

    /// Something is stale: with the monitor and without.
    #[track_caller]
    fn is_stale(&self, edit: &str) {
        let output = self.command("check").env("IMK_FSMONITOR", "0").output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{edit}: it counts");
        let run = self.imk("check");
        assert_eq!(run.status, 1, "the monitor missed: {edit}");
        self.imk("").code(0);
        self.is_fresh();
    }

    fn questions(&self) -> u64 {
        let told = self.imk("fsmonitor status --json").code(0).stdout.clone();
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told["questions"].as_u64().unwrap_or_default()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.sandbox.path(path)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = self.command("fsmonitor stop").output();
    }
}

#[test]
fn it_is_started_asked_and_ended_by_its_user() {
    let repository = Repository::built();
    assert!(
        repository.imk("fsmonitor status").code(0).out().contains("is not watched: `imk fsmonitor start`")
    );
    assert_eq!(repository.imk("fsmonitor stop").code(0).out(), "the repository was not watched\n");
    if !repository.watch() {
        return;
    }
    assert!(repository.imk("fsmonitor start").code(0).out().contains("is watched already, by process "));
    repository.is_fresh();
    repository.is_fresh();
    assert!(repository.questions() >= 2, "check asks it");
    let asked = repository.questions();
    repository.command("check").env("IMK_FSMONITOR", "0").output().unwrap();
    assert_eq!(repository.questions(), asked, "IMK_FSMONITOR=0 asks nobody");
    let told = repository.imk("fsmonitor status").code(0).out();
    assert!(told.contains("is watched by process ") && told.contains(" folders, "), "{told}");
    assert!(repository.imk("fsmonitor stop").code(0).out().contains("is watched no more"));
    repository.is_fresh();
    assert!(repository.imk("fsmonitor status").code(0).out().contains("is not watched"));
}

#[test]
fn no_way_of_changing_a_file_is_missed() {
    let repository = Repository::built();
    if !repository.watch() {
        return;
    }
    // The first run has the folders watched, the second believes.
    repository.is_fresh();
    repository.is_fresh();
    let page = repository.path("web/src/page");
    fs::write(&page, "2\n").unwrap();
    repository.is_stale("a write");
    let before = fs::metadata(&page).unwrap().modified().unwrap();
    fs::write(&page, "3\n").unwrap();
    fs::File::options().write(true).open(&page).unwrap().set_modified(before).unwrap();
    repository.is_stale("a write of as many bytes, with the time put back");
    std::fs::set_permissions(&page, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    repository.is_stale("a mode");
    fs::write(repository.path("web/src/deep/new"), "").unwrap();
    repository.is_stale("a new file");
    fs::rename(repository.path("web/src/deep"), repository.path("web/src/moved")).unwrap();
    repository.is_stale("a folder that was moved");
    fs::create_dir_all(repository.path("other/src/moved")).unwrap();
    fs::write(repository.path("other/src/page"), "other\n").unwrap();
    fs::write(repository.path("other/Dockerfile"), "FROM scratch\nCOPY src /web\n").unwrap();
    fs::rename(repository.path("web"), repository.path("gone")).unwrap();
    fs::rename(repository.path("other"), repository.path("web")).unwrap();
    fs::remove_dir_all(repository.path("gone")).unwrap();
    repository.is_stale("another folder in its place");
    let outside = tempfile::tempdir_in(repository.sandbox.root().parent().unwrap()).unwrap();
    fs::hard_link(repository.path("web/src/page"), outside.path().join("page")).unwrap();
    repository.is_fresh();
    fs::write(outside.path().join("page"), "through the other name\n").unwrap();
    repository.is_stale("a write through a link elsewhere");
    fs::rename(outside.path().join("page"), repository.path("api/main")).unwrap();
    repository.is_stale("a file that was moved in");
}

/// Python writes through a mapping: it says when it is mapped, and writes at the next line it hears.
#[test]
fn a_write_through_a_mapping_is_seen_while_it_is_open() {
    use std::io::{BufRead, BufReader, Write};
    let repository = Repository::built();
    if !repository.watch() {
        return;
    }
    repository.is_fresh();
    let program = "import mmap,sys\nfile=open(sys.argv[1],'r+b')\nm=mmap.mmap(file.fileno(),0)\nfile.close()\n\
                   print('mapped',flush=True)\nsys.stdin.readline()\nm[0:1]=b'9'\nprint('written',flush=True)\nsys.stdin.readline()";
    let mapping = Command::new("python3")
        .args(["-c", program])
        .arg(repository.path("web/src/page"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut mapping) = mapping else {
        eprintln!("SKIPPED: there is no python3, and nobody to write through a mapping");
        return;
    };
    let mut told = BufReader::new(mapping.stdout.take().unwrap()).lines();
    let mut tell = mapping.stdin.take().unwrap();
    assert_eq!(told.next().unwrap().unwrap(), "mapped");
    repository.is_fresh();
    repository.is_fresh();
    writeln!(tell, "write").unwrap();
    assert_eq!(told.next().unwrap().unwrap(), "written");
    repository.is_stale("a write through a mapping");
    drop(tell);
    mapping.wait().unwrap();
}

#[test]
fn a_mount_below_the_root_is_not_overlooked() {
    let repository = Repository::built();
    if !repository.watch() {
        return;
    }
    repository.is_fresh();
    repository.is_fresh();
    let place = repository.path("web/src/deep");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&place).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: nobody may mount here");
        return;
    }
    let run = repository.imk("check");
    let unmounted = Command::new("umount").arg(&place).status().unwrap();
    assert!(unmounted.success());
    assert_eq!(run.status, 1, "an empty folder stands there");
    repository.is_fresh();
}

#[test]
fn the_variable_and_the_users_file_start_one_and_an_imagefile_does_not() {
    let repository = Repository::built();
    let is_watched = || repository.imk("fsmonitor status").code(0).out().contains("is watched by");
    let run = repository.sandbox.run(repository.command("check").env("IMK_FSMONITOR", "1").output().unwrap());
    run.code(0);
    if !is_watched() {
        eprintln!("SKIPPED: the file system does not tell its changes");
        return;
    }
    repository.imk("fsmonitor stop").code(0);
    let config = tempfile::tempdir().unwrap();
    let root = repository.sandbox.root().canonicalize().unwrap();
    fs::create_dir(config.path().join("imk")).unwrap();
    fs::write(config.path().join("imk/config.ron"), format!("(fsmonitor: [{root:?}])")).unwrap();
    let run = repository.command("check").env("XDG_CONFIG_HOME", config.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    assert!(is_watched());
    repository.imk("fsmonitor stop").code(0);
    repository.sandbox.edit("Imagefile.ron", "(fsmonitor: true, images: {\"web\": ()})");
    assert!(repository.imk("check").code(2).err().contains("fsmonitor"));
    assert!(!is_watched());
}

#[test]
fn a_socket_in_a_folder_of_others_is_not_asked() {
    let repository = Repository::built();
    if !repository.watch() {
        return;
    }
    let private = repository.runtime.path().join("imk");
    std::fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    assert!(repository.imk("fsmonitor status").code(0).out().contains("is not watched"));
    repository.is_fresh();
    let refused = repository.imk("fsmonitor start").code(2).err();
    assert!(refused.contains("is not a folder of this user alone"), "{refused}");
    std::fs::set_permissions(&private, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
}

/// In another mount namespace other files may lie at the same paths, and the monitor hears of none of them.
#[test]
fn a_monitor_of_another_mount_namespace_is_not_believed() {
    let repository = Repository::built();
    if !repository.watch() {
        return;
    }
    repository.is_fresh();
    repository.is_fresh();
    let plain = repository.command("check");
    let place = repository.path("web/src/deep");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount -t tmpfs none \"$0\" || exit 77; exec \"$@\""]);
    command.arg(&place).arg(plain.get_program()).args(plain.get_args());
    command.current_dir(repository.sandbox.root());
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().unwrap();
    if matches!(output.status.code(), Some(77 | 1))
        && String::from_utf8_lossy(&output.stderr).contains("ermi")
    {
        eprintln!("SKIPPED: nobody may mount here");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "an empty folder stands there: {output:?}");
    repository.is_fresh();
}

/// As another user: binds a socket at a place, says so, and then whether anybody spoke to it.
const STRANGER: &str = "import os,socket,sys
s=socket.socket(socket.AF_UNIX);s.bind(sys.argv[1]);s.listen();print('bound',flush=True)
sys.stdin.readline();s.settimeout(0.2)
try:
    c,_=s.accept();c.settimeout(0.2);print('heard' if c.recv(1) else 'silence',flush=True)
except OSError: print('silence',flush=True)";

/// As another user: asks a monitor how it is.
const ASKER: &str = "import socket,struct,sys
s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);s.sendall(struct.pack('<I',7)+bytes([166])+b'Status')
sys.stdout.buffer.write(s.recv(1000))";

/// A command that runs a program of Python's as nobody.
fn as_nobody(program: &str, socket: &std::path::Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "python3", "-c", program]).arg(socket);
    command
}

#[test]
fn the_socket_of_another_user_is_not_spoken_to_and_another_user_is_told_nothing() {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::fs::PermissionsExt;
    let repository = Repository::built();
    let can =
        Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "python3", "--version"]).output();
    if !can.is_ok_and(|output| output.status.success()) || !repository.watch() {
        eprintln!("SKIPPED: nobody here can become another user, or nothing can be watched");
        return;
    }
    let private = repository.runtime.path().join("imk");
    let socket = fs::read_dir(&private).unwrap().map(|entry| entry.unwrap().path());
    let socket = socket.filter(|path| path.extension().is_some_and(|it| it == "sock")).last().unwrap();
    let open = |mode| {
        for path in [repository.runtime.path(), &private] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    open(0o777);
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o777)).unwrap();
    let told = as_nobody(ASKER, &socket).output().unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned() + &String::from_utf8_lossy(&told.stderr);
    assert!(told.contains("this is another user's") && !told.contains("folders"), "{told}");
    open(0o700);
    repository.imk("fsmonitor stop").code(0);
    open(0o777);
    let mut stranger = as_nobody(STRANGER, &socket)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(stranger.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "bound");
    open(0o700);
    assert!(repository.imk("fsmonitor status").code(0).out().contains("is not watched"));
    repository.is_fresh();
    writeln!(stranger.stdin.take().unwrap()).unwrap();
    assert_eq!(said.next().unwrap().unwrap(), "silence");
    stranger.wait().unwrap();
    fs::remove_file(&socket).unwrap();
}
