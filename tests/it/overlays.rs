//! Contexts of several layers: paths of the repository, and trees of other repositories.

pub mod upstream;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;

use crate::history::History;
use crate::sandbox::{Sandbox, engine_or_skip};
use upstream::Upstream;

/// Files of a folder with their texts, imk's own state left out.
fn work_tree(sandbox: &Sandbox) -> Vec<(String, Vec<u8>)> {
    files_below(sandbox.root()).into_iter().filter(|(path, _)| !path.starts_with(".imk")).collect()
}

fn files_below(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// A Dockerfile whose image is this sandbox's own.
fn dockerfile(sandbox: &Sandbox, lines: &str) -> String {
    format!("FROM scratch\nLABEL imk.test={}\n{lines}\n", sandbox.prefix())
}

/// Two images: `used` copies `src/used.txt` of an overlay from git, `beside` copies nothing of it.
fn two_images(sandbox: &Sandbox, git: &str) {
    sandbox.edit(
        "Imagefile.ron",
        &format!("(defaults: (overlays: {{\"src\": {git}}}), images: {{\"used\": (), \"beside\": ()}})"),
    );
    sandbox.edit("used/Dockerfile", &dockerfile(sandbox, "COPY src/used.txt /used.txt"));
    sandbox.edit("beside/Dockerfile", &dockerfile(sandbox, "COPY own.txt /own.txt"));
    sandbox.edit("beside/own.txt", "own\n");
}

#[test]
fn a_folder_of_the_repository_is_put_over_a_context() {
    let Some(sandbox) = engine_or_skip("path overlay") else { return };
    sandbox.edit(
        "Imagefile.ron",
        r#"(images: {
            "web": (overlays: {"vendor/lib": "shared/lib", "LICENSE": "LICENSE"}),
            "api": (overlays: {"lib": "shared/lib"}),
        })"#,
    );
    sandbox.edit("web/Dockerfile", &dockerfile(&sandbox, "COPY vendor/lib/a.txt vendor/own.txt LICENSE /"));
    sandbox.edit("web/vendor/own.txt", "own\n").edit("web/vendor/lib/a.txt", "hidden\n");
    sandbox.edit("api/Dockerfile", &dockerfile(&sandbox, "COPY lib /lib"));
    sandbox.edit("api/Dockerfile.dockerignore", "lib/*.md\n");
    sandbox
        .edit("shared/lib/a.txt", "shared\n")
        .edit("shared/lib/b.txt", "b\n")
        .edit("shared/lib/c.md", "c\n");
    sandbox.edit("LICENSE", "free\n");
    let before = work_tree(&sandbox);
    sandbox.imk("").says("0 fresh, 2 built, 0 failed");
    assert_eq!(sandbox.file_in("web", "/a.txt"), "shared\n");
    assert_eq!(sandbox.file_in("web", "/own.txt"), "own\n");
    assert_eq!(sandbox.file_in("web", "/LICENSE"), "free\n");
    assert_eq!(sandbox.file_in("api", "/lib/b.txt"), "b\n");
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    // What is hidden, ignored or not copied is no reason to build.
    sandbox.append("web/vendor/lib/a.txt", "more\n").append("shared/lib/c.md", "more\n");
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    sandbox.append("shared/lib/b.txt", "more\n");
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["api"]);
    let told = sandbox.imk("why api").code(0).out();
    assert_eq!(told, "api is fresh; it was last built: api ← `lib/b.txt` changed: 9d90 → 5164\n");
    sandbox.append("shared/lib/a.txt", "more\n");
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["api", "web"]);
    let inputs = sandbox.imk("inputs web").code(0).out();
    assert!(inputs.contains(" vendor/lib/a.txt\n"), "{inputs}");
    assert_eq!(work_tree(&sandbox).len(), before.len(), "nothing is left in the work tree");
}

