//! Submodules whose files are in no repository here: from whom they are fetched, and from whom never.

use std::process::Command;

use fs_err as fs;

use crate::overlays::upstream::Upstream;
use crate::sandbox::Sandbox;

fn git(sandbox: &Sandbox, words: &str) {
    let mut git = Command::new("git");
    git.current_dir(sandbox.root()).args(["-c", "user.name=imk", "-c", "user.email=imk@invalid"]);
    let ran = git.args(words.split(' ')).output().unwrap();
    assert!(ran.status.success(), "git {words}: {}", String::from_utf8_lossy(&ran.stderr));
}

/// A fresh clone of a repository at `origin`, in which `app` copies of the submodule `app/lib`.
fn clone(origin: &str, address: &str, commit: &str) -> Sandbox {
    let sandbox = Sandbox::empty().without_engine();
    git(&sandbox, "init -q -b main .");
    git(&sandbox, &format!("remote add origin {origin}"));
    sandbox.edit("app/Dockerfile", "FROM scratch\nCOPY lib/one.txt /\n");
    sandbox.edit(".gitmodules", &format!("[submodule \"lib\"]\n\tpath = app/lib\n\turl = {address}\n"));
    git(&sandbox, "add -A");
    git(&sandbox, &format!("update-index --add --cacheinfo 160000,{commit},app/lib"));
    git(&sandbox, "commit -q -m one");
    fs::create_dir(sandbox.root().join("app/lib")).unwrap();
    sandbox
}

#[test]
fn a_commit_of_a_fresh_clone_has_the_submodules_of_the_server_that_it_is_from() {
    let upstream = Upstream::new();
    let commit = upstream.commit(&[("one.txt", "1")]);
    let server = upstream.serve(None);
    let origin = server.url().replace("lib.git", "app.git");
    let sandbox = clone(&origin, "../lib.git", &commit);
    // Whoever only compares fetches nothing.
    sandbox.imk("replay --last 1").code(0);
    assert_eq!(server.requests(), 0);
    let offline = sandbox.imk("--offline plan --rev HEAD").code(2).err();
    assert!(
        offline.contains("imk is not to ask it") && offline.contains("update --init app/lib"),
        "{offline}"
    );
    let run = sandbox.imk("plan --rev HEAD").code(0);
    assert!(run.err().contains(&format!("fetching from {}", server.url())), "{}", run.err());
    assert!(run.out().contains("1 to build"), "{}", run.out());
    // Its commit is here now.
    let asked = server.requests();
    sandbox.imk("plan --rev HEAD").code(0);
    sandbox.imk("--offline plan --rev HEAD").code(0);
    assert_eq!(server.requests(), asked);
    // A project in a folder of the repository is no other case.
    let inside = sandbox.imk("-C app plan --rev HEAD").code(0);
    assert!(inside.out().contains("1 to build"), "{}", inside.out());
}

#[test]
fn a_server_that_a_checkout_alone_names_hears_nothing() {
    let upstream = Upstream::new();
    let commit = upstream.commit(&[("one.txt", "1")]);
    let server = upstream.serve(None);
    let sandbox = clone("https://git.invalid/app.git", &server.url(), &commit);
    let refused = sandbox.imk("plan --rev HEAD").code(2).err();
    for part in [
        "it is a submodule, whose commit",
        &server.url(),
        "--> app/lib",
        "this clone's configuration does not name",
        "`git submodule update --init app/lib` fetches it",
    ] {
        assert!(refused.contains(part), "{part:?} is not in {refused}");
    }
    assert_eq!(server.requests(), 0);
    // The user agrees by `git submodule init`, which writes this.
    git(&sandbox, &format!("config submodule.lib.url {}", server.url()));
    sandbox.imk("plan --rev HEAD").code(0);
    assert!(server.requests() > 0);
}

#[test]
fn a_path_of_this_machine_is_followed_where_git_follows_it() {
    let upstream = Upstream::new();
    let commit = upstream.commit(&[("one.txt", "1")]);
    let sandbox = clone("https://git.invalid/app.git", &upstream.path(), &commit);
    let refused = sandbox.imk("plan --rev HEAD").code(2).err();
    assert!(refused.contains("is a path of this machine"), "{refused}");
    let mut imk = sandbox.command("", "plan --rev HEAD");
    imk.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", "protocol.file.allow");
    let run = sandbox.run(imk.env("GIT_CONFIG_VALUE_0", "always").output().unwrap());
    assert_eq!(run.status, 0, "{}", run.err());
}

#[test]
fn an_overlay_has_the_submodules_of_its_own_server() {
    let upstream = Upstream::new();
    let deep = upstream.commit(&[("one.txt", "deep")]);
    let bare = upstream.folder().join("deep.git");
    let copied = Command::new("git").args(["clone", "-q", "--bare", &upstream.path()]).arg(&bare).status();
    assert!(copied.unwrap().success());
    let server = upstream.serve(None);
    let list = |address: &str| format!("[submodule \"deep\"]\n\tpath = sub/deep\n\turl = {address}\n");
    upstream.commit(&[(".gitmodules", &list("../deep.git")), ("sub/two.txt", "2")]);
    upstream.commit_submodule("sub/deep", &deep);
    let sandbox = Sandbox::empty().without_engine();
    let source = format!("Git(url: {:?}, branch: \"main\", subdir: \"sub\")", server.url());
    sandbox.edit("Imagefile.ron", &format!("(images: {{\"app\": (overlays: {{\"src\": {source}}})}})"));
    sandbox.edit("app/Dockerfile", "FROM scratch\nCOPY src /\n");
    let run = sandbox.imk("plan").code(0);
    assert!(run.err().contains("/deep.git"), "{}", run.err());
    // An address elsewhere is nobody's who wrote the Imagefile.
    upstream.commit(&[(".gitmodules", &list("https://git.invalid/deep.git"))]);
    sandbox.imk("plan").code(0);
    upstream.commit_submodule("sub/deep", &"2".repeat(40));
    let refused = sandbox.imk("plan").code(2).err();
    let told = "it is a submodule, whose commit 222222222222 is not here: its address \
        `https://git.invalid/deep.git` is on a host that the address of its repository does not name; put that there \
        with an overlay of its own";
    assert!(refused.contains("cannot read `app/src/deep`") && refused.contains(told), "{refused}");
}
