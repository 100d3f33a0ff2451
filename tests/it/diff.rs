//! Two commits or two builds side by side.

use crate::history::History;
use crate::sandbox::{Sandbox, engine_or_skip};

#[test]
fn two_commits_differ_by_what_counts() {
    let history = History::with(
        "
    //- base/Dockerfile
    FROM scratch
    COPY a /
    //- base/a
    1
    //- web/Dockerfile
    FROM base
    RUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*
    ENV A=1
    //- old/Dockerfile
    FROM base
    ",
    );
    let sandbox = &history.sandbox;
    let diff = |words: &str| sandbox.imk(&format!("diff {words}")).code(0).out();
    sandbox.append("web/Dockerfile", "# a comment\n");
    history.commit("a comment");
    insta::assert_snapshot!(diff("HEAD~1 HEAD"), @"nothing that counts is different");

    let web = "FROM base\nRUN apt-get update && apt-get install -y curl git && rm -rf /var/lib/apt/lists/*\nENV A=2\n";
    sandbox.edit("base/a", "2\n").edit("web/Dockerfile", web);
    history.commit("fix units");
    sandbox.remove("old").edit("new/Dockerfile", "FROM web\n");
    history.commit("another");
    insta::assert_snapshot!(diff("HEAD~2 HEAD"), @r#"
    base
      `a` changed: 50cc → b9a1, commit 6923a6e “fix units”
    web
      instruction changed, commit 6923a6e “fix units”
            RUN shell ["apt-get update &&
          -   apt-get install -y curl &&
          +   apt-get install -y curl git &&
              rm -rf /var/lib/apt/lists/*"]
      instruction changed, commit 6923a6e “fix units”
          - ENV ["A=1"]
          + ENV ["A=2"]
    new
      is new
    old
      is gone
    "#);
    insta::assert_snapshot!(diff("HEAD~2 HEAD~1 old"), @"
    old ← base
      `a` changed: 50cc → b9a1, commit 6923a6e “fix units”
    ");
    insta::assert_snapshot!(diff("HEAD~2 HEAD~1 base --json"), @r#"
    {
      "before": {
        "id": "53dc800545e863577651617e18dc4cd5c530b219",
        "time": 1700000300,
        "summary": "a comment"
      },
      "after": {
        "id": "6923a6e60073a776de9dc0933cde159c7a530080",
        "time": 1700000420,
        "summary": "fix units"
      },
      "images": [
        {
          "image": "base",
          "new": false,
          "chain": [
            "base"
          ],
          "causes": [
            {
              "code": "FILE",
              "subject": "a",
              "before": "50cc1102 0644",
              "after": "b9a1a318 0644",
              "commit": {
                "id": "6923a6e60073a776de9dc0933cde159c7a530080",
                "time": 1700000420,
                "summary": "fix units"
              },
              "uncommitted": false
            }
          ]
        }
      ],
      "gone": []
    }
    "#);
}

#[test]
fn what_names_no_build_is_told() {
    let sandbox =
        Sandbox::with("//- web/Dockerfile\nFROM scratch\nCOPY a /\n//- web/a\n1\n").without_engine();
    insta::assert_snapshot!(sandbox.imk("diff web@1 web@2").code(2).err(), @"
    error: `web@1` is neither a build, nor a tag, nor a commit
     |
     = help: `imk log IMAGE` lists the builds that are remembered
    ");
}

#[test]
fn two_builds_differ_by_their_causes() {
    let Some(sandbox) = engine_or_skip("diff") else { return };
    sandbox.write_all("//- web/Dockerfile\nFROM scratch\nARG V=1\nCOPY a /\nLABEL v=$V\n//- web/a\n1\n");
    sandbox.append("web/Dockerfile", &format!("LABEL imk.test={}\n", sandbox.prefix()));
    sandbox.imk("").success();
    sandbox.edit("web/a", "2\n");
    sandbox.imk("--build-arg V=2").success();
    insta::assert_snapshot!(sandbox.imk("diff web@1 web@2").code(0).out(), @r#"
    `a` changed: 50cc → b9a1
    argument `V` changed: `1` → `2`
    instruction changed
        - LABEL ["v=1"]
        + LABEL ["v=2"]
    "#);
    insta::assert_snapshot!(sandbox.imk("diff web@2 web@2").code(0).out(), @"nothing that counts is different");
    // A tag leads to the build that made its image; of a key the beginning is enough.
    let log = sandbox.imk("log --json web -n 1").code(0).stdout;
    let log: serde_json::Value = serde_json::from_str(&log).unwrap();
    let key = &log["builds"][0]["key"].as_str().unwrap()[..10];
    let tag = format!("{}web:latest", sandbox.prefix());
    assert_eq!(sandbox.imk(&format!("diff {key} {tag}")).code(0).out(), "nothing that counts is different\n");
    insta::assert_snapshot!(sandbox.imk("diff web@1 web@9").code(2).err(), @"
    error: there is no `web@9`: the last that is remembered is `web@2`
     |
     = help: `imk log IMAGE` lists the builds that are remembered
    ");
}
