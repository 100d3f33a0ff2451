//! Images on their way out of imk's own store and into it: Docker engines, registries, git repositories.

use super::TWO;
use crate::overlays::upstream::Upstream;
use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, engine_or_skip};

/// Blobs of a store.
fn blobs(sandbox: &Sandbox) -> Vec<String> {
    let folder = sandbox.store().join("blobs/sha256");
    let names = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn a_target_is_put_into_docker_under_its_names_and_not_twice() {
    if engine_or_skip("embedded load").is_none() {
        return;
    }
    let sandbox = Sandbox::with(TWO).embedded();
    let first = sandbox.imk("--load web").code(0);
    assert!(first.out().contains("2 built, 1 loaded"), "{}", first.out());
    let id = sandbox.id("web");
    assert_eq!(sandbox.file_in("web", "/srv/web/b"), "1\n");
    // It is the same image on both sides, and only the target went over.
    assert!(sandbox.imk("list --json").stdout.contains(&id));
    let base = format!("{}base", sandbox.prefix());
    assert_eq!(sandbox.docker(&["images", "-q", &base]), "");
    let again = sandbox.imk("--load web").code(0);
    assert!(!again.out().contains("loaded"), "{}", again.out());
    // A name that went elsewhere comes back, and the image is not sent again.
    sandbox.docker(&["rmi", &format!("{}web", sandbox.prefix())]);
    assert!(sandbox.imk("--load web").code(0).out().contains("1 loaded"));
    assert_eq!(sandbox.id("web"), id);
    let events = sandbox.edit("web/b", "2\n").imk("--load web --progress json").code(0);
    assert!(events.stderr.contains(r#""event":"loaded""#), "{}", events.stderr);
    assert_eq!(sandbox.file_in("web", "/srv/web/b"), "2\n");
}

#[test]
fn without_docker_a_load_is_told_and_the_image_is_kept() {
    let sandbox = Sandbox::with(TWO).embedded().without_engine();
    let run = sandbox.imk("--load web").code(2);
    assert!(run.err().contains("was not put into the Docker engine"), "{}", run.err());
    assert!(run.err().contains("-o type=docker,dest=FILE"), "{}", run.err());
    sandbox.imk("web").says("2 fresh, 0 built, 0 failed");
}

#[test]
fn a_base_that_nobody_looks_into_is_mounted_in_the_registry_and_never_fetched() {
    let Some(server) = RegistryServer::open("embedded push") else { return };
    server.put_image("os:1", "a base");
    let host = server.host();
    let sandbox = Sandbox::with("").embedded().prefixed(&format!("{host}/team/"));
    let text = format!("FROM {host}/os:1\nCOPY --link a /srv/\nLABEL x=1\n");
    sandbox.edit("web/Dockerfile", &text).edit("web/a", "1\n");
    let run = sandbox.imk("push").code(0);
    assert!(run.out().contains("1 published"), "{}", run.out());
    // Whole in the registry, and of the base only its words are here.
    let manifest: serde_json::Value = serde_json::from_str(&server.read_back("team/web:latest")).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    let of_base = layers[0]["digest"].as_str().unwrap().trim_start_matches("sha256:");
    assert!(!blobs(&sandbox).iter().any(|blob| blob == of_base), "the base was fetched");
    // One who looks into the base fetches it.
    sandbox.edit("web/Dockerfile", &text.replace("COPY --link", "COPY"));
    sandbox.imk("push").code(0);
    assert!(blobs(&sandbox).iter().any(|blob| blob == of_base), "the base was not fetched");
}

#[test]
fn add_of_a_repository_takes_the_commit_of_the_key_its_folder_and_its_git() {
    let upstream = Upstream::new();
    upstream.commit(&[("lib/a.txt", "1\n"), ("top", "t\n"), ("run.sh", "#!/bin/sh\n")]);
    let server = upstream.serve(None);
    let url = server.url();
    let sandbox = Sandbox::with("").embedded().without_engine();
    sandbox.edit(
        "web/Dockerfile",
        &format!(
            "FROM scratch\nADD {url} /all/\nADD --chown=5:6 {url}#main:lib /lib/\nADD --keep-git-dir {url}#main /clone\n"
        ),
    );
    sandbox.imk("").says("0 fresh, 1 built, 0 failed");
    let out = sandbox.path("out");
    sandbox.imk("build web -o out").code(0);
    let read = |path: &str| fs_err::read_to_string(out.join(path)).unwrap();
    assert_eq!(
        (read("all/lib/a.txt"), read("lib/a.txt"), read("clone/top")),
        ("1\n".into(), "1\n".into(), "t\n".into())
    );
    assert!(!out.join("all/.git").exists());
    let git = |words: &[&str]| {
        let run = std::process::Command::new("git")
            .args(["-c", "safe.directory=*", "-C", out.join("clone").to_str().unwrap()])
            .args(words)
            .output()
            .unwrap();
        assert!(run.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(git(&["status", "--porcelain"]), "");
    assert_eq!(git(&["remote", "get-url", "origin"]), url);
    let first = git(&["rev-parse", "HEAD"]);
    assert_eq!(git(&["rev-list", "--count", "HEAD"]), "1");
    git(&["fsck", "--strict"]);
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    // The commit is in the key: a push makes the image stale, and says so.
    let second = upstream.commit(&[("lib/a.txt", "2\n")]);
    sandbox.imk("").says("0 fresh, 1 built, 0 failed");
    sandbox.imk("build web -o out").code(0);
    assert_eq!(read("lib/a.txt"), "2\n");
    assert_eq!(git(&["rev-parse", "HEAD"]), second);
    // A checksum is the commit that it must be.
    let with = |sum: &str| {
        let text = format!("FROM scratch\nADD --checksum={sum} {url}#main /x/\n");
        sandbox.edit("web/Dockerfile", &text).imk("")
    };
    with(&second[..12]).says("0 fresh, 1 built, 0 failed");
    let wrong = with(&first).code(2);
    assert!(wrong.err().contains(&format!("it stands at commit {second}")), "{}", wrong.err());
    // Docker's newer way of saying where.
    let text = format!("FROM scratch\nADD {url}?branch=main&subdir=lib /y/\n");
    sandbox.edit("web/Dockerfile", &text).imk("").says("0 fresh, 1 built, 0 failed");
    let text = format!("FROM scratch\nADD {url}#nobranch /y/\n");
    let lacking = sandbox.edit("web/Dockerfile", &text).imk("").code(2);
    assert!(lacking.err().contains("nobranch"), "{}", lacking.err());
}

#[test]
fn the_same_clone_comes_of_another_machine() {
    let upstream = Upstream::new();
    upstream.commit(&[("a", "1\n")]);
    upstream.commit(&[("b/c", "2\n")]);
    let server = upstream.serve(None);
    let built = |folder: &str| {
        let sandbox = Sandbox::with("").embedded().without_engine().prefixed("same/");
        let text = format!("FROM scratch\nADD --keep-git-dir {} /clone\n", server.url());
        sandbox.edit(&format!("{folder}/Dockerfile"), &text).imk("").success();
        let list: serde_json::Value = serde_json::from_str(&sandbox.imk("list --json").stdout).unwrap();
        list.to_string().split("sha256:").nth(1).unwrap()[..64].to_owned()
    };
    assert_eq!(built("web"), built("web"));
}

#[test]
fn a_command_that_one_machine_ran_is_not_run_by_another() {
    let Some(server) = RegistryServer::open("embedded steps") else { return };
    let cache = format!("type=registry,ref={}", server.name("team/cache:steps"));
    let machine = || {
        let sandbox = Sandbox::with("").embedded().without_engine().prefixed("steps/");
        let text = "FROM scratch\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo ran >/made\"]\n                    RUN [\"/bin/busybox\", \"true\"]\nCOPY a /a\n";
        sandbox.edit("web/Dockerfile", text).edit("web/a", "1\n");
        sandbox.place_busybox();
        sandbox
    };
    let one = machine();
    let run = one.imk(&format!("--progress json --cache-to {cache}")).code(0);
    let cached = |stderr: &str| stderr.matches(r#""cached":true"#).count();
    let there = cached(&run.stderr);
    // Another machine, whose COPY is another: what comes before it was run elsewhere.
    let other = machine();
    other.edit("web/a", "2\n");
    let run = other.imk(&format!("--progress json --cache-from {cache}")).code(0);
    assert_eq!(cached(&run.stderr), there + 2, "{}", run.stderr);
    other.imk("build web -o out").code(0);
    assert_eq!(fs_err::read_to_string(other.path("out/made")).unwrap(), "ran\n");
    // A cache that is away costs time and no build.
    let third = machine();
    drop(server);
    let run = third.imk(&format!("--progress plain --cache-from {cache}")).code(0);
    assert!(run.err().contains("is not used"), "{}", run.err());
    let refused = third.edit("web/a", "3\n").imk("--cache-to type=s3,bucket=b,region=r").code(2);
    assert!(refused.err().contains("knows no `s3`"), "{}", refused.err());
}

#[test]
fn named_contexts_are_files_to_the_embedded_builder_too() {
    let sandbox = Sandbox::with("").embedded().without_engine();
    sandbox.edit("lib/d/f", "lib\n").edit("skel/etc/x", "skel\n").edit("web/a", "1\n");
    sandbox.edit("web/Dockerfile", "FROM skel\nCOPY --from=lib d /lib/\nCOPY a /\n");
    sandbox.edit("Imagefile.ron", r#"(images: {"web": (contexts: {"lib": "./lib", "skel": "./skel"})})"#);
    sandbox.imk("").says("0 fresh, 1 built, 0 failed");
    sandbox.imk("build web -o out").code(0);
    let read = |path: &str| fs_err::read_to_string(sandbox.path("out").join(path)).unwrap();
    assert_eq!((read("etc/x"), read("lib/f"), read("a")), ("skel\n".into(), "lib\n".into(), "1\n".into()));
    sandbox.imk("").says("1 fresh, 0 built, 0 failed");
    sandbox.edit("lib/d/f", "new\n").imk("").says("0 fresh, 1 built, 0 failed");
}
