//! The registry floor against a real registry.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex};

use fs_err as fs;
use imk::credentials::{Credentials, Given, Secret};
use imk::registry::{OciRegistry, Options, Registry, RegistryError, by_digest, digest, document};

use crate::registry_server::{PASSWORD, RegistryServer, USER, Wants};

#[test]
fn what_is_put_is_found_and_another_program_can_read_it() {
    let Some(server) = RegistryServer::open("registry_put") else { return };
    let digest = server.put_image("team/app:1", "one");
    let client = server.client();
    let head = client.head(&server.at("team/app:1")).unwrap().unwrap();
    assert_eq!((head.digest.as_str(), head.media_type.as_str()), (digest.as_str(), document::MANIFEST));
    let manifest = client.manifest(&server.at("team/app:1")).unwrap().unwrap();
    assert_eq!(manifest.descriptor(), head);
    assert_eq!(server.read_back("team/app:1").as_bytes(), manifest.bytes);
    assert_eq!(client.head(&server.at("team/app:2")).unwrap(), None);
    assert_eq!(client.head(&server.at("nobody/app:1")).unwrap(), None);
    assert_eq!(client.manifest(&server.at("nobody/app:1")).unwrap(), None);
    server.put_image("team/app:2", "two");
    assert_eq!(client.tags(&server.at("team/app")).unwrap(), ["1", "2"]);
    assert_eq!(client.tags(&server.at("nobody/app")).unwrap(), [""; 0]);
}

#[test]
fn a_platform_is_chosen_from_an_index_and_its_configuration_is_read() {
    let Some(server) = RegistryServer::open("registry_platform") else { return };
    server.put_index("app:1", &[("linux/amd64", "a"), ("linux/arm64", "b")]);
    let client = server.client();
    let arm = client.platform(&server.at("app:1"), "linux/arm64").unwrap().unwrap();
    let manifest = client.manifest(&by_digest(&server.at("app"), &arm.digest)).unwrap().unwrap();
    let config = document::Document::parse(&manifest.bytes).unwrap().config.unwrap();
    let text = String::from_utf8(client.blob(&server.at("app"), &config.digest).unwrap()).unwrap();
    assert!(text.contains("rootfs"), "{text}");
    let missing = client.blob(&server.at("app"), &digest::of(b"missing")).unwrap_err();
    assert!(matches!(missing, RegistryError::Refused { .. }), "{missing:?}");
}

#[test]
fn a_copy_within_a_registry_sends_no_blob() {
    let Some(server) = RegistryServer::open("registry_mount") else { return };
    let digest = server.put_index("app:1", &[("linux/amd64", "a"), ("linux/arm64", "b")]);
    let before = server.requests().len();
    let copied = server.client().copy(&server.at("app:1"), &server.at("release/app:1.0")).unwrap();
    assert_eq!(copied.digest, digest);
    let requests = server.requests().split_off(before);
    assert!(requests.iter().any(|line| line.contains("?from=app&mount=") || line.contains("mount=")));
    assert!(
        !requests
            .iter()
            .any(|line| line.starts_with("PATCH") || line.starts_with("PUT /v2/release/app/blobs"))
    );
    server.read_back("release/app:1.0");
    let before = server.requests().len();
    server.client().copy(&server.at("app:1"), &server.at("release/app:1.0")).unwrap();
    let again = server.requests().split_off(before);
    assert!(again.iter().all(|line| line.starts_with("HEAD") || line.starts_with("GET")), "{again:?}");
}

#[test]
fn a_copy_to_another_registry_brings_everything() {
    let Some(from) = RegistryServer::open("registry_copy") else { return };
    let Some(to) = RegistryServer::start("registry_copy", Wants { login: true, tls: true }) else { return };
    // Larger than a piece, so that it goes in several.
    let large = "0123456789abcdef".repeat(20_000);
    let digest = from.put_index("app:1", &[("linux/amd64", "small"), ("linux/arm64", &large)]);
    let client = OciRegistry::new(Options { piece: 100_000, ..to.options() });
    assert_eq!(client.copy(&from.at("app:1"), &to.at("copied:1")).unwrap().digest, digest);
    assert_eq!(client.head(&to.at("copied:1")).unwrap().unwrap().digest, digest);
    assert_eq!(digest::of(to.read_back("copied:1").as_bytes()), digest);
    assert!(to.requests().iter().filter(|line| line.starts_with("PATCH")).count() >= 4);
}

