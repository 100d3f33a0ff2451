//! Layered contexts, case by case: what is seen, what hides what, what is refused.

use std::fmt::Write;

use super::*;
use crate::source::memory::MemoryTree;
use crate::source::tree::SourceTree;
use crate::syntax::glob;
use crate::syntax::reads::{ReadSource, Reads};

const TREE: &str = "\
//- web/Dockerfile
FROM scratch
//- web/src/own.rs
own
//- web/vendor/lib/old.rs
old
//- web/vendor/other.rs
other
//- web/latest link=src
//- shared/lib/a.rs
a
//- shared/lib/deep/b.rs mode=755
b
//- shared/link link=lib
//- LICENSE
free
";

fn selection(overlays: &str, patterns: &[&str], ignore: &str) -> Selection {
    let source = |pattern: &&str| ReadSource {
        pattern: (*pattern).into(),
        wildcard: glob::has_wildcards(pattern),
        required: !pattern.is_empty() && !glob::has_wildcards(pattern),
        ..Reads::whole().sources.remove(0)
    };
    let overlay = |text: &str| {
        let (at, from) = text.split_once('=').unwrap();
        Overlay { at: at.into(), from: OverlaySide::Path(from.into()) }
    };
    Selection {
        root: "web".into(),
        ignore: (!ignore.is_empty()).then(|| ignore.into()),
        reads: Reads { sources: patterns.iter().map(source).collect() },
        overlays: overlays.split_whitespace().map(overlay).collect(),
        named: Default::default(),
    }
}

/// The files that count, with what opening them brings.
fn listed(tree: &dyn SourceTree, selection: &Selection) -> String {
    let files = match tree.used_files(selection) {
        Ok(files) => files.files,
        Err(error) => return error.to_string(),
    };
    let mut text = String::new();
    for file in files.iter().filter(|file| file.counts) {
        let mut content = String::new();
        if file.kind == FileKind::File {
            tree.open_used(selection, &file.path).unwrap().read_to_string(&mut content).unwrap();
        }
        let end = if file.kind == FileKind::Folder { "/" } else { "" };
        let _ = write!(text, "{}{end}{} ", file.path, content.trim_end().replace('\n', "|"));
    }
    text.trim_end().into()
}

#[track_caller]
fn check(overlays: &str, patterns: &[&str], ignore: &str, expected: &str) {
    let memory = MemoryTree::new(TREE);
    assert_eq!(listed(&memory, &selection(overlays, patterns, ignore)), expected);
}

#[test]
fn an_overlay_hides_what_stood_at_its_path_and_nothing_beside_it() {
    check(
        "vendor/lib=shared/lib",
        &["vendor"],
        "",
        "vendor/ vendor/lib/ vendor/lib/a.rsa vendor/lib/deep/ vendor/lib/deep/b.rsb vendor/other.rsother",
    );
}

#[test]
fn folders_on_the_way_need_not_exist_and_a_file_is_an_overlay_too() {
    check("new/deep/lib=shared/lib/deep", &["new"], "", "new/ new/deep/ new/deep/lib/ new/deep/lib/b.rsb");
    check("LICENSE=LICENSE", &["LICENSE"], "", "LICENSEfree");
    check("src/own.rs=LICENSE", &["src/*.rs"], "", "src/own.rsfree");
    check("src=LICENSE", &["src"], "", "srcfree");
}

#[test]
fn a_deeper_overlay_hides_a_part_of_one_above() {
    check(
        "vendor=shared vendor/lib/deep=web/src",
        &["vendor/lib"],
        "",
        "vendor/lib/ vendor/lib/a.rsa vendor/lib/deep/ vendor/lib/deep/own.rsown",
    );
}

#[test]
fn links_wildcards_and_ignore_rules_see_the_finished_tree() {
    check("src=shared/lib", &["latest/a.rs"], "", "latest src/a.rsa");
    check("src=shared/lib", &["s*/*.rs"], "", "src/a.rsa");
    check("src=shared/lib", &["src"], "src/deep\n", "src/ src/a.rsa");
}

#[test]
fn what_cannot_stand_is_refused_by_name() {
    check(
        "src=nowhere",
        &[""],
        "",
        "cannot read `nowhere`: there is no such file or folder; it is the overlay at `src`",
    );
    check(
        "Dockerfile/x=shared",
        &[""],
        "",
        "cannot read `web/Dockerfile`: it is no folder, so no overlay can stand in it",
    );
}

