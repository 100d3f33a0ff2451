//! `imk replay` and `imk plan --rev`, over small histories with known answers.

use fs_err as fs;

use crate::history::History;

const FILES: &str = "
    //- base/Dockerfile
    FROM alpine:3
    COPY tool.sh /bin/
    //- base/tool.sh
    1
    //- base/README
    not copied
    //- app/Dockerfile
    FROM base
    COPY src /src
    //- app/src/main
    1
    //- app/notes
    not copied
    //- web/Dockerfile
    FROM scratch
    COPY page /
    //- web/page
    1
";

/// The first commit, and then one thing after the other.
fn small() -> History {
    let history = History::with(FILES);
    let sandbox = &history.sandbox;
    sandbox.edit("README", "of no image\n");
    history.commit("a file of no image");
    sandbox.edit("app/notes", "still not copied\n");
    history.commit("a file that is not copied");
    sandbox.edit("base/Dockerfile", "# a comment\nfrom alpine:3\nCOPY tool.sh /bin/\n");
    history.commit("a comment in the base");
    sandbox.edit("base/tool.sh", "2\n");
    history.commit("a file of the base");
    sandbox.edit("app/Dockerfile", "FROM base\nCOPY src /src\nRUN make\n");
    history.commit("an instruction");
    sandbox.edit("web/Dockerfile", "FORM scratch\n");
    history.commit("a mistake");
    sandbox.edit("web/Dockerfile", "FROM scratch\nCOPY page /\n");
    history.commit("mended");
    sandbox.edit("base/tool.sh", "1\n");
    sandbox.edit("app/Dockerfile", "FROM base\nCOPY src /src\n");
    history.commit("all as it was");
    history
}

