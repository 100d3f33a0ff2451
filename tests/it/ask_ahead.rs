//! Questions about what has not happened: what-if, who-uses, affected, --since. None needs an engine.

use crate::history::History;

/// Two bases, an image with a test stage on one of them, and one apart.
const REPOSITORY: &str = "
    //- base/Dockerfile
    FROM scratch
    COPY etc/ /etc/
    //- base/etc/hosts
    localhost
    //- tools/Dockerfile
    FROM base
    COPY . /tools/
    //- tools/run.sh
    echo run
    //- tools/.dockerignore
    # what nobody needs
    *.md
    //- api/Dockerfile
    FROM tools AS build
    ARG VERSION=1
    COPY src/ /src/
    FROM build AS check
    COPY tests/ /tests/
    FROM build AS final
    ENV VERSION=$VERSION
    //- api/src/main.rs
    fn main() {}
    //- api/tests/one.rs
    one
    //- apart/Dockerfile
    FROM debian:12
    COPY file /
    //- apart/file
    1
";

#[test]
fn what_if_a_file_changed() {
    let history = History::with(REPOSITORY);
    let what_if = |words: &str| history.sandbox.imk(&format!("what-if -j2 {words}")).code(0).out();
    insta::assert_snapshot!(what_if("base/etc/hosts"), @"
    base: `etc/hosts` changed
    tools: on `base`, unless that comes out the same
    api: on `tools`, unless that comes out the same
    3 images, about [TIME] with 2 at once, at most 82 bytes sent (no build of any is remembered: the time is only guessed)
    ");
    insta::assert_snapshot!(what_if("tools/new.sh"), @"
    tools: `new.sh` is new
    api: on `tools`, unless that comes out the same
    2 images, about [TIME] with 2 at once, at most 72 bytes sent (no build of any is remembered: the time is only guessed)
    ");
    insta::assert_snapshot!(what_if("tools/README.md api/tests/one.rs"), @"nothing would be built");
    insta::assert_snapshot!(what_if("api/Dockerfile"), @"
    api: `api/Dockerfile` changed
    1 image, about [TIME] with 2 at once, at most 13 bytes sent (no build of any is remembered: the time is only guessed)
    ");
    insta::assert_snapshot!(what_if("--arg VERSION=2"), @"
    api: argument `VERSION` changed: `1` → `2` (and 1 more)
    1 image, about [TIME] with 2 at once, at most 13 bytes sent (no build of any is remembered: the time is only guessed)
    ");
    insta::assert_snapshot!(what_if("--base debian"), @"
    apart: `debian:12` is another image now
    1 image, about [TIME] with 2 at once, at most 2 bytes sent (no build of any is remembered: the time is only guessed)
    ");
    insta::assert_snapshot!(what_if("--base tools"), @"
    api: its base `tools` came out different
    1 image, about [TIME] with 2 at once, at most 13 bytes sent (no build of any is remembered: the time is only guessed)
    ");
    insta::assert_snapshot!(what_if("--rm tools/run.sh"), @"
    tools: `run.sh` is gone
    api: on `tools`, unless that comes out the same
    2 images, about [TIME] with 2 at once, at most 63 bytes sent (no build of any is remembered: the time is only guessed)
    ");
    insta::assert_snapshot!(what_if("--rm apart/file --json"), @r#"
    {
      "images": [
        {
          "name": "apart",
          "chain": [
            "apart"
          ],
          "causes": [
            {
              "code": "FILE",
              "subject": "file",
              "before": "50cc1102 0644",
              "after": null
            }
          ],
          "ms": 1000,
          "guessed": true,
          "mistake": null
        }
      ],
      "ms": 1000,
      "jobs": 2,
      "bytes": 0
    }
    "#);
    // Paths are read from where one is.
    let inside = history.sandbox.imk_in("apart", "what-if -j2 file").code(0).out();
    assert_eq!(inside, what_if("apart/file"));
    let outside = history.sandbox.imk("what-if ../elsewhere").code(2).err();
    assert!(outside.contains("`../elsewhere` is not in the repository"), "{outside}");
    let nobody = history.sandbox.imk("what-if --base alpine").code(2).err();
    assert!(nobody.contains("no image is built on `alpine`"), "{nobody}");
    assert_eq!(history.git(&["status", "--porcelain"]), "", "nothing was changed");
}

#[test]
fn who_uses_a_file_or_an_image() {
    let history = History::with(REPOSITORY);
    let who = |words: &str| history.sandbox.imk(&format!("who-uses {words}")).code(0).out();
    insta::assert_snapshot!(who("tools/run.sh"), @"
    tools: `COPY . /tools/` (tools/Dockerfile:2)
    api ← tools
    ");
    insta::assert_snapshot!(who("base/etc"), @"
    base: `COPY etc/ /etc/` (base/Dockerfile:2)
    tools ← base
    api ← tools ← base
    ");
    insta::assert_snapshot!(who("api/Dockerfile"), @"api: it is its Dockerfile");
    insta::assert_snapshot!(who("base"), @"
    tools ← base: `FROM base` (tools/Dockerfile:1)
    api ← tools ← base: `FROM tools AS build` (api/Dockerfile:1)
    ");
    insta::assert_snapshot!(who("api/tests/one.rs"), @"nothing uses `api/tests/one.rs`");
    insta::assert_snapshot!(who("--json base/etc/hosts"), @r#"
    {
      "path": "base/etc/hosts",
      "readers": [
        {
          "image": "base",
          "read_by": [
            {
              "path": "base/Dockerfile",
              "line": 2,
              "text": "COPY etc/ /etc/"
            }
          ],
          "users": [
            "tools",
            "api"
          ]
        }
      ]
    }
    "#);
}

#[test]
fn affected_images_are_those_whose_inputs_two_commits_have_different() {
    let history = History::with(REPOSITORY);
    let sandbox = &history.sandbox;
    let affected = |words: &str| sandbox.imk(&format!("affected {words}")).code(0).out();
    sandbox.edit("tools/README.md", "ignored\n").edit("api/tests/one.rs", "not reached\n");
    sandbox.append("apart/Dockerfile", "# a comment\n");
    history.commit("nothing that counts");
    assert_eq!(affected("--since HEAD~1"), "");
    assert_eq!(affected("--since HEAD~1 --json").trim(), "[]");

    sandbox.edit("base/etc/hosts", "other\n").edit("apart/file", "2\n");
    assert_eq!(affected("--since HEAD"), "", "the work tree is not asked");
    assert_eq!(affected("--since HEAD --worktree"), "apart\nbase\ntools\napi\n");
    history.commit("a base and one apart");
    assert_eq!(affected("--since HEAD~1"), "apart\nbase\ntools\napi\n");
    assert_eq!(affected("--since HEAD~1 --json").trim(), r#"["apart","base","tools","api"]"#);
    assert_eq!(affected("--since HEAD~1 --json --waves").trim(), r#"[["apart","base"],["tools"],["api"]]"#);
    assert_eq!(affected("--since HEAD~1 --waves"), "apart base\ntools\napi\n");
    assert_eq!(affected("--since HEAD~1 ap*"), "apart\napi\n");

    // A branch is compared with where it left, whatever the other side did meanwhile.
    history.git(&["checkout", "-q", "-b", "side", "HEAD~1"]);
    sandbox.edit("api/src/main.rs", "fn main() { todo() }\n");
    history.commit("side");
    assert_eq!(affected("--since main..."), "api\n");
    assert_eq!(affected("--since main"), "apart\nbase\ntools\napi\n");
    assert_eq!(history.git(&["status", "--porcelain"]), "", "nothing was checked out");
    insta::assert_snapshot!(sandbox.imk("affected").code(2).err(), @"
    error: since when? --since REV is missing
     |
     = help: `imk affected --since main...` compares with where this branch left main
    ");
    assert!(sandbox.imk("affected --since nowhere").code(2).err().contains("nowhere"));
}

#[test]
fn where_nothing_was_before_everything_is_affected() {
    let history = History::with("//- notes\nnothing yet\n");
    history.sandbox.write_all(REPOSITORY);
    history.commit("images");
    let run = history.sandbox.imk("affected --since HEAD~1").code(0);
    assert_eq!(run.out(), "apart\nbase\ntools\napi\n");
    assert!(run.err().contains("every image counts as changed"), "{}", run.err());
}

#[test]
fn another_digest_in_the_lock_file_concerns_who_is_built_on_it() {
    let history = History::with(REPOSITORY);
    let lock = |digit: &str| {
        let digest = digit.repeat(64);
        let text = format!("version 1\nbase docker.io/library/debian:12 linux/amd64 sha256:{digest}\n");
        history.sandbox.edit("Imagefile.lock", &text);
        history.commit("imk update");
    };
    let affected = || history.sandbox.imk("affected --since HEAD~1 --platform linux/amd64").code(0).out();
    lock("a");
    assert_eq!(affected(), "apart\n");
    lock("b");
    assert_eq!(affected(), "apart\n");
    lock("b");
    assert_eq!(affected(), "");
}

#[test]
fn an_image_that_got_a_mistake_is_affected_and_says_so() {
    let history = History::with(REPOSITORY);
    history.sandbox.append("tools/Dockerfile", "COPPY . /\n");
    history.commit("a slip");
    let run = history.sandbox.imk("affected --since HEAD~1").code(0);
    assert_eq!(run.out(), "tools\napi\n");
    assert!(run.err().starts_with("warning: `tools` cannot be built: "), "{}", run.err());
}

#[test]
fn since_narrows_every_verb() {
    let history = History::with(REPOSITORY);
    let sandbox = &history.sandbox;
    let plan = |words: &str| sandbox.imk(words).code(0).out();
    insta::assert_snapshot!(plan("plan --since HEAD"), @"0 fresh, 0 to build");
    // The work tree counts, files that git does not know yet included; those it ignores do not.
    sandbox.edit("tools/new.sh", "new\n").edit("apart/.gitignore", "file\n");
    insta::assert_snapshot!(plan("plan --since HEAD"), @"
    base: stale, never built here
    tools: stale, never built here
    api: stale, never built here
    0 fresh, 3 to build
    ");
    insta::assert_snapshot!(plan("list -q --since HEAD"), @"
    api
    tools
    ");
    insta::assert_snapshot!(plan("list -q --since HEAD base api"), @"api");
    assert_eq!(history.git(&["diff", "--cached", "--name-only"]), "", "git's index is left alone");
    // Another umask than that of the commit's author changes nothing that git would commit.
    let wide = std::os::unix::fs::PermissionsExt::from_mode(0o664);
    fs_err::set_permissions(sandbox.path("base/etc/hosts"), wide).unwrap();
    assert_eq!(plan("list -q --since HEAD base"), "");
}