#[test]
fn an_overlay_that_nothing_copies_is_not_looked_at_for_files() {
    let memory = MemoryTree::new(TREE);
    let with = selection("vendor/lib=shared/lib", &["src"], "");
    let without = selection("", &["src"], "");
    let hash = |selection| memory.select(&[selection])[0].as_ref().unwrap().hash;
    assert_eq!(hash(with), hash(without));
}

/// The paths of a small repository, with names that meet each other often.
const PATHS: &[&str] = &["a", "b", "a/c", "a/d", "b/c", "a/c/e", "b/c/a", "c/a/b"];

/// Copies what is at a path to another place, as an overlay only pretends to.
fn put(from: &BTreeMap<String, String>, what: &str, into: &mut BTreeMap<String, String>, at: &str) {
    into.retain(|path, _| !is_within(path, at));
    for (path, text) in from.iter().filter(|(path, _)| is_within(path, what)) {
        into.insert(format!("{at}{}", &path[what.len()..]), text.clone());
    }
}

fn tree_of(files: &BTreeMap<String, String>) -> MemoryTree {
    let mut tree = MemoryTree::new("");
    MemoryTree::folder(&mut tree, "web");
    for (path, text) in files {
        match text.strip_prefix("link ") {
            Some(target) => tree.link(path, target),
            None => tree.write(path, text),
        }
    }
    tree
}

proptest::proptest! {
    /// Layers are seen as a folder is in which everything was really copied to its place.
    #[test]
    fn layers_are_as_good_as_copies(
        own in proptest::collection::btree_map(0..8usize, 0..6u8, 1..6),
        shared in proptest::collection::btree_map(0..8usize, 0..6u8, 1..6),
        overlays in proptest::collection::btree_map(0..8usize, 0..8usize, 1..4),
        patterns in proptest::collection::vec(0..9usize, 1..4),
        ignored in proptest::option::of(0..8usize),
    ) {
        let links = ["link a", "link b/c", "link ../a"];
        let files = |root: &str, chosen: &BTreeMap<usize, u8>| {
            let mut files: BTreeMap<String, String> = BTreeMap::new();
            for (path, kind) in chosen {
                let path = format!("{root}/{}", PATHS[*path]);
                // A name is a file or a folder, and never both.
                if !files.keys().any(|other| is_within(other, &path) || is_within(&path, other)) {
                    let text = links.get(usize::from(*kind)).map_or(format!("{root}{kind}"), |it| (*it).into());
                    files.insert(path, text);
                }
            }
            files
        };
        let (own, shared) = (files("web", &own), files("shared", &shared));
        let mut copied = own.clone();
        let mut used = Vec::new();
        for (at, from) in &overlays {
            let (at, from) = (PATHS[*at], format!("shared/{}", PATHS[*from]));
            // Links and nothing are refused; so is a file in the way.
            let source: Vec<_> = shared.iter().filter(|(path, _)| is_within(path, &from)).collect();
            let to = format!("web/{at}");
            let blocked = copied.keys().any(|path| is_within(&to, path) && *path != to);
            if source.is_empty() || blocked || source.iter().any(|(path, text)| **path == from && text.starts_with("link")) {
                continue;
            }
            used.push(format!("{at}={from}"));
            put(&shared, &from, &mut copied, &to);
        }
        let mut layered = own;
        layered.extend(shared);
        let patterns: Vec<&str> = patterns.iter().map(|it| PATHS.get(*it).copied().unwrap_or("*")).collect();
        let ignore = ignored.map_or(String::new(), |it| PATHS[it].to_owned());
        let with = selection(&used.join(" "), &patterns, &ignore);
        let plain = Selection { overlays: Vec::new(), ..with.clone() };
        let shown = |tree: &MemoryTree, selection: &Selection| {
            let answer = tree.select(std::slice::from_ref(selection)).remove(0);
            let files = tree.used_files(selection).map(|files| files.files);
            let files = files.map(|files| {
                let short = |file: crate::model::file::UsedFile| (file.path, file.kind, file.mode, file.hash, file.counts);
                files.into_iter().map(short).collect::<Vec<_>>()
            });
            (answer.map(|it| (it.hash, it.missing)), files)
        };
        proptest::prop_assert_eq!(shown(&tree_of(&layered), &with), shown(&tree_of(&copied), &plain));
    }
}
