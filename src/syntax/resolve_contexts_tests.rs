//! Named contexts as tables: a Dockerfile with contexts, and the one without that means the same.

use std::collections::BTreeMap;

use super::*;
use crate::syntax::dockerfile::parse;

/// A request with contexts as `name=image`, and one trigger of a base as `base!COPY x /y`.
fn request(words: &str) -> Request {
    let mut request = Request::default();
    for word in words.split_whitespace() {
        let word = word.replace('_', " ");
        match (word.split_once('!'), word.split_once('=')) {
            (Some((base, trigger)), _) => {
                request.triggers.entry(base.to_owned()).or_default().push(trigger.to_owned());
            }
            (None, Some(("@", target))) => request.target = Some(target.to_owned()),
            (None, Some((name, image))) => {
                request.contexts.insert(name.to_owned(), NamedContext::Image(image.to_owned()));
            }
            (None, None) => panic!("{word}"),
        }
    }
    request
}

fn resolved(text: &str, words: &str) -> Recipe {
    let file = parse(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    resolve(&file, &request(words)).unwrap_or_else(|errors| panic!("{text} {words}: {errors:?}"))
}

/// The canonical form with the names of the bases, and the text that an engine is sent.
fn meaning(text: &str, words: &str) -> (String, String) {
    let recipe = resolved(text, words);
    let bases: Vec<_> =
        recipe.bases.iter().map(|base| format!("{:?} {}", base.how, base.reference)).collect();
    let sent = recipe.pinned(text, |base| Some(format!("exact/{}", base.reference.replace(':', "-"))));
    (format!("{}\n{}", recipe.canonical(), bases.join("\n")), sent)
}

/// With these contexts the first text is what the second is without.
#[track_caller]
fn same(text: &str, words: &str, plain: &str) {
    let kept: Vec<&str> =
        words.split_whitespace().filter(|word| word.contains('!') || word.starts_with('@')).collect();
    let (found, sent) = meaning(text, words);
    let (wanted, sent_plain) = meaning(plain, &kept.join(" "));
    assert_eq!(found, wanted, "{text} with {words}");
    assert_eq!(sent, sent_plain, "{text} with {words}");
    assert_eq!(sent.matches('\n').count(), text.matches('\n').count(), "{text} with {words}");
}

#[test]
fn a_context_is_named_as_docker_shortens_references() {
    let mut rows = 0;
    for (names, others) in [
        (
            &[
                "core",
                "core:latest",
                "library/core",
                "docker.io/core",
                "docker.io/library/core:latest",
                "index.docker.io/core",
            ][..],
            &["core:1", "acme/core", "cor", "localhost/core", "r.example/core"][..],
        ),
        (
            &["acme/core", "docker.io/acme/core", "acme/core:latest", "index.docker.io/acme/core"],
            &["acme/core:1", "core", "acme/cor", "r.example/acme/core"],
        ),
        (&["core:1", "docker.io/library/core:1", "library/core:1"], &["core", "core:2", "core:latest"]),
        (
            &["localhost:5000/core", "localhost:5000/core:latest"],
            &["localhost:5000/core:1", "localhost/core", "core"],
        ),
        (&["r.example/a/b:v1"], &["r.example/a/b", "a/b:v1"]),
    ] {
        for given in names {
            for used in names {
                let words = format!("{given}=os:alp");
                same(&format!("FROM {used}\n"), &words, "FROM os:alp\n");
                let copy = |from: &str| format!("FROM scratch\nCOPY --from={from} /a /b\n");
                same(&copy(used), &words, &copy("os:alp"));
                let mount = |from: &str| format!("FROM b\nRUN --mount=from={from},target=/m c\n");
                same(&mount(used), &words, &mount("os:alp"));
                rows += 3;
            }
            for other in others {
                let text = format!("FROM {other}\nCOPY --from={other} /a /b\n");
                same(&text, &format!("{given}=os:alp"), &text);
                rows += 1;
            }
        }
    }
    assert!(rows > 150, "{rows}");
}

#[test]
fn a_context_goes_before_images_and_in_place_of_stages() {
    for (text, words, plain) in [
        // Before images, through arguments, by any word of the file.
        ("ARG B=acme/core\nFROM $B AS x\n", "acme/core=core", "ARG B=acme/core\nFROM core AS x\n"),
        ("FROM acme/core AS x\nFROM x\n", "acme/core=core", "FROM core AS x\nFROM x\n"),
        ("FROM acme/core@sha256:{}\n", "acme/core=core", "FROM acme/core@sha256:{}\n"),
        // An earlier stage is meant before a context; but a context stands for a stage of its name.
        ("FROM a AS s\nRUN one\nRUN two\nFROM s\nRUN x\n", "s=core", "FROM core AS s\n\n\nFROM s\nRUN x\n"),
        (
            "FROM a AS s\nRUN one \\\n two\nFROM b\nCOPY --from=s /x /\n",
            "s=core",
            "FROM core AS s\n\n\nFROM b\nCOPY --from=s /x /\n",
        ),
        (
            "FROM a AS S\nCOPY <<E /x\ntext\nE\nFROM b\nCOPY --from=0 /x /\n",
            "s=core",
            "FROM core AS S\n\n\n\nFROM b\nCOPY --from=0 /x /\n",
        ),
        ("FROM a AS s\nONBUILD RUN one\nFROM s\n", "s=core", "FROM core AS s\n\nFROM s\n"),
        ("FROM a AS s\nRUN one\nLABEL a=b\n", "s=core @=s", "FROM core AS s\n\n\n"),
        ("FROM a AS s\nRUN one\n", "a=core s=web", "FROM web AS s\n\n"),
        ("FROM a AS a\nRUN one\nFROM a\n", "a=core", "FROM core AS a\n\nFROM a\n"),
        // `scratch` and `context` are never looked for; a context may stand for nothing.
        ("FROM scratch\n", "scratch=core", "FROM scratch\n"),
        ("FROM context\n", "context=core", "FROM context\n"),
        ("FROM acme/nothing\nCOPY x /\n", "acme/nothing=scratch", "FROM scratch\nCOPY x /\n"),
        ("FROM b\nCOPY --from=no/thing /a /\n", "no/thing=scratch", "FROM b\nCOPY --from=scratch /a /\n"),
        // Platforms stay with the FROM.
        ("FROM --platform=linux/arm64 acme/core\n", "acme/core=core", "FROM --platform=linux/arm64 core\n"),
        // A base's triggers run as those of the image that the context stands for.
        ("FROM acme/core\n", "acme/core=core core!COPY_x_/y", "FROM core\n"),
        ("FROM acme/core\n", "acme/core=core acme/core!COPY_x_/y", "FROM core\n"),
    ] {
        let digest = "0".repeat(64);
        same(&text.replace("{}", &digest), words, &plain.replace("{}", &digest));
    }
}

#[test]
fn the_word_of_the_file_is_kept_beside_what_it_leads_to() {
    let recipe = resolved(
        "ARG V=x\nFROM acme/$V AS a\nFROM b AS s\nFROM c\nCOPY --from=s /a /b\nCOPY --from=acme/x:latest /a /b\nCOPY --from=a /a /b\n",
        "acme/x=core s=web",
    );
    let words: Vec<_> = recipe.bases.iter().map(|base| format!("{}={}", base.word, base.reference)).collect();
    assert_eq!(words, ["acme/x=core", "s=web", "c=c", "acme/x:latest=core"]);
}

#[test]
fn contexts_that_nothing_names_are_told() {
    for (text, idle) in [
        ("FROM acme/core\n", ""),
        ("FROM other\n", "acme/core"),
        ("FROM acme/core:1\n", "acme/core"),
        ("FROM a\nCOPY --from=docker.io/acme/core /x /\n", ""),
        ("FROM a\nRUN --mount=from=acme/core,target=/m b\n", ""),
        // Stages that are not reached use it too.
        ("FROM acme/core AS a\nFROM b\n", ""),
        ("FROM a\nCOPY acme/core /\n", "acme/core"),
    ] {
        assert_eq!(resolved(text, "acme/core=core").idle_contexts.join(" "), idle, "{text}");
    }
}

#[test]
fn what_a_context_cannot_be_given_to_is_told() {
    for (text, words, told) in [
        (
            "# syntax=acme/frontend\nFROM acme/core\n",
            "acme/core=core",
            "`acme/frontend` reads this Dockerfile, and imk cannot tell it what named contexts stand for",
        ),
        (
            "FROM b\n",
            "acme/core=core b!COPY_--from=acme/core_/x_/",
            "an ONBUILD trigger of this base takes files from `acme/core`, and a trigger cannot be given a named context",
        ),
        (
            "FROM b\n",
            "acme/core=scratch b!RUN_--mount=from=acme/core,target=/m_x",
            "an ONBUILD trigger of this base takes files from `acme/core`, and a trigger cannot be given a named context",
        ),
    ] {
        let errors = resolve(&parse(text).unwrap(), &request(words)).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>(), [told]);
    }
    let plain = resolved("FROM b\n", "acme/core=core b!COPY_--from=other_/x_/");
    assert_eq!(plain.bases.len(), 2);
    let none: BTreeMap<String, NamedContext> = BTreeMap::new();
    assert_eq!(request("").contexts, none);
}