#[test]
fn a_branch_that_moves_rebuilds_exactly_who_uses_what_changed() {
    let Some(sandbox) = engine_or_skip("git overlay") else { return };
    let upstream = Upstream::new();
    upstream.commit(&[("a/used.txt", "one\n"), ("a/unused.txt", "x\n"), ("b/other.txt", "y\n")]);
    two_images(&sandbox, &format!("Git(url: {:?}, branch: \"main\", subdir: \"a\")", upstream.path()));
    let before = work_tree(&sandbox);
    sandbox.imk("").says("0 fresh, 2 built, 0 failed");
    assert_eq!(sandbox.file_in("used", "/used.txt"), "one\n");
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");

    let inputs = sandbox.imk("inputs used").code(0).out().replace(&upstream.path(), "[UPSTREAM]");
    assert!(inputs.contains("  overlay src is file://[UPSTREAM]#main:a at "), "{inputs}");

    upstream.commit(&[("a/unused.txt", "xx\n"), ("b/other.txt", "yy\n"), ("a/new.txt", "n\n")]);
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");

    upstream.commit(&[("a/used.txt", "two\n")]);
    let plan = sandbox.imk("plan").code(0).out();
    assert_eq!(plan, "used: stale, `src/used.txt` changed\n1 fresh, 1 to build\n");
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["used"]);
    assert_eq!(sandbox.file_in("used", "/used.txt"), "two\n");
    let told = sandbox.imk("why used").code(0).out();
    let told = told.replace(&upstream.path(), "[UPSTREAM]");
    let cause = "used is fresh; it was last built: used ← `src/used.txt` changed: e0e6 → ef40";
    assert!(told.starts_with(&format!("{cause}, from file://[UPSTREAM]#main:a at commit ")), "{told}");

    // What was fetched is a cache: without it and without all state, nothing is built.
    sandbox.remove(".imk/git");
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");
    assert_eq!(work_tree(&sandbox), before, "the work tree is as it was");
}

#[test]
fn a_tag_a_commit_and_a_relative_path_are_found() {
    let Some(sandbox) = engine_or_skip("tag and commit") else { return };
    let upstream = Upstream::new();
    let first = upstream.commit(&[("used.txt", "one\n")]);
    upstream.tag("v1");
    upstream.commit(&[("used.txt", "two\n")]);
    two_images(&sandbox, &format!("Git(url: {:?}, tag: \"v1\")", upstream.path()));
    sandbox.imk("used").code(0);
    assert_eq!(sandbox.file_in("used", "/used.txt"), "one\n");
    two_images(&sandbox, &format!("\"file://{}\"", upstream.path()));
    sandbox.imk("used").code(0);
    assert_eq!(sandbox.file_in("used", "/used.txt"), "two\n");
    two_images(&sandbox, &format!("Git(url: {:?}, commit: {first:?})", upstream.path()));
    sandbox.imk("used").code(0);
    assert_eq!(sandbox.file_in("used", "/used.txt"), "one\n");
    // A commit never moves: it needs nobody to ask.
    fs::rename(upstream.path(), upstream.folder().join("away")).unwrap();
    sandbox.imk("used").says("1 fresh, 0 built, 0 failed");
    // A hook that runs imk tells git of another repository; ours is not that one.
    sandbox.remove(".imk/git");
    fs::rename(upstream.folder().join("away"), upstream.path()).unwrap();
    let mut hook = sandbox.command("", "used");
    let output = hook.env("GIT_DIR", "/nowhere").env("GIT_INDEX_FILE", "/nowhere").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(upstream.path(), upstream.folder().join("away")).unwrap();
    let name = upstream.folder().file_name().unwrap().to_str().unwrap().to_owned();
    two_images(&sandbox, &format!("Git(url: \"../{name}/away\", branch: \"main\")"));
    sandbox.imk("used").code(0);
    assert_eq!(sandbox.file_in("used", "/used.txt"), "two\n");
}

const SECRET: &str = "s3cr3t-t0ken-of-somebody";

