//! An engine that changes behind imk's back: images removed, names moved, between runs that found all fresh.
//!
//! Where an engine is asked by its events (the containerd store), the runs before have made it so.

use crate::sandbox::{Sandbox, engine_or_skip};

const FILES: &str = "
    //- a/Dockerfile
    FROM scratch
    COPY f /
    //- a/f
    a
    //- b/Dockerfile
    FROM a
    COPY f /g
    //- b/f
    b
    //- c/Dockerfile
    FROM scratch
    COPY f /
    //- c/f
    c
    ";

/// Three images, built, and found fresh twice.
fn settled(test: &str) -> Option<Sandbox> {
    engine_or_skip(test)?;
    let sandbox = Sandbox::with(FILES);
    for name in ["a", "b", "c"] {
        // Unlike those of any other test and run.
        sandbox.append(&format!("{name}/f"), &format!("{test} {name} {:?}\n", std::time::SystemTime::now()));
    }
    sandbox.imk("").says("0 fresh, 3 built, 0 failed");
    for _ in 0..2 {
        sandbox.imk("").says("3 fresh, 0 built, 0 failed");
    }
    Some(sandbox)
}

#[test]
fn an_image_that_was_removed_is_missed_by_the_next_run() {
    let Some(sandbox) = settled("removed") else { return };
    sandbox.docker(&["rmi", "-f", &sandbox.id("c")]);
    let plan = sandbox.imk("plan").code(0).out();
    assert!(plan.contains("c: stale, its result is gone from the engine"), "{plan}");
    sandbox.imk("").says("2 fresh, 1 built, 0 failed");
    sandbox.imk("").says("3 fresh, 0 built, 0 failed");
}

#[test]
fn a_name_that_somebody_took_is_given_back() {
    let Some(sandbox) = settled("taken") else { return };
    let id = sandbox.id("c");
    let name = format!("{}c", sandbox.prefix());
    sandbox.docker(&["tag", &id, &format!("{}kept", sandbox.prefix())]);
    sandbox.docker(&["tag", &sandbox.id("a"), &name]);
    sandbox.imk("").code(0);
    assert_eq!(sandbox.id("c"), id);
    sandbox.docker(&["rmi", &name]);
    sandbox.imk("").code(0);
    assert_eq!(sandbox.id("c"), id);
}

#[test]
fn what_others_do_on_the_engine_changes_nothing() {
    let Some(sandbox) = settled("others") else { return };
    let other = Sandbox::with("//- x/Dockerfile\nFROM scratch\nCOPY f /\n//- x/f\nx\n");
    for number in 0..3 {
        other.edit("x/f", &format!("{number} {:?}", std::time::SystemTime::now()));
        other.imk("").says("0 fresh, 1 built, 0 failed");
        sandbox.imk("").says("3 fresh, 0 built, 0 failed");
    }
}
