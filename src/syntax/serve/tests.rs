//! `serve.ron`, as people write it and as they get it wrong.

use std::time::Duration;

use super::names::labels;
use super::*;
use crate::syntax::imagefile::SecretSource;
use crate::syntax::serve::settings::SecretOrText;

const WHOLE: &str = r#"(
    listen: "[::]:8737",
    public_url: "https://imk.example.com/",
    hosts: ["ci.lan"],
    state: "/var/lib/imk",
    queue: Env("QUEUE"),
    workers: 2,
    labels: ["JDK8", "sbt"],
    lease: "30s",
    tries: 5,
    logs: (age: "7d", size: "2GiB"),
    tls: (certificate: "chain.pem", key: "key.pem"),
    readable: "/srv/tools",
    credentials: {"team": (git_token: Env("TEAM"), env: {"NPM_TOKEN": File("/run/npm")})},
    notify: {"chat": Slack(Env("CHAT")), "log": Webhook("https://log.example.com/")},
    repositories: {
        "team/images": (
            url: "https://git.example.com/team/images.git",
            forge: "forgejo",
            branches: ["main", "release-*", "topic/**"],
            imagefile: "ci/Imagefile.ron",
            credentials: "team",
            poll: "never",
            schedule: ["0 3 * * * Europe/Berlin", "@hourly", "*/15 * * * *"],
            labels: "jdk8",
            do: "test",
            env: {"STAGE": "ci"},
            running: "cancel",
            forks: "check",
            authors: "trusted",
            time_limit: "30m",
            notify: "chat",
            statuses: "images",
            sha1: true,
        ),
    },
)"#;

#[test]
fn every_key_says_something() {
    let settings = read(WHOLE).unwrap();
    assert_eq!(settings.listen, "[::]:8737");
    assert_eq!(settings.public_url.as_deref(), Some("https://imk.example.com"));
    assert_eq!(settings.queue, Some(SecretOrText::Secret(SecretSource::Env("QUEUE".into()))));
    assert_eq!((settings.workers, settings.tries, settings.lease), (2, 5, Duration::from_secs(30)));
    assert_eq!(settings.labels, labels("jdk8+SBT").unwrap());
    assert_eq!((settings.logs.size, settings.logs.one), (2 << 30, 64 << 20));
    assert_eq!(settings.notify["chat"].kind, NotifierKind::Slack);
    assert_eq!(settings.credentials["team"].env.len(), 1);
    assert_eq!(settings.readable, [std::path::PathBuf::from("/srv/tools")]);
    let (name, it) = settings.repositories.iter().next().unwrap();
    assert_eq!((name.as_str(), name.file_name().as_str()), ("team/images", "team+images"));
    assert_eq!(it.authors, Authors::Trusted);
    assert_eq!((it.forge, it.does, it.poll), (Some(Forge::Gitea), Does::Test, None));
    assert_eq!(
        (it.running, it.forks, it.statuses, it.sha1),
        (Running::Cancel, Forks::Check, Statuses::Images, true)
    );
    let schedule: Vec<_> = it.schedule.iter().map(|it| (it.cron.as_str(), it.zone.as_str())).collect();
    assert_eq!(schedule, [("0 3 * * *", "Europe/Berlin"), ("@hourly", "UTC"), ("*/15 * * * *", "UTC")]);
    assert!(it.admits("main", None) && it.admits("release-1", None) && it.admits("topic/a/b", None));
    assert!(!it.admits("release/1", None) && !it.admits("mains", None));
}

#[test]
fn a_file_that_says_little_has_defaults() {
    assert_eq!(read("").unwrap(), Settings::default());
    assert_eq!(read("// nothing yet\n()").unwrap(), Settings::default());
    let settings = read(r#"(repositories: {"a": (url: "https://h/a.git")})"#).unwrap();
    let it = settings.repositories.values().next().unwrap();
    assert_eq!(*it, Repository::at("https://h/a.git"));
    assert!(
        it.admits("trunk", Some("trunk")) && !it.admits("main", Some("trunk")) && !it.admits("main", None)
    );
}

#[track_caller]
fn refused(text: &str, at: &str, message: &str) {
    let errors = read(text).unwrap_err();
    let said: Vec<_> = errors
        .iter()
        .map(|it| {
            (
                &text[it.span.start..it.span.end],
                format!("{} {}", it.message, it.hint.clone().unwrap_or_default()),
            )
        })
        .collect();
    assert!(said.len() == 1 && said[0].0 == at && said[0].1.contains(message), "{said:?}");
}

#[test]
fn a_mistake_has_its_place_and_the_nearest_word() {
    refused("(repository: {})", "repository", "did you mean `repositories`");
    refused("(workers: 1000)", "1000", "from 0 to 256");
    refused("(workers: \"2\")", "\"2\"", "expected a number");
    refused("(listen: \"8737\")", "\"8737\"", "127.0.0.1:8737");
    refused("(lease: \"10ms\")", "\"10ms\"", "loses jobs");
    refused("(queue: \"postgres://h\")", "\"postgres://h\"", "redis://");
    refused("(public_url: \"imk.example.com\")", "\"imk.example.com\"", "https://HOST");
    refused("(tls: (key: \"k\"))", "(key: \"k\")", "both");
    refused("(logs: (size: \"much\"))", "\"much\"", "no size");
    refused("(notify: {\"a\": Mail(\"x\")})", "Mail(\"x\")", "Slack(");
    let with = |key: &str| format!(r#"(repositories: {{"a": (url: "https://h/a", {key})}})"#);
    refused(&with("do: \"biuld\""), "\"biuld\"", "did you mean `build`");
    refused(&with("schedule: \"0 25 * * *\""), "\"0 25 * * *\"", "no cron expression");
    refused(&with("schedule: \"0 3 * * * Europe/Berln\""), "\"0 3 * * * Europe/Berln\"", "no time zone");
    refused(&with("branches: [\"[\"]"), "\"[\"", "no pattern");
    refused(&with("imagefile: \"../x\""), "\"../x\"", "below the repository's root");
    refused(&with("credentials: \"tem\""), "\"tem\"", "no login `tem`");
    refused(&with("notify: \"chat\""), "\"chat\"", "declare it in the file's `notify`");
    refused(&with("env: {\"A-B\": \"1\"}"), "\"A-B\"", "cannot name a variable");
    refused(&with("sha1: 1"), "1", "`true` or `false`");
    refused(r#"(repositories: {"a": ()})"#, "()", "needs `url`");
    refused(r#"(repositories: {"../a": (url: "https://h/a")})"#, "\"../a\"", "cannot name a repository");
    refused(
        r#"(repositories: {"a": (url: "https://h/a"), "A": (url: "https://h/b")})"#,
        "\"A\"",
        "case alone",
    );
    refused(r#"(repositories: {"a": (url: "-oProxyCommand=x")})"#, "\"-oProxyCommand=x\"", "no address");
}

#[test]
fn names_and_labels_are_harmless_words() {
    for good in ["a", "team/images", "a.b_c-d/9"] {
        assert_eq!(RepositoryName::new(good).unwrap().as_str(), good);
    }
    for bad in [
        "",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/..",
        "a/.git",
        "-a",
        "a b",
        "a\n",
        "ä",
        "a$(x)",
        &"a".repeat(300),
    ] {
        assert!(RepositoryName::new(bad).is_err(), "{bad:?}");
    }
    assert!(labels("a+b,c d").is_ok_and(|it| it.len() == 4) && labels("").unwrap().is_empty());
    assert!(labels("a/b").is_err() && labels("$(x)").is_err());
}
