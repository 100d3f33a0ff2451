//! Addresses as docker writes them, and what git, people and helpers get of each.

use super::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let told = match parse(text) {
        Ok(source) => {
            let user = source.url.user.as_ref().map(|(user, password)| format!(" as {user}:{password}"));
            let names = match &source.wanted {
                Wanted::Commit(id) => id.clone(),
                other => other.names().join(" "),
            };
            format!("{} | {} | {names}{}", source.url.address, source.shown(), user.unwrap_or_default())
        }
        Err(why) => why,
    };
    assert_eq!(told, expected);
}

#[test]
fn addresses_are_read_as_docker_reads_them() {
    check("github.com/owner/repo", "https://github.com/owner/repo | https://github.com/owner/repo | HEAD");
    check(
        "https://github.com/owner/repo.git#main:sub/dir",
        "https://github.com/owner/repo.git | https://github.com/owner/repo.git#main:sub/dir | refs/main refs/tags/main refs/heads/main",
    );
    check("https://host:8443/r.git#:sub", "https://host:8443/r.git | https://host:8443/r.git#:sub | HEAD");
    check(
        "git@github.com:owner/repo.git#refs/pull/1/head",
        "git@github.com:owner/repo.git | ssh://git@github.com/owner/repo.git#refs/pull/1/head | refs/pull/1/head",
    );
    check("ssh://git@host:22/r.git", "ssh://git@host:22/r.git | ssh://git@host:22/r.git | HEAD");
    check("git://host/r", "git://host/r | git://host/r | HEAD");
    check("file:///srv/r.git", "/srv/r.git | file:///srv/r.git | HEAD");
    check(
        "https://host/r.git#0123456789012345678901234567890123456789",
        "https://host/r.git | https://host/r.git#0123456789012345678901234567890123456789 | 0123456789012345678901234567890123456789",
    );
}

#[test]
fn a_secret_in_an_address_is_kept_apart() {
    check("https://me:se%40cret@host/r.git", "https://host/r.git | https://host/r.git | HEAD as me:se@cret");
    check("https://token@host/r.git", "https://host/r.git | https://host/r.git | HEAD as token:");
    check("ssh://git:secret@host/r.git", "ssh://git@host/r.git | ssh://git@host/r.git | HEAD");
    assert_eq!(format!("{:?}", url("https://me:secret@host/r.git").unwrap()), "https://host/r.git");
}

#[test]
fn an_excerpt_shows_no_secret_and_every_byte_at_its_place() {
    let text = "a: \"https://me:sécret@host/r.git#x@y\", b: \"ssh://git@h/r\", c: http://t@h d@e";
    let shown = masked(text);
    assert_eq!(shown, "a: \"https://**********@host/r.git#x@y\", b: \"ssh://git@h/r\", c: http://*@h d@e");
    assert_eq!(shown.len(), text.len());
}

#[test]
fn what_is_no_address_is_told() {
    check(
        "https://host/archive.tar.gz",
        "`https://host/archive.tar.gz` does not end in `.git`: docker would take it for an archive, and imk reads repositories only",
    );
    check("https://host/r.git#a b", "`a b` cannot name a branch or a tag");
    check("https://host/r.git#main:../x", "the folder `../x` leads out of the repository");
    assert!(url("ext::sh -c x").unwrap().scheme == Scheme::Local);
    assert_eq!(
        url("ftp://host/r").unwrap_err(),
        "imk does not fetch by `ftp://`; it knows https, http, ssh, git and file"
    );
    assert!(url("--upload-pack=x").is_err());
    assert!(url("ssh://-oProxyCommand=x/r").is_err());
}

#[test]
fn folders_are_told_from_addresses() {
    for remote in ["https://h/r.git", "git@h:r", "github.com/o/r", "ssh://h/r", "file:///r", "git://h/r"] {
        assert!(is_remote(remote), "{remote}");
    }
    for folder in ["web", "./web", "../web", ".", "a@b/c", "github.community/x", "a:b"] {
        assert!(!is_remote(folder), "{folder}");
    }
}

#[test]
fn what_stands_behind_a_question_mark_is_read_as_docker_reads_it() {
    let source = parse("https://h/o/r.git?ref=v1&subdir=a%2Fb&keep-git-dir=1").unwrap();
    assert_eq!((source.wanted, source.subdir.as_str()), (Wanted::Any("v1".into()), "a/b"));
    assert_eq!(source.url.address, "https://h/o/r.git");
    assert!(
        keeps_git_dir("https://h/o/r.git?keep-git-dir=1#main") && !keeps_git_dir("https://h/o/r.git#main")
    );
    let of = |query: &str| parse(&format!("ssh://git@h/o/r.git?{query}")).map(|source| source.wanted);
    assert_eq!(of("tag=v1"), Ok(Wanted::Tag("v1".into())));
    assert_eq!(of("branch=v1"), Ok(Wanted::Branch("v1".into())));
    for wrong in ["x=1", "ref=-x", "ref=a&tag=b", "subdir=../..", "submodules=0", "subdir=a&subdir=b"] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
    assert!(parse("https://h/o/r.git?ref=a#b").is_err());
    // A path of this machine may have the letter in its name.
    assert_eq!(parse("./a?b#main").unwrap().url.address, "./a?b");
}
