//! Input that means harm, or was never meant to be read. No test here has a timer: each
//! is so large that a reader which is not linear would never come to its end.

use std::os::unix::ffi::OsStrExt;

use fs_err as fs;
use imk::source::disk::DiskTree;
use imk::source::memory::MemoryTree;
use imk::source::tree::{Selection, SourceTree};
use imk::syntax::reads::Reads;
use imk::syntax::{dockerfile, dockerignore, imagefile, resolve};

use crate::differential::random::Random;
use crate::sandbox::Sandbox;

fn reads(dockerfile: &str) -> Reads {
    let file = dockerfile::parse(dockerfile).unwrap();
    resolve::resolve(&file, &resolve::Request::default()).unwrap().reads
}

fn selection(dockerfile: &str, ignore: Option<&str>) -> Selection {
    Selection {
        root: String::new(),
        ignore: ignore.map(str::to_owned),
        reads: reads(dockerfile),
        overlays: Vec::new(),
        named: Default::default(),
    }
}

#[test]
fn a_hundred_thousand_stages_are_read_and_only_the_reached_ones_count() {
    let mut text = String::from("FROM scratch AS s0\n");
    for number in 1..100_000 {
        text += &format!("FROM s{} AS s{number}\n", (number - 1) / 2);
    }
    let file = dockerfile::parse(&text).unwrap();
    let recipe = resolve::resolve(&file, &resolve::Request::default()).unwrap();
    assert_eq!(recipe.stages.len(), 17);
    // And a chain in which all of them are.
    let chain: String = (1..100_000).map(|n| format!("FROM s{} AS s{n}\n", n - 1)).collect();
    let file = dockerfile::parse(&format!("FROM scratch AS s0\n{chain}")).unwrap();
    let recipe = resolve::resolve(&file, &resolve::Request::default());
    assert!(recipe.is_ok_and(|recipe| recipe.stages.len() == 100_000));
}

#[test]
fn huge_lines_are_only_long() {
    let long = "x".repeat(60_000);
    let file = dockerfile::parse(&format!("FROM scratch\nRUN {long}\nCOPY {long} /\n")).unwrap();
    assert!(resolve::resolve(&file, &resolve::Request::default()).is_ok());
    let longer = dockerfile::parse(&format!("FROM scratch\nRUN {}\n", "x".repeat(8 << 20))).unwrap_err();
    assert!(longer[0].message.contains("Docker reads lines of up to 65536"), "{longer:?}");
    // The place is a whole character, also of two bytes.
    let text = "é".repeat(1 << 16);
    let span = dockerfile::parse(&text).unwrap_err()[0].span;
    assert_eq!(text.get(span.start..span.end), Some("é"));
    let joined = "\\\n".repeat(1 << 20);
    assert!(dockerfile::parse(&format!("FROM scratch\nRUN a {joined} b\n")).is_ok());
    let quotes = "\"".repeat(1 << 20);
    let _ = dockerfile::parse(&format!("FROM scratch\nENV A={quotes}\n"));
    let ignore = dockerignore::parse(&"*".repeat(1 << 14)).unwrap();
    assert!(ignore.matches(&"a".repeat(1 << 10)));
}

#[test]
fn variables_that_double_are_refused_and_not_expanded() {
    let mut text = String::from("FROM scratch\nARG A0=xxxxxxxxxxxxxxxx\n");
    for number in 1..64 {
        text += &format!("ARG A{number}=$A{0}$A{0}\n", number - 1);
    }
    let file = dockerfile::parse(&format!("{text}COPY $A63 /\n")).unwrap();
    let errors = resolve::resolve(&file, &resolve::Request::default()).unwrap_err();
    assert!(errors.iter().any(|error| error.message.contains("too long")), "{errors:?}");
}

#[test]
fn stars_upon_stars_match_in_time() {
    let ignore = dockerignore::parse(&format!("{}b\n", "*a".repeat(200))).unwrap();
    assert!(!ignore.matches(&"a".repeat(2000)));
    let ignore = dockerignore::parse(&format!("{}b\n", "**/a/".repeat(200))).unwrap();
    assert!(!ignore.matches(&"a/".repeat(1000)));
    let wildcard = selection(&format!("FROM scratch\nCOPY {}b /\n", "*a".repeat(200)), None);
    let mut tree = MemoryTree::default();
    tree.write(&"a".repeat(2000), "x");
    assert_eq!(tree.used_files(&wildcard).unwrap().files.len(), 0);
}

#[test]
fn deep_nesting_is_refused_or_read_and_never_a_crash() {
    for bracket in ["(", "[", "{", "(images:", "Some("] {
        let text = bracket.repeat(100_000);
        assert!(imagefile::read(&text, &Default::default()).is_err(), "{bracket}");
    }
    let braces = format!("FROM scratch\nARG A={}\n", "${a:-".repeat(100_000));
    if let Ok(file) = dockerfile::parse(&braces) {
        assert!(resolve::resolve(&file, &resolve::Request::default()).is_err());
    }
    let trigger = format!("FROM scratch\n{}RUN x\n", "ONBUILD ".repeat(100_000));
    assert!(dockerfile::parse(&trigger).is_err());
    let mut tree = MemoryTree::default();
    tree.write(&format!("{}f", "d/".repeat(500)), "x");
    assert_eq!(tree.used_files(&selection("FROM scratch\nCOPY . /\n", None)).unwrap().files.len(), 501);
}

