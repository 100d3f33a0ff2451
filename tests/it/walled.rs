//! Steps of a service that is not root: their authors try to read what is the service's, and to reach its processes.
//!
//! Where the tests are root the service is started as somebody else, as it would be by a line of systemd.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

/// However slow the machine is.
const LIMIT: Duration = Duration::from_secs(600);
/// Somebody who has no account.
const USER: u32 = 1999;

/// A machine's folders with a service's secrets in them, and a repository.
struct Place {
    folder: tempfile::TempDir,
}

/// A service that runs.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn run(folder: &Path, words: &[&str]) {
    let output = Command::new(words[0])
        .args(&words[1..])
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Place {
    fn new(policy: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("imk-walled-").tempdir().unwrap();
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let place = Self { folder };
        let secrets = [
            ("home/.docker/config.json", "home"),
            ("conf/token", "file"),
            ("state/checkouts/other/file", "other"),
        ];
        for (path, what) in secrets {
            fs::create_dir_all(place.path(path).parent().unwrap()).unwrap();
            fs::write(place.path(path), format!("s3cret-of-{what}\n")).unwrap();
        }
        fs::create_dir(place.path("origin")).unwrap();
        run(&place.path("origin"), &["git", "init", "-q", "-b", "main"]);
        let origin = place.path("origin").display().to_string();
        let text = format!(
            "(credentials: {{\"a\": (forge_token: File(\"token\"))}}, repositories: {{\"team/app\": (url: {origin:?}, branches: \"**\", poll: \"1s\", credentials: \"a\", {policy})}})"
        );
        fs::write(place.path("conf/serve.ron"), text).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn push(&self, steps: &str) {
        let origin = self.path("origin");
        fs::write(origin.join("integration.yml"), steps).unwrap();
        let own = "safe.directory=*";
        run(&origin, &["git", "-c", own, "add", "-A"]);
        run(
            &origin,
            &["git", "-c", own, "-c", "user.name=x", "-c", "user.email=x@invalid", "commit", "-q", "-m", "x"],
        );
        self.hand_over();
    }

    fn hand_over(&self) {
        if is_root() {
            run(self.folder.path(), &["chown", "-R", &format!("{USER}:{USER}"), "."]);
        }
    }

    /// Starts the service; `before` is a command line that its own is put behind.
    fn serve(&self, before: &[&str]) -> Server {
        self.hand_over();
        let said = fs::File::create(self.path("said")).unwrap();
        let user = USER.to_string();
        let mut words: Vec<&str> = before.to_vec();
        if is_root() {
            words.extend(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        }
        words.push(env!("CARGO_BIN_EXE_imk"));
        words.extend(["serve", "--config", "conf/serve.ron", "--state", "state", "--listen", "127.0.0.1:0"]);
        let child = Command::new(words[0])
            .args(&words[1..])
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.path("home"))
            .env("TEAM_TOKEN", "s3cret-of-environment")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.into_parts().0)
            .spawn()
            .unwrap();
        Server(child)
    }

    /// The logs of all jobs, once one has these words.
    fn log(&self, words: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let mut log = String::new();
            for entry in fs::read_dir(self.path("state/logs")).into_iter().flatten().flatten() {
                log += &String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default());
            }
            if log.contains(words) {
                return log;
            }
            assert!(Instant::now() < end, "no {words}:\n{log}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.path("said")).unwrap_or_default()
    }
}

/// A list of lines, each run whatever became of the others.
fn steps(lines: &[String]) -> String {
    let quoted = lines.iter().map(|line| format!("- '{}'\n", format!("no-skip {line}").replace('\'', "''")));
    format!("step: try\nshell:\n{}", quoted.collect::<String>())
}

