//! Addresses of submodules, and who may be asked for them.

use super::*;
use crate::source::git::modules::tests::git;
use crate::state::folder::StateFolder;

#[test]
fn a_relative_address_begins_at_that_of_the_repository_around_as_git_has_it() {
    for (base, address, expected) in [
        ("https://h/team/app.git", "../lib.git", "https://h/team/lib.git"),
        ("https://h/team/app.git/", "./lib", "https://h/team/app.git/lib"),
        ("https://h/team/app.git", "../../other/lib/", "https://h/other/lib"),
        ("https://h/team/app.git", "https://x/lib", "https://x/lib"),
        ("https://h/team/app.git", "sub/lib", "sub/lib"),
        ("user@host:path/to/repo", "../subrepo", "user@host:path/to/subrepo"),
        ("user@host:repo", "../subrepo", "user@host:subrepo"),
        ("ssh://host:22/path/repo", "../subrepo", "ssh://host:22/path/subrepo"),
        ("ssh://host/repo", "../../subrepo", "ssh://subrepo"),
        ("/srv/repo", "../a/b", "/srv/a/b"),
        ("repo", "../a", "./a"),
    ] {
        assert_eq!(resolved(base, address), expected, "{base} {address}");
    }
}

/// A repository with settings, and whether each address may be asked on a checkout's word.
fn check(settings: &[&str], addresses: &[(&str, Result<bool, ()>)]) {
    let dir = tempfile::tempdir().unwrap();
    git(dir.path(), "init -q");
    settings.iter().for_each(|setting| git(dir.path(), &format!("config {setting}")));
    let environment = BTreeMap::from([("GIT_ALLOW_PROTOCOL".into(), "http:https:ssh:git".into())]);
    let fetcher = Fetcher::new(dir.path(), &StateFolder::at(&dir.path().join("state")), environment);
    let source = ModuleSource::of_own(fetcher, &Repository::open(dir.path()).unwrap(), false);
    for (address, expected) in addresses {
        let agreed = source.is_agreed(&url(address).unwrap()).map_err(|_| ());
        assert_eq!(agreed, *expected, "{address} with {settings:?}");
    }
}

#[test]
fn nobody_is_asked_on_the_word_of_a_checkout_alone() {
    check(&[], &[("https://h/lib", Ok(false)), ("/srv/lib", Err(())), ("file:///srv/lib", Err(()))]);
    check(
        &["remote.origin.url https://me:word@H.example/team/app.git"],
        &[
            ("https://h.example/other/lib", Ok(true)),
            ("http://h.example/other/lib", Ok(false)),
            ("https://h.example:8443/other/lib", Ok(false)),
            ("https://h.example.evil/lib", Ok(false)),
            ("https://h.example@evil/lib", Ok(false)),
            ("git@h.example:lib", Ok(false)),
        ],
    );
    check(
        &["remote.up.url git@h:app", "submodule.lib.url https://libs.example/lib"],
        &[("git@h:lib", Ok(true)), ("https://libs.example/deep", Ok(true)), ("https://x/lib", Ok(false))],
    );
}

#[test]
fn the_remote_is_that_of_the_branch_then_origin_then_the_only_one() {
    let base = |settings: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), "init -q");
        settings.iter().for_each(|setting| git(dir.path(), &format!("config {setting}")));
        let fetcher = Fetcher::new(dir.path(), &StateFolder::at(dir.path()), BTreeMap::new());
        let repository = Repository::open(dir.path()).unwrap();
        let here = repository.workdir().unwrap().to_string_lossy().trim_end_matches('/').to_owned();
        ModuleSource::of_own(fetcher, &repository, false).base.replace(&here, "HERE")
    };
    let (origin, up) = ("remote.origin.url https://h/o", "remote.up.url https://h/u");
    assert_eq!(base(&[]), "HERE");
    assert_eq!(base(&[up]), "https://h/u");
    assert_eq!(base(&[up, origin]), "https://h/o");
    assert_eq!(base(&[up, origin, "branch.main.remote up"]), "https://h/u");
    assert_eq!(base(&["remote.origin.url ../beside"]), "HERE/../beside");
}

#[test]
fn a_list_says_where_a_submodule_is_from_or_that_is_told() {
    let said = |list: &str| {
        listed(&Module { path: "lib".into(), list: list.into(), commit: String::new() })
            .map_or_else(|why| why, |(name, address)| format!("{name} {address}"))
    };
    assert_eq!(said("[submodule \"x\"]\n\tpath = lib/\n\turl = ../x"), "x ../x");
    for text in ["", "[submodule \"x\"]\n\tpath = lib", "[submodule \"x\"]\n\tpath = other\n\turl = y"] {
        assert_eq!(said(text), "`.gitmodules` does not say where it is from");
    }
    assert_eq!(said("[oops"), "`.gitmodules` cannot be read");
}
