//! Jobs of `imk serve` without steps: what an Imagefile asks of the server's files, keys, variables and programs is refused, and
//! nothing of it comes to a build.

use fs_err as fs;

use crate::sandbox::{busybox, engine_or_skip};
use crate::webhooks::{Place, Server, until};

/// Says that it ran, in a word that no command has in it.
const LEAKS: &str = r#"["/bin/sh", "-c", "echo LEAK-$((1 + 1)); cat /run/secrets/x | od -c"]"#;

/// A trick: what the Imagefile says of the image, how the Dockerfile goes on, and words of the refusal.
struct Trick {
    name: &'static str,
    image: &'static str,
    dockerfile: &'static str,
    refusal: &'static str,
}

const fn secret(name: &'static str, image: &'static str, refusal: &'static str) -> Trick {
    Trick { name, image, dockerfile: "RUN --mount=type=secret,id=x,required=true LEAKS\n", refusal }
}

const fn key(name: &'static str, image: &'static str, refusal: &'static str) -> Trick {
    Trick { name, image, dockerfile: "RUN --mount=type=ssh LEAKS\n", refusal }
}

const fn other(name: &'static str, image: &'static str, refusal: &'static str) -> Trick {
    Trick { name, image, dockerfile: "", refusal }
}

const TRICKS: &[Trick] = &[
    secret("a file of the state", r#"secrets: {"x": File("STATE/secrets.json")}"#, "stranger"),
    secret("a file above", r#"secrets: {"x": File("../../secrets.json")}"#, "stranger"),
    secret("a link to a file of the state", r#"secrets: {"x": File("app/link")}"#, "stranger"),
    secret("a file of the system", r#"secrets: {"x": File("/etc/shadow")}"#, "stranger"),
    secret("a process of the server", r#"secrets: {"x": File("/proc/self/environ")}"#, "stranger"),
    secret("a variable of the server", r#"secrets: {"x": Env("FORGE_TOKEN")}"#, "FORGE_TOKEN is not set"),
    key("a key of the server", r#"ssh: "default=/root/.ssh/id_rsa""#, "stranger"),
    key("a key at home", r#"ssh: "default=~/.ssh/id_rsa""#, "stranger"),
    key("a socket of the engine", r#"ssh: "default=/var/run/docker.sock""#, "stranger"),
    key("an agent of the server", r#"ssh: "default""#, "SSH_AUTH_SOCK is not set"),
    other("a script on the machine", r#"tests: {"t": (steps: [Script(file: "app/evil.sh")])}"#, "stranger"),
    other(
        "a script that is a link",
        r#"tests: {"t": (steps: [Script(file: "app/link", in: "app")])}"#,
        "leads out",
    ),
    other("another repository of the machine", r#"overlays: {"x": Git(url: "OTHER")}"#, "not allowed"),
    other("another repository by its address", r#"overlays: {"x": Git(url: "file://OTHER")}"#, "not allowed"),
    other("a folder of the state", r#"contexts: {"x": "../imk"}"#, "leads out"),
    other("an output", r#"output: "type=local,dest=../../out""#, "leads out"),
    other("a right", r#"entitlements: "security.insecure""#, "--allow"),
];

fn served(place: &Place, policy: &str) -> Server {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    // The first look finds what was pushed before.
    place.serve_as("", &format!("do: \"test\", {policy}"), |command| {
        command
            .env("DOCKER_HOST", host)
            .env("SSH_AUTH_SOCK", "/run/agent.sock")
            .env("IMK_ISOLATION", "chroot");
    })
}

fn write(place: &Place, trick: &Trick) {
    let clone = place.path("clone");
    let state = place.path("state").display().to_string();
    let other = place.path("forge/team/app.git").display().to_string();
    fs::create_dir_all(clone.join("app")).unwrap();
    let put = |name: &str, text: &str| fs::write(clone.join(name), text).unwrap();
    let image = trick.image.replace("STATE", &state).replace("OTHER", &other);
    put("Imagefile.ron", &format!("(images: {{\"app\": (context: \"app\", {image})}})"));
    // A text of its own, so that nothing is built already.
    let unique = place.path("").display().to_string();
    let more = trick.dockerfile.replace("LEAKS", LEAKS);
    let text = format!(
        "FROM scratch\nCOPY sh /bin/sh\nCOPY sh /bin/cat\nCOPY sh /bin/od\nENV U=\"{unique} {}\"\n{more}",
        trick.name
    );
    put("app/Dockerfile", &text);
    put("app/evil.sh", "#!/bin/sh\necho LEAK-$((1 + 1)) >&2\nexit 1\n");
    std::fs::set_permissions(clone.join("app/evil.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    fs::copy(busybox(), clone.join("app/sh")).unwrap();
    let _ = fs::remove_file(clone.join("app/link"));
    fs::os::unix::fs::symlink(format!("{state}/secrets.json"), clone.join("app/link")).unwrap();
    let _ = fs::remove_file(clone.join("integration.yml"));
}

/// The end of the newest job as the service told it, and the job's log.
fn end(place: &Place, server: &Server, job: usize) -> (String, String) {
    let words = format!("job {job} (");
    let said = || server.said();
    let line = until(&words, said, || {
        server.said().lines().find(|line| line.starts_with(&words)).map(str::to_owned)
    });
    (line, fs::read_to_string(place.path(&format!("state/logs/{job}.log"))).unwrap())
}

#[test]
fn an_imagefile_gets_nothing_of_the_server_that_serves_it() {
    if engine_or_skip("strangers-jobs").is_none() {
        return;
    }
    for trick in TRICKS {
        let place = Place::new("step: none\nshell: ['true']\n");
        write(&place, trick);
        place.pushed(trick.name);
        let server = served(&place, "");
        let (line, log) = end(&place, &server, 1);
        assert!(line.contains("failed") && log.contains(trick.refusal), "{}: {line}\n{log}", trick.name);
        assert!(
            !log.contains("LEAK-2") && !log.contains("t0ken") && !log.contains(&server.secret),
            "{}: {log}",
            trick.name
        );
        assert!(!place.path("out/x").exists());
    }
}

#[test]
fn an_imagefile_of_trusted_authors_gets_what_it_names() {
    if engine_or_skip("trusted-jobs").is_none() {
        return;
    }
    let trick = &TRICKS[0];
    let place = Place::new("step: none\nshell: ['true']\n");
    write(&place, trick);
    place.pushed(trick.name);
    let server = served(&place, "authors: \"trusted\"");
    let (line, log) = end(&place, &server, 1);
    assert!(log.contains("LEAK-2"), "{line}\n{log}");
}
