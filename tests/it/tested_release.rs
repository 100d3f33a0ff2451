//! `imk publish` of images that have tests: nothing is sent before all of them have passed.

use crate::registry_server::RegistryServer;
use crate::sandbox::{Run, Sandbox, engine_or_skip};

const FILES: &str = r#"
    //- Imagefile.ron
    (images: {
        "base": (tests: {"content": (steps: [File(path: "/base", content: "^good")])}),
        "web": (tests: {"content": (steps: [File(path: "/web", content: "^good")])}),
        "plain": (),
    })
    //- base/Dockerfile
    FROM scratch
    COPY file /base
    //- base/file
    good
    //- web/Dockerfile
    FROM base
    COPY file /web
    //- web/file
    good
    //- plain/Dockerfile
    FROM base
    COPY file /plain
    //- plain/file
    good
    "#;

fn parts(test: &str) -> Option<(RegistryServer, Sandbox)> {
    engine_or_skip(test)?;
    let registry = RegistryServer::open(test)?;
    let sandbox = Sandbox::with(FILES).prefixed(&registry.name("team/"));
    sandbox.edit("base/file", &format!("good {test} {}\n", registry.host()));
    Some((registry, sandbox))
}

/// All tags of an image in the registry.
fn tags(registry: &RegistryServer, image: &str) -> Vec<String> {
    use imk::registry::Registry;
    registry.client().tags(&registry.at(&format!("team/{image}"))).unwrap()
}

fn is_published(registry: &RegistryServer, image: &str) -> bool {
    tags(registry, image).iter().any(|tag| tag == "latest")
}

fn last(run: &Run<'_>) -> String {
    run.out().lines().last().unwrap_or_default().to_owned()
}

#[test]
fn nothing_is_sent_before_the_tests_have_passed() {
    let Some((registry, sandbox)) = parts("release-tested") else { return };
    sandbox.edit("web/file", "bad");
    let failed = sandbox.imk("publish").code(2);
    assert!(failed.out().contains("web content: failed in "), "{}", failed.out());
    assert!(failed.err().contains("nothing was published: `web` content did not pass"), "{}", failed.err());
    for image in ["base", "web", "plain"] {
        assert_eq!(tags(&registry, image), Vec::<String>::new(), "{image}");
    }

    sandbox.edit("web/file", "good");
    let passed = sandbox.imk("publish").code(0);
    // The base was tested by the run before.
    assert!(passed.out().contains("base content: passed just now (receipt "), "{}", passed.out());
    assert!(passed.out().contains("1 passed, 1 by receipt, 0 failed in "), "{}", passed.out());
    assert!(last(&passed).contains("published 3 images with 3 tags as release "), "{}", passed.out());
}

#[test]
fn the_tests_of_bases_are_asked_for_and_those_of_others_are_not() {
    let Some((registry, sandbox)) = parts("release-tested-bases") else { return };
    // An image without tests, on a base that is good, beside one that is not.
    sandbox.edit("web/file", "bad");
    sandbox.imk("publish plain").code(0);
    assert!(is_published(&registry, "plain") && !is_published(&registry, "base"));

    sandbox.edit("base/file", &format!("bad {}", registry.host())).edit("web/file", "good");
    let before = tags(&registry, "web");
    let failed = sandbox.imk("publish web").code(2);
    assert!(failed.out().contains("web content: skipped, tests of its base base failed"), "{}", failed.out());
    assert_eq!(tags(&registry, "web"), before);

    // A word of the user's own.
    let untested = sandbox.imk("publish web --no-test").code(0);
    assert!(!untested.out().contains("passed"), "{}", untested.out());
    assert!(is_published(&registry, "web"));
}

#[test]
fn another_machine_tests_for_itself_what_it_finds_in_the_registry() {
    let Some((registry, sandbox)) = parts("release-tested-elsewhere") else { return };
    sandbox.imk("publish --no-test").code(0);
    sandbox.remove(".imk");
    for image in ["plain", "web", "base"] {
        sandbox.docker(&["rmi", "-f", &registry.name(&format!("team/{image}:latest"))]);
    }
    // Nothing is built, what is tested is fetched, and no tag need move.
    let again = sandbox.imk("publish").code(0);
    assert!(again.out().contains("0 built"), "{}", again.out());
    assert!(again.out().contains("2 passed, 0 failed"), "{}", again.out());
    assert_eq!(last(&again), "every tag stands for its result already");
}

