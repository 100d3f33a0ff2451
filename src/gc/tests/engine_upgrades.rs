//! An engine that was upgraded on its data, or has switched to another store and back.

use super::*;

fn upgraded(lab: &Lab) {
    let identity = lab.engine.identity().unwrap();
    lab.engine.pose_as(EngineIdentity { id: "UPGRADED".into(), version: "28.5.2".into(), ..identity });
}

#[test]
fn an_engine_that_was_upgraded_on_its_data_builds_nothing() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let before = lab.id("app");
    upgraded(&lab);
    let mut session = lab.open().unwrap();
    let synced = ready::sync(&mut session, &[]).unwrap();
    assert!(verdicts::plan(&session, &synced, false).is_fresh());
    drop(session);
    lab.builds("");
    assert_eq!(lab.id("app"), before);
    // What is built now stands on what was built before.
    lab.write("app/file", "edited\n");
    lab.builds("app");
    lab.builds("");
}

#[test]
fn what_the_upgraded_engine_lost_is_built_and_nothing_else() {
    let lab = Lab::new(REPOSITORY);
    lab.run("");
    let web = lab.id("web");
    upgraded(&lab);
    lab.engine.forget(&web);
    lab.builds("web");
    lab.builds("");
}

#[test]
fn a_store_that_was_switched_and_is_back_has_its_older_results() {
    let mut lab = Lab::new(REPOSITORY);
    lab.run("");
    let overlay = lab.engine.fork();
    let app = lab.id("app");
    let identity = lab.engine.identity().unwrap();
    lab.engine.forget_all();
    lab.engine.pose_as(EngineIdentity { builder: "buildkit/containerd".into(), ..identity });
    for image in ["api", "app", "base", "web"] {
        lab.engine.salt(image, "another store's id");
    }
    lab.builds("api app base web");
    assert_ne!(lab.id("app"), app);
    lab.engine = Arc::new(overlay);
    lab.builds("");
    assert_eq!(lab.id("app"), app);
    lab.builds("");
}
