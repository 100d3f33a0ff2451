//! `imk inputs`: everything that counts, and nothing else.

use std::os::unix::fs::PermissionsExt;

use fs_err as fs;

use crate::sandbox::Sandbox;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with(
        "
    //- Imagefile.ron
    (images: {\"base\": (), \"web\": (args: {\"VERSION\": \"2\", \"OTHER\": \"x\"})})
    //- base/Dockerfile
    FROM scratch
    //- web/Dockerfile
    # says nothing
    FROM alpine:3 AS tools
    FROM base
    ARG VERSION
    COPY src run.sh /app/
    COPY --from=tools /bin/sh /bin/
    ENV V=$VERSION
    //- web/.dockerignore
    **/*.tmp
    //- web/run.sh
    run
    //- web/unused
    x
    //- web/src/a
    a
    //- web/src/b.tmp
    b
    ",
    )
    .without_engine();
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    fs::set_permissions(sandbox.path("web/run.sh"), mode(0o755)).unwrap();
    fs::set_permissions(sandbox.path("web/src"), mode(0o755)).unwrap();
    fs::set_permissions(sandbox.path("web/src/a"), mode(0o644)).unwrap();
    fs_err::os::unix::fs::symlink("a", sandbox.path("web/src/l")).unwrap();
    sandbox
}

#[test]
fn everything_that_counts_is_listed() {
    insta::assert_snapshot!(sandbox().imk("inputs web").code(0).out(), @r#"
    web
      file    0755 8443c8c9a678 run.sh
      folder  0755              src
      file    0644 81c4b7f7e054 src/a
      link         17762fddd969 src/l -> a
      line    escape \
      line    base 0 is alpine:3 for linux/amd64
      line    base 1 is image base for linux/amd64
      line    FROM base 0 for linux/amd64
      line    FROM base 1 for linux/amd64
      line    ARG ["VERSION=2"]
      line    COPY ["src","run.sh","/app/"]
      line    COPY --from=stage:0 ["/bin/sh","/bin/"]
      line    ENV ["V=2"]
      arg     VERSION=2
      base    base not built yet
      outside alpine:3 by name
      setting key version 2
      setting builder unknown
      setting platform linux/amd64
    "#);
}

#[test]
fn the_same_as_json() {
    insta::assert_snapshot!(sandbox().imk("inputs web --json").code(0).out(), @r#"
    {
      "image": "web",
      "files": [
        {
          "path": "run.sh",
          "kind": "file",
          "mode": "0755",
          "hash": "8443c8c9a678a7a0a4728147ac11046093972a3d890bd348f26b200302565373"
        },
        {
          "path": "src",
          "kind": "folder",
          "mode": "0755",
          "hash": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
        },
        {
          "path": "src/a",
          "kind": "file",
          "mode": "0644",
          "hash": "81c4b7f7e0549f1514e9cae97cf40cf133920418d3dc71bedbf60ec9bd6148cb"
        },
        {
          "path": "src/l",
          "kind": "link",
          "mode": "0000",
          "hash": "17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f"
        }
      ],
      "instructions": [
        "escape \\",
        "base 0 is alpine:3 for linux/amd64",
        "base 1 is image base for linux/amd64",
        "FROM base 0 for linux/amd64",
        "FROM base 1 for linux/amd64",
        "ARG [\"VERSION=2\"]",
        "COPY [\"src\",\"run.sh\",\"/app/\"]",
        "COPY --from=stage:0 [\"/bin/sh\",\"/bin/\"]",
        "ENV [\"V=2\"]"
      ],
      "args": {
        "VERSION": "2"
      },
      "bases": [
        {
          "image": "base",
          "content": null
        }
      ],
      "external": {
        "alpine:3": "by name"
      },
      "settings": {
        "key version": "2",
        "builder": "unknown",
        "platform": "linux/amd64"
      },
      "missing": [],
      "overlays": []
    }
    "#);
}

#[test]
fn what_is_missing_is_listed_and_a_typo_explained() {
    let sandbox = sandbox();
    sandbox.remove("web/run.sh");
    assert!(sandbox.imk("inputs web").code(0).out().contains("  missing run.sh\n"));
    insta::assert_snapshot!(sandbox.imk("inputs wbe").code(2).err(), @"
    error: there is no image `wbe`
     |
     = help: did you mean `web`?
    ");
}
