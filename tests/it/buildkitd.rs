//! A BuildKit of its own, whose results live in a registry. Debian has none: a Docker engine's BuildKit stands in for it
//! behind a proxy that asks for the upgrade. One with the containerd store pushes by itself, as a real one does; others
//! have no exporter for that, and their refusal is what these tests see then.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fs_err as fs;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::registry_server::RegistryServer;
use crate::sandbox::{Run, Sandbox, engine_or_skip};

/// A socket below `folder` where BuildKit speaks HTTP/2 at once.
fn proxy(folder: &Path) -> Option<PathBuf> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let Some(engine) = host.strip_prefix("unix://").map(PathBuf::from) else {
        eprintln!("SKIPPED: {host} is no socket");
        return None;
    };
    let path = folder.join("buildkitd.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let engine = UnixStream::connect(&engine).unwrap();
            std::thread::spawn(move || drop(upgraded(client, engine)));
        }
    });
    Some(path)
}

fn upgraded(mut client: UnixStream, mut engine: UnixStream) -> std::io::Result<()> {
    engine.write_all(
        b"POST /grpc HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n\r\n",
    )?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        engine.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let (mut from_client, mut to_engine) = (client.try_clone()?, engine.try_clone()?);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_engine);
        let _ = to_engine.shutdown(Shutdown::Write);
    });
    let _ = std::io::copy(&mut engine, &mut client);
    client.shutdown(Shutdown::Both)
}

struct Bench {
    sandbox: Sandbox,
    folder: tempfile::TempDir,
    socket: PathBuf,
    registry: RegistryServer,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        let sandbox = engine_or_skip(test)?;
        let registry = RegistryServer::open(test)?;
        let folder = tempfile::Builder::new().prefix("imk-bk-").tempdir_in("/tmp").unwrap();
        let socket = proxy(folder.path())?;
        sandbox.write_all(
            "
            //- base/Dockerfile
            FROM scratch
            COPY busybox /bin/busybox
            //- web/Dockerfile
            FROM base
            COPY words.txt /words.txt
            RUN [\"/bin/busybox\", \"cp\", \"/words.txt\", \"/copied\"]
            //- web/words.txt
            one
            ",
        );
        sandbox.edit("Imagefile.ron", "(images: {\"base\": (), \"web\": (tags: [\"1\"])})\n");
        sandbox.place_busybox();
        Some(Self { sandbox, folder, socket, registry })
    }

    fn engine(&self) -> String {
        format!("buildkit+unix://{}", self.socket.display())
    }

    /// Runs imk with an engine. `None` when the stand-in has no exporter that pushes, and that was said.
    fn imk(&self, engine: &str, words: &str) -> Option<Run<'_>> {
        let mut command =
            self.sandbox.command("", &format!("{words} --prefix {}/", self.registry.name("bk")));
        let path = format!("{}:{}", self.folder.path().display(), std::env::var("PATH").unwrap());
        command.env("IMK_ENGINE", engine).env("PATH", path).env("BK_SOCKET", &self.socket);
        let run = self.sandbox.run(command.output().unwrap());
        let lacks = run.stderr.contains("exporter") && run.stderr.contains("could not be found");
        (!lacks).then_some(run)
    }
}

#[test]
fn results_live_in_the_registry_and_are_found_there() {
    let Some(bench) = Bench::new("buildkitd") else { return };
    let engine = bench.engine();
    let Some(run) = bench.imk(&engine, "") else { return };
    run.says("0 fresh, 2 built, 0 failed");
    let again = bench.imk(&engine, "").unwrap().code(0);
    assert!(again.built().is_empty(), "{}", again.stderr);
    bench.imk(&engine, "check").unwrap().code(0);
    // What the registry has is what was built, on the base of this repository.
    let tags = bench.registry.skopeo(&[
        "list-tags",
        "--tls-verify=false",
        &format!("docker://{}", bench.registry.name("bk/web")),
    ]);
    assert!(tags.contains("imk-"), "{tags}");
    bench.sandbox.edit("web/words.txt", "two\n");
    assert_eq!(bench.imk(&engine, "").unwrap().code(0).built(), ["web"]);
    // Another machine, or one that lost its state, builds nothing.
    fs::remove_dir_all(bench.sandbox.path(".imk")).unwrap();
    let fresh = bench.imk(&engine, "").unwrap().code(0);
    assert!(fresh.built().is_empty(), "{}", fresh.stderr);
    // A Docker engine takes what it built, by the same key.
    let docker = std::env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".into());
    let there = bench.imk(&docker, "pull web").unwrap().code(0);
    assert!(there.built().is_empty(), "{}", there.stderr);
    bench.imk(&engine, "push web").unwrap().code(0);
    bench.sandbox.append("web/Dockerfile", "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"exit 4\"]\n");
    let failed = bench.imk(&engine, "").unwrap().code(2);
    assert!(
        failed.stderr.contains("exit code 4") && failed.stderr.contains("web/Dockerfile:4"),
        "{}",
        failed.stderr
    );
}

