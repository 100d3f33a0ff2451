//! Logins, tokens, and that neither is shown to anybody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::credentials::{Credentials, Given, Secret};

/// The challenge of a server that has its own token address.
fn challenge(seen: &Seen, repository: &str) -> Reply {
    let host = seen.header("host");
    let text = format!(
        r#"Bearer realm="http://{host}/token",service="r.example",scope="repository:{repository}:pull""#
    );
    reply(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
        .with("www-authenticate", text)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

fn given(password: &str, host: String) -> Options {
    let mut options = quick();
    options.credentials.given = Some(Given { user: "me".into(), password: Secret::new(password), host });
    options
}

/// docker's configuration with one entry, and options that use it.
fn docker(server: &Server, entry: &str) -> (tempfile::TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(r#"{{"auths": {{"{}": {entry}}}}}"#, server.host());
    fs_err::write(folder.path().join("config.json"), config).unwrap();
    let mut options = quick();
    options.credentials =
        Credentials { config_folder: Some(folder.path().to_owned()), ..Credentials::default() };
    (folder, options)
}

#[test]
fn a_token_is_fetched_once_for_each_repository() {
    let server = Server::start(|seen, _| {
        if seen.target.starts_with("/token?") {
            return reply(200, r#"{"token":"t1","expires_in":300}"#);
        }
        match seen.header("authorization") {
            "Bearer t1" => found(&manifest("a"), MANIFEST),
            _ => challenge(seen, "app"),
        }
    });
    let registry = registry();
    for name in ["app:1", "app:2", "other:1"] {
        assert!(registry.head(&at(&server, name)).unwrap().is_some());
    }
    let expected = [
        "HEAD /v2/app/manifests/1",
        "GET /token?scope=repository%3Aapp%3Apull&service=r.example",
        "HEAD /v2/app/manifests/1",
        "HEAD /v2/app/manifests/2",
        // What the registry wants is known by now.
        "GET /token?scope=repository%3Aother%3Apull&service=r.example",
        "HEAD /v2/other/manifests/1",
    ];
    assert_eq!(server.lines(), expected);
}

#[test]
fn a_token_that_has_expired_is_renewed_once() {
    let server = Server::start(|seen, before| {
        if seen.target.starts_with("/token") {
            return reply(200, format!(r#"{{"access_token":"t{before}","expires_in":300}}"#));
        }
        match (seen.target.as_str(), seen.header("authorization")) {
            ("/v2/app/manifests/1", "Bearer t0") | ("/v2/app/manifests/2", "Bearer t1") => {
                found(&manifest("a"), MANIFEST)
            }
            _ => challenge(seen, "app"),
        }
    });
    let registry = registry();
    assert!(registry.head(&at(&server, "app:1")).unwrap().is_some());
    assert!(registry.head(&at(&server, "app:2")).unwrap().is_some(), "the first token has expired meanwhile");
    assert_eq!(server.count("GET /token"), 2);
    let error = registry.head(&at(&server, "app:3")).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { login: None, .. }), "{error:?}");
    assert_eq!((server.count("GET /token"), server.count("HEAD /v2/app/manifests/3")), (3, 2));
}

#[test]
fn a_short_lived_token_is_not_used_after_its_end() {
    let server = Server::start(|seen, _| match seen.target.starts_with("/token") {
        true => reply(200, r#"{"token":"t","expires_in":1}"#),
        false if seen.header("authorization") == "Bearer t" => found(&manifest("a"), MANIFEST),
        false => challenge(seen, "app"),
    });
    let registry = registry();
    registry.head(&at(&server, "app:1")).unwrap();
    registry.head(&at(&server, "app:1")).unwrap();
    assert_eq!(server.count("GET /token"), 2);
    assert_eq!(server.count("HEAD"), 3, "the second question came with a new token at once");
}

#[test]
fn a_login_of_docker_is_shown_where_it_is_wanted() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        auth if auth == basic("me", "hunter2") => found(&manifest("a"), MANIFEST),
        _ => reply(401, "").with("www-authenticate", "Basic realm=\"x\""),
    });
    let entry = format!(r#"{{"auth": "{}"}}"#, STANDARD.encode("me:hunter2"));
    let (_folder, options) = docker(&server, &entry);
    let registry = OciRegistry::new(options);
    assert!(registry.head(&at(&server, "app:1")).unwrap().is_some());
    assert!(registry.head(&at(&server, "other:1")).unwrap().is_some());
    let unasked: Vec<bool> =
        server.seen().iter().map(|seen| seen.header("authorization").is_empty()).collect();
    assert_eq!(unasked, [true, false, false]);
}

#[test]
fn a_refused_login_says_where_it_came_from() {
    let server = Server::start(|_, _| {
        reply(401, r#"{"errors":[{"message":"wrong password"}]}"#)
            .with("www-authenticate", "Basic realm=\"x\"")
    });
    let entry = format!(r#"{{"auth": "{}"}}"#, STANDARD.encode("me:hunter2"));
    let (folder, options) = docker(&server, &entry);
    let error = OciRegistry::new(options).manifest(&at(&server, "app:1")).unwrap_err();
    let RegistryError::Denied { login, why, .. } = error else { panic!("{error:?}") };
    assert_eq!(login, Some(format!("`{}`", folder.path().join("config.json").display())));
    assert_eq!(why, "wrong password");
    assert_eq!(server.lines().len(), 2, "the same password is not tried twice");
    let nobody = registry().manifest(&at(&server, "app:1")).unwrap_err();
    assert!(matches!(nobody, RegistryError::Denied { login: None, .. }), "{nobody:?}");
}

#[test]
fn somebody_may_log_in_while_we_run() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        auth if auth == basic("me", "hunter2") => found(&manifest("a"), MANIFEST),
        _ => reply(401, "").with("www-authenticate", "Basic realm=\"x\""),
    });
    let (folder, options) = docker(&server, "{}");
    let registry = OciRegistry::new(options);
    let name = at(&server, "app:1");
    let log_in = |password: &str| {
        let auth = STANDARD.encode(format!("me:{password}"));
        let config = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, server.host());
        fs_err::write(folder.path().join("config.json"), config).unwrap();
    };
    assert!(matches!(registry.head(&name), Err(RegistryError::Denied { login: None, .. })));
    log_in("wrong");
    assert!(matches!(registry.head(&name), Err(RegistryError::Denied { login: Some(_), .. })));
    log_in("hunter2");
    assert!(registry.head(&name).unwrap().is_some());
}

#[test]
fn a_token_server_gets_the_password_and_the_registry_only_the_token() {
    let server = Server::start(|seen, _| {
        let auth = seen.header("authorization");
        match seen.target.starts_with("/token") {
            true if auth == basic("me", "hunter2") => reply(200, r#"{"token":"t"}"#),
            true => reply(401, r#"{"details":"incorrect username or password"}"#),
            false if auth == "Bearer t" => found(&manifest("a"), MANIFEST),
            false => challenge(seen, "app"),
        }
    });
    let good = OciRegistry::new(given("hunter2", server.host()));
    assert!(good.head(&at(&server, "app:1")).unwrap().is_some());
    assert!(server.lines().iter().any(|line| line.ends_with("&account=me")), "{:?}", server.lines());
    let bad = OciRegistry::new(given("hunter3", server.host()));
    let text = bad.head(&at(&server, "app:1")).unwrap_err().to_string();
    assert!(text.contains("the login from IMK_REGISTRY_USER"), "{text}");
    assert!(text.contains("incorrect username or password"), "{text}");
}

#[test]
fn an_identity_token_goes_into_a_form() {
    let server = Server::start(|seen, _| match (seen.line().as_str(), seen.header("authorization")) {
        ("POST /token", "") => reply(200, r#"{"access_token":"t"}"#),
        (_, "Bearer t") => found(&manifest("a"), MANIFEST),
        _ => challenge(seen, "app"),
    });
    let (_folder, options) = docker(&server, r#"{"identitytoken": "id/+1"}"#);
    assert!(OciRegistry::new(options).head(&at(&server, "app:1")).unwrap().is_some());
    let seen = server.seen();
    let form = seen.iter().find(|seen| seen.method == "POST").unwrap();
    let body = String::from_utf8(form.body.clone()).unwrap();
    assert_eq!(form.header("content-type"), "application/x-www-form-urlencoded");
    for part in [
        "grant_type=refresh_token",
        "refresh_token=id%2F%2B1",
        "scope=repository%3Aapp%3Apull",
        "service=r.example",
    ] {
        assert!(body.split('&').any(|pair| pair == part), "{body}");
    }
}

#[test]
fn a_login_meant_for_another_registry_is_not_shown_at_this_one() {
    let server = Server::start(|seen, _| {
        let auth = seen.header("authorization");
        match seen.target.starts_with("/token") {
            true => reply(200, r#"{"token":"nobody"}"#),
            false if auth == "Bearer nobody" => found(&manifest("a"), MANIFEST),
            false => challenge(seen, "app"),
        }
    });
    let registry = OciRegistry::new(given("hunter2", "r.example".into()));
    assert!(registry.head(&at(&server, "app:1")).unwrap().is_some());
    assert!(server.seen().iter().all(|seen| !seen.header("authorization").starts_with("Basic")));
}

#[test]
fn no_login_is_sent_for_tokens_in_plain_words_to_another_machine() {
    let server = Server::start(|_, _| {
        let realm = "Bearer realm=\"http://tokens.invalid/token\",service=\"x\"";
        reply(401, "").with("www-authenticate", realm)
    });
    let registry = OciRegistry::new(given("hunter2", server.host()));
    let error = registry.head(&at(&server, "app:1")).unwrap_err().to_string();
    assert!(error.contains("in plain words to another server"), "{error}");
}

#[test]
fn a_403_is_no_absence() {
    let server = Server::start(|_, _| reply(403, r#"{"errors":[{"code":"DENIED","message":"not yours"}]}"#));
    let error = registry().manifest(&at(&server, "app:1")).unwrap_err();
    let RegistryError::Denied { login: None, why, .. } = error else { panic!("{error:?}") };
    assert_eq!(why, "not yours");
}

#[test]
fn a_server_that_repeats_what_it_was_sent_gives_no_secret_away() {
    let server = Server::start(|seen, _| {
        let echo = format!("{} hunter2", seen.header("authorization"));
        match seen.target.as_str() {
            "/v2/app/manifests/400" if !seen.header("authorization").is_empty() => reply(400, echo),
            "/v2/app/manifests/500" if !seen.header("authorization").is_empty() => reply(500, echo),
            _ => reply(401, echo).with("www-authenticate", "Basic"),
        }
    });
    let registry = OciRegistry::new(given("hunter2", server.host()));
    for tag in ["400", "500", "401"] {
        let error = registry.manifest(&at(&server, &format!("app:{tag}"))).unwrap_err();
        let text = format!("{error} {error:?}");
        let coded = STANDARD.encode("me:hunter2");
        assert!(!text.contains("hunter2") && !text.contains(&coded), "{tag}: {text}");
        assert!(text.contains('…'), "{tag}: {text}");
    }
    let shown = format!("{:?}", given("hunter2", "r.example".into()));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn another_server_behind_a_redirect_gets_no_pass() {
    let storage = Server::start(|seen, _| match seen.target.as_str() {
        "/good" => reply(200, "abc"),
        _ => reply(403, "signature expired"),
    });
    let place = storage.host().replace("127.0.0.1", "localhost");
    let server = Server::start(move |seen, _| match seen.header("authorization") {
        "" => reply(401, "").with("www-authenticate", "Basic"),
        _ if seen.target.ends_with(&digest::of(b"abc")) => {
            reply(307, "").with("location", format!("http://{place}/good"))
        }
        _ => reply(307, "").with("location", format!("http://{place}/bad?signature=hunter3")),
    });
    let registry = OciRegistry::new(given("hunter2", server.host()));
    let name = at(&server, "app");
    assert_eq!(registry.blob(&name, &digest::of(b"abc")).unwrap(), b"abc");
    let text = registry.blob(&name, &digest::of(b"other")).unwrap_err().to_string();
    assert!(text.contains("its storage at `localhost` answers HTTP 403"), "{text}");
    assert!(!text.contains("hunter3"), "{text}");
    assert!(storage.seen().iter().all(|seen| seen.header("authorization").is_empty()));
}

/// A server that answers with tokens to whoever asks, and keeps what it was told.
fn gullible() -> Server {
    Server::start(|_, _| reply(200, r#"{"token":"stolen","access_token":"stolen"}"#))
}

#[test]
fn an_identity_token_stays_with_the_server_that_was_asked() {
    for status in [301, 302, 303, 307, 308] {
        let thief = gullible();
        let place = thief.host().replace("127.0.0.1", "localhost");
        let server = Server::start(move |seen, _| match seen.target.starts_with("/token") {
            true => reply(status, "").with("location", format!("http://{place}/token")),
            false => challenge(seen, "app"),
        });
        let (_folder, options) = docker(&server, r#"{"identitytoken": "hunter2"}"#);
        let error = OciRegistry::new(options).head(&at(&server, "app:1")).unwrap_err();
        assert!(matches!(error, RegistryError::Denied { login: Some(_), .. }), "{status}: {error:?}");
        assert!(error.to_string().contains("sends the login on"), "{status}: {error}");
        assert_eq!(thief.lines(), [""; 0], "{status}");
    }
}

#[test]
fn a_password_for_a_token_stays_with_the_server_that_was_asked() {
    for status in [301, 302, 303, 307, 308] {
        // Another name, and the same name at another port.
        for name in ["localhost", "127.0.0.1"] {
            let thief = gullible();
            let place = thief.host().replace("127.0.0.1", name);
            let server = Server::start(move |seen, _| match seen.target.starts_with("/token") {
                true => reply(status, "").with("location", format!("http://{place}/token")),
                false => challenge(seen, "app"),
            });
            let registry = OciRegistry::new(given("hunter2", server.host()));
            registry.head(&at(&server, "app:1")).unwrap_err();
            for seen in thief.seen() {
                assert_eq!(seen.header("authorization"), "", "{status} {name}");
                assert!(!String::from_utf8_lossy(&seen.body).contains("hunter2"), "{status} {name}");
            }
        }
    }
}

#[test]
fn no_question_carries_a_pass_to_another_server() {
    for status in [301, 302, 303, 307, 308] {
        for name in ["localhost", "127.0.0.1"] {
            for bearer in [true, false] {
                let other = Server::start(|_, _| reply(404, ""));
                let place = other.host().replace("127.0.0.1", name);
                let server = Server::start(move |seen, _| match seen.header("authorization") {
                    "" if seen.target.starts_with("/token") => reply(200, r#"{"token":"t"}"#),
                    _ if seen.target.starts_with("/token") => reply(200, r#"{"token":"t"}"#),
                    "" if bearer => challenge(seen, "app"),
                    "" => reply(401, "").with("www-authenticate", "Basic"),
                    _ => reply(status, "").with("location", format!("http://{place}{}", seen.target)),
                });
                let registry = OciRegistry::new(given("hunter2", server.host()));
                let name = at(&server, "app:1");
                let _ = registry.head(&name);
                let _ = registry.manifest(&name);
                let _ = registry.blob(&name, &digest::of(b"abc"));
                let _ = registry.tags(&name);
                let _ = registry.put_manifest(&name, &Manifest::new(MANIFEST, manifest("a")));
                let _ = registry.has_blob(&name, &digest::of(b"abc"));
                let _ = registry.mount(&name, &digest::of(b"abc"), &at(&server, "other"));
                let seen = other.seen();
                assert!(!seen.is_empty(), "{status}: the questions went there");
                for seen in seen {
                    assert_eq!(seen.header("authorization"), "", "{status} {}", seen.line());
                }
            }
        }
    }
}

#[test]
fn a_mirror_gets_neither_the_login_nor_the_token_of_the_registry() {
    let server = Server::start(|seen, _| match seen.header("authorization") {
        _ if seen.target.starts_with("/token") => reply(200, r#"{"token":"t"}"#),
        "Bearer t" => found(&manifest("a"), MANIFEST),
        _ => challenge(seen, "app"),
    });
    for wants in ["Basic realm=\"x\"", "Bearer realm=\"/token\",service=\"r.example\""] {
        let mirror = Server::start(move |seen, _| match seen.target.contains("/token") {
            true => reply(401, ""),
            false => reply(401, "").with("www-authenticate", wants),
        });
        let mut options = given("hunter2", server.host());
        options.mirrors.insert(server.host(), vec![format!("http://{}", mirror.host())]);
        let registry = OciRegistry::new(options);
        assert!(registry.head(&at(&server, "app:1")).unwrap().is_some());
        assert!(
            registry.head(&at(&server, "app:2")).unwrap().is_some(),
            "with a token of the registry known"
        );
        assert!(!mirror.seen().is_empty());
        for seen in mirror.seen() {
            assert_eq!(seen.header("authorization"), "", "{wants}: {}", seen.line());
        }
    }
}

#[test]
fn where_a_redirect_leads_nobody_learns_what_stood_in_the_address_before() {
    let other = Server::start(|_, _| reply(200, "abc").with("etag", "1"));
    let place = other.host().replace("127.0.0.1", "localhost");
    let server = Server::start(move |_, _| reply(302, "").with("location", format!("http://{place}/x")));
    let url = format!("http://me:hunter2@{}/x?private_token=hunter3", server.host());
    registry().web(&url).unwrap();
    assert!(server.seen().iter().all(|seen| seen.header("authorization").starts_with("Basic")));
    assert!(!other.seen().is_empty());
    for seen in other.seen() {
        assert_eq!((seen.header("authorization"), seen.header("referer")), ("", ""));
    }
}