#[test]
fn what_each_commit_would_build() {
    insta::assert_snapshot!(small().sandbox.imk("replay --trace").code(0).out(), @r#"
    41e865a first
        base: never built here
        app: never built here
        web: never built here
    a8331da a file of no image
    0ecb093 a file that is not copied
    74a4e95 a comment in the base
    0cbdbb3 a file of the base
        base: `tool.sh` changed
        app: its base `base` came out different
    c819f7a an instruction
        app: new instruction: `RUN shell ["make"]`
    59ae7f9 a mistake
        web: has mistakes: unknown instruction `FORM`
    838a3a1 mended
    fa1f538 all as it was

    9 commits, 41e865a (2023-11-14) to fa1f538 (2023-11-14)

                           builds   of all  commits without a build
    rebuild all                26   100.0%  0
    whole context hash          9    34.6%  4
    Shipwright's rule          10    38.5%  4
    imk                         6    23.1%  6

    builds of                 imk   Shipwright    context
    app                         3            5          5
    base                        2            4          3
    web                         1            1          1

    builds of imk, and the lines behind them
           2  base/Dockerfile: COPY tool.sh /bin/
           1  app/Dockerfile: RUN make

    1 commit with mistakes in some image, 59ae7f9 for one: web: unknown instruction `FORM`
    "#);
}

#[test]
fn a_range_begins_with_what_was_there() {
    let history = small();
    insta::assert_snapshot!(history.sandbox.imk("replay HEAD~4..HEAD~3 --json").code(0).out(), @r#"
    {
      "start": {
        "id": "0cbdbb3564fa6f0d6dc6a0cc819d500b14102247",
        "time": 1700000660,
        "summary": "a file of the base"
      },
      "commits": 1,
      "skipped": 0,
      "with_mistakes": 0,
      "with_ignored": 0,
      "builds": {
        "all": 3,
        "context": 1,
        "shipwright": 1,
        "imk": 1
      },
      "idle": {
        "all": 0,
        "context": 0,
        "shipwright": 0,
        "imk": 0
      },
      "images": [
        {
          "name": "app",
          "builds": {
            "all": 1,
            "context": 1,
            "shipwright": 1,
            "imk": 1
          }
        },
        {
          "name": "base",
          "builds": {
            "all": 1,
            "context": 0,
            "shipwright": 0,
            "imk": 0
          }
        },
        {
          "name": "web",
          "builds": {
            "all": 1,
            "context": 0,
            "shipwright": 0,
            "imk": 0
          }
        }
      ],
      "lines": [
        {
          "dockerfile": "app/Dockerfile",
          "text": "RUN make",
          "builds": 1
        }
      ],
      "history": [
        {
          "commit": {
            "id": "c819f7a923d40bd05d94f8c9017cf50af04dc681",
            "time": 1700000780,
            "summary": "an instruction"
          },
          "images": [
            "base",
            "app",
            "web"
          ],
          "skipped": null,
          "mistakes": {},
          "ignored": {},
          "built": [
            {
              "name": "app",
              "reasons": [
                {
                  "code": "DOCKERFILE",
                  "subject": "",
                  "before": null,
                  "after": "RUN shell [\"make\"]"
                }
              ],
              "lines": [
                {
                  "path": "app/Dockerfile",
                  "text": "RUN make"
                }
              ]
            }
          ],
          "context": [
            "app"
          ],
          "shipwright": [
            "app"
          ]
        }
      ]
    }
    "#);
}

#[test]
fn targets_bring_their_bases_and_leave_the_rest() {
    insta::assert_snapshot!(small().sandbox.imk("replay --last 7 app").code(0).out(), @"
    7 commits, 0ecb093 (2023-11-14) to fa1f538 (2023-11-14)

                           builds   of all  commits without a build
    rebuild all                14   100.0%  0
    whole context hash          6    42.9%  3
    Shipwright's rule           7    50.0%  3
    imk                         3    21.4%  5

    builds of                 imk   Shipwright    context
    app                         2            4          4
    base                        1            3          2

    builds of imk, and the lines behind them
           2  base/Dockerfile: COPY tool.sh /bin/
           1  app/Dockerfile: RUN make
    ");
    let unknown = small().sandbox.imk("replay ap").code(2).err();
    insta::assert_snapshot!(unknown, @"
    error: there is no image `ap` in any of 9 commits
     |
     = help: `imk list` shows those of today
    ");
}

#[test]
fn an_imagefile_that_comes_later_a_branch_and_a_broken_imagefile() {
    let history = History::with(FILES);
    let sandbox = &history.sandbox;
    history.git(&["checkout", "-q", "-b", "side"]);
    sandbox.edit("web/page", "2\n");
    history.commit("on the side");
    history.git(&["checkout", "-q", "main"]);
    sandbox.edit("app/src/main", "2\n");
    history.commit("on main");
    history.git(&["merge", "-q", "--no-ff", "side", "-m", "merged"]);
    sandbox.edit("Imagefile.ron", "(images: { \"base\": (), \"app\": (), \"web\": () })\n");
    history.commit("an Imagefile that says what was found");
    sandbox.edit("Imagefile.ron", "(images: { \"base\": (\n");
    history.commit("half an Imagefile");
    sandbox.edit("Imagefile.ron", "(images: { \"base\": (), \"app\": (), \"site\": (context: \"web\") })\n");
    history.commit("another name");
    insta::assert_snapshot!(sandbox.imk("replay --trace").code(0).out(), @"
    41e865a first
        base: never built here
        app: never built here
        web: never built here
    1f43776 on the side
        web: `page` changed
    97180fc on main
        app: `src/main` changed
    ef95c47 merged
    b629356 an Imagefile that says what was found
    43ee9a1 half an Imagefile
        skipped: Imagefile.ron: expected keys in parentheses, found a tuple
    74cc408 another name

    7 commits, 41e865a (2023-11-14) to 74cc408 (2023-11-14)

                           builds   of all  commits without a build
    rebuild all                18   100.0%  0
    whole context hash          5    27.8%  3
    Shipwright's rule           6    33.3%  2
    imk                         5    27.8%  3

    builds of                 imk   Shipwright    context
    app                         2            2          2
    web                         2            2          2
    base                        1            1          1

    builds of imk, and the lines behind them
           1  app/Dockerfile: COPY src /src
           1  web/Dockerfile: COPY page /

    1 commit skipped, 43ee9a1 for one: Imagefile.ron: expected keys in parentheses, found a tuple
    ");
    let first_parent = sandbox.imk("replay --trace --first-parent").code(0).out();
    insta::assert_snapshot!(first_parent.split("\n\n").next().unwrap(), @"
    41e865a first
        base: never built here
        app: never built here
        web: never built here
    97180fc on main
        app: `src/main` changed
    ef95c47 merged
        web: `page` changed
    b629356 an Imagefile that says what was found
    43ee9a1 half an Imagefile
        skipped: Imagefile.ron: expected keys in parentheses, found a tuple
    74cc408 another name
    ");
}

#[test]
fn the_page_asks_nothing_of_the_network() {
    let history = small();
    history.sandbox.imk("replay --html page.html").success();
    let page = fs::read_to_string(history.sandbox.path("page.html")).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.contains("<polyline"), "{page}");
    for word in ["http:", "https:", "<script", "@import", "url("] {
        assert!(!page.contains(word), "{word} in {page}");
    }
    assert!(page.contains("base/tool.sh") || page.contains("COPY tool.sh /bin/"), "{page}");
}

#[test]
fn a_plan_of_a_commit_does_not_see_the_work_tree() {
    let history = History::with(FILES);
    let sandbox = &history.sandbox;
    sandbox
        .edit("web/Dockerfile", "FORM scratch\n")
        .remove("app/src")
        .edit("new/Dockerfile", "FROM scratch\n");
    sandbox.imk("plan").code(2);
    insta::assert_snapshot!(sandbox.imk("plan --rev HEAD").code(0).out(), @"
    base: stale, never built here
    app: stale, never built here
    web: stale, never built here
    0 fresh, 3 to build
    ");
    insta::assert_snapshot!(sandbox.imk("plan --rev HEAD~7").code(2).err(), @"error: cannot read `HEAD~7`: git says: parent 0 does not exist");
}

#[test]
fn without_git_there_is_no_history() {
    let sandbox = crate::sandbox::Sandbox::with("//- Dockerfile\nFROM scratch\n").without_engine();
    insta::assert_snapshot!(sandbox.imk("replay").code(2).err(), @"error: cannot read `[ROOT]`: git says: could not find repository at '[ROOT]'");
}
