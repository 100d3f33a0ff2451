//! Why, before and after; check by exit status; the log of builds.

use crate::sandbox::fixture_or_skip;

#[test]
fn the_chain_of_causes_is_told_before_and_after() {
    let Some(chain) = fixture_or_skip("why", "chain") else { return };
    chain.imk("").success();
    insta::assert_snapshot!(chain.imk("why app1-prod").code(0).out(), @"app1-prod is fresh; it was last built: app1-prod ← never built here");
    assert_eq!(chain.imk("check").code(0).out(), "");

    chain.append("src/util/text.sh", "# edited\n");
    insta::assert_snapshot!(chain.imk("why app1-prod").code(0).out(), @"app1-prod is stale: app1-prod ← app1-dev ← infra-prod ← `src/util/text.sh` changed");
    insta::assert_snapshot!(chain.imk("check").code(1).out(), @"
    infra-prod: stale, `src/util/text.sh` changed
    app1-dev: waits for `infra-prod`: stale unless that comes out the same
    app1-prod: waits for `app1-dev`: stale unless that comes out the same
    ");
    assert_eq!(chain.imk("check -q").code(1).out(), "");
    assert_eq!(chain.imk("check py3dev").code(0).out(), "");

    chain.imk("").success();
    insta::assert_snapshot!(chain.imk("why app1-prod").code(0).out(), @"app1-prod is fresh; it was last built: app1-prod ← app1-dev ← infra-prod ← `src/util/text.sh` changed");
    insta::assert_snapshot!(chain.imk("why --all infra-prod").code(0).out(), @"
    infra-prod is fresh; it was last built: infra-prod ← `src/util/text.sh` changed
      `src/util/text.sh` changed
    ");
    let log = chain.imk("log app1-prod").code(0).out();
    assert_eq!(log.lines().count(), 2, "{log}");
    assert!(log.lines().next().unwrap().ends_with("its base `app1-dev` came out different"), "{log}");
    assert!(log.lines().last().unwrap().ends_with("never built here"), "{log}");
}