#[test]
fn a_token_opens_the_door_and_is_never_seen_again() {
    let Some(sandbox) = engine_or_skip("token") else { return };
    let upstream = Upstream::new();
    upstream.commit(&[("used.txt", "one\n")]);
    let server = upstream.serve(Some(SECRET));
    two_images(&sandbox, &format!("Git(url: {:?}, branch: \"main\")", server.url()));
    let run = |words: &str, token: &str| {
        let mut command = sandbox.command("", words);
        command.env("IMK_GIT_TOKEN_127_0_0_1", token).env("HOME", sandbox.root().join("nobody"));
        let output = command.output().unwrap();
        let all = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
        (output.status.code().unwrap(), all)
    };
    let (code, [out, err]) = run("--progress plain", SECRET);
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(sandbox.file_in("used", "/used.txt"), "one\n");
    let mut said = out + &err;
    for words in ["inputs used", "plan --json", "why used", "log --json"] {
        let (code, [out, err]) = run(words, SECRET);
        assert_eq!(code, 0, "{out}{err}");
        said += &(out + &err);
    }
    // The wrong one is refused, and told by the name of its variable.
    let (code, [_, err]) = run("", "wr0ng-t0ken");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("it refuses: ") && err.contains("IMK_GIT_TOKEN_127_0_0_1"), "{err}");
    assert!(!err.contains("wr0ng-t0ken"), "{err}");
    // Git's own helpers are asked too, after a variable that is refused and without one.
    let helper =
        format!("[credential]\n\thelper = \"!f() {{ echo username=me; echo password={SECRET}; }}; f\"\n");
    sandbox.edit("nobody/.gitconfig", &helper);
    for token in ["wr0ng-t0ken", ""] {
        let (code, [out, err]) = run("", token);
        assert_eq!(code, 0, "{out}{err}");
    }
    sandbox.remove("nobody");
    let (code, [_, err]) = run("", "");
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("it refuses: could not read Username"), "{err}");
    // A password may stand in the address.
    let address = server.url().replace("http://", &format!("http://me:{SECRET}@"));
    two_images(&sandbox, &format!("Git(url: {address:?}, branch: \"main\")"));
    let (code, [out, err]) = run("--progress plain", "");
    assert_eq!(code, 0, "{out}{err}");
    two_images(&sandbox, &format!("Git(url: {address:?}, branch: \"gone\")"));
    let (code, [out, err]) = run("used", "");
    assert_eq!(code, 2);
    assert!(err.contains("http://**"), "the excerpt of the Imagefile hides it too: {err}");
    said += &(out + &err);
    assert!(!said.contains(SECRET), "{said}");
    for (path, bytes) in files_below(&sandbox.path(".imk")) {
        let found = bytes.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes());
        assert!(!found, "the secret is in .imk/{path}");
    }
    let id = sandbox.id("used");
    assert!(!sandbox.docker(&["image", "inspect", &id]).contains(SECRET));
}

#[test]
fn a_server_that_is_away_is_answered_for_from_memory_with_a_warning() {
    let Some(sandbox) = engine_or_skip("server away") else { return };
    let upstream = Upstream::new();
    let first = upstream.commit(&[("used.txt", "one\n")]);
    let server = upstream.serve(None);
    let url = server.url();
    two_images(&sandbox, &format!("\"{url}#main\""));
    sandbox.imk("").says("0 fresh, 2 built, 0 failed");

    // Offline, nothing is asked, and nothing is said of it: it was wished for.
    upstream.commit(&[("used.txt", "two\n")]);
    let asked = server.requests();
    let output = sandbox.command("", "").env("IMK_OFFLINE", "1").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let run = sandbox.imk("--offline").code(0);
    assert!(run.out().starts_with("2 fresh, 0 built, 0 failed"), "{}", run.out());
    assert_eq!(run.stderr, "");
    assert_eq!(server.requests(), asked);

    drop(server);
    let run = sandbox.imk("").code(0);
    assert!(run.out().starts_with("2 fresh, 0 built, 0 failed"), "{}", run.out());
    let warning = run.stderr.lines().find(|line| line.starts_with("warning: ")).unwrap_or_default();
    assert!(
        warning.starts_with(&format!("warning: `{url}` cannot be asked where `main` stands: ")),
        "{warning}"
    );
    assert!(warning.ends_with(&format!("commit {}", &first[..12])), "{warning}");

    // What is not remembered cannot be had.
    sandbox.remove(".imk");
    let err = sandbox.imk("").code(2).err();
    assert!(err.contains(&format!("cannot use `{url}#main`: it cannot be reached: ")), "{err}");
    assert!(err.contains("Imagefile.ron:1:"), "{err}");
    let err = sandbox.imk("--offline").code(2).err();
    assert!(err.contains("imk is not to ask it, and does not know where `main` stands"), "{err}");
    assert!(err.contains("run imk once without --offline"), "{err}");
}

#[test]
fn ssh_goes_through_the_command_that_git_is_told_to_use() {
    let Some(sandbox) = engine_or_skip("ssh") else { return };
    let upstream = Upstream::new();
    upstream.commit(&[("used.txt", "one\n"), ("unused.txt", "x\n")]);
    let script = upstream.folder().join("ssh");
    // As a server would: the last word is the command.
    fs::write(&script, "#!/bin/sh\nunset GIT_PROTOCOL\nfor last; do :; done\nexec sh -c \"$last\"\n")
        .unwrap();
    fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    two_images(&sandbox, &format!("Git(url: \"git@host.invalid:{}\")", upstream.path()));
    let run = || {
        let output =
            sandbox.command("", "--progress plain").env("GIT_SSH_COMMAND", &script).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{err}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run().contains("0 fresh, 2 built, 0 failed"));
    assert_eq!(sandbox.file_in("used", "/used.txt"), "one\n");
    upstream.commit(&[("used.txt", "two\n")]);
    assert!(run().contains("1 fresh, 1 built, 0 failed"));
    assert_eq!(sandbox.file_in("used", "/used.txt"), "two\n");
}

