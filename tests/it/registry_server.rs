//! A real registry for one test: Debian's `docker-registry` on a free port of this
//! machine, with a folder of its own. Ends, and takes the folder along, when dropped.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fs_err as fs;
use imk::credentials::{Credentials, Given, Secret};
use imk::registry::{Descriptor, Manifest, OciRegistry, Options, Registry, digest, document};
use imk::syntax::reference::{self, Reference};

/// The login of a registry that wants one.
pub const USER: &str = "me";
pub const PASSWORD: &str = "hunter2";
/// That login as `htpasswd -B` writes it.
const HTPASSWD: &str = "me:$2y$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

/// What a registry wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// [`USER`] with [`PASSWORD`].
    pub login: bool,
    /// TLS, with a certificate that [`RegistryServer::authority`] signed.
    pub tls: bool,
}

/// A registry that runs.
pub struct RegistryServer {
    folder: tempfile::TempDir,
    wants: Wants,
    port: u16,
    child: Child,
}

impl RegistryServer {
    /// One that lets everybody in, or `None` with a loud word when there is to be none.
    pub fn open(test: &str) -> Option<Self> {
        Self::start(test, Wants::default())
    }

    /// One that wants something.
    pub fn start(test: &str, wants: Wants) -> Option<Self> {
        for program in ["docker-registry", "skopeo", "openssl"] {
            let there = Command::new(program).arg("--version").output().is_ok();
            if !there && std::env::var_os("IMK_TEST_NO_ENGINE").is_some() {
                eprintln!("SKIPPED {test}: there is no `{program}`, and IMK_TEST_NO_ENGINE is set");
                return None;
            }
            assert!(there, "{test} needs `{program}`; run: ci/packages docker-registry skopeo openssl");
        }
        let folder = tempfile::Builder::new().prefix("imk-registry-").tempdir().unwrap();
        if wants.tls {
            make_certificates(folder.path());
        }
        fs::write(folder.path().join("htpasswd"), HTPASSWD).unwrap();
        let (port, child) = run(folder.path(), wants, None);
        Some(Self { folder, wants, port, child })
    }

    /// `127.0.0.1:PORT`
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The folder with all that it has, as Docker's registry lays it out.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The full name of `app:1` here.
    pub fn name(&self, rest: &str) -> String {
        format!("{}/{rest}", self.host())
    }

    /// The same as a reference.
    pub fn at(&self, rest: &str) -> Reference {
        reference::parse(&self.name(rest)).unwrap()
    }

    /// Options that get in here, and look at nothing of this machine.
    pub fn options(&self) -> Options {
        let given = Given { user: USER.to_owned(), password: Secret::new(PASSWORD), host: self.host() };
        Options {
            credentials: Credentials {
                given: Some(given).filter(|_| self.wants.login),
                config_folder: Some(self.folder.path().join("no-docker")),
                ..Credentials::default()
            },
            certificates: self.folder.path().join("no-certs.d"),
            ..Options::default()
        }
    }

    /// A client that gets in here.
    pub fn client(&self) -> OciRegistry {
        OciRegistry::new(self.options())
    }

    /// Puts an image of one layer there, an uncompressed tar with a file `content`, and gives its digest.
    pub fn put_image(&self, name: &str, content: &str) -> String {
        let manifest = self.upload_image(name, content);
        self.client().put_manifest(&self.at(name), &manifest).unwrap();
        manifest.digest
    }

    /// Puts an index of such images there, each for a platform (`linux/arm64`), and gives its digest.
    pub fn put_index(&self, name: &str, images: &[(&str, &str)]) -> String {
        let client = self.client();
        let entries: Vec<_> = images
            .iter()
            .map(|(platform, content)| {
                let manifest = self.upload_image(name, content);
                let at = Reference { tag: None, digest: Some(manifest.digest.clone()), ..self.at(name) };
                client.put_manifest(&at, &manifest).unwrap();
                let (os, architecture) = platform.split_once('/').unwrap();
                let mut entry = document::entry(&manifest.descriptor());
                entry["platform"] = serde_json::json!({ "os": os, "architecture": architecture });
                entry
            })
            .collect();
        let index = Manifest::new(document::INDEX, document::index(&entries));
        client.put_manifest(&self.at(name), &index).unwrap();
        index.digest
    }

