//! Images built on each other in a circle: broken images, beside which all others work.

use crate::sandbox::{Sandbox, engine_or_skip};

const FILES: &str = "
//- a/Dockerfile
FROM scratch
COPY --from=b / /
//- b/Dockerfile
FROM a
//- dep/Dockerfile
FROM a
COPY Dockerfile /
//- over/Dockerfile
FROM dep
//- sound/Dockerfile
FROM scratch
COPY Dockerfile /
//- top/Dockerfile
FROM sound
COPY Dockerfile /top
";

#[test]
fn a_plan_counts_each_image_as_what_it_is() {
    let sandbox = Sandbox::with(FILES).without_engine();
    let run = sandbox.imk("plan").code(2);
    insta::assert_snapshot!(run.out(), @"
    a: has mistakes
    b: has mistakes
    dep: needs `a`, which cannot be built
    over: needs `dep`, which cannot be built
    sound: stale, never built here
    top: stale, never built here
    0 fresh, 2 to build, 2 with mistakes, 2 on bases that cannot be built
    ");
    let circle = "error: images are built on each other in a circle: `a` -> `b` -> `a`";
    assert_eq!(run.err().matches(circle).count(), 1, "{}", run.err());
    sandbox.imk("plan top").says("0 fresh, 2 to build");
    sandbox.imk("check -q sound").code(1);
    let json: serde_json::Value = serde_json::from_str(&sandbox.imk("plan --json").code(2).stdout).unwrap();
    let verdicts: Vec<&str> =
        json["images"].as_array().unwrap().iter().map(|image| image["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["invalid", "invalid", "blocked", "blocked", "stale", "stale"]);
}

#[test]
fn list_graph_and_doctor_show_all_images_and_tell_the_circle() {
    let sandbox = Sandbox::with(FILES).without_engine();
    let list = sandbox.imk("list").code(0).out();
    let states: Vec<String> = list
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        states,
        ["a mistake", "b mistake", "dep blocked", "over blocked", "sound stale", "top stale"],
        "{list}"
    );
    let graph = sandbox.imk("graph").code(2);
    for name in ["a", "b", "dep", "over", "sound", "top"] {
        assert!(
            graph.stdout.lines().any(|line| line.trim_start_matches(['└', '├', '─', '│', ' ']) == name),
            "{name}: {}",
            graph.stdout
        );
    }
    assert!(graph.stderr.contains("in a circle: `a` -> `b` -> `a`"), "{}", graph.stderr);
    for words in ["graph --json", "graph --dot", "graph --mermaid"] {
        assert!(sandbox.imk(words).code(2).stdout.contains("top"), "{words}");
    }
    let doctor = sandbox.imk("doctor").code(2).stdout;
    let images = doctor.lines().find(|line| line.contains(" images ")).unwrap_or(&doctor);
    assert!(images.starts_with("fail") && doctor.contains("4 of 6 images cannot be built"), "{doctor}");
    // A word with a plus follows edges, and ends.
    assert_eq!(sandbox.imk("list -q +over").code(0).stdout, "a\nb\ndep\nover\n");
}

#[test]
fn what_is_not_on_the_circle_is_built() {
    let Some(sandbox) = engine_or_skip("circle") else { return };
    sandbox.write_all(FILES);
    sandbox.imk("top").says("0 fresh, 2 built, 0 failed");
    let run = sandbox.imk("-k --progress plain").code(2);
    let out = run.out();
    assert!(out.contains("2 fresh, 0 built, 2 failed, 2 skipped"), "{out}\n{}", run.stderr);
    sandbox.edit("b/Dockerfile", "FROM scratch\nCOPY Dockerfile /b\n");
    sandbox.imk("").says("2 fresh, 4 built, 0 failed");
}
