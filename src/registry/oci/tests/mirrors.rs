//! Mirrors come first and never have the last word.

use super::*;

fn mirrored(server: &Server, mirrors: &[&Server]) -> OciRegistry {
    let mut options = quick();
    let addresses = mirrors.iter().map(|mirror| format!("http://{}/cache", mirror.host())).collect();
    options.mirrors.insert(server.host(), addresses);
    OciRegistry::new(options)
}

#[test]
fn what_a_mirror_has_is_not_asked_of_the_registry() {
    let server = Server::start(|_, _| unknown());
    let mirror = Server::start(|_, _| found(&manifest("a"), MANIFEST));
    let registry = mirrored(&server, &[&mirror]);
    assert!(registry.head(&at(&server, "app:1")).unwrap().is_some());
    assert_eq!(mirror.lines(), ["HEAD /cache/v2/app/manifests/1"]);
    assert_eq!(server.lines(), [""; 0]);
}

#[test]
fn a_mirror_that_fails_or_lacks_it_is_passed_over() {
    let server = Server::start(|_, _| found(&manifest("a"), MANIFEST));
    let broken = Server::start(|_, _| reply(500, ""));
    let empty = Server::start(|_, _| unknown());
    let liar = Server::start(|_, _| found(&manifest("other"), MANIFEST));
    let registry = mirrored(&server, &[&broken, &empty, &liar]);
    let wanted = by_digest(&at(&server, "app"), &digest::of(&manifest("a")));
    assert_eq!(registry.manifest(&wanted).unwrap().unwrap().bytes, manifest("a"));
    assert_eq!((broken.lines().len(), empty.lines().len(), liar.lines().len()), (1, 1, 1));
    registry.manifest(&wanted).unwrap();
    assert_eq!(broken.lines().len(), 1, "a mirror in trouble is left alone for a while");
}

#[test]
fn nothing_is_written_to_a_mirror() {
    let server = Server::start(|_, _| reply(201, ""));
    let mirror = Server::start(|_, _| reply(201, ""));
    let registry = mirrored(&server, &[&mirror]);
    registry.put_manifest(&at(&server, "app:1"), &Manifest::new(MANIFEST, manifest("a"))).unwrap();
    assert_eq!((server.count("PUT"), mirror.lines().len()), (1, 0));
}

#[test]
fn a_mirror_that_is_no_address_is_named() {
    let mut options = quick();
    options.mirrors.insert("r.example".into(), vec!["ftp://m.example".into()]);
    let name = reference::parse("r.example/app").unwrap();
    let text = OciRegistry::new(options).head(&name).unwrap_err().to_string();
    assert!(text.contains("`ftp://m.example`"), "{text}");
}