    fn upload_image(&self, name: &str, content: &str) -> Manifest {
        let client = self.client();
        let upload = |media_type: &str, bytes: Vec<u8>| {
            let digest = digest::of(&bytes);
            let size = bytes.len() as u64;
            client.upload(&self.at(name), &digest, &mut std::io::Cursor::new(bytes)).unwrap();
            Descriptor { media_type: media_type.to_owned(), digest, size }
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_data(&mut header, "content", content.as_bytes()).unwrap();
        let layer = upload("application/vnd.oci.image.layer.v1.tar", tar.into_inner().unwrap());
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
        });
        let config = upload("application/vnd.oci.image.config.v1+json", config.to_string().into_bytes());
        Manifest::new(document::MANIFEST, document::image(&config, &[layer]))
    }

    /// The certificate of the authority that signed this registry's.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// What it was asked so far: `HEAD /v2/app/manifests/1`.
    pub fn requests(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        let quoted = log.lines().filter_map(|line| Some(line.split('"').nth(1)?.split_once(" HTTP/")?.0));
        quoted.filter(|line| line.contains(" /v2/")).map(str::to_owned).collect()
    }

    /// Ends it; what it has stays.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Ends it and starts it again at the same address.
    pub fn restart(&mut self) {
        self.stop();
        (_, self.child) = run(self.folder.path(), self.wants, Some(self.port));
    }

    /// Runs `skopeo` with these words and this registry's login, and gives what it printed. It must succeed.
    pub fn skopeo(&self, words: &[&str]) -> String {
        let output = Command::new("skopeo").args(words).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "skopeo {words:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Reads an image to its last byte with `skopeo`, which checks every digest, and gives its manifest.
    pub fn read_back(&self, name: &str) -> String {
        let target = tempfile::tempdir().unwrap();
        let (from, to) =
            (format!("docker://{}", self.name(name)), format!("dir:{}", target.path().display()));
        let login = format!("{USER}:{PASSWORD}");
        let mut words = vec!["copy", "--all", "--src-tls-verify=false"];
        if self.wants.login {
            words.extend(["--src-creds", &login]);
        }
        words.extend([from.as_str(), to.as_str()]);
        self.skopeo(&words);
        fs::read_to_string(target.path().join("manifest.json")).unwrap()
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts the program and waits until it answers. Another process may take the port
/// between our finding and its using it, so another is tried then.
fn run(folder: &Path, wants: Wants, port: Option<u16>) -> (u16, Child) {
    for _ in 0..20 {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let port = port.unwrap_or_else(free);
        fs::write(folder.join("config.yml"), configuration(folder, wants, port)).unwrap();
        let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
        let log = log.into_file();
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(folder.join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return (port, child);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    panic!("docker-registry does not start: {}", fs::read_to_string(folder.join("log")).unwrap());
}

fn configuration(folder: &Path, wants: Wants, port: u16) -> String {
    let folder = folder.display();
    // The secret lets an upload go on after a restart.
    let mut text = format!(
        "version: 0.1\n\
         storage:\n  filesystem:\n    rootdirectory: {folder}/data\n  delete:\n    enabled: true\n\
         http:\n  addr: 127.0.0.1:{port}\n  secret: imk\n"
    );
    if wants.tls {
        text.push_str(&format!(
            "  tls:\n    certificate: {folder}/server.crt\n    key: {folder}/server.key\n"
        ));
    }
    if wants.login {
        text.push_str(&format!("auth:\n  htpasswd:\n    realm: imk\n    path: {folder}/htpasswd\n"));
    }
    text
}

/// An authority, and a certificate of it for this machine.
fn make_certificates(folder: &Path) {
    let openssl = |line: &str| {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    fs::write(folder.join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost\n").unwrap();
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=imk-tests"));
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=127.0.0.1"));
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 -extfile san",
    );
}
