//! BuildKit's own service: what `POST /build` has no word for.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, engine_or_skip};

/// A base with busybox, and an image of two stages that each write a number nobody can guess.
pub fn two_stages(test: &str, keys: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.write_all(
        "
    //- base/Dockerfile
    FROM scratch
    COPY busybox /bin/busybox
    //- web/Dockerfile
    FROM base AS one
    RUN [\"/bin/busybox\", \"cp\", \"/proc/sys/kernel/random/uuid\", \"/one\"]
    FROM base AS two
    RUN [\"/bin/busybox\", \"cp\", \"/proc/sys/kernel/random/uuid\", \"/two\"]
    FROM base
    COPY --from=one /one /one
    COPY --from=two /two /two
    COPY words.txt /words.txt
    //- web/words.txt
    words
    ",
    );
    // No step is another test's: what that made of it would be taken in place of what a cache has.
    sandbox.append("base/Dockerfile", &format!("ENV OF={}\n", sandbox.prefix()));
    imagefile(&sandbox, keys);
    sandbox.place_busybox();
    Some(sandbox)
}

fn imagefile(sandbox: &Sandbox, keys: &str) {
    sandbox.edit("Imagefile.ron", &format!("(images: {{\"base\": (), \"web\": ({keys})}})\n"));
}

#[test]
fn steps_of_a_stage_run_again_and_those_of_others_do_not() {
    let Some(sandbox) = two_stages("stages", r#"no_cache_filter: "one""#) else { return };
    sandbox.imk("").says("0 fresh, 2 built, 0 failed");
    let both = || (sandbox.file_in("web", "/one"), sandbox.file_in("web", "/two"));
    let before = both();
    // It never counts: nothing is stale for it.
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    sandbox.append("web/words.txt", "more\n");
    sandbox.imk("").says("1 fresh, 1 built, 0 failed");
    let after = both();
    assert_ne!(before.0, after.0);
    assert_eq!(before.1, after.1);
    assert!(sandbox.file_in("web", "/words.txt").contains("more"));
}

#[test]
fn a_step_that_fails_is_told_with_its_place_and_output() {
    let Some(sandbox) = two_stages("failing", r#"no_cache_filter: "one""#) else { return };
    sandbox.append(
        "web/Dockerfile",
        "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox echo oh no; exit 3\"]\n",
    );
    let run = sandbox.imk("").code(2);
    assert!(run.stderr.contains("web/Dockerfile:9"), "{}", run.stderr);
    assert!(run.stderr.contains("| oh no"), "{}", run.stderr);
    assert!(run.stderr.contains("exit code 3"), "{}", run.stderr);
}

#[test]
fn an_error_that_buildkit_places_is_shown_with_its_lines() {
    // The step is not in the Dockerfile as BuildKit calls it: its argument is filled in.
    let Some(sandbox) = two_stages("placed", r#"no_cache_filter: "one""#) else { return };
    sandbox.append("web/Dockerfile", "ARG WHERE=nowhere\nCOPY \\\n  $WHERE.txt \\\n  /there\n");
    sandbox.edit("web/nowhere.txt", "x");
    sandbox.append("web/Dockerfile", "RUN [\"/bin/busybox\", \\\n  \"false\"]\n");
    let run = sandbox.imk("").code(2);
    assert!(run.stderr.contains("web/Dockerfile:13"), "{}", run.stderr);
    let json = sandbox.imk("--progress json").code(2);
    let failed = json.stderr.lines().chain(json.stdout.lines());
    let mut failed = failed.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let failed = failed.rfind(|event| event["event"] == "failed").unwrap();
    assert_eq!((failed["path"].as_str(), failed["line"].as_u64()), (Some("web/Dockerfile"), Some(13)));
    if sandbox.docker(&["version", "--format", "{{.Server.Version}}"]).starts_with("20.") {
        // Its BuildKit names the step alone.
        return;
    }
    assert!(run.stderr.contains("13 |") && run.stderr.contains("RUN [\"/bin/busybox\""), "{}", run.stderr);
}

#[test]
fn secrets_and_arguments_reach_the_steps_of_both_ways() {
    let keys =
        r#"no_cache_filter: "one", secrets: {"t": Env("TOKEN")}, args: {"A": "x y"}, labels: {"l": "1"}"#;
    let Some(sandbox) = two_stages("both", keys) else { return };
    sandbox.append(
        "web/Dockerfile",
        "ARG A\nRUN --mount=type=secret,id=t [\"/bin/busybox\", \"sh\", \"-c\", \"test \\\"$(/bin/busybox cat /run/secrets/t)\\\" = hunter2hunter2 && /bin/busybox echo \\\"$A\\\" > /a\"]\n",
    );
    let mut command = sandbox.command("", "");
    let run = sandbox.run(command.env("TOKEN", "hunter2hunter2").output().unwrap()).code(0);
    assert!(!run.stderr.contains("hunter2"), "{}", run.stderr);
    assert_eq!(sandbox.file_in("web", "/a").trim(), "x y");
}

#[test]
fn a_right_that_nobody_agreed_to_is_refused_before_anything_is_built() {
    let Some(sandbox) = two_stages("rights", r#"entitlements: "network.host""#) else { return };
    sandbox.append("web/Dockerfile", "RUN --network=host [\"/bin/busybox\", \"true\"]\n");
    let run = sandbox.imk("").code(2);
    assert!(run.stderr.contains("`network.host`, which nobody agreed to"), "{}", run.stderr);
    assert!(run.stderr.contains("--allow network.host"), "{}", run.stderr);
    assert!(run.built().is_empty());
    let run = sandbox.imk("--allow network.host");
    // 20.10's own frontend has no such flag; the right itself it grants.
    let unknown = run.stderr.contains("network");
    assert!(run.status == 0 || unknown, "{}", run.stderr);
}

#[test]
fn layers_are_left_in_a_registry_or_it_is_said_what_would_do_it() {
    let Some(server) = RegistryServer::open("caches") else { return };
    let at = server.name("cache/web:layers");
    let keys = format!(r#"cache_to: "type=registry,ref={at},mode=max", cache_from: "{at}""#);
    let Some(sandbox) = two_stages("caches", &keys) else { return };
    let run = sandbox.imk("");
    if run.status != 0 {
        assert!(run.stderr.contains("containerd image store"), "{}", run.stderr);
        return;
    }
    let two = sandbox.file_in("web", "/two");
    sandbox.docker(&["builder", "prune", "-af"]);
    sandbox.append("web/words.txt", "more\n");
    sandbox.imk("").says("1 fresh, 1 built, 0 failed");
    assert_eq!(sandbox.file_in("web", "/two"), two, "its layer came out of the registry");
}

#[test]
fn a_cache_that_is_not_there_yet_hinders_no_build() {
    let Some(server) = RegistryServer::open("no_cache_yet") else { return };
    let at = server.name("cache/web:none");
    // By both ways.
    for more in ["", r#", no_cache_filter: "one""#] {
        let Some(sandbox) = two_stages("no_cache_yet", &format!(r#"cache_from: "{at}"{more}"#)) else {
            return;
        };
        sandbox.imk("").says("0 fresh, 2 built, 0 failed");
    }
}

#[test]
fn checks_are_the_builders_where_it_has_some_and_imks_own_everywhere() {
    let Some(sandbox) = engine_or_skip("lint") else { return };
    sandbox.write_all(
        "
    //- Imagefile.ron
    (images: {\"web\": (args: {\"NOBODY\": \"1\"}), \"fine\": ()})
    //- web/Dockerfile
    FROM scratch as one
    COPY file /file
    //- web/file
    x
    //- fine/Dockerfile
    FROM scratch
    COPY file /file
    //- fine/file
    x
    ",
    );
    let run = sandbox.imk("lint").code(1);
    assert!(run.stdout.contains("the argument `NOBODY` is given, and nothing declares it"), "{}", run.stdout);
    match run.stderr.contains("has no checks of its own") {
        true => assert!(!run.stdout.contains("FromAsCasing"), "{}", run.stdout),
        false => {
            assert!(run.stdout.contains("web/Dockerfile:1: FromAsCasing: "), "{}\n{}", run.stdout, run.stderr)
        }
    }
    let json: serde_json::Value = serde_json::from_str(&sandbox.imk("lint --json").code(1).stdout).unwrap();
    assert_eq!(json["findings"][0]["rule"], "imk");
    sandbox.imk("lint fine").code(0);
    assert!(sandbox.imk("list").stdout.contains("web"), "nothing was built or broken");
}

/// A socket before the engine of the tests that is as a later engine may be: it knows neither `/session` nor `/grpc`, and
/// speaks HTTP/2 at once. For that it asks the engine behind it for the upgrade itself.
fn later_engine(folder: &Path) -> Option<String> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let Some(engine) = host.strip_prefix("unix://").map(PathBuf::from) else {
        eprintln!("SKIPPED: {host} is no socket");
        return None;
    };
    let path = folder.join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let engine = UnixStream::connect(&engine).unwrap();
            std::thread::spawn(move || drop(as_later(client, engine)));
        }
    });
    Some(format!("unix://{}", path.display()))
}

fn as_later(mut client: UnixStream, mut engine: UnixStream) -> std::io::Result<()> {
    let mut first = vec![0; 16 << 10];
    let count = client.read(&mut first)?;
    first.truncate(count);
    if first.starts_with(b"POST /session") || first.starts_with(b"POST /grpc") {
        return client.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    if first.starts_with(b"PRI * HTTP/2") {
        engine.write_all(
            b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
        )?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            engine.read_exact(&mut byte)?;
            head.extend(byte);
        }
    }
    engine.write_all(&first)?;
    let (mut from_client, mut to_engine) = (client.try_clone()?, engine.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut engine, &mut client);
    client.shutdown(Shutdown::Both)
}

#[test]
fn an_engine_without_sessions_and_upgrades_is_spoken_with_by_the_service_alone() {
    let Some(sandbox) = two_stages("later", "") else { return };
    let folder = tempfile::Builder::new().prefix("imk-later-").tempdir_in("/tmp").unwrap();
    let Some(host) = later_engine(folder.path()) else { return };
    let imk = |words: &str| {
        let output = sandbox.command("", words).env("DOCKER_HOST", &host).output().unwrap();
        sandbox.run(output)
    };
    imk("").says("0 fresh, 2 built, 0 failed");
    imk("").says("2 fresh, 0 built, 0 failed");
    // The image and the engine's cache are the same by both ways.
    sandbox.imk("-B web").says("1 fresh, 1 built, 0 failed");
    let log = fs_err::read_to_string(sandbox.path(".imk/logs/web.log")).unwrap();
    assert!(log.lines().any(|line| line.contains("RUN ") && line.ends_with(": cached")), "{log}");
    sandbox.append("web/Dockerfile", "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"exit 4\"]\n");
    assert!(imk("").code(2).stderr.contains("exit code 4"));
}

/// A socket before the engine of the tests that says it is of API 1.53, and the first words of each request. With
/// `lone` it has sessions and `/build` alone.
pub fn of_api_1_53(folder: &Path, lone: bool) -> Option<(String, Arc<Mutex<Vec<String>>>)> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let Some(engine) = host.strip_prefix("unix://").map(PathBuf::from) else {
        eprintln!("SKIPPED: {host} is no socket");
        return None;
    };
    let path = folder.join("docker.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (engine, log) = (UnixStream::connect(&engine).unwrap(), Arc::clone(&log));
            std::thread::spawn(move || drop(as_1_53(client, engine, &log, lone)));
        }
    });
    Some((format!("unix://{}", path.display()), asked))
}

fn as_1_53(
    mut client: UnixStream,
    mut engine: UnixStream,
    log: &Mutex<Vec<String>>,
    lone: bool,
) -> std::io::Result<()> {
    let mut first = vec![0; 16 << 10];
    let count = client.read(&mut first)?;
    first.truncate(count);
    let words =
        String::from_utf8_lossy(&first).split(['?', '\r', '\n']).next().unwrap_or_default().to_owned();
    log.lock().unwrap().push(words.replace(" HTTP/1.1", ""));
    if lone && (words.starts_with("POST /grpc") || words.starts_with("PRI ")) {
        return client.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    }
    engine.write_all(&first)?;
    let (mut from_client, mut to_engine) = (client.try_clone()?, engine.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    if words.starts_with("GET /version") {
        let mut answer = vec![0; 64 << 10];
        let count = engine.read(&mut answer)?;
        let mark = b"\"ApiVersion\":\"1.";
        let places: Vec<usize> = (0..count).filter(|at| answer[*at..count].starts_with(mark)).collect();
        assert!(!places.is_empty(), "the engine tells the version of its API");
        for at in places {
            answer[at + mark.len()..at + mark.len() + 2].copy_from_slice(b"53");
        }
        client.write_all(&answer[..count])?;
    }
    let _ = std::io::copy(&mut engine, &mut client);
    client.shutdown(Shutdown::Both)
}

#[test]
fn an_engine_that_gives_sessions_up_is_asked_by_the_service_where_it_has_it() {
    for (lone, wanted, unwanted) in
        [(false, "POST /grpc", "POST /session"), (true, "POST /build", "POST /nothing")]
    {
        let Some(sandbox) = two_stages("newer", "") else { return };
        let folder = tempfile::Builder::new().prefix("imk-newer-").tempdir_in("/tmp").unwrap();
        let Some((host, asked)) = of_api_1_53(folder.path(), lone) else { return };
        let output = sandbox.command("", "").env("DOCKER_HOST", &host).output().unwrap();
        sandbox.run(output).says("0 fresh, 2 built, 0 failed");
        let asked = asked.lock().unwrap().clone();
        let is_asked = |what: &str| asked.iter().any(|words| words.starts_with(what));
        assert!(is_asked(wanted) && !is_asked(unwanted), "{asked:?}");
    }
}