#[test]
fn an_image_can_come_wholly_from_git() {
    let Some(sandbox) = engine_or_skip("git context") else { return };
    let upstream = Upstream::new();
    upstream.commit(&[
        ("sub/Dockerfile", &dockerfile(&sandbox, "COPY a.txt own/b.txt /")),
        ("sub/a.txt", "one\n"),
        ("sub/own/b.txt", "b\n"),
        ("sub/own/ignored.txt", "i\n"),
        ("sub/.dockerignore", "own/ignored.txt\n"),
        ("other/Containerfile", "FROM remote\nCOPY . /here\n"),
        ("README.md", "x\n"),
    ]);
    let server = upstream.serve(None);
    let url = server.url();
    sandbox.edit(
        "Imagefile.ron",
        &format!(
            "(images: {{
                \"remote\": (context: \"{url}#main:sub\", overlays: {{\"own\": \"own\"}}),
                \"child\": (context: Git(url: \"{url}\", branch: \"main\", subdir: \"other\")),
                \"local\": (),
            }})"
        ),
    );
    sandbox
        .edit("own/b.txt", "mine\n")
        .edit("local/Dockerfile", "FROM child\nCOPY x /x\n")
        .edit("local/x", "x");
    let tree = sandbox.imk("graph").code(0).out();
    assert_eq!(tree, "remote\n└── child\n    └── local\n");
    sandbox.imk("").says("0 fresh, 3 built, 0 failed");
    assert_eq!(sandbox.file_in("local", "/a.txt"), "one\n");
    assert_eq!(sandbox.file_in("local", "/b.txt"), "mine\n");
    sandbox.imk("").says("3 fresh, 0 built, 0 failed");
    upstream.commit(&[("README.md", "xx\n"), ("sub/own/b.txt", "hidden\n")]);
    sandbox.imk("").says("3 fresh, 0 built, 0 failed");
    upstream.commit(&[("other/Containerfile", "FROM remote\nCOPY . /there\n")]);
    assert_eq!(sandbox.imk("--progress plain").code(0).built(), ["child", "local"]);
    // A mistake in a Dockerfile from elsewhere is told with its place there.
    upstream.commit(&[("sub/Dockerfile", "FROM scratch\nCOPPY a b\n")]);
    let err = sandbox.imk("plan remote").code(2).err();
    assert!(err.contains("127.0.0.1") && err.contains("#main:sub/Dockerfile:2:"), "{err}");
}