#[test]
fn steps_of_a_server_that_is_not_root_see_neither_its_files_nor_its_processes() {
    let place = Place::new("");
    let server = place.serve(&[]);
    let pid = server.0.id();
    let at = |name: &str| place.path(name).display().to_string();
    let mut lines = vec![
        "echo \"user $(id -u)\" > mine && cat mine".to_owned(),
        "echo x > \"$HOME/x\" && echo x > \"$TMPDIR/x\" && echo x > /tmp/x && echo folders are good"
            .to_owned(),
        "head -c1 /dev/zero | wc -c; head -1 /etc/passwd".to_owned(),
        "tools hipchat 1 hello".to_owned(),
        "kill -9 $$".to_owned(),
        "sleep 600 & setsid sleep 600 & echo left".to_owned(),
    ];
    for path in [
        "state/secrets.json",
        "state/token",
        "state/queue/queue.db",
        "state/checkouts/other/file",
        "conf/serve.ron",
        "conf/token",
        "home/.docker/config.json",
        "said",
    ] {
        lines.push(format!("cat {}", at(path)));
        lines.push(format!("echo x >> {}", at(path)));
        lines.push(format!("cat /proc/*/root{0} /proc/{pid}/root{0} /proc/*/cwd/{path}", at(path)));
        lines.push(format!("cd / && cat ./{0} ../../../..{0}", at(path)));
    }
    lines.extend([
        format!("ls -a {} {} {}", at("state"), at("state/logs"), at("conf")),
        "for one in /proc/[0-9]*; do tr \"\\0\" \"\\n\" < $one/environ; ls $one/fd $one/root; done"
            .to_owned(),
        format!("if kill -0 {pid}; then echo REACHED; fi; kill -9 {pid}"),
        format!("dd if=/proc/{pid}/mem bs=1 count=1 && echo REACHED"),
        format!("if strace -f -p {pid} -o /dev/null; then echo REACHED; fi"),
        "kill -TERM 1; kill -KILL 1; echo \"init $(cat /proc/1/comm)\"".to_owned(),
        "cat /proc/1/environ /proc/1/mem && echo REACHED".to_owned(),
        format!("unshare -Urm sh -c \"umount -l {0}; umount -l /; cat {0}/token\"", at("conf")),
        format!("su -c id; sudo -n cat {}", at("conf/token")),
        format!("ln -s {} link; cat link", at("conf/token")),
        format!("tools push -t 1 x/y; cd {} && tools push x/y", at("state")),
        "kill -9 -1; true".to_owned(),
        "echo END-$((1 + 1))".to_owned(),
    ]);
    place.push(&steps(&lines));
    let log = place.log("END-2");
    for good in ["user ", "folders are good", "root:x:0:0", "nobody is to be told", "left", "status 137"] {
        assert!(log.contains(good), "no `{good}`:\n{log}");
    }
    assert!(!log.contains("s3cret-of") && !log.contains("\nREACHED") && !log.contains("hook"), "{log}");
    assert!(!log.contains("forge_token"), "{log}");
    let kept = fs::read_to_string(place.path("conf/token")).unwrap();
    assert_eq!(
        (kept.as_str(), fs::read_to_string(place.path("conf/serve.ron")).unwrap().contains("x\n")),
        ("s3cret-of-file\n", false)
    );
    drop(server);
    let sleeps = Command::new("pgrep").args(["-u", &USER.to_string(), "sleep"]).output().unwrap();
    assert!(
        !is_root() || sleeps.stdout.is_empty(),
        "steps live on: {}",
        String::from_utf8_lossy(&sleeps.stdout)
    );
}

#[test]
fn where_there_are_no_walls_only_steps_of_trusted_authors_run() {
    if !is_root() {
        eprintln!("SKIPPED: only root can take user namespaces away");
        return;
    }
    // A process in a changed root gets no user namespace.
    let script = "mount --rbind / /mnt && cd \"$PWD\" && exec chroot /mnt sh -c 'cd \"$0\" && exec \"$@\"' \"$PWD\" \"$@\"";
    let none = ["unshare", "-m", "sh", "-c", script, "sh"];
    let line = ["echo RAN-$((1 + 1)) > $OUT/ran; echo RAN-$((1 + 1))".to_owned()];
    let place = Place::new("env: {\"OUT\": \"/tmp\"}");
    place.push(&steps(&line));
    let server = place.serve(&none);
    let log = place.log("steps of integration.yml are not run");
    assert!(
        log.contains("user namespace") && log.contains("authors: \"trusted\"") && !log.contains("RAN-2"),
        "{log}"
    );
    assert!(place.said().contains("warning: steps of integration.yml are not run"), "{}", place.said());
    drop(server);
    let place = Place::new("authors: \"trusted\", env: {\"OUT\": \"/tmp\"}");
    place.push(&steps(&["echo RAN-$((1 + 1)); pwd".to_owned()]));
    let _server = place.serve(&none);
    place.log("RAN-2");
    assert!(!place.said().contains("are not run"), "{}", place.said());
}
