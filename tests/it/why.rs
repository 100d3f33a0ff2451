//! Why and why not, before and after; check by exit status; the log of builds.

use std::process::Command;

use crate::sandbox::{Sandbox, engine_or_skip, fixture_or_skip};

/// Three images in a chain that run nothing, so that a build of them is quick.
const CHAIN: &str = "
    //- Imagefile.ron
    (
        vars: {\"VERSION\": \"1.0\"},
        images: {
            \"tools\": (),
            \"infra\": (context: \".\", dockerfile: \"infra/Dockerfile\", args: {\"VERSION\": \"{VERSION}\"}),
            \"app\": (context: \".\", dockerfile: \"app/Dockerfile\"),
        },
    )
    //- tools/Dockerfile
    FROM scratch
    COPY file /
    //- tools/file
    1
    //- infra/Dockerfile
    # what all share
    FROM tools
    ARG VERSION
    COPY src /infra/
    WORKDIR /infra
    LABEL version=$VERSION
    CMD [\"run\", \"--check\"]
    //- src/text.py
    units = 1
    //- app/Dockerfile
    FROM infra
    COPY app/main.py /app/
    //- app/main.py
    main
";

/// The chain on an engine, with images of its own; under git, its first commit made.
fn chain(test: &str) -> Option<Sandbox> {
    let chain = engine_or_skip(test)?;
    chain.write_all(CHAIN);
    // Without a difference all sandboxes would share their images.
    chain.append("tools/Dockerfile", &format!("LABEL imk.test={}\n", chain.prefix()));
    git(&chain, &["init", "-q", "-b", "main"]);
    commit(&chain, "first");
    Some(chain)
}

fn git(sandbox: &Sandbox, words: &[&str]) {
    let mut command = Command::new("git");
    command
        .args(["-c", "user.name=imk", "-c", "user.email=imk@invalid"])
        .args(words)
        .current_dir(sandbox.root());
    for when in ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"] {
        command.env(when, "1700000000 +0000");
    }
    assert!(command.env("GIT_CONFIG_GLOBAL", "/dev/null").status().unwrap().success(), "git {words:?}");
}

fn commit(sandbox: &Sandbox, message: &str) {
    git(sandbox, &["add", "-A"]);
    git(sandbox, &["commit", "-q", "-m", message]);
}

/// Ids of commits depend on the prefix of the test's images.
fn without_ids(text: &str) -> String {
    let words = text.split(' ').scan(false, |after_commit, word| {
        let shown = if *after_commit { "[ID]" } else { word };
        *after_commit = word == "commit";
        Some(shown)
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_chain_of_causes_is_told_before_and_after() {
    let Some(chain) = fixture_or_skip("why", "chain") else { return };
    chain.imk("").success();
    insta::assert_snapshot!(chain.imk("why app1-prod").code(0).out(), @"app1-prod is fresh; it was last built: app1-prod ← never built here");
    assert_eq!(chain.imk("check").code(0).out(), "");

    chain.append("src/util/text.sh", "# edited\n");
    insta::assert_snapshot!(chain.imk("why app1-prod").code(0).out(), @"app1-prod is stale: app1-prod ← app1-dev ← infra-prod ← `src/util/text.sh` changed: c9cb → 92d4");
    insta::assert_snapshot!(chain.imk("check").code(1).out(), @"
    infra-prod: stale, `src/util/text.sh` changed
    app1-dev: waits for `infra-prod`: stale unless that comes out the same
    app1-prod: waits for `app1-dev`: stale unless that comes out the same
    ");
    assert_eq!(chain.imk("check -q").code(1).out(), "");
    assert_eq!(chain.imk("check py3dev").code(0).out(), "");

    chain.imk("").success();
    insta::assert_snapshot!(chain.imk("why app1-prod").code(0).out(), @"app1-prod is fresh; it was last built: app1-prod ← app1-dev ← infra-prod ← `src/util/text.sh` changed: c9cb → 92d4");
    insta::assert_snapshot!(chain.imk("why --all infra-prod").code(0).out(), @"
    infra-prod is fresh; it was last built: infra-prod ← `src/util/text.sh` changed: c9cb → 92d4
      `src/util/text.sh` changed: c9cb → 92d4
    ");
    let log = chain.imk("log app1-prod").code(0).out();
    assert_eq!(log.lines().count(), 2, "{log}");
    assert!(log.lines().next().unwrap().ends_with("its base `app1-dev` came out different"), "{log}");
    assert!(log.lines().next().unwrap().contains("  app1-prod@2  "), "{log}");
    assert!(log.lines().last().unwrap().ends_with("never built here"), "{log}");
    assert_eq!(chain.imk("log app1-prod -n 1").code(0).out().lines().count(), 1);
}

#[test]
fn the_commit_behind_a_cause_is_told() {
    let Some(chain) = chain("why") else { return };
    chain.imk("").success();
    chain.append("src/text.py", "fixed\n");
    commit(&chain, "fix units");
    chain.append("app/main.py", "more\n");
    insta::assert_snapshot!(without_ids(&chain.imk("why app").code(0).out()), @"app is stale: app ← `app/main.py` changed: 6cab → 3cd1, uncommitted");
    insta::assert_snapshot!(without_ids(&chain.imk("why app --all").code(0).out()), @"
    app is stale: app ← `app/main.py` changed: 6cab → 3cd1, uncommitted
      `app/main.py` changed: 6cab → 3cd1, uncommitted
      infra ← `src/text.py` changed: 8d89 → ce2e, commit [ID] “fix units”
    ");

    let text = fs_err::read_to_string(chain.path("infra/Dockerfile")).unwrap();
    chain.edit(
        "infra/Dockerfile",
        &text.replace("--check", "--strictly").replace("what all", "what all of us"),
    );
    commit(&chain, "check strictly");
    insta::assert_snapshot!(without_ids(&chain.imk("why infra --all").code(0).out()), @r#"
    infra is stale: infra ← `src/text.py` changed: 8d89 → ce2e, commit [ID] “fix units” (and 1 more)
      `src/text.py` changed: 8d89 → ce2e, commit [ID] “fix units”
      instruction changed, commit [ID] “check strictly”
          - CMD exec ["run","--check"]
          + CMD exec ["run","--strictly"]
    "#);
    // A value of the Imagefile is not the Dockerfile's doing, though its instructions come out different.
    insta::assert_snapshot!(without_ids(&chain.imk("why infra --all --var VERSION=2.0").code(0).out()), @r#"
    infra is stale: infra ← `src/text.py` changed: 8d89 → ce2e, commit [ID] “fix units” (and 3 more)
      `src/text.py` changed: 8d89 → ce2e, commit [ID] “fix units”
      argument `VERSION` changed: `1.0` → `2.0`
      instruction changed
          - LABEL ["version=1.0"]
          + LABEL ["version=2.0"]
      instruction changed, commit [ID] “check strictly”
          - CMD exec ["run","--check"]
          + CMD exec ["run","--strictly"]
    "#);
    let imagefile = fs_err::read_to_string(chain.path("Imagefile.ron")).unwrap();
    chain.edit("Imagefile.ron", &imagefile.replace("1.0", "2.0"));
    commit(&chain, "version 2.0");
    let why = chain.imk("why infra --all").code(0).out();
    assert!(
        without_ids(&why).contains("argument `VERSION` changed: `1.0` → `2.0`, commit [ID] “version 2.0”"),
        "{why}"
    );

    chain.imk("").success();
    // Of a past build too, whatever was committed since.
    let built = fs_err::read_to_string(chain.path("src/text.py")).unwrap();
    chain.append("src/text.py", "later\n");
    commit(&chain, "later");
    chain.edit("src/text.py", &built);
    let json: serde_json::Value =
        serde_json::from_str(&chain.imk("why infra --json").code(0).stdout).unwrap();
    assert_eq!((&json["stale"], &json["chain"]), (&false.into(), &serde_json::json!(["infra"])));
    let cause = &json["causes"][0];
    assert_eq!((&cause["code"], &cause["subject"]), (&"FILE".into(), &"src/text.py".into()));
    assert_eq!((&cause["commit"]["summary"], &cause["uncommitted"]), (&"fix units".into(), &false.into()));
}

#[test]
fn a_base_that_came_out_the_same_is_told_in_the_log() {
    let Some(chain) = chain("log") else { return };
    chain.imk("").success();
    // Another way to write the same image.
    let text = fs_err::read_to_string(chain.path("infra/Dockerfile")).unwrap();
    chain.edit("infra/Dockerfile", &(text + "CMD [\"run\", \"--check\"]\n"));
    chain.imk("").says("2 fresh, 1 built");
    let log = chain.imk("log infra app").code(0).out();
    let first = log.lines().next().unwrap();
    assert!(
        first.contains("  infra@2  ") && first.ends_with("same result, what is built on it was kept"),
        "{log}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&chain.imk("log infra --json").code(0).stdout).unwrap();
    assert_eq!((&json["builds"][0]["build"], &json["builds"][0]["same"]), (&"infra@2".into(), &true.into()));
    assert_eq!((&json["builds"][1]["build"], &json["builds"][1]["same"]), (&"infra@1".into(), &false.into()));
}

const RULES: &str = "
    //- Imagefile.ron
    (images: {\"base\": (), \"web\": (target: \"final\")})
    //- base/Dockerfile
    FROM scratch
    COPY a /
    //- base/a
    1
    //- base/beside
    1
    //- web/Dockerfile
    FROM base AS build
    COPY --exclude=*.tmp src/ /src/
    FROM build AS check
    COPY tests /tests/
    FROM build AS final
    COPY run.sh /
    //- web/.dockerignore
    # nobody needs these
    **/*.md
    //- web/src/x
    1
    //- web/src/x.tmp
    1
    //- web/src/read.md
    1
    //- web/run.sh
    1
    //- web/tests/t
    1
    //- web/notes
    1
    //- docs/page
    1
";

#[test]
fn why_not_names_the_rule_that_leaves_a_file_out() {
    let sandbox = Sandbox::with(RULES).without_engine();
    let all = "docs/page web/notes web/src/read.md web/src/x.tmp web/.dockerignore web/tests/t base/beside .imk/ledger";
    insta::assert_snapshot!(sandbox.imk(&format!("why-not web {all}")).code(0).out(), @"
    web: `.imk/ledger` does not count: it is imk's own state
    web: `base/beside` does not count: no instruction reads it; the nearest is `COPY a /` (base/Dockerfile:2)
    web: `docs/page` does not count: it lies outside the context `web`
    web: `web/.dockerignore` does not count: an ignore file counts by what it lets through, not by its text
    web: `web/notes` does not count: no instruction reads it; the nearest is `COPY --exclude=*.tmp src/ /src/` (web/Dockerfile:2)
    web: `web/src/read.md` does not count: `**/*.md` in web/.dockerignore:2 keeps it from the engine
    web: `web/src/x.tmp` does not count: --exclude leaves it out of `COPY --exclude=*.tmp src/ /src/` (web/Dockerfile:2), and nothing else reads it
    web: `web/tests/t` does not count: only stage `check` reads it (`COPY tests /tests/` (web/Dockerfile:4)), which the target `final` does not reach
    ");
    // What counts is told too, by exit status as well.
    insta::assert_snapshot!(sandbox.imk("why-not web web/src/x base/a web/Dockerfile").code(1).out(), @"
    web: `base/a` counts for its base `base`, read by `COPY a /` (base/Dockerfile:2): it was never built here
    web: `web/Dockerfile` counts: it was never built here
    web: `web/src/x` counts, read by `COPY --exclude=*.tmp src/ /src/` (web/Dockerfile:2): it was never built here
    ");
    insta::assert_snapshot!(sandbox.imk("why-not web docs/page --json").code(0).out(), @r#"
    {
      "image": "web",
      "files": [
        {
          "path": "docs/page",
          "counts": false,
          "rule": "OUTSIDE_CONTEXT",
          "sentence": "does not count: it lies outside the context `web`"
        }
      ]
    }
    "#);
    insta::assert_snapshot!(sandbox.imk("why-not web").code(2).err(), @"
    error: which files are to be told? There is no git repository that knows what changed
     |
     = help: name them: `imk why-not web PATH`
    ");
}

#[test]
fn why_not_tells_of_all_that_git_sees_changed() {
    let Some(chain) = chain("why-not") else { return };
    chain.imk("").success();
    insta::assert_snapshot!(chain.imk("why-not infra").code(0).out(), @"infra: no file differs from HEAD");
    let text = fs_err::read_to_string(chain.path("infra/Dockerfile")).unwrap();
    chain.edit("infra/Dockerfile", &format!("# one more comment\n{text}"));
    chain.append("app/main.py", "not infra\n").append("Imagefile.ron", "// a comment\n");
    chain.append("src/text.py", "edited\n");
    insta::assert_snapshot!(chain.imk("why-not infra").code(1).out(), @"
    infra: `Imagefile.ron` does not count: it says of this image what it said at the last build
    infra: `app/main.py` does not count: no instruction reads it; the nearest is `COPY src /infra/` (infra/Dockerfile:5)
    infra: `infra/Dockerfile` does not count: comments, blank lines, joins, case and stages not reached aside, it says what it said at the last build
    infra: `src/text.py` counts, read by `COPY src /infra/` (infra/Dockerfile:5): `src/text.py` changed: 8d89 → a636
    ");
    chain.imk("infra").success();
    insta::assert_snapshot!(chain.imk("why-not infra src/text.py tools/file").code(0).out(), @"
    infra: `src/text.py` is as it was at the last build, read by `COPY src /infra/` (infra/Dockerfile:5); time and owner do not count
    infra: `tools/file` is as it was at the last build, read for its base `tools` by `COPY file /` (tools/Dockerfile:2); time and owner do not count
    ");
    commit(&chain, "second");
    insta::assert_snapshot!(chain.imk("why-not infra --since HEAD~1").code(0).out(), @"
    infra: `Imagefile.ron` does not count: it says of this image what it said at the last build
    infra: `app/main.py` does not count: no instruction reads it; the nearest is `COPY src /infra/` (infra/Dockerfile:5)
    infra: `infra/Dockerfile` does not count: comments, blank lines, joins, case and stages not reached aside, it says what it said at the last build
    infra: `src/text.py` is as it was at the last build, read by `COPY src /infra/` (infra/Dockerfile:5); time and owner do not count
    ");
}
