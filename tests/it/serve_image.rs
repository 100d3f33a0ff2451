//! The image of the service: built by imk from the project's own Imagefile, started, asked, sent a hook, stopped.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::sandbox::engine_or_skip;

/// However slow the machine is.
const LIMIT: Duration = Duration::from_secs(180);

/// A container, gone with its test.
struct Container(String);

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "-f", "-v", &self.0]).output();
    }
}

impl Container {
    /// Runs a command in it; whether it went well, and all that it said.
    fn exec(&self, words: &[&str]) -> (bool, String) {
        let output = Command::new("docker").args(["exec", &self.0]).args(words).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    /// The same, until it says something.
    fn until(&self, words: &[&str], what: &str) -> String {
        let begun = Instant::now();
        loop {
            let (_, said) = self.exec(words);
            if said.contains(what) {
                return said;
            }
            let log = Command::new("docker").args(["logs", &self.0]).output().unwrap();
            let log = String::from_utf8_lossy(&log.stderr).into_owned();
            assert!(begun.elapsed() < LIMIT, "{words:?} does not say {what:?}: {said}\n{log}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn the_image_of_the_service_is_built_started_and_does_what_is_pushed() {
    let Some(sandbox) = engine_or_skip("serve_image") else { return };
    if Command::new("ldd").arg("--version").output().is_err() {
        eprintln!("SKIPPED serve_image: there is no ldd to gather libraries with");
        return;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in ["Imagefile.ron", "images/busybox/Dockerfile", "images/imk/Dockerfile", "images/imk/gather"]
        .into_iter()
        .chain(["images/imk/gitconfig", "images/serve/Dockerfile", "images/serve/gather"])
    {
        let to = sandbox.path(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(project.join(path), to).unwrap();
    }
    // Names of this test alone.
    for image in ["imk", "serve"] {
        let path = format!("images/{image}/Dockerfile");
        let text = fs::read_to_string(sandbox.path(&path)).unwrap();
        sandbox.edit(&path, &text.replace("FROM imk/", &format!("FROM {}", sandbox.prefix())));
    }
    sandbox.place_busybox();
    for words in [&["images/imk/gather", env!("CARGO_BIN_EXE_imk")][..], &["images/serve/gather"]] {
        let gathered = Command::new("bash").args(words).current_dir(sandbox.root()).output().unwrap();
        assert!(gathered.status.success(), "{}", String::from_utf8_lossy(&gathered.stderr));
    }
    sandbox.imk("+serve").says("0 fresh, 3 built, 0 failed");

    let lab = tempfile::Builder::new().prefix("imk-serve-image-").tempdir().unwrap();
    let origin = lab.path().join("origin");
    fs::create_dir(&origin).unwrap();
    let git = |words: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(words).current_dir(&origin);
        let output = git.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "-q", "-b", "main"]);
    fs::write(origin.join("integration.yml"), "step: works\nshell:\n- echo $MESSAGE from user $(id -u)\n")
        .unwrap();
    git(&["add", "-A"]);
    git(&["commit", "-q", "-m", "one"]);
    fs::create_dir(lab.path().join("etc")).unwrap();
    fs::write(
        lab.path().join("etc/serve.ron"),
        "(repositories: {\"team/images\": (url: \"/srv/origin\", poll: \"never\")})",
    )
    .unwrap();
    let mount = |from: &str, to: &str| format!("{}:{to}:ro", lab.path().join(from).display());
    let image = format!("{}serve", sandbox.prefix());
    let (etc, srv) = (mount("etc", "/etc/imk"), mount("origin", "/srv/origin"));
    let words = ["run", "-d", "--network", "none", "-v", &etc, "-v", &srv, &image];
    let container = Container(sandbox.docker(&words));

    let health = ["wget", "-q", "-O", "-", "http://127.0.0.1:8737/healthz"];
    assert_eq!(container.until(&health, "ok"), "ok\n");
    let jobs = ["imk", "serve", "jobs", "--state", "/var/lib/imk"];
    container.until(&jobs, "passed");
    // A push, as a forge tells of it.
    git(&["commit", "-q", "--allow-empty", "-m", "two"]);
    let commit = git(&["rev-parse", "HEAD"]);
    let secret = ["imk", "serve", "secret", "team/images", "--state", "/var/lib/imk"];
    let said = container.exec(&secret).1;
    let secret = said.lines().find_map(|line| line.strip_prefix("secret:")).unwrap().trim();
    let body = format!(
        r#"{{"ref":"refs/heads/main","after":"{commit}","repository":{{"full_name":"team/images"}},"head_commit":{{"id":"{commit}","message":"two"}}}}"#
    );
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let code = ring::hmac::sign(&key, body.as_bytes());
    let code: String = code.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let signed = format!("X-Hub-Signature-256: sha256={code}");
    let post = ["wget", "-q", "-O", "-", "--header", "Content-Type: application/json", "--header"];
    let post: Vec<&str> = post
        .into_iter()
        .chain(["X-GitHub-Event: push", "--header", &signed, "--post-data", &body])
        .chain(["http://127.0.0.1:8737/hook/team/images"])
        .collect();
    let (good, said) = container.exec(&post);
    assert!(good && said.contains("\"job\":2"), "{said}");
    let (good, said) = container.exec(&["imk", "serve", "log", "2", "--follow", "--state", "/var/lib/imk"]);
    assert!(good && said.contains("two from user ") && said.contains("job 2 passed"), "{said}");
    // Steps are not who the service is.
    assert!(!said.contains("from user 0\n"), "{said}");
    let stopped = sandbox.docker(&["stop", "-t", "120", &container.0]);
    let code = sandbox.docker(&["inspect", "-f", "{{.State.ExitCode}}", &stopped]);
    assert_eq!(code, "0", "it drains and ends well");
}
