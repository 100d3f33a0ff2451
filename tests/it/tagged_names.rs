//! Images of one repository that differ by tag, after they were built: each is kept, published, fetched and told of by itself.

use fs_err as fs;

use crate::registry_server::RegistryServer;
use crate::sandbox::{Sandbox, engine_or_skip};
use crate::second_engine::SecondEngine;

const FILES: &str = r#"
    //- Imagefile.ron
    (images: {"os:alp": (tags: ["{tag}-{time}"]), "os:deb": ()})
    //- os/alp/Dockerfile
    FROM scratch
    COPY file /
    //- os/deb/Dockerfile
    FROM scratch
    COPY file /
    "#;

/// The two images, on an engine and in a registry of the test's own.
fn repository(registry: &RegistryServer, engine: &SecondEngine) -> Sandbox {
    let sandbox = Sandbox::with(FILES).prefixed(&registry.name("shop/")).on(engine.host());
    sandbox.edit("os/alp/file", "alp 1\n").edit("os/deb/file", "deb 1\n");
    sandbox
}

fn parts(test: &str) -> Option<(RegistryServer, SecondEngine)> {
    engine_or_skip(test)?;
    Some((RegistryServer::open(test)?, SecondEngine::start()))
}

/// Tags and ids of the repository, and what has no name.
fn images(engine: &SecondEngine) -> Vec<String> {
    let listed = engine.docker(&["images", "-a", "--no-trunc", "--format", "{{.Tag}} {{.ID}}"]);
    listed.lines().map(str::to_owned).collect()
}

fn id(engine: &SecondEngine, registry: &RegistryServer, tag: &str) -> String {
    let name = registry.name(&format!("shop/os:{tag}"));
    engine.docker(&["image", "inspect", "-f", "{{.Id}}", &name])
}

#[test]
fn gc_keeps_the_current_result_of_each_tag_and_lets_go_of_the_older_ones_of_both() {
    let Some((registry, engine)) = parts("gc of images that differ by tag") else { return };
    let sandbox = repository(&registry, &engine);
    let mut old = Vec::new();
    sandbox.imk("").success();
    for (tag, number) in [("alp", 2), ("deb", 2), ("alp", 3)] {
        old.push(id(&engine, &registry, tag));
        sandbox.edit(&format!("os/{tag}/file"), &format!("{tag} {number}\n"));
        assert_eq!(sandbox.imk("").code(0).built(), [format!("os:{tag}")]);
    }
    let current = [id(&engine, &registry, "alp"), id(&engine, &registry, "deb")];
    let said = sandbox.imk("gc --keep 0").code(0).out();
    assert_eq!((said.matches("os:alp ").count(), said.matches("os:deb ").count()), (2, 1), "{said}");
    let here = images(&engine);
    assert!(old.iter().all(|old| !here.iter().any(|line| line.contains(old))), "{old:?} in {here:?}");
    assert!(current.iter().all(|id| here.iter().any(|line| line.contains(id))), "{current:?} in {here:?}");
    assert_eq!([id(&engine, &registry, "alp"), id(&engine, &registry, "deb")], current);
    sandbox.imk("").says("2 fresh, 0 built, 0 failed");

    // Nor is the one's result let go since the other's is in the registry.
    sandbox.imk("push os:deb").success();
    sandbox.imk("gc --keep 0 --published").success();
    assert_eq!(id(&engine, &registry, "alp"), current[0]);
    assert!(!images(&engine).iter().any(|line| line.contains(&current[1])));
}

#[test]
fn another_machine_pulls_one_of_two_images_that_differ_by_tag() {
    let Some((registry, engine)) = parts("pull of one tag") else { return };
    let first = repository(&registry, &engine);
    first.imk("push").says("0 fresh, 2 built, 2 published (3 tags moved), 0 failed");
    let log = first.imk("log os:alp").code(0).out();
    assert!(log.contains("os:alp@1") && !log.contains("os:deb"), "{log}");

    let other = SecondEngine::start();
    let second = repository(&registry, &other);
    second.imk("pull os:deb").says("0 here already, 1 fetched");
    let here = images(&other);
    assert!(here.iter().any(|line| line.starts_with("deb ")), "{here:?}");
    assert!(here.iter().all(|line| line.contains(&id(&other, &registry, "deb"))), "{here:?}");
    assert_eq!(id(&other, &registry, "deb"), id(&engine, &registry, "deb"));

    let list = second.imk("list").code(0).out();
    let states: Vec<(&str, &str)> = list
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(' '))
        .map(|(name, rest)| (name, rest.split_whitespace().next().unwrap_or_default()))
        .collect();
    assert_eq!(states, [("os:alp", "published"), ("os:deb", "fresh")], "{list}");
    let newest = second.imk("tags os:alp --newest").code(0).stdout;
    assert_eq!(newest, first.imk("tags os:alp --newest").code(0).stdout);
    assert!(newest.contains("shop/os:alp-2"), "{newest}");
    let tags = second.imk("tags os:alp").code(0).stdout;
    assert!(tags.contains("shop/os:alp") && !tags.contains("os:deb"), "{tags}");

    // A lock has names from outside: neither of these is one.
    second.imk("update").success();
    let lock = fs::read_to_string(second.path("Imagefile.lock")).unwrap_or_default();
    assert!(!lock.contains("shop/os"), "{lock}");
    second.imk("pull").says("1 here already, 1 fetched");
    assert!(second.imk("").code(0).built().is_empty());
    second.imk("").says("2 fresh, 0 built, 0 failed");
}
