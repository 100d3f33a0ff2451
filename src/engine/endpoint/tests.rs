//! Which engine is meant, from variables and docker's own files.

use super::*;

#[test]
fn a_path_alone_is_a_socket() {
    let endpoint = Endpoint::parse("/run/user/1/docker.sock", None, "from DOCKER_HOST".into()).unwrap();
    assert_eq!(endpoint.address, Address::Unix("/run/user/1/docker.sock".into()));
}

fn environment(pairs: &[(&str, &str)]) -> Environment {
    Environment::from_lookup(|name| {
        pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    })
}

fn shown(pairs: &[(&str, &str)]) -> String {
    match Endpoint::resolve(&environment(pairs)) {
        Ok(endpoint) => endpoint.to_string(),
        Err(error) => error.to_string(),
    }
}

/// A docker configuration with one context called `far`, as the CLI writes it.
fn configuration(current: &str, host: &str, tls: bool) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    write("config.json", &format!(r#"{{"currentContext": "{current}", "auths": {{}}}}"#));
    let meta = format!(
        r#"{{"Name":"far","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}","SkipTLSVerify":false}}}}}}"#
    );
    write("contexts/meta/f00d/meta.json", &meta);
    if tls {
        write("contexts/tls/f00d/docker/ca.pem", "");
    }
    folder
}

#[test]
fn docker_host_wins() {
    let text = shown(&[("DOCKER_HOST", "unix:///x.sock"), ("DOCKER_CONTEXT", "far")]);
    assert_eq!(text, "unix:///x.sock (from DOCKER_HOST)");
}

#[test]
fn nothing_said_means_the_default_socket() {
    assert!(shown(&[]).starts_with("unix:///var/run/docker.sock (docker's default"));
    assert!(shown(&[("DOCKER_HOST", "")]).starts_with("unix:///var/run/docker.sock"));
}

#[test]
fn the_current_context_is_found_by_its_name() {
    let folder = configuration("far", "tcp://far:2376", true);
    let text = shown(&[("DOCKER_CONFIG", folder.path().to_str().unwrap())]);
    assert_eq!(text, "tcp://far:2376 with TLS (from docker context `far`, docker's current one)");
}

#[test]
fn docker_context_wins_over_the_current_one() {
    let folder = configuration("default", "ssh://me@far:22", false);
    let config = folder.path().to_str().unwrap();
    let text = shown(&[("DOCKER_CONFIG", config), ("DOCKER_CONTEXT", "far")]);
    assert_eq!(text, "ssh://me@far:22 (from docker context `far`, named by DOCKER_CONTEXT)");
    assert!(shown(&[("DOCKER_CONFIG", config)]).starts_with("unix:///var/run"));
}

#[test]
fn an_unknown_context_is_an_error_that_says_where_it_looked() {
    let folder = configuration("gone", "tcp://far:2376", false);
    let text = shown(&[("DOCKER_CONFIG", folder.path().to_str().unwrap())]);
    assert!(text.contains("docker context `gone`") && text.contains("docker context ls"), "{text}");
}

#[test]
fn ports_have_dockers_defaults() {
    let address = |host: &str, tls| parse_address(host, tls).unwrap().to_string();
    assert_eq!(address("tcp://h", None), "tcp://h:2375");
    assert_eq!(address("tcp://h", Some(Tls::default())), "tcp://h:2376 with TLS");
    assert_eq!(address("tcp://[::1]:99", None), "tcp://[::1]:99");
    assert_eq!(address("h:1", None), "tcp://h:1");
}

#[test]
fn ssh_takes_host_and_port_apart() {
    let address = parse_address("ssh://me@box:2222/run/d.sock", None).unwrap();
    let expected = Address::Ssh {
        user: Some("me".into()),
        host: "box".into(),
        port: Some(2222),
        socket: Some("/run/d.sock".into()),
    };
    assert_eq!(address, expected);
    assert!(parse_address("ssh://-oProxyCommand=x", None).is_err());
    assert!(!shown(&[("DOCKER_HOST", "ssh://me@box")]).is_empty());
}

#[test]
fn a_strange_scheme_is_refused_by_name() {
    let text = shown(&[("DOCKER_HOST", "carrier://pigeon")]);
    assert!(text.contains("carrier://") && text.contains("from DOCKER_HOST"), "{text}");
}

#[test]
fn several_engines_are_hosts_and_contexts_side_by_side() {
    let folder = configuration("", "tcp://far:2376", true);
    let config = folder.path().to_str().unwrap();
    let environment = environment(&[("DOCKER_CONFIG", config), ("DOCKER_HOST", "unix:///x.sock")]);
    let of_context = |name: &str| Endpoint::of_context(&environment, name, "named by --engine");
    // As for docker, a context that is named is not overruled by DOCKER_HOST, and `default` is what that says.
    assert_eq!(
        of_context("far").unwrap().to_string(),
        "tcp://far:2376 with TLS (from docker context `far`, named by --engine)"
    );
    assert_eq!(of_context("default").unwrap().to_string(), "unix:///x.sock (from DOCKER_HOST)");
    let why = of_context("gone").unwrap_err().to_string();
    assert!(why.contains("`gone` (named by --engine): there is no such context"), "{why}");
    let host = Endpoint::of_host(&environment, "ssh://me@big", "from --engine").unwrap();
    assert_eq!(host.to_string(), "ssh://me@big (from --engine)");
}

#[test]
fn addresses_of_a_buildkitd_are_those_of_buildctl() {
    assert_eq!(parse_buildkitd("unix:///run/b.sock"), Ok(Address::Unix("/run/b.sock".into())));
    let tcp = |host: &str, port| Ok(Address::Tcp { host: host.into(), port, tls: None });
    assert_eq!(parse_buildkitd("tcp://builder"), tcp("builder", 1234));
    assert_eq!(parse_buildkitd("tcp://[::1]:99"), tcp("::1", 99));
    for (text, line) in [
        ("docker-container://bk_0", "docker exec -i bk_0 buildctl dial-stdio"),
        ("podman-container://bk", "podman exec -i bk buildctl dial-stdio"),
        ("ssh://me@box:22", "ssh -o ConnectTimeout=30 -T -l me -p 22 -- box buildctl dial-stdio"),
        (
            "ssh://box/run/b.sock",
            "ssh -o ConnectTimeout=30 -T -- box buildctl --addr 'unix:///run/b.sock' dial-stdio",
        ),
    ] {
        let Ok(Address::Program { program, words, .. }) = parse_buildkitd(text) else { panic!("{text}") };
        assert_eq!(format!("{program} {}", words.join(" ")), line);
    }
}

#[test]
fn what_is_no_address_of_a_buildkitd_is_refused_with_a_sentence() {
    for text in [
        "docker-container://-v",
        "docker-container://a b",
        "docker-container://",
        "ssh://-oProxyCommand=x",
        "tcp://u:p@h",
        "kube-pod://x",
        "builder:1234",
    ] {
        assert!(parse_buildkitd(text).is_err(), "{text}");
    }
}
