//! Push, pull and the registry as what all machines know, with a real registry and two real engines.

use std::process::Stdio;
use std::time::Duration;

use fs_err as fs;

use crate::registry_server::{PASSWORD, RegistryServer, USER, Wants};
use crate::sandbox::{Sandbox, engine_or_skip};
use crate::second_engine::SecondEngine;

/// A chain of two images and one beside it, published below a folder of the registry of the test's own.
const FILES: &str = "
    //- Imagefile.ron
    (images: {\"base\": (), \"api\": (tags: [\"1\", \"latest\"]), \"web\": ()})
    //- base/Dockerfile
    FROM scratch
    COPY file /base
    //- base/file
    one
    //- api/Dockerfile
    FROM base
    COPY file /api
    //- api/file
    one
    //- web/Dockerfile
    FROM base
    COPY file /web
    //- web/file
    web
    ";

/// A repository whose images are published there. `mark` makes them unlike any other test's.
fn repository(registry: &RegistryServer, mark: &str) -> Sandbox {
    let sandbox = Sandbox::with(FILES).prefixed(&registry.name("team/"));
    sandbox.edit("base/file", mark);
    sandbox
}

fn parts(test: &str) -> Option<(RegistryServer, Sandbox)> {
    engine_or_skip(test)?;
    let registry = RegistryServer::open(test)?;
    let sandbox = repository(&registry, &format!("{test} {}\n", registry.host()));
    Some((registry, sandbox))
}

/// The digest that a name stands for.
fn digest(registry: &RegistryServer, name: &str) -> String {
    let from = format!("docker://{}", registry.name(name));
    let words = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &from];
    registry.skopeo(&words).trim().to_owned()
}

fn tags(registry: &RegistryServer, name: &str) -> Vec<String> {
    let from = format!("docker://{}", registry.name(name));
    let listed = registry.skopeo(&["list-tags", "--tls-verify=false", &from]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    listed["Tags"].as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

/// The names that stand for keys of an image, one for each key that somebody published.
fn content_tags(registry: &RegistryServer, name: &str) -> Vec<String> {
    let is_content = |tag: &String| tag.starts_with("imk-") && tag.len() == 36;
    let found = tags(registry, name).into_iter().filter(is_content);
    found.map(|tag| format!("{name}:{tag}")).collect()
}

fn content_tag(registry: &RegistryServer, name: &str) -> String {
    let mut found = content_tags(registry, name);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_second_machine_with_no_state_builds_nothing_and_pulls_no_layer() {
    let Some((registry, first)) = parts("second-machine") else { return };
    first.imk("push").says("0 fresh, 3 built, 3 published (4 tags moved), 0 failed");
    let manifest: serde_json::Value = serde_json::from_str(&registry.read_back("team/api:latest")).unwrap();
    assert_eq!(manifest["annotations"]["org.opencontainers.image.title"], "api");

    let engine = SecondEngine::start();
    let second = repository(&registry, "").on(engine.host());
    second.edit("base/file", &fs::read_to_string(first.path("base/file")).unwrap());
    let before = registry.requests().len();
    assert_eq!(second.imk("check").code(0).out(), "");
    second.imk("").says("0 fresh, 0 built, 3 already published, 0 failed");
    second.imk("").says("3 fresh, 0 built, 0 failed");
    let asked = registry.requests()[before..].join("\n");
    for layer in manifest["layers"].as_array().unwrap() {
        assert!(!asked.contains(layer["digest"].as_str().unwrap()), "a layer travelled:\n{asked}");
    }
    assert_eq!(engine.docker(&["images", "-q"]), "");

    // A child that must be built needs its base, and nothing else.
    second.edit("web/file", "another\n");
    second.imk("").says("2 fresh, 1 built, 0 failed");
    let here = engine.docker(&["images", "--format", "{{.Repository}}"]);
    assert!(here.contains("team/base") && !here.contains("team/api"), "{here}");
    second.imk("pull api").says("0 here already, 1 fetched");
    let names =
        engine.docker(&["images", "--format", "{{.Repository}}:{{.Tag}}", &registry.name("team/api")]);
    for tag in [":1", ":latest"] {
        assert!(names.lines().any(|name| name.ends_with(tag)), "{names}");
    }
}

#[test]
fn a_time_that_one_machine_pushed_is_taken_over_by_every_other() {
    let Some((registry, first)) = parts("times") else { return };
    let timed = "(images: {\"base\": (), \"api\": (tags: [\"{time}\", \"latest\"]), \"web\": ()})";
    first.edit("Imagefile.ron", timed).imk("push").success();
    let times =
        || tags(&registry, "team/api").into_iter().filter(|tag| tag.ends_with('Z')).collect::<Vec<_>>();
    let pushed = times();
    assert_eq!(pushed.len(), 1, "{pushed:?}");

    let engine = SecondEngine::start();
    let second = repository(&registry, "").on(engine.host());
    second.edit("Imagefile.ron", timed);
    second.edit("base/file", &fs::read_to_string(first.path("base/file")).unwrap());
    second.imk("pull api").success();
    let here = engine.docker(&["images", "--format", "{{.Tag}}", &registry.name("team/api")]);
    assert_eq!(here.lines().filter(|tag| tag.ends_with('Z')).collect::<Vec<_>>(), pushed);
    for _ in 0..3 {
        let run = second.imk("push").code(0);
        assert!(run.out().contains("3 published (0 tags moved)"), "{}", run.out());
        first.imk("push").success();
        assert_eq!(times(), pushed);
    }
    assert_eq!(second.imk("tags api --newest").out().trim_end(), format!("[PREFIX]/api:{}", pushed[0]));
}

#[test]
fn two_machines_that_push_at_once_end_on_one_digest() {
    let Some((registry, first)) = parts("race") else { return };
    let engine = SecondEngine::start();
    let second = repository(&registry, "").on(engine.host());
    second.edit("base/file", &fs::read_to_string(first.path("base/file")).unwrap());
    let start = |sandbox: &Sandbox| {
        sandbox.command("", "push").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut both = [start(&first), start(&second)];
    for machine in &mut both {
        assert!(machine.wait().unwrap().success());
    }
    let current =
        || ["team/base", "team/api", "team/web"].map(|name| digest(&registry, &format!("{name}:latest")));
    let first_state = current();
    assert_eq!(first_state[0], digest(&registry, &content_tag(&registry, "team/base")));
    // Engines of two releases may build unlike bases, and a registry has no way to write only where nothing
    // is: a machine that sees too late that it lost has published users of its own base under their keys.
    for (latest, name) in first_state[1..].iter().zip(["team/api", "team/web"]) {
        let published = content_tags(&registry, name);
        assert!(published.iter().any(|tag| digest(&registry, tag) == *latest), "{name}: {published:?}");
    }
    for sandbox in [&first, &second] {
        let run = sandbox.imk("push");
        assert!(run.out().contains("3 published (0 tags moved), 0 failed"), "{}{}", run.out(), run.err());
        assert_eq!(run.built(), [""; 0]);
    }
    assert_eq!(current(), first_state);
}

#[test]
fn a_push_that_was_killed_is_finished_by_the_next() {
    let Some((registry, sandbox)) = parts("killed") else { return };
    // Big enough to be under way for a while, and not to be made smaller on its way.
    let mut noise = blake3::Hasher::new().update(registry.host().as_bytes()).finalize_xof();
    let mut bytes = vec![0; 96 << 20];
    noise.fill(&mut bytes);
    fs::write(sandbox.path("api/file"), bytes).unwrap();
    sandbox.imk("").success();
    let mut push = sandbox.command("", "push").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The engine has begun to send the layer.
    while !registry.requests().iter().any(|line| line.contains("team/api/blobs/uploads")) {
        assert!(push.try_wait().unwrap().is_none(), "the push ended before it could be killed");
        std::thread::sleep(Duration::from_millis(5));
    }
    push.kill().unwrap();
    push.wait().unwrap();
    let run = sandbox.imk("push");
    assert!(run.out().contains("3 published"), "{}{}", run.out(), run.err());
    assert_eq!(run.built(), [""; 0]);
    registry.read_back("team/api:1");
    assert_eq!(digest(&registry, "team/api:1"), digest(&registry, &content_tag(&registry, "team/api")));
}

#[test]
fn a_new_tag_of_a_fresh_image_is_one_manifest_and_no_layer() {
    let Some((registry, sandbox)) = parts("retag") else { return };
    sandbox.imk("push").success();
    let text = fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit("Imagefile.ron", &text.replace("\"1\"", "\"2\""));
    let before = registry.requests().len();
    sandbox.imk("push api").says("1 fresh, 0 built, 1 retagged, 2 published (1 tags moved), 0 failed");
    let asked = registry.requests().split_off(before);
    let writes: Vec<&String> =
        asked.iter().filter(|line| line.starts_with("PUT") || line.starts_with("POST")).collect();
    assert_eq!(writes, ["PUT /v2/team/api/manifests/2"]);
    assert_eq!(digest(&registry, "team/api:2"), digest(&registry, "team/api:1"));
}

#[test]
fn a_registry_with_a_password_is_pushed_to_and_its_password_told_to_nobody() {
    if engine_or_skip("password").is_none() {
        return;
    }
    let Some(registry) = RegistryServer::start("password", Wants { login: true, tls: false }) else { return };
    let sandbox = repository(&registry, &format!("password {}\n", registry.host()));
    let run = |user: &str, password: &str, words: &str| {
        let mut command = sandbox.command("", words);
        command.env("IMK_REGISTRY_USER", user).env("IMK_REGISTRY_PASSWORD", password);
        command.env("IMK_REGISTRY_HOST", registry.host()).env("DOCKER_CONFIG", sandbox.path("no-docker"));
        sandbox.run(command.output().unwrap())
    };
    let refused = run(USER, "n0t-the-password", "push").code(2);
    assert!(
        refused.stderr.contains("IMK_REGISTRY_USER"),
        "it names where the login came from: {}",
        refused.stderr
    );
    let pushed = run(USER, PASSWORD, "push").code(0);
    registry.read_back("team/api:latest");
    for (run, secret) in [(&refused, "n0t-the-password"), (&pushed, PASSWORD)] {
        assert!(!run.stdout.contains(secret) && !run.stderr.contains(secret), "{}{}", run.stdout, run.stderr);
    }
    let mut todo = vec![sandbox.path(".imk")];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                todo.push(entry.path());
            } else {
                let bytes = fs::read(entry.path()).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains(PASSWORD), "{}", entry.path().display());
            }
        }
    }
}

#[test]
fn an_expired_token_of_a_credential_helper_is_asked_for_once_more() {
    if engine_or_skip("helper").is_none() {
        return;
    }
    let Some(registry) = RegistryServer::start("helper", Wants { login: true, tls: false }) else { return };
    let sandbox = repository(&registry, &format!("helper {}\n", registry.host()));
    // As cloud registries' helpers do: what was printed last time has expired meanwhile.
    sandbox.edit(
        "bin/docker-credential-fake",
        &format!(
            "#!/bin/sh\ncat >/dev/null\nhere=$(dirname \"$0\")\n\
             if [ -e \"$here/asked\" ]; then password={PASSWORD}; else password=expired; touch \"$here/asked\"; fi\n\
             echo \"{{\\\"ServerURL\\\":\\\"x\\\",\\\"Username\\\":\\\"{USER}\\\",\\\"Secret\\\":\\\"$password\\\"}}\"\n"
        ),
    );
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::Permissions::from_mode(0o755);
    fs::set_permissions(sandbox.path("bin/docker-credential-fake"), mode).unwrap();
    let config = format!("{{\"credHelpers\": {{\"{}\": \"fake\"}}}}", registry.host());
    sandbox.edit("docker/config.json", &config);
    let path = format!("{}:{}", sandbox.path("bin").display(), std::env::var("PATH").unwrap());
    let mut command = sandbox.command("", "push base");
    command.env("DOCKER_CONFIG", sandbox.path("docker")).env("PATH", path);
    sandbox.run(command.output().unwrap()).code(0);
    registry.read_back("team/base:latest");
}

#[test]
fn an_image_without_a_registry_in_its_name_is_not_pushed_anywhere() {
    let Some(sandbox) = engine_or_skip("no-registry") else { return };
    sandbox.write_all(FILES);
    let run = sandbox.imk("push base").code(2);
    assert!(
        run.err().contains("image `base` cannot be published: its name has no registry"),
        "{}",
        run.err()
    );
}
