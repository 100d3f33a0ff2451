//! The rule of edges as tables: a reference, and the image it leads to.

use std::collections::BTreeMap;
use std::sync::Arc;

use salsa::Setter as _;

use super::super::ImkDb;
use super::super::effect::{BuildJob, BuildOutcome, Effect};
use super::super::graph::bases;
use super::super::inputs::{Answers, Context, Options, Paths, Text};
use super::*;

struct Nobody;

impl Effect for Nobody {
    fn build_or_reuse(&self, job: BuildJob<'_>) -> BuildOutcome {
        panic!("{} is built", job.name);
    }
}

/// Images as `name`, `name=tag,tag` with declared tags, `name=*` with any; each with a Dockerfile's text.
fn repository(prefixes: &[&str], images: &[(&str, &str)]) -> ImkDb {
    let db = ImkDb::new(Arc::new(Nobody));
    let images = images.iter().map(|(called, text)| {
        let (name, tags) = called.split_once('=').unwrap_or((called, ""));
        let tags = tags.split(',').filter(|tag| !tag.is_empty() && *tag != "*").map(str::to_owned).collect();
        let (paths, options) = (Paths::default(), Options::default());
        let answers = Answers { tags, any: called.ends_with("=*") };
        let text = Text::Is((*text).to_owned());
        let image = Image::new(&db, name.to_owned(), options, paths, answers, text, Context::Unread, 0);
        (name.to_owned(), image)
    });
    let images: BTreeMap<String, Image> = images.collect();
    let prefixes = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    let (engine, builder, platform) = ("E".into(), "buildkit/overlay2".into(), "linux/amd64".into());
    Workspace::new(&db, images, prefixes, engine, builder, platform, BTreeMap::new(), BTreeMap::new());
    db
}

/// The image, `own`, `NAME but TAG`, or `-` for a stranger.
fn shown(db: &ImkDb, user: &str, reference: &str) -> String {
    match meaning(db, Workspace::get(db).images(db)[user], reference, "linux/amd64") {
        Meaning::Image(image) => image.name(db).to_owned(),
        Meaning::OtherPlatform(image) => format!("{} for another platform", image.name(db)),
        Meaning::Own => "own".into(),
        Meaning::OtherTag(image, tag) => format!("{} but {tag}", image.name(db)),
        Meaning::Stranger => "-".into(),
    }
}

const IMAGES: &[(&str, &str)] =
    &[("user", ""), ("base", ""), ("python=3.12,3", ""), ("shared=*", ""), ("team/api=v1", ""), ("x", "")];

#[track_caller]
fn check(prefixes: &[&str], rows: &str) {
    let db = repository(prefixes, IMAGES);
    for row in rows.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (reference, expected) = row.split_once(" = ").unwrap();
        assert_eq!(shown(&db, "user", reference.trim()), expected.trim(), "{reference} under {prefixes:?}");
    }
}

#[test]
fn the_tag_counts_and_none_is_latest() {
    check(
        &[],
        "
        base                     = base
        base:latest              = base
        base:1                   = base but 1
        base:Latest              = base but Latest
        base:lates               = base but lates
        python                   = python
        python:latest            = python
        python:3.12              = python
        python:3                 = python
        python:3.1               = python but 3.1
        python:3.12-slim         = python but 3.12-slim
        shared:2024.1            = shared
        shared                   = shared
        team/api                 = team/api
        team/api:v1              = team/api
        team/api:v2              = team/api but v2
        api                      = -
        bas                      = -
        bases                    = -
        other/base               = -
        user                     = own
        user:7                   = own
        docker.io/library/user:7 = own
        Base                     = -
        base:                    = -
        :1                       = -
        base:a:b                 = -
        base/latest              = -
        ",
    );
}

#[test]
fn a_registry_with_a_port_is_no_tag() {
    check(
        &[],
        "
        localhost:5000/base   = -
        base:5000/x           = -
        base:5000/base:1      = -
        r.example/base        = -
        r.example:443/base:1  = -
        ",
    );
    check(
        &["localhost:5000/"],
        "
        localhost:5000/base          = base
        localhost:5000/base:latest   = base
        localhost:5000/base:5000     = base but 5000
        localhost:5001/base          = -
        localhost:5000/python:3      = python
        localhost:5000/user          = own
        localhost:5000/team/api:v1   = team/api
        base                         = base
        ",
    );
}

#[test]
fn a_reference_by_digest_is_outside_whatever_its_tag() {
    let digest = format!("sha256:{}", "a".repeat(64));
    let db = repository(&["acme/"], IMAGES);
    for name in ["base", "base:latest", "python:3", "shared:9", "acme/base", "user", "docker.io/library/base"]
    {
        assert_eq!(shown(&db, "user", &format!("{name}@{digest}")), "-", "{name}");
    }
}

/// All the ways to write an image's name, with all its tags, under all the ways to write a prefix.
#[test]
fn names_of_the_hub_are_the_same_with_and_without_its_registry() {
    let mut rows = 0;
    for (prefixes, hosts) in [
        (
            &[][..],
            &[
                "",
                "library/",
                "docker.io/",
                "docker.io/library/",
                "index.docker.io/",
                "index.docker.io/library/",
            ][..],
        ),
        (&["acme/"][..], &["acme/", "docker.io/acme/", "index.docker.io/acme/", ""][..]),
        (&["docker.io/acme/"][..], &["acme/", "docker.io/acme/", "index.docker.io/acme/", "library/"][..]),
        (&["index.docker.io/acme/"][..], &["acme/", "docker.io/acme/", "index.docker.io/acme/"][..]),
        (&["acme-"][..], &["acme-", "docker.io/acme-", "docker.io/library/acme-", "library/acme-"][..]),
        (&["r.example/acme/", "acme/"][..], &["r.example/acme/", "acme/", "docker.io/acme/"][..]),
    ] {
        let db = repository(prefixes, IMAGES);
        for host in hosts {
            for (name, tag, expected) in [
                ("base", "", "base"),
                ("base", ":latest", "base"),
                ("base", ":0", "base but 0"),
                ("python", ":3.12", "python"),
                ("python", ":3.13", "python but 3.13"),
                ("shared", ":any", "shared"),
                ("user", ":any", "own"),
                ("user", "", "own"),
                ("nobody", "", "-"),
            ] {
                let reference = format!("{host}{name}{tag}");
                assert_eq!(shown(&db, "user", &reference), expected, "{reference} under {prefixes:?}");
                rows += 1;
            }
        }
    }
    assert!(rows > 200, "{rows}");
}

