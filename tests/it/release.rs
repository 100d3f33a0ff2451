//! Publish and rollback: the tags of a set move together, on a real registry.

use crate::history::History;
use crate::registry_server::RegistryServer;
use crate::sandbox::{Run, Sandbox, engine_or_skip};

const FILES: &str = "
    //- Imagefile.ron
    (images: {\"base\": (), \"api\": (tags: [\"latest\", \"{time}\"]), \"web\": ()})
    //- base/Dockerfile
    FROM scratch
    COPY file /base
    //- base/file
    one
    //- api/Dockerfile
    FROM base
    COPY file /api
    //- api/file
    one
    //- web/Dockerfile
    FROM base
    COPY file /web
    //- web/file
    web
    ";

fn parts(test: &str) -> Option<(RegistryServer, Sandbox)> {
    engine_or_skip(test)?;
    let registry = RegistryServer::open(test)?;
    let sandbox = Sandbox::with(FILES).prefixed(&registry.name("team/"));
    sandbox.edit("base/file", &format!("{test} {}\n", registry.host()));
    Some((registry, sandbox))
}

/// The digest that a name stands for; `None` when there is no such tag.
fn digest(registry: &RegistryServer, name: &str) -> Option<String> {
    let (repository, tag) = name.rsplit_once(':').unwrap();
    let from = format!("docker://{}", registry.name(repository));
    let listed = registry.skopeo(&["list-tags", "--tls-verify=false", &from]);
    if !listed.contains(&format!("\"{tag}\"")) {
        return None;
    }
    let from = format!("docker://{}", registry.name(name));
    let words = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &from];
    Some(registry.skopeo(&words).trim().to_owned())
}

/// The last line of what was said.
fn last(run: &Run<'_>) -> String {
    run.out().lines().last().unwrap_or_default().to_owned()
}

/// The ids of all releases, the newest first.
fn releases(sandbox: &Sandbox) -> Vec<String> {
    let document: serde_json::Value =
        serde_json::from_str(&sandbox.imk("publish --history --json").code(0).out()).unwrap();
    let releases = document["releases"].as_array().unwrap();
    releases.iter().map(|release| release["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn tags_move_together_and_go_back_together() {
    let Some((registry, sandbox)) = parts("release-together") else { return };
    let latest = |image: &str| digest(&registry, &format!("team/{image}:latest"));
    let first = sandbox.imk("publish").code(0);
    assert!(last(&first).contains("published 3 images with 4 tags as release "), "{}", first.out());
    let then = ["base", "api", "web"].map(latest);

    let again = sandbox.imk("publish").code(0);
    assert_eq!(last(&again), "every tag stands for its result already");
    assert_eq!(releases(&sandbox).len(), 1);

    sandbox.edit("base/file", &format!("two {}\n", registry.host()));
    sandbox.imk("publish").code(0);
    let now = ["base", "api", "web"].map(latest);
    assert!(then.iter().zip(&now).all(|(then, now)| then != now), "{then:?} {now:?}");

    let back = sandbox.imk("rollback").code(0);
    assert!(last(&back).contains("is in force again"), "{}", back.out());
    assert_eq!(["base", "api", "web"].map(latest), then);
    assert_eq!(releases(&sandbox).len(), 3);
    // The newest by name is what is in force, and another machine that asks sees it too.
    let newest = sandbox.imk("tags api --newest").code(0).out();
    let newest = newest.trim().rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(digest(&registry, &format!("team/{newest}")), then[1]);
}

#[test]
fn what_was_rolled_back_is_published_again_by_a_change_or_by_force_alone() {
    let Some((registry, sandbox)) = parts("release-held") else { return };
    sandbox.imk("publish").code(0);
    sandbox.edit("web/file", "bad");
    sandbox.imk("publish").code(0);
    let bad = digest(&registry, "team/web:latest");
    sandbox.imk("rollback").code(0);

    let refused = sandbox.imk("publish").code(2);
    assert!(refused.err().contains("web ("), "{}", refused.err());
    assert!(refused.err().contains("was rolled back by release"), "{}", refused.err());
    assert_ne!(digest(&registry, "team/web:latest"), bad);
    // Others of the repository are not in its way.
    sandbox.imk("publish api").code(0);
    sandbox.imk("publish --force").code(0);
    assert_eq!(digest(&registry, "team/web:latest"), bad);

    sandbox.imk("rollback").code(0);
    sandbox.edit("web/file", "good");
    sandbox.imk("publish").code(0);
    assert_ne!(digest(&registry, "team/web:latest"), bad);
}

#[test]
fn a_rule_leaves_images_out_and_an_uncommitted_one_is_refused() {
    let Some((registry, sandbox)) = parts("release-rules") else { return };
    sandbox.edit(
        "Imagefile.ron",
        "(images: {\"base\": (), \"api\": (publish: [When(branch: \"main\"), When(git_tag: \"v*\")]), \"web\": (publish: [])})\n",
    );
    let history = History::of(sandbox);
    let sandbox = &history.sandbox;
    history.git(&["checkout", "-q", "-b", "dev"]);
    let dev = sandbox.imk("publish").code(0);
    assert!(
        dev.err().contains("api: not published from here: only branch main or git tag v*"),
        "{}",
        dev.err()
    );
    assert!(dev.err().contains("web: not published from here: its `publish` list is empty"), "{}", dev.err());
    assert!(digest(&registry, "team/base:latest").is_some());
    let only = sandbox.imk("publish api").code(0);
    assert_eq!(last(&only), "nothing to publish from here");

    history.git(&["tag", "v1.0"]);
    sandbox.edit("api/file", "changed");
    let dirty = sandbox.imk("publish api").code(2);
    assert!(dirty.err().contains("`api` is not as the commit has it"), "{}", dirty.err());
    sandbox.imk("publish api --allow-dirty").code(0);
    assert!(digest(&registry, "team/api:latest").is_some());
}

#[test]
fn an_image_that_fails_leaves_every_tag_where_it_was() {
    let Some((registry, sandbox)) = parts("release-fails") else { return };
    sandbox.imk("publish").code(0);
    let then = digest(&registry, "team/web:latest");
    sandbox.edit("web/file", "two").edit("api/Dockerfile", "FROM base\nCOPY nothing /\n");
    sandbox.imk("publish").code(2);
    sandbox.imk("publish -k").code(2);
    assert_eq!(digest(&registry, "team/web:latest"), then);
    assert_eq!(releases(&sandbox).len(), 1);
}

#[test]
fn without_a_registry_or_a_release_it_says_what_to_do() {
    if engine_or_skip("release-nowhere").is_none() {
        return;
    }
    let sandbox = Sandbox::with(FILES);
    let run = sandbox.imk("publish").code(2);
    assert!(run.err().contains("no registry is in the name of"), "{}", run.err());
    assert!(run.err().contains("prefix:"), "{}", run.err());
    assert!(sandbox.imk("publish --history").code(2).err().contains("no image here has a registry"));
    assert!(sandbox.imk("rollback").code(2).err().contains("nothing was published"));
}

#[test]
fn a_plan_is_carried_out_as_it_is_or_not_at_all() {
    let Some((registry, sandbox)) = parts("release-plan") else { return };
    sandbox.imk("plan --release -o plan.json").code(0);
    let web = fs_err::read_to_string(sandbox.path("web/file")).unwrap();
    sandbox.edit("web/file", "changed meanwhile");
    let refused = sandbox.imk("apply plan.json").code(2);
    assert!(
        refused.err().contains("nothing was done: `plan.json` is a plan for another state"),
        "{}",
        refused.err()
    );
    assert!(refused.err().contains("web: `file` changed"), "{}", refused.err());
    assert!(!refused.err().contains("api:"), "{}", refused.err());

    sandbox.edit("web/file", &web);
    let applied = sandbox.imk("apply plan.json").code(0);
    assert!(applied.out().contains("published 3 images with 4 tags"), "{}", applied.out());
    // What was planned is done: the same plan is for another state now.
    let again = sandbox.imk("apply plan.json").code(2);
    assert!(again.err().contains("base: a build was planned, and now nothing to do"), "{}", again.err());

    // Somebody else publishes in between.
    sandbox.edit("web/file", "two");
    sandbox.imk("plan --release -o plan.json web").code(0);
    let latest = format!("docker://{}", registry.name("team/web:latest"));
    let base = format!("docker://{}", registry.name("team/base:latest"));
    registry.skopeo(&["copy", "--src-tls-verify=false", "--dest-tls-verify=false", &base, &latest]);
    let moved = sandbox.imk("apply plan.json").code(2);
    assert!(moved.err().contains("web:latest: stood for "), "{}", moved.err());

    sandbox.edit("plan.json", "{\"layout\": 99}");
    assert!(sandbox.imk("apply plan.json").code(2).err().contains("is no plan: it has layout 99"));
    sandbox.edit("plan.json", "no JSON");
    assert!(sandbox.imk("apply plan.json").code(2).err().contains("`plan.json` is no plan"));
}

#[test]
fn push_gives_one_image_the_tag_that_was_typed() {
    let Some((registry, sandbox)) = parts("release-tag") else { return };
    sandbox.imk("push -t 1.2 -t 1 web").code(0);
    assert!(digest(&registry, "team/web:1.2").is_some());
    assert_eq!(digest(&registry, "team/web:1"), digest(&registry, "team/web:1.2"));
    assert_eq!(digest(&registry, "team/web:latest"), None);
    let wrong = sandbox.imk("push -t team/web:1.2 web").code(2);
    assert!(wrong.err().contains("it is the tag alone"), "{}", wrong.err());
}

#[test]
fn two_machines_that_publish_at_once_do_so_one_after_the_other() {
    let Some((registry, one)) = parts("release-at-once") else { return };
    let other = Sandbox::with(FILES).prefixed(&registry.name("team/"));
    for round in 0..3 {
        for (name, sandbox) in [("one", &one), ("other", &other)] {
            sandbox.edit("base/file", &format!("{name} {round} {}\n", registry.host()));
            sandbox.imk("build").code(0);
        }
        let running = [&one, &other].map(|sandbox| {
            let piped = std::process::Stdio::piped;
            sandbox.command("", "publish").stdout(piped()).stderr(piped()).spawn().unwrap()
        });
        for child in running {
            let output = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stdout));
        }
        let document: serde_json::Value =
            serde_json::from_str(&one.imk("publish --history --json").code(0).out()).unwrap();
        let releases = document["releases"].as_array().unwrap();
        assert_eq!(releases.len(), 2 * round + 2);
        for image in releases[0]["images"].as_array().unwrap() {
            let name = image["name"].as_str().unwrap();
            let latest = digest(&registry, &format!("team/{name}:latest"));
            assert_eq!(latest.as_deref(), image["digest"].as_str(), "{name} in round {round}");
        }
    }
}