/// Bytes that restart their registry when they are first read beyond the middle.
struct Troublesome {
    bytes: Cursor<Vec<u8>>,
    server: Arc<Mutex<RegistryServer>>,
    done: bool,
}

impl Read for Troublesome {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if !self.done && self.bytes.position() > self.bytes.get_ref().len() as u64 / 2 {
            self.done = true;
            self.server.lock().unwrap().restart();
        }
        self.bytes.read(buffer)
    }
}

impl Seek for Troublesome {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.bytes.seek(to)
    }
}

#[test]
fn an_upload_survives_a_restart_of_the_registry() {
    let Some(server) = RegistryServer::open("registry_restart") else { return };
    let (options, at) = (server.options(), server.at("app"));
    let client = OciRegistry::new(Options { piece: 10_000, ..options });
    let bytes = "0123456789".repeat(10_000).into_bytes();
    let digest = digest::of(&bytes);
    let server = Arc::new(Mutex::new(server));
    let mut content =
        Troublesome { bytes: Cursor::new(bytes.clone()), server: Arc::clone(&server), done: false };
    client.upload(&at, &digest, &mut content).unwrap();
    assert!(content.done);
    assert_eq!(client.blob(&at, &digest).unwrap(), bytes);
}

#[test]
fn a_registry_that_is_gone_is_no_registry_without_images() {
    let Some(mut server) = RegistryServer::open("registry_gone") else { return };
    server.put_image("app:1", "one");
    let client = server.client();
    assert!(client.head(&server.at("app:1")).unwrap().is_some());
    server.stop();
    let error = client.head(&server.at("app:1")).unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error:?}");
}

#[test]
fn a_registry_with_a_login_lets_in_who_has_one() {
    let Some(server) = RegistryServer::start("registry_login", Wants { login: true, tls: false }) else {
        return;
    };
    let digest = server.put_image("app:1", "one");
    let at = server.at("app:1");
    let with = |credentials: Credentials| OciRegistry::new(Options { credentials, ..server.options() });
    let nowhere = server.options().credentials.config_folder;

    let nobody = with(Credentials { config_folder: nowhere.clone(), ..Credentials::default() });
    let error = nobody.head(&at).unwrap_err();
    assert!(matches!(error, RegistryError::Denied { login: None, .. }), "{error:?}");

    let given = Given { user: USER.into(), password: Secret::new("wrong"), host: server.host() };
    let error = with(Credentials { given: Some(given), config_folder: nowhere, ..Credentials::default() })
        .head(&at)
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("IMK_REGISTRY_USER") && !text.contains("wrong"), "{text}");

    let docker = tempfile::tempdir().unwrap();
    let config = format!(
        r#"{{"auths": {{"{}": {{"username": "{USER}", "password": "{PASSWORD}"}}}}}}"#,
        server.host()
    );
    fs::write(docker.path().join("config.json"), config).unwrap();
    let login = with(Credentials { config_folder: Some(docker.path().to_owned()), ..Credentials::default() });
    assert_eq!(login.head(&at).unwrap().unwrap().digest, digest);
    server.read_back("app:1");
}

/// Looks up the name in `IMK_TEST_NAME` with the logins of this process's environment.
#[test]
#[ignore = "other tests run it in a process of its own, since helpers are found by PATH"]
fn child_looks_a_name_up() {
    let Ok(name) = std::env::var("IMK_TEST_NAME") else { return };
    let credentials = Credentials::from_lookup(|name| std::env::var(name).ok()).unwrap();
    let client = OciRegistry::new(Options { credentials, ..Options::default() });
    let found = client.head(&imk::syntax::reference::parse(&name).unwrap());
    println!("found: {}", found.map_or_else(|error| error.to_string(), |head| format!("{head:?}")));
}