#[test]
fn an_image_without_a_registry_is_refused_by_name() {
    let Some(bench) = Bench::new("buildkitd_no_registry") else { return };
    let output = bench.sandbox.command("", "").env("IMK_ENGINE", bench.engine()).output().unwrap();
    let run = bench.sandbox.run(output).code(2);
    assert!(run.stderr.contains("a buildkitd keeps no images"), "{}", run.stderr);
}

#[test]
fn it_is_reached_through_a_container_and_through_ssh() {
    let Some(bench) = Bench::new("buildkitd_dial") else { return };
    let script = "#!/usr/bin/perl\n\
        use Socket; open(L, '>>', \"$0.log\"); print L \"@ARGV\\n\"; close(L);\n\
        socket(S, AF_UNIX, SOCK_STREAM, 0); connect(S, pack_sockaddr_un($ENV{BK_SOCKET})) or die;\n\
        if (fork) { while (sysread(STDIN, $b, 65536)) { syswrite(S, $b) } shutdown(S, 1); wait }\n\
        else { while (sysread(S, $b, 65536)) { syswrite(STDOUT, $b) } }\n";
    for (number, (program, engine, words)) in [
        ("docker", "buildkit+docker-container://bk", "exec -i bk buildctl dial-stdio"),
        ("ssh", "buildkit+ssh://me@box", "-l me -- box buildctl dial-stdio"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = bench.folder.path().join(program);
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        bench.sandbox.edit("web/words.txt", &format!("{number}\n"));
        let run = bench.imk(engine, "");
        let log = fs::read_to_string(bench.folder.path().join(format!("{program}.log"))).unwrap();
        assert!(log.contains(words), "{log}");
        if let Some(run) = run {
            assert!(run.code(0).built().iter().any(|name| name == "web"));
        }
    }
}

/// Certificates of an authority, a server called `builder.invalid` and a client.
fn certificates(folder: &Path) {
    let openssl = |line: &str| {
        let output = Command::new("openssl").args(line.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=imk-tests"));
    for (name, subject) in [("server", "builder.invalid"), ("client", "imk")] {
        fs::write(folder.join(format!("{name}.ext")), format!("subjectAltName=DNS:{subject}\n")).unwrap();
        openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={subject}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile {name}.ext -out {name}.pem"
        ));
    }
}

/// A port that wants a client's certificate, before the proxy's socket.
fn behind_tls(folder: &Path, socket: &Path) -> u16 {
    certificates(folder);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let authority = CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap();
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let config =
        ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap();
    let (acceptor, socket) = (TlsAcceptor::from(Arc::new(config)), socket.to_owned());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                tokio::spawn(async move {
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut proxy = tokio::net::UnixStream::connect(socket).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut proxy).await;
                });
            }
        });
    });
    port
}

#[test]
fn certificates_say_who_speaks_over_tcp() {
    let Some(bench) = Bench::new("buildkitd_tls") else { return };
    let folder = bench.folder.path();
    let port = behind_tls(folder, &bench.socket);
    let at = format!("buildkit+tcp://127.0.0.1:{port}");
    let proofs = |folder: &Path| {
        let file = |name: &str| folder.join(name).display().to_string();
        format!(
            ",cacert={},servername=builder.invalid,cert={},key={}",
            file("ca.pem"),
            file("client.pem"),
            file("client.key")
        )
    };
    if let Some(run) = bench.imk(&format!("{at}{}", proofs(folder)), "") {
        run.says("0 fresh, 2 built, 0 failed");
    }
    for wrong in [
        String::new(),
        format!(",cacert={}", folder.join("ca.pem").display()),
        format!(",cacert={},servername=builder.invalid", folder.join("ca.pem").display()),
    ] {
        bench.sandbox.edit("web/words.txt", &format!("{wrong}\n"));
        let run = bench.imk(&format!("{at}{wrong}"), "").unwrap();
        assert_ne!(run.status, 0, "{wrong}: {}", run.stderr);
        assert!(run.stderr.contains(&format!("127.0.0.1:{port}")), "{wrong}: {}", run.stderr);
    }
    let err = bench.imk(&format!("{}{}", bench.engine(), proofs(folder)), "").unwrap().code(2).err();
    assert!(err.contains("are for an address over TCP"), "{err}");
}
