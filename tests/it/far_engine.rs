//! An engine whose network is not ours: its API is reached over TCP, and no port of its containers is.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use fs_err as fs;

use crate::sandbox::{Sandbox, fixture_or_skip};
use crate::second_engine::SecondEngine;

/// Passes on what comes to a port of this machine to an engine's socket; gives its `DOCKER_HOST`.
fn over_tcp(engine: &SecondEngine) -> String {
    let socket = engine.host().strip_prefix("unix://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let socket = socket.clone();
            std::thread::spawn(move || UnixStream::connect(socket).map(|engine| pass_on(&client, &engine)));
        }
    });
    host
}

fn pass_on(client: &TcpStream, engine: &UnixStream) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to) = (engine, client);
            let _ = io::copy(&mut from, &mut to);
            let _ = client.shutdown(std::net::Shutdown::Write);
        });
        let (mut from, mut to) = (client, engine);
        let _ = io::copy(&mut from, &mut to);
        let _ = engine.shutdown(std::net::Shutdown::Write);
    });
}

fn on_it(sandbox: &Sandbox, engine: &SecondEngine) {
    sandbox.edit("test/host.sh", "#!/bin/sh\necho reached $IMK_ADDRESS\n");
    fs::set_permissions(sandbox.path("test/host.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    // No shell, and no tool that could look at a port.
    sandbox.edit(
        "bare/Dockerfile",
        "FROM base AS tools\nFROM scratch\nCOPY --from=tools /bin/busybox /httpd\nENTRYPOINT [\"/httpd\", \"-f\"]\nCMD [\"-p\", \"80\"]\n",
    );
    let text = fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    let more = r#""bare": (tests: {
            "helped": (probe: "tester", steps: [Start(ready: 80), Port(port: 81, open: false), Http(port: 80, status: 404)]),
            "alone": (timeout: "30s", steps: [Start(), Port(port: 81, open: false)]),
        }),
        "base": (),
        "own": (context: "tester", tests: {
            "here": (ports: 80, max_age: "1h", steps: [Start(command: ["httpd", "-f", "-p", "80"], ready: 80), Script(file: "test/host.sh")]),
        }),"#;
    sandbox.edit("Imagefile.ron", &text.replace("\"base\": (),", more));
    let images = engine.docker(&["images", "-q"]);
    assert_eq!(images, "");
}

#[test]
fn tests_pass_where_no_port_of_the_engine_can_be_reached() {
    let Some(sandbox) = fixture_or_skip("far engine", "kv") else { return };
    let Some(engine) = SecondEngine::in_its_own_network() else { return };
    on_it(&sandbox, &engine);
    let sandbox = sandbox.on(&over_tcp(&engine));
    let run = sandbox.imk("test");
    let out = run.out();
    for test in ["basics", "ephemeral", "persistent", "from beside", "structure"] {
        assert!(out.contains(&format!("kv {test}: passed in")), "{test}\n{out}\n{}", run.stderr);
    }
    assert!(out.contains("bare helped: passed in"), "{out}");
    // An address that leads nowhere from here is no proof that nothing listens there.
    assert!(
        out.contains("bare alone: failed") && out.contains("name one that has: `probe: \"IMAGE\"`"),
        "{out}"
    );
    assert!(out.contains("own here: failed") && out.contains("is out of reach from here"), "{out}");
    assert!(out.contains("let the script run in an image: `in: \"IMAGE\"`"), "{out}");
    let left = ["ps", "network ls", "volume ls"].map(|words| {
        let words: Vec<&str> =
            words.split(' ').chain(["-q", "--filter", "label=imk.made-for=test"]).collect();
        engine.docker(&words)
    });
    assert_eq!(left.concat(), "");
    // What runs there runs as here.
    let run = sandbox.imk("run kv cat /etc/kv.conf").code(0);
    assert_eq!(run.stdout, "port 8080\n", "{}", run.stderr);
}