/// Runs [`child_looks_a_name_up`] with a credential helper that prints these passwords, one a call and then the last again.
fn look_up_with_helper(server: &RegistryServer, passwords: &[&str]) -> String {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let config = format!(r#"{{"credHelpers": {{"{}": "imk-test"}}}}"#, server.host());
    fs::write(path("config.json"), config).unwrap();
    fs::write(path("passwords"), passwords.join("\n") + "\n").unwrap();
    let script = format!(
        "#!/bin/sh\ncd '{}'\nnow=$(head -n 1 passwords)\n\
         [ $(wc -l <passwords) -gt 1 ] && sed -i 1d passwords\n\
         echo '{{\"ServerURL\":\"\",\"Username\":\"{USER}\",\"Secret\":\"'$now'\"}}'\n",
        folder.path().display()
    );
    fs::write(path("docker-credential-imk-test"), script).unwrap();
    fs::set_permissions(path("docker-credential-imk-test"), PermissionsExt::from_mode(0o755)).unwrap();
    let programs = std::env::var("PATH").unwrap();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "registry::child_looks_a_name_up", "--ignored", "--nocapture"])
        .env("IMK_TEST_NAME", server.name("app:1"))
        .env("DOCKER_CONFIG", folder.path())
        .env("PATH", format!("{}:{programs}", folder.path().display()))
        // No proxy knows the way to this machine's own ports.
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("http_proxy", "http://127.0.0.1:1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| Some(line.split_once("found: ")?.1.to_owned())).unwrap_or(text)
}

#[test]
fn a_credential_helper_with_an_expired_token_is_asked_again() {
    let wants = Wants { login: true, tls: false };
    let Some(server) = RegistryServer::start("registry_helper", wants) else { return };
    let digest = server.put_image("app:1", "one");
    let found = look_up_with_helper(&server, &["expired", PASSWORD]);
    assert!(found.contains(&digest), "{found}");
    let denied = look_up_with_helper(&server, &["expired", "too", PASSWORD]);
    assert!(denied.contains("the login from credential helper `imk-test`"), "{denied}");
}

#[test]
fn a_registry_with_a_certificate_of_its_own_is_trusted_where_docker_trusts_it() {
    let Some(server) = RegistryServer::start("registry_tls", Wants { login: false, tls: true }) else {
        return;
    };
    let Some(other) = RegistryServer::start("registry_tls", Wants { login: false, tls: true }) else {
        return;
    };
    let digest = server.put_image("app:1", "one");
    let with = |authority: &std::path::Path| {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join(server.host());
        fs::create_dir(&host).unwrap();
        fs::copy(authority, host.join("ca.crt")).unwrap();
        let client = OciRegistry::new(Options { certificates: folder.path().to_owned(), ..server.options() });
        client.head(&server.at("app:1"))
    };
    assert_eq!(with(&server.authority()).unwrap().unwrap().digest, digest);
    let text = with(&other.authority()).unwrap_err().to_string();
    assert!(text.contains("certificate"), "{text}");
}

#[test]
fn documents_attached_to_an_image_are_found_again() {
    let Some(server) = RegistryServer::open("registry_attach") else { return };
    let digest = server.put_image("app:1", "one");
    let (client, subject) = (server.client(), by_digest(&server.at("app"), &digest));
    let attach = |created: &str, payload: &[u8]| {
        let notes = BTreeMap::from([(document::CREATED.to_owned(), created.to_owned())]);
        client.attach(&subject, "application/vnd.imk.test", &notes, "application/json", payload).unwrap()
    };
    assert_eq!(client.attached(&subject, "application/vnd.imk.test").unwrap(), [b""; 0]);
    attach("2024-01-01T00:00:00Z", b"{\"n\":1}");
    attach("2024-01-02T00:00:00Z", b"{\"n\":2}");
    let found = client.attached(&subject, "application/vnd.imk.test").unwrap();
    assert_eq!(found, [b"{\"n\":2}".to_vec(), b"{\"n\":1}".to_vec()]);
    assert_eq!(client.attached(&server.at("app:1"), "application/vnd.imk.test").unwrap(), found);
    // This registry keeps no list of its own, so ours is where the specification wants it.
    let name = format!("docker://{}", server.name(&format!("app:{}", document::fallback_tag(&digest))));
    let list = server.skopeo(&["inspect", "--raw", "--tls-verify=false", &name]);
    assert_eq!(list.matches("application/vnd.imk.test").count(), 2, "{list}");
}