#[test]
fn outputs_are_written_once_when_all_tests_have_passed_and_of_targets_alone() {
    let Some((_registry, sandbox)) = parts("release-tested-outputs") else { return };
    let declared = r#"(images: {
        "base": (output: "type=tar,dest=base.tar", tests: {"content": (steps: [File(path: "/base", content: "^good")])}),
        "web": (output: "type=tar,dest=web.tar", tests: {"content": (steps: [File(path: "/web", content: "^good")])}),
        "plain": (),
    })"#;
    sandbox.edit("Imagefile.ron", declared).edit("web/file", "bad");
    let is_written = |name: &str| sandbox.path(name).exists();
    for verb in ["publish web", "ci web --no-publish"] {
        let failed = sandbox.imk(verb).code(2);
        assert!(!failed.out().contains("written"), "{verb}: {}", failed.out());
        assert!(!is_written("web.tar") && !is_written("base.tar"), "{verb}");
    }

    sandbox.edit("web/file", "good");
    let passed = sandbox.imk("publish web").code(0);
    assert_eq!(passed.out().matches("1 output written").count(), 1, "{}", passed.out());
    assert!(is_written("web.tar") && !is_written("base.tar"));
    assert!(!sandbox.imk("publish web").code(0).out().contains("written"));

    sandbox.remove("web.tar");
    let pipeline = sandbox.imk("ci web --no-publish").code(0);
    assert!(pipeline.out().contains("1 output written"), "{}", pipeline.out());
    assert!(is_written("web.tar") && !is_written("base.tar"));

    sandbox.remove("web.tar");
    let events = sandbox.imk("publish web --json").code(0);
    assert_eq!(events.err().matches(r#""event":"written""#).count(), 1, "{}", events.err());
    // Typed ones take their place.
    sandbox.remove("web.tar").edit("web/file", "good again");
    let typed = sandbox.imk("publish web -o type=tar,dest=typed.tar").code(0);
    assert_eq!(typed.out().matches("1 output written").count(), 1, "{}", typed.out());
    assert!(is_written("typed.tar") && !is_written("web.tar"));
    let untested = sandbox.imk("publish plain --no-test -o plain").code(0);
    assert!(untested.out().contains("1 output written"), "{}", untested.out());
    assert!(is_written("plain/plain"));
    let nothing = sandbox.imk("publish web -o type=cacheonly").code(2);
    assert!(nothing.err().contains("`type=cacheonly` no image is kept"), "{}", nothing.err());
}

#[test]
fn programs_are_told_of_each_test() {
    let Some((_registry, sandbox)) = parts("release-tested-json") else { return };
    let run = sandbox.imk("publish web --json").code(0);
    assert_eq!(run.out(), "");
    let events: Vec<serde_json::Value> =
        run.err().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    let tests = of("test");
    assert_eq!(tests.len(), 2, "{}", run.err());
    assert_eq!((&tests[1]["image"], &tests[1]["verdict"]), (&"web".into(), &"passed".into()));
    assert_eq!(of("summary").len(), 1, "{}", run.err());
    assert_eq!(of("published").len(), 2, "{}", run.err());
    assert_eq!(events.last().unwrap()["event"], "released");
}

#[test]
fn receipts_stand_beside_the_image_and_are_believed_where_the_imagefile_says_so() {
    use imk::registry::{Registry, by_digest};
    use imk::release::attest::{IN_TOTO, TEST_RESULT};
    let Some((registry, sandbox)) = parts("release-receipts") else { return };
    sandbox.imk("publish").code(0);
    for (image, expected) in [("base", 1), ("web", 1), ("plain", 0)] {
        let at = registry.at(&format!("team/{image}"));
        let client = registry.client();
        let tag = imk::registry::by_tag(&at, "latest");
        let digest = client.head(&tag).unwrap().unwrap().digest;
        let documents = client.attached(&by_digest(&at, &digest), IN_TOTO).unwrap();
        assert_eq!(documents.len(), expected, "{image}");
        for document in documents {
            let statement: serde_json::Value = serde_json::from_slice(&document).unwrap();
            assert_eq!(statement["predicateType"], TEST_RESULT);
            assert_eq!(statement["predicate"]["passedTests"], serde_json::json!(["content"]));
            let subject = statement["subject"][0]["digest"]["sha256"].as_str().unwrap();
            assert_eq!(format!("sha256:{subject}"), digest);
        }
    }
    // Another machine believes them when its Imagefile says so, and by itself does not.
    sandbox.remove(".imk");
    assert!(sandbox.imk("test").code(0).out().contains("2 passed, 0 failed"));
    sandbox.remove(".imk");
    let text = fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit("Imagefile.ron", &text.replacen("(images:", "(receipts: \"registry\", images:", 1));
    assert!(sandbox.imk("test").code(0).out().contains("0 passed, 2 by receipt, 0 failed"));
    assert!(sandbox.imk("publish").code(0).out().contains("0 passed, 2 by receipt, 0 failed"));
    // They are receipts of that content and of that definition, and of no other.
    let text = fs_err::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    sandbox.edit("Imagefile.ron", &text.replacen("^good", "^goo", 1));
    assert!(sandbox.imk("test").code(0).out().contains("1 passed, 1 by receipt, 0 failed"));
    sandbox.edit("Imagefile.ron", &text.replacen("\"registry\"", "\"anybody\"", 1));
    assert!(sandbox.imk("test").code(2).err().contains("`anybody` has no receipts"));
}
