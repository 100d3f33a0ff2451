//! FakeFault around imk: no room, few files, nobody who listens, a signal while it waits. Each is told
//! or passed over, none is a panic, and what was built is kept.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::sandbox::{Sandbox, fixture_or_skip};

/// Runs imk from a shell that prepares the ground first; `$0 "$@"` is imk.
fn under(sandbox: &Sandbox, ground: &str, words: &str) -> Output {
    let imk = sandbox.command("", words);
    let mut shell = Command::new("sh");
    shell.args(["-c", ground]).arg(imk.get_program()).args(imk.get_args());
    shell.current_dir(imk.get_current_dir().unwrap_or(sandbox.root()));
    for (name, value) in imk.get_envs() {
        match value {
            Some(value) => drop(shell.env(name, value)),
            None => drop(shell.env_remove(name)),
        }
    }
    shell.output().unwrap()
}

/// It ended by its own will, and without a panic.
#[track_caller]
fn is_orderly(output: &Output, at: &str) -> i32 {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let code = output.status.code().unwrap_or_else(|| panic!("{at}: ended by a signal: {told}"));
    assert!(code != 101 && !told.contains("panicked"), "{at}: {told}");
    code
}

#[test]
fn nobody_listens_and_the_results_are_kept() {
    let silent = [
        ("closed stderr", "exec \"$0\" \"$@\" 2>&-", ""),
        ("closed stdout and stderr", "exec \"$0\" \"$@\" >&- 2>&-", ""),
        ("all closed", "exec \"$0\" \"$@\" <&- >&- 2>&-", ""),
        ("events into a full device", "exec \"$0\" \"$@\" 2>/dev/full", "--progress json"),
        ("lines into a full device", "exec \"$0\" \"$@\" 2>/dev/full", ""),
        ("results into a full device", "exec \"$0\" \"$@\" >/dev/full", ""),
    ];
    for (at, ground, words) in silent {
        let Some(diamond) = fixture_or_skip("nobody_listens", "diamond") else { return };
        let code = is_orderly(&under(&diamond, ground, words), at);
        assert!(code == 0 || code == 2, "{at}: {code}");
        diamond.imk("").says("4 fresh, 0 built, 0 failed");
    }
}

#[test]
fn few_files_are_told_or_suffice() {
    let Some(diamond) = fixture_or_skip("few_files", "diamond") else { return };
    for most in [4, 5, 6, 7, 8, 9, 10, 12, 16, 24] {
        let ground = format!("ulimit -n {most}; exec \"$0\" \"$@\"");
        for words in ["", "plan", "list"] {
            let output = under(&diamond, &ground, words);
            let at = format!("{most} files, imk {words}");
            if is_orderly(&output, &at) != 0 && most > 4 {
                assert!(!output.stderr.is_empty(), "{at}: it ends with {:?} and says nothing", output.status);
            }
        }
    }
    let _ = diamond.imk("").code(0);
    diamond.imk("").says("4 fresh, 0 built, 0 failed");
}

#[test]
fn a_folder_that_could_not_be_opened_is_not_remembered_as_empty() {
    let images = |listed: &str| listed.lines().filter(|line| line.starts_with('a')).count();
    let folders: String = (0..12).map(|n| format!("//- a{n}/b/c/Dockerfile\nFROM scratch\n")).collect();
    let sandbox = Sandbox::with(&folders).without_engine();
    for most in 5..14 {
        for _ in 0..20 {
            let _ = fs::remove_file(sandbox.path(".imk/recipes"));
            let output = under(&sandbox, &format!("ulimit -n {most}; exec \"$0\" \"$@\""), "list");
            let at = format!("{most} files");
            let code = is_orderly(&output, &at);
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(code != 0 || images(&listed) == 12, "{at}: {listed}");
            assert_eq!(images(&sandbox.imk("list").code(0).stdout), 12, "{at}");
        }
    }
}

/// A file system of so many bytes in place of a folder, until it is dropped.
struct Small(PathBuf);

impl Small {
    fn over(folder: &Path, bytes: usize) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let size = format!("size={bytes}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            _ => {
                eprintln!("SKIPPED a full disk: nothing may be mounted here");
                None
            }
        }
    }

    /// Leaves so many bytes free.
    fn fill(&self, leave: usize) {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let free: usize = text.lines().nth(1).and_then(|line| line.trim().parse().ok()).unwrap();
        fs::write(self.0.join("ballast"), vec![0; free.saturating_sub(leave)]).unwrap();
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_is_told_and_what_was_built_is_found_again() {
    for leave in [0, 4096, 8192, 16384, 32768] {
        let Some(diamond) = fixture_or_skip("full_disk", "diamond") else { return };
        let Some(small) = Small::over(&diamond.path(".imk"), 256 << 10) else { return };
        small.fill(leave);
        let at = format!("{leave} bytes left");
        let output = diamond.command("", "").output().unwrap();
        let code = is_orderly(&output, &at);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(code == 0 || told.contains("No space left"), "{at}: {code}: {told}");
        is_orderly(&diamond.command("", "plan").output().unwrap(), &at);
        small.empty();
        let _ = diamond.imk("").code(0);
        diamond.imk("").says("4 fresh, 0 built, 0 failed");
    }
}

#[test]
fn one_signal_ends_who_waits_for_the_lock() {
    let Some(diamond) = fixture_or_skip("one_signal", "diamond") else { return };
    fs::create_dir_all(diamond.path(".imk")).unwrap();
    let lock = fs::File::create(diamond.path(".imk/lock")).unwrap();
    lock.file().lock().unwrap();
    for (signal, words) in [("INT", ""), ("TERM", ""), ("INT", "gc"), ("TERM", "push"), ("INT", "watch")] {
        let mut command = diamond.command("", words);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap();
        // It says that it waits; only then is the signal one to somebody who waits.
        let mut told = String::new();
        let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
        while !told.contains("waiting for") {
            let mut line = String::new();
            assert!(std::io::BufRead::read_line(&mut stderr, &mut line).unwrap() > 0, "imk {words}: {told}");
            told += &line;
        }
        let sent =
            Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status().unwrap();
        assert!(sent.success());
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if asked.elapsed() > Duration::from_secs(60) {
                child.kill().unwrap();
                panic!("imk {words} goes on waiting after SIG{signal}");
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        // Verbs that do not build leave a signal to the system.
        assert!(status.code() == Some(130) || status.code().is_none(), "imk {words}: {status}");
    }
    drop(lock);
    diamond.imk("").says("0 fresh, 4 built, 0 failed");
}
