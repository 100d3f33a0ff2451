//! What programs are told of a build: `--progress json`, `--metadata-file`, `--iidfile`.

use fs_err as fs;
use serde_json::Value;

use crate::sandbox::{Sandbox, fixture_or_skip};

/// The events of a run, each line of standard error one of them.
fn events(stderr: &str) -> Vec<Value> {
    stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn of<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

#[test]
fn a_build_is_told_event_by_event() {
    let Some(sandbox) = fixture_or_skip("events", "diamond") else { return };
    // An engine that has the step already shows no output of it.
    sandbox.append("left/words.txt", sandbox.prefix());
    sandbox.edit("left/Dockerfile", "FROM base\nCOPY words.txt /\nRUN echo one && echo two\n");
    let run = sandbox.imk("left --progress json").code(0);
    assert_eq!(run.stdout, "");
    let all = events(&run.stderr);
    let started = of(&all, "started");
    assert_eq!(started[1]["image"], "left");
    assert_eq!(started[1]["reasons"][0]["code"], "MISSING");
    let steps = of(&all, "step");
    let echo = steps.iter().find(|step| step["name"] == "[3/3] RUN echo one && echo two").unwrap();
    assert_eq!((echo["number"].as_u64(), echo["total"].as_u64()), (Some(3), Some(3)));
    let log: Vec<&str> = of(&all, "log")
        .iter()
        .filter(|line| line["id"] == echo["id"])
        .map(|line| line["text"].as_str().unwrap())
        .collect();
    assert_eq!(log, ["one", "two"]);
    let done = of(&all, "step-done");
    assert!(done.iter().any(|step| step["id"] == echo["id"] && step["error"].is_null()), "{done:?}");
    let built = of(&all, "built");
    assert_eq!(built[1]["id"], sandbox.id("left"));
    assert_eq!(built[1]["same"], false);
    assert!(built[1]["took_ms"].is_u64() && built[1]["time"].as_str().unwrap().ends_with('Z'));
    let end = all.last().unwrap();
    assert_eq!(
        (&end["event"], end["built"].as_u64(), end["fresh"].as_u64()),
        (&"summary".into(), Some(2), Some(0))
    );

    let again = events(&sandbox.imk("left --json").code(0).stderr);
    assert_eq!(of(&again, "fresh").len(), 2);
    sandbox.docker(&["tag", &sandbox.id("base"), &format!("{}left", sandbox.prefix())]);
    let retagged = events(&sandbox.imk("left --json").code(0).stderr);
    assert_eq!(of(&retagged, "retagged")[0]["image"], "left");
}

#[test]
fn a_failure_is_an_event_and_what_it_holds_up_too() {
    let Some(sandbox) = fixture_or_skip("failed events", "diamond") else { return };
    sandbox.edit("left/Dockerfile", "FROM base\nRUN exit 3\n");
    let run = sandbox.imk("-j1 -k --progress rawjson").code(2);
    let all = events(&run.stderr);
    let failed = of(&all, "failed")[0];
    assert_eq!((&failed["image"], &failed["exit_code"]), (&"left".into(), &3.into()));
    assert_eq!(failed["step"], "[2/2] RUN exit 3");
    assert_eq!(of(&all, "skipped")[0]["image"], "top");
    assert_eq!(all.last().unwrap()["failed"], 1);
}

#[test]
fn an_earlier_result_is_an_event() {
    let Some(sandbox) = fixture_or_skip("reused events", "diamond") else { return };
    let words = fs::read_to_string(sandbox.path("left/words.txt")).unwrap();
    sandbox.imk("left").success();
    sandbox.append("left/words.txt", "more\n").imk("left").success();
    sandbox.edit("left/words.txt", &words);
    let all = events(&sandbox.imk("left --progress json").code(0).stderr);
    let reused = of(&all, "reused")[0];
    assert_eq!((&reused["image"], &reused["reasons"][0]["code"]), (&"left".into(), &"FILE".into()));
}

#[test]
fn metadata_is_written_in_bake_s_layout_after_success_only() {
    let Some(sandbox) = fixture_or_skip("metadata", "diamond") else { return };
    let file = sandbox.path("out.json");
    sandbox.edit("left/Dockerfile", "FROM base\nRUN exit 1\n");
    sandbox.imk("left --metadata-file out.json").code(2);
    assert!(!file.exists());
    sandbox.edit("left/Dockerfile", "FROM base\nCOPY words.txt /\n");
    sandbox.imk("left --metadata-file out.json").code(0);
    let metadata: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let left = &metadata["left"];
    assert_eq!(left["containerimage.config.digest"], sandbox.id("left"));
    assert_eq!(left["containerimage.digest"], sandbox.id("left"));
    assert_eq!(left["image.name"], format!("{}left:latest", sandbox.prefix()));
    assert_eq!(left["imk.verdict"], "built");
    // The base was built by the run that failed.
    assert_eq!(metadata["base"]["imk.verdict"], "fresh");
}

#[test]
fn an_id_file_is_of_one_image_and_never_of_an_older_build() {
    let Some(sandbox) = fixture_or_skip("iidfile", "diamond") else { return };
    let file = sandbox.path("iid");
    sandbox.imk_in("left", "-C .. left --iidfile iid").code(0);
    assert_eq!(fs::read_to_string(&file).unwrap(), sandbox.id("left"));
    sandbox.edit("left/Dockerfile", "FROM base\nRUN exit 1\n");
    sandbox.imk("left --iidfile iid").code(2);
    assert!(!file.exists(), "the id of an older build would be taken for this one's");
    insta::assert_snapshot!(sandbox.imk("left right --iidfile iid").code(2).err(), @"
    error: --iidfile holds the id of one image, and 2 are asked for
     |
     = help: name one target; --metadata-file holds any number
    ");
}

#[test]
fn a_plan_is_json_where_a_build_would_be() {
    let sandbox = Sandbox::with("//- web/Dockerfile\nFROM scratch\n").without_engine();
    let plan: Value = serde_json::from_str(&sandbox.imk("-n --json").code(0).stdout).unwrap();
    assert_eq!(plan["images"][0]["name"], "web");
}

#[test]
fn a_mistake_is_an_event_with_its_place_and_no_line_for_people() {
    let sandbox = Sandbox::empty().without_engine();
    sandbox.edit("web/Dockerfile", "FROM scratch\nCOPY sytle.css /\n").edit("web/style.css", "x\n");
    let run = sandbox.imk("--progress json").code(2);
    assert_eq!(run.stdout, "");
    let all = events(&run.stderr);
    let errors = of(&all, "error");
    assert_eq!(errors[0]["message"], "there is no `sytle.css` in the context of image `web`");
    let place = (&errors[0]["path"], errors[0]["line"].as_u64(), errors[0]["column"].as_u64());
    assert_eq!(place, (&"web/Dockerfile".into(), Some(2), Some(6)));
    assert!(errors[0]["hint"].is_string(), "{errors:?}");

    // So is what no file is to blame for.
    let unknown = events(&sandbox.imk("wbe --json").code(2).stderr);
    let [only] = of(&unknown, "error")[..] else { panic!("{unknown:?}") };
    assert_eq!(only["message"], "there is no image `wbe`");
    assert_eq!((&only["path"], &only["hint"]), (&Value::Null, &"did you mean `web`?".into()));
}
