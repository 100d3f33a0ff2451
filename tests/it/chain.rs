//! The five images of `fixtures/chain` on a real engine: first run, second run, edited run.

use crate::sandbox::fixture_or_skip;

#[test]
fn the_chain_is_built_once_and_then_only_what_an_edit_touches() {
    let Some(chain) = fixture_or_skip("chain", "chain") else { return };
    let first = chain.imk("--progress plain").code(0);
    assert_eq!(first.built(), ["app1-dev", "app1-prod", "infra-dev", "infra-prod", "py3dev"]);
    chain.imk("").code(0).says("5 fresh, 0 built, 0 failed");

    // One file that only the last image reads.
    chain.append("app1/src/config.sh", "# edited\n");
    let plan = chain.imk("plan").code(0);
    insta::assert_snapshot!(plan.out(), @"
    app1-prod: stale, `app1/src/config.sh` changed
    4 fresh, 1 to build
    ");
    assert_eq!(chain.imk("-q").status, 1);
    let edited = chain.imk("--progress plain").code(0);
    assert_eq!(edited.built(), ["app1-prod"]);
    assert_eq!(chain.imk("-q").status, 0);

    // Code sealed into an image in the middle: that one and all that is built on it.
    chain.append("src/util/text.sh", "# edited\n");
    let edited = chain.imk("--progress plain").code(0);
    assert_eq!(edited.built(), ["app1-dev", "app1-prod", "infra-prod"]);
}

#[test]
fn deleting_the_state_builds_nothing_new() {
    let Some(chain) = fixture_or_skip("chain state", "chain") else { return };
    chain.imk("").success();
    let before = chain.id("app1-prod");
    chain.remove(".imk");
    chain.imk("").success();
    assert_eq!(chain.id("app1-prod"), before, "the engine's own cache must answer");
}

#[test]
fn a_removed_result_is_built_again_and_its_users_stay() {
    let Some(chain) = fixture_or_skip("chain rmi", "chain") else { return };
    chain.imk("").success();
    let id = chain.id("app1-prod");
    chain.docker(&["rmi", "-f", &id]);
    insta::assert_snapshot!(chain.imk("plan").code(0).out(), @"
    app1-prod: stale, its result is gone from the engine
    4 fresh, 1 to build
    ");
    let again = chain.imk("--progress plain").code(0);
    assert_eq!(again.built(), ["app1-prod"]);
    again.says("4 fresh, 1 built, 0 failed");
}

#[test]
fn a_child_is_built_on_the_base_that_was_built_and_not_on_a_moving_tag() {
    let Some(chain) = fixture_or_skip("chain tag", "chain") else { return };
    chain.imk("py3dev").success();
    // Somebody moves the tag to something else.
    chain.edit("other/Dockerfile", "FROM scratch\nLABEL other=1\n");
    let other = format!("{}other", chain.prefix());
    chain.docker(&["build", "-q", "-t", &other, chain.path("other").to_str().unwrap()]);
    chain.docker(&["tag", &other, &format!("{}py3dev", chain.prefix())]);
    chain.imk("infra-dev").says("0 fresh, 1 built, 1 retagged, 0 failed");
    let layers = |image: &str| {
        chain.docker(&["image", "inspect", "-f", "{{.RootFS.Layers}}", &format!("{}{image}", chain.prefix())])
    };
    let (base, child) = (layers("py3dev"), layers("infra-dev"));
    assert!(child.starts_with(base.trim_end_matches(']')), "{child} is not built on {base}");
}