#[test]
fn an_image_declared_under_the_hubs_full_name_is_found_by_the_short_one() {
    let db = repository(
        &[],
        &[("user", ""), ("docker.io/library/os", ""), ("library/web=1", ""), ("docker.io/acme/api", "")],
    );
    for (reference, expected) in [
        ("os", "docker.io/library/os"),
        ("library/os:latest", "docker.io/library/os"),
        ("os:1", "docker.io/library/os but 1"),
        ("web:1", "library/web"),
        ("docker.io/web", "library/web"),
        ("acme/api", "docker.io/acme/api"),
        ("index.docker.io/acme/api", "docker.io/acme/api"),
        ("api", "-"),
    ] {
        assert_eq!(shown(&db, "user", reference), expected, "{reference}");
    }
}

#[test]
fn every_way_to_use_an_image_follows_the_tag() {
    let dockerfile = |reference: &str| {
        [
            format!("FROM {reference}\n"),
            format!("ARG T={reference}\nFROM $T\n"),
            format!("FROM scratch\nCOPY --from={reference} /a /a\n"),
            format!("FROM scratch\nRUN --mount=type=bind,from={reference},target=/m true\n"),
        ]
    };
    for (reference, inside) in [
        ("nginx", true),
        ("nginx:latest", true),
        ("nginx:1.25", false),
        ("nginx:1.27", true),
        ("docker.io/library/nginx:1.27", true),
        ("docker.io/library/nginx:1.25", false),
    ] {
        for text in dockerfile(reference) {
            let db = repository(&[], &[("nginx=1.27", "FROM scratch\n"), ("web", &text)]);
            let found = bases(&db, Workspace::get(&db).images(&db)["web"]);
            let count = (found.inside.len(), found.outside.len());
            assert_eq!(count, if inside { (1, 0) } else { (0, 1) }, "{text}");
        }
    }
}

#[test]
fn a_tag_that_is_declared_later_makes_the_edge_and_asks_only_its_users() {
    let mut db = repository(
        &[],
        &[("python", "FROM scratch\n"), ("web", "FROM python:3.12\n"), ("alone", "FROM scratch\n")],
    );
    let image = |db: &ImkDb, name: &str| Workspace::get(db).images(db)[name];
    let all = |db: &ImkDb| -> Vec<usize> {
        ["alone", "python", "web"].iter().map(|name| bases(db, image(db, name)).inside.len()).collect()
    };
    assert_eq!(all(&db), [0, 0, 0]);
    db.take_log();
    let python = image(&db, "python");
    python.set_answers(&mut db).to(Answers { tags: ["3.12".to_owned()].into(), any: false });
    assert_eq!(all(&db), [0, 0, 1]);
    let ran: Vec<String> = db.take_log().into_iter().filter(|query| query.starts_with("bases")).collect();
    assert_eq!(ran.len(), 1, "{ran:?}");
}

#[test]
fn images_of_one_repository_are_told_apart_by_their_tags() {
    let images =
        &[("os:alp", ""), ("os:deb=extra", ""), ("os:any=*", ""), ("py", ""), ("py:3.12", ""), ("web", "")];
    for prefixes in [&[][..], &["acme/"][..], &["localhost:5000/"][..]] {
        let db = repository(prefixes, images);
        let prefix = prefixes.first().copied().unwrap_or_default();
        for (user, reference, expected) in [
            ("web", "os:alp", "os:alp"),
            ("web", "os:deb", "os:deb"),
            ("web", "os:extra", "os:alp but extra"),
            ("web", "os", "os:alp but latest"),
            ("web", "os:al", "os:alp but al"),
            ("web", "py", "py"),
            ("web", "py:latest", "py"),
            ("web", "py:3.12", "py:3.12"),
            ("web", "py:3.13", "py but 3.13"),
            ("web", "oss:alp", "-"),
            ("os:alp", "os:alp", "own"),
            ("os:alp", "os:deb", "os:deb"),
            ("os:alp", "os", "os:any but latest"),
            ("py:3.12", "py", "py"),
            ("py:3.12", "py:3.12", "own"),
            ("py", "py:3.12", "py:3.12"),
            ("py", "py", "own"),
            ("py", "py:3.11", "own"),
        ] {
            for host in ["", prefix] {
                let reference = format!("{host}{reference}");
                assert_eq!(shown(&db, user, &reference), expected, "{reference} in {user}");
            }
        }
        for host in ["docker.io/", "docker.io/library/", "index.docker.io/"] {
            assert_eq!(shown(&db, "web", &format!("{host}os:deb")), "os:deb", "{host}");
        }
    }
    let db = repository(&[], &[("os:latest", ""), ("os:old", ""), ("web", "")]);
    assert_eq!([shown(&db, "web", "os"), shown(&db, "os:old", "os")], ["os:latest", "os:latest"]);
}
