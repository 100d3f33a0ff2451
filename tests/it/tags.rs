//! Names of images: by commit, branch, time and number, for what is built and for what is fresh.

use std::process::Command;
use std::time::Duration;

use crate::history::History;
use crate::sandbox::{Run, Sandbox, fixture_or_skip};

const FILES: &str = r#"
    //- Imagefile.ron
    (
        defaults: (tags: [
            "{git.branch}-{build}",
            When(branch: "main", tag: "latest"),
            When(git_tag: "v*", tag: ["{semver}", "{semver.minor}"]),
            "{env.IMK_TEST_NEVER_SET}",
        ]),
        images: {"app": (), "web": (tags: ["{git.sha:12}"])},
    )
    //- app/Dockerfile
    FROM scratch
    COPY file /
    //- app/file
    1
    //- web/Dockerfile
    FROM scratch
    COPY file /
    //- web/file
    1
"#;

/// What a run printed, the prefix and what depends on the sandbox's commit aside.
fn told(run: &Run<'_>, commit: &str) -> String {
    run.out().replace(&commit[..12], "[COMMIT]")
}

fn head(history: &History) -> String {
    history.git(&["rev-parse", "HEAD"]).trim().to_owned()
}

#[test]
fn tags_are_listed_without_an_engine() {
    let history = History::with(FILES);
    let run = history.sandbox.imk("tags --build-number 7").code(0);
    insta::assert_snapshot!(told(&run, &head(&history)), @r#"
    app  [PREFIX]/app:main-7
    app  [PREFIX]/app:latest
    web  [PREFIX]/web:[COMMIT]
    "#);
    assert!(
        run.stderr.contains(
            "app: the tag `{env.IMK_TEST_NEVER_SET}` is left out: the variable IMK_TEST_NEVER_SET is not set"
        ),
        "{}",
        run.stderr
    );
    history.git(&["tag", "v1.2.3"]);
    history.git(&["checkout", "-q", "-b", "feature/x#1"]);
    let text = told(&history.sandbox.imk("tags app --build-number 7").code(0), &head(&history));
    let tags: Vec<&str> = text.lines().filter_map(|line| line.rsplit_once(':')).map(|(_, tag)| tag).collect();
    assert!(tags[0].starts_with("feature-x-1-") && tags[0].ends_with("-7"), "{text}");
    assert_eq!(tags[1..], ["1.2.3", "1.2"]);
}

#[test]
fn an_edit_shows_in_the_names_of_the_images_it_touches() {
    let history = History::with(FILES);
    let commit = head(&history);
    let tags = |history: &History| told(&history.sandbox.imk("tags web").code(0), &commit);
    let clean = tags(&history);
    history.sandbox.edit("app/file", "2");
    assert_eq!(tags(&history), clean);
    history.sandbox.edit("web/file", "2");
    assert!(tags(&history).contains(":[COMMIT]-dirty-"), "{}", tags(&history));
    // A commit is planned as it was.
    let plan = history.sandbox.imk("plan web --rev HEAD").code(0);
    assert!(!plan.stdout.contains("dirty"), "{}", plan.stdout);
}

#[test]
fn tags_as_json_say_what_is_lacking_and_what_is_left_out() {
    let history = History::with(FILES);
    let run = history.sandbox.imk("tags app --json --build-number 7").code(0);
    insta::assert_snapshot!(run.out(), @r#"
    {
      "images": [
        {
          "name": "app",
          "tags": [
            {
              "reference": "[PREFIX]/app:main-7",
              "template": "{git.branch}-{build}",
              "lacks": true
            },
            {
              "reference": "[PREFIX]/app:latest",
              "template": "latest",
              "lacks": true
            }
          ],
          "skipped": [
            {
              "template": "{env.IMK_TEST_NEVER_SET}",
              "why": "the variable IMK_TEST_NEVER_SET is not set"
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn a_mistake_in_a_template_is_told_with_its_place() {
    let sandbox = Sandbox::with(FILES).without_engine();
    sandbox.edit("Imagefile.ron", "(images: {\"app\": (tags: [\"{git.shaa}\"])})\n");
    insta::assert_snapshot!(sandbox.imk("plan").code(2).err(), @r#"
    error: there is no fact `git.shaa`
     --> Imagefile.ron:1:26
      |
    1 | (images: {"app": (tags: ["{git.shaa}"])})
      |                          ^^^^^^^^^^^^
      |
      = help: did you mean `git.sha`?
    "#);
}

#[test]
fn fresh_images_are_tagged_with_the_new_commit_and_number_and_not_built() {
    let Some(sandbox) = fixture_or_skip("retag", "diamond") else { return };
    sandbox.edit(
        "Imagefile.ron",
        r#"(defaults: (tags: ["{git.sha:12}", "{build}", "latest"]), images: {"base": (), "left": (), "right": (), "top": ()})"#,
    );
    // The shell in it is not committed as a rule, and would show as a change.
    sandbox.remove("base/.gitignore");
    let history = History::of(sandbox);
    let sandbox = &history.sandbox;
    sandbox.imk("--build-number 1").says("0 fresh, 4 built, 0 failed");
    let base = sandbox.id("base");
    history.commit("nothing but a commit");
    let commit = head(&history);
    let plan = sandbox.imk("plan base --build-number 2").code(0);
    insta::assert_snapshot!(told(&plan, &commit), @r#"
    base: fresh, lacks the tag `[PREFIX]/base:[COMMIT]`, `[PREFIX]/base:2`
    0 fresh, 0 to build, 1 to retag
    "#);
    sandbox.imk("--build-number 2").says("0 fresh, 0 built, 4 retagged, 0 failed");
    assert_eq!(sandbox.id(&format!("base:{}", &commit[..12])), base);
    assert_eq!(sandbox.id("base:1"), base);
    assert_eq!(sandbox.id("base:2"), base);
    sandbox.imk("--build-number 2").says("4 fresh, 0 built, 0 failed");
}

#[test]
fn a_revert_moves_the_tag_back_and_is_the_newest_by_name() {
    let Some(sandbox) = fixture_or_skip("times", "diamond") else { return };
    sandbox.edit(
        "Imagefile.ron",
        r#"(images: {"base": (), "left": (tags: ["{time}", "latest"]), "right": (), "top": ()})"#,
    );
    // Names of two runs differ only when their seconds do.
    let next_second = || std::thread::sleep(Duration::from_millis(1100));
    let newest = || sandbox.imk("tags left --newest").code(0).stdout.trim().to_owned();
    sandbox.imk("left").says("0 fresh, 2 built, 0 failed");
    let (first, id) = (newest(), sandbox.id("left"));
    next_second();
    sandbox.imk("left").says("2 fresh, 0 built, 0 failed");
    assert_eq!(newest(), first, "a fresh image keeps its time");
    sandbox.append("left/words.txt", "more\n");
    sandbox.imk("left").says("1 fresh, 1 built, 0 failed");
    let second = newest();
    assert!(second > first, "{second} {first}");
    next_second();
    sandbox.edit("left/words.txt", &words());
    sandbox.imk("left").says("1 fresh, 0 built, 1 retagged, 0 failed");
    let third = newest();
    assert!(third > second, "{third} {second}");
    assert_eq!(sandbox.docker(&["image", "inspect", "-f", "{{.Id}}", &third]), id);
    assert_eq!(sandbox.id("left"), id, "`latest` is the old content again");
    sandbox.imk("left").says("2 fresh, 0 built, 0 failed");
}

fn words() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/diamond/left/words.txt");
    fs_err::read_to_string(path).unwrap()
}

#[test]
fn no_image_is_left_without_a_name() {
    let Some(sandbox) = fixture_or_skip("nameless", "diamond") else { return };
    sandbox.edit(
        "Imagefile.ron",
        r#"(images: {"base": (tags: [When(branch: "main", tag: "latest"), "{env.IMK_TEST_NEVER_SET}"])})"#,
    );
    let run = sandbox.imk("base").code(0);
    assert!(run.stderr.contains("base: the tag `{env.IMK_TEST_NEVER_SET}` is left out"), "{}", run.stderr);
    let names = Command::new("docker")
        .args(["images", "--format", "{{.Tag}}", &format!("{}base", sandbox.prefix())])
        .output()
        .unwrap();
    let names = String::from_utf8(names.stdout).unwrap();
    assert!(names.starts_with("imk-") && names.lines().count() == 1, "{names}");
    sandbox.imk("base").says("1 fresh, 0 built, 0 failed");
}
