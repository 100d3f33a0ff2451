//! Waiting is seen: how far a build is, and how long it will take once it was built before.

use serde_json::Value;

use crate::sandbox::{Run, Sandbox, engine_or_skip};
use crate::terminal::Terminal;

/// Two images whose steps take a while, one on the other, and one that is built at once.
fn slow() -> Sandbox {
    let sandbox = Sandbox::with(
        r#"
        //- base/Dockerfile
        FROM scratch
        COPY busybox /bin/busybox
        COPY mark /mark
        RUN ["/bin/busybox", "sleep", "2"]
        //- base/mark
        1
        //- top/Dockerfile
        FROM base
        COPY mark /top
        RUN ["/bin/busybox", "sleep", "2"]
        //- top/mark
        1
        //- other/Dockerfile
        FROM scratch
        COPY mark /other
        //- other/mark
        1
        "#,
    );
    sandbox.place_busybox();
    // Equal results of two tests are one image, which the first that is done removes.
    sandbox.edit("other/mark", &sandbox.root().display().to_string());
    sandbox
}

fn words(run: &Run<'_>) -> Vec<Value> {
    let lines = run.stderr.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.filter(|line: &Value| line["event"] == "ahead").collect()
}

#[test]
fn programs_hear_how_far_it_is_and_how_long_it_will_take_where_that_is_known() {
    if engine_or_skip("ahead").is_none() {
        return;
    }
    let sandbox = slow();
    let first = sandbox.imk("--progress json");
    let told = words(&first);
    assert!(!told.is_empty(), "{}", first.stderr);
    assert!(told.iter().any(|ahead| ahead["of"] == 3 && ahead["running"] == 1), "{told:#?}");
    assert!(told.iter().all(|ahead| ahead["left_ms"].is_null()), "nothing was built before: {told:#?}");
    first.success();
    sandbox.edit("base/mark", "2\n");
    let second = sandbox.imk("--progress json");
    let told = words(&second);
    let left = |ahead: &Value| ahead["left_ms"].as_u64();
    assert!(
        told.iter().any(|ahead| ahead["of"] == 2 && left(ahead).is_some_and(|ms| ms > 1000)),
        "{told:#?}"
    );
    second.success();
    assert!(words(&sandbox.imk("--progress json")).is_empty(), "a run with nothing to do says nothing of it");
}

#[test]
fn on_a_terminal_the_last_line_tells_the_whole() {
    if engine_or_skip("ahead on a terminal").is_none() {
        return;
    }
    let sandbox = slow();
    let terminal = Terminal::start(&sandbox, "", 16, 100);
    let shown = terminal.until("the last line is there", |shown| shown.contains(" of 3 built, 1 running"));
    assert!(shown.trim_end().lines().last().unwrap().contains(" of 3 built, 1 running"), "{shown}");
    let (status, shown) = terminal.end();
    assert!(status == 0 && shown.contains("3 built") && !shown.contains("running"), "{shown}");
}

#[test]
fn verbose_says_how_many_are_built_at_once_and_who_said_so_is_not_told() {
    if engine_or_skip("at once").is_none() {
        return;
    }
    let sandbox = slow();
    let told = sandbox.imk("-v other").err();
    assert!(told.contains(" images at once") && told.contains("-j N says otherwise"), "{told}");
    sandbox.edit("other/mark", "2\n");
    assert!(!sandbox.imk("-v -j 2 other").err().contains("at once"));
    assert!(!sandbox.imk("-v other").err().contains("at once"), "nothing is built");
}
