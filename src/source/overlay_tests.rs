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
        Overlay { at: at.into(), from: Place::Path(from.into()) }
    };
    Selection {
        root: "web".into(),
        ignore: (!ignore.is_empty()).then(|| ignore.into()),
        reads: Reads { sources: patterns.iter().map(source).collect() },
        overlays: overlays.split_whitespace().map(overlay).collect(),
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