#[test]
fn mistakes_are_told_with_their_place_and_what_to_do() {
    let sandbox = Sandbox::empty().without_engine();
    let upstream = Upstream::new();
    upstream.commit(&[
        ("big/used.txt", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"),
        ("used.txt", "one\n"),
    ]);
    upstream.commit_submodule("module", &"1".repeat(40));
    let told = |git: &str, lines: &str| {
        two_images(&sandbox, git);
        sandbox.edit("used/Dockerfile", &format!("FROM scratch\n{lines}\n"));
        let err = sandbox.imk("plan used").code(2).err();
        let err = err.replace(&upstream.path(), "[UPSTREAM]");
        let told = |line: &&str| !line.starts_with("warning: ") && !line.starts_with("fetching from ");
        let lines = err.lines().filter(told).map(str::trim_end);
        lines.collect::<Vec<_>>().join("\n")
    };
    let path = upstream.path();
    let copy = "COPY src/used.txt /";
    insta::assert_snapshot!(told(&format!("Git(url: {path:?}, branch: \"mian\")"), copy), @r##"
    error: cannot use `file://[UPSTREAM]#mian`: it has no branch `mian`
     --> Imagefile.ron:1:24
      |
    1 | (defaults: (overlays: {"src": Git(url: "[UPSTREAM]", branch: "mian")}), images: {"used": (), "beside": ()})
      |                        ^^^^^
      |
      = help: `git ls-remote` with this address shows what there is
    "##);
    insta::assert_snapshot!(told(&format!("Git(url: {path:?}, subdir: \"nowhere\")"), copy), @r##"
    error: cannot use `file://[UPSTREAM]#:nowhere`: there is no folder `nowhere` in its commit a85be1715388
     --> Imagefile.ron:1:24
      |
    1 | (defaults: (overlays: {"src": Git(url: "[UPSTREAM]", subdir: "nowhere")}), images: {"used": (), "beside": ()})
      |                        ^^^^^
      |
      = help: `subdir` is a folder below the repository's root, and no link to one outside
    "##);
    insta::assert_snapshot!(told(&format!("Git(url: \"{path}x\")"), copy), @r##"
    error: cannot use `file://[UPSTREAM]x`: no repository is there: '[UPSTREAM]x' does not appear to be a git repository
     --> Imagefile.ron:1:24
      |
    1 | (defaults: (overlays: {"src": Git(url: "[UPSTREAM]x")}), images: {"used": (), "beside": ()})
      |                        ^^^^^
      |
      = help: is the address right? Some hosts say so of what they do not show to everybody
    "##);
    insta::assert_snapshot!(told(&format!("Git(url: {path:?}, subdir: \"big\")"), copy), @r##"
    error: cannot read `used/src/used.txt`: git LFS keeps its content elsewhere, and imk does not fetch from there: the image would hold the pointer
     --> Imagefile.ron:1:24
      |
    1 | (defaults: (overlays: {"src": Git(url: "[UPSTREAM]", subdir: "big")}), images: {"used": (), "beside": ()})
      |                        ^^^^^
      |
      = help: image `used` copies it
    "##);
    insta::assert_snapshot!(told(&format!("Git(url: {path:?})"), "COPY src /"), @r##"
    error: cannot read `used/src/module`: it is a submodule, whose commit 111111111111 is not here: `.gitmodules` does not say where it is from; put that there with an overlay of its own, or keep the folder out with the ignore file
     --> Imagefile.ron:1:24
      |
    1 | (defaults: (overlays: {"src": Git(url: "[UPSTREAM]")}), images: {"used": (), "beside": ()})
      |                        ^^^^^
      |
      = help: image `used` copies it
    "##);
    insta::assert_snapshot!(told("\"nowhere\"", "COPY src /"), @r##"
    error: cannot read `nowhere`: there is no such file or folder; it is the overlay at `src`
     --> Imagefile.ron:1:24
      |
    1 | (defaults: (overlays: {"src": "nowhere"}), images: {"used": (), "beside": ()})
      |                        ^^^^^
      |
      = help: paths of overlays start at the Imagefile's folder
    "##);
    // So is a context.
    sandbox.edit("Imagefile.ron", "(images: {\n    \"web\": (context: Git(url: \"./nowhere\")),\n})");
    let err = sandbox.imk("plan").code(2).err();
    assert!(err.contains("error: cannot use `file://./nowhere`: no repository is there: "), "{err}");
    assert!(err.contains("--> Imagefile.ron:2:"), "{err}");
    let list = sandbox.imk("list -q").code(0);
    assert_eq!(list.out(), "web\n");
    // What nothing reads may be what it is.
    two_images(&sandbox, &format!("Git(url: {path:?})"));
    sandbox.imk("plan used").code(0);
}

#[test]
fn history_is_replayed_with_overlays_and_asks_nobody() {
    let history = History::with(
        "
    //- Imagefile.ron
    (images: {\"web\": (overlays: {\"lib\": \"shared\"})})
    //- web/Dockerfile
    FROM scratch
    COPY lib/a /
    //- shared/a
    1
    //- shared/b
    1
    ",
    );
    let sandbox = &history.sandbox;
    history.git(&["config", "core.excludesFile", "/dev/null"]);
    sandbox.edit("shared/b", "2\n");
    history.commit("not copied");
    sandbox.edit("shared/a", "2\n");
    history.commit("copied");
    sandbox.edit(
        "Imagefile.ron",
        "(images: {\"web\": (overlays: {\"lib\": Git(\"https://host.invalid/r.git\")})})",
    );
    history.commit("from elsewhere");
    insta::assert_snapshot!(sandbox.imk("replay --trace").code(0).out(), @"
    5251da4 first
        web: never built here
    96e21d7 not copied
    c3af8a0 copied
        web: `lib/a` changed
    75d2c40 from elsewhere
        web: has mistakes: cannot use `https://host.invalid/r.git`: imk is not to ask it, and does not know where `HEAD` stands

    4 commits, 5251da4 (2023-11-14) to 75d2c40 (2023-11-14)

                           builds   of all  commits without a build
    rebuild all                 3   100.0%  1
    whole context hash          3   100.0%  1
    Shipwright's rule           2    66.7%  2
    imk                         2    66.7%  2

    builds of                 imk   Shipwright    context
    web                         2            2          3

    builds of imk, and the lines behind them
           1  web/Dockerfile: COPY lib/a /

    1 commit with mistakes in some image, 75d2c40 for one: web: cannot use `https://host.invalid/r.git`: imk is not to ask it, and does not know where `HEAD` stands
    ");
}