#[test]
fn links_that_lead_in_circles_end() {
    let mut tree = MemoryTree::default();
    tree.link("a", "b");
    tree.link("b", "a");
    tree.link("d/up", "..");
    tree.link("self", "self/self/self");
    // As links among others they are only copied.
    let whole = tree.used_files(&selection("FROM scratch\nCOPY . /\n", None)).unwrap();
    assert_eq!(whole.files.len(), 5);
    for path in ["a", "b/x", "self", "self/y"] {
        let error = tree.used_files(&selection(&format!("FROM scratch\nCOPY {path} /\n"), None)).unwrap_err();
        assert!(error.why.contains("circle"), "{path}: {error}");
    }
    let through = selection(&format!("FROM scratch\nCOPY {}d /\n", "d/up/".repeat(100)), None);
    assert!(tree.used_files(&through).is_ok());
}

#[test]
fn pipes_and_sockets_are_copied_and_odd_names_are_refused_only_where_they_are_used() {
    let sandbox = Sandbox::empty();
    fs::create_dir(sandbox.path("d")).unwrap();
    sandbox.edit("d/f", "x").edit("g", "y");
    let made = std::process::Command::new("mkfifo").arg(sandbox.path("d/pipe")).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(sandbox.path("socket")).unwrap();
    let odd = sandbox.root().join(std::ffi::OsStr::from_bytes(b"odd\xff\xfe"));
    fs::write(odd, "z").unwrap();
    let tree =
        DiskTree::open(sandbox.root(), &imk::state::folder::StateFolder::at(&sandbox.path(".imk"))).unwrap();
    let used = |dockerfile: &str, ignore: Option<&str>| {
        tree.used_files(&selection(&format!("FROM scratch\n{dockerfile} /\n"), ignore))
            .map(|list| list.files.into_iter().map(|file| file.path).collect::<Vec<_>>().join(" "))
            .map_err(|error| error.to_string())
    };
    assert_eq!(used("COPY g d/f", None).unwrap(), "d d/f g");
    assert_eq!(used("COPY d", None).unwrap(), "d d/f d/pipe");
    assert_eq!(used("COPY socket", None).unwrap(), "socket");
    insta::assert_snapshot!(used("COPY .", Some("d/pipe\nsocket")).unwrap_err(), @"cannot read `odd��`: its name is not UTF-8, and BuildKit's file sync sends no other");
    insta::assert_snapshot!(used("COPY .", Some("d/pipe\nsocket\nodd*")).unwrap(), @"d d/f g");
}

/// Any bytes at all, or pieces of the three languages in any order.
#[test]
fn no_reader_panics_on_random_bytes() {
    const PIECES: [&str; 44] = [
        "FROM ",
        "scratch",
        " AS ",
        "\n",
        "COPY ",
        "--from=",
        "ARG ",
        "$",
        "${",
        "}",
        ":-",
        "#",
        "\\",
        "`",
        "<<EOF",
        "EOF",
        "\"",
        "'",
        "[",
        "]",
        ",",
        "ONBUILD ",
        "RUN ",
        "--mount=type=bind,",
        "# syntax=",
        "!",
        "**",
        "/",
        "..",
        "(",
        ")",
        "images",
        ":",
        "{",
        "like",
        "\u{feff}",
        "\r\n",
        "é",
        "HEALTHCHECK ",
        "%%",
        "//",
        "^",
        "-",
        "\t",
    ];
    let mut random = Random::new(7);
    for round in 0..4000 {
        let mut bytes = Vec::new();
        for _ in 0..random.below(40) {
            match random.below(4) {
                0 if round % 2 == 0 => bytes.push((random.next() & 0xff) as u8),
                _ => bytes.extend_from_slice(random.pick(&PIECES).as_bytes()),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let _ = dockerfile::parse_trigger(&text);
        for text in [text.to_string(), format!("FROM scratch\n{text}")] {
            if let Ok(file) = dockerfile::parse(&text)
                && let Ok(recipe) = resolve::resolve(&file, &resolve::Request::default())
            {
                let pinned = recipe.pinned(&text, |_| Some("localhost/pinned:1".into()));
                assert_eq!(pinned.matches('\n').count(), text.matches('\n').count(), "{text:?}");
            }
        }
        if let Ok(ignore) = dockerignore::parse(&text) {
            let _ = ignore.matches("a/b/é");
        }
        let _ = imagefile::read(&text, &Default::default());
        let _ = imagefile::read(&format!("(images: {{{text}}})"), &Default::default());
    }
}
