//! `imk test` on a real engine: steps, fixtures, receipts, and nothing left behind.

use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::sandbox::{Sandbox, engine_or_skip, fixture_or_skip};

/// `base` has busybox, `kv` is a small key-value store over HTTP on it: one file a key.
const IMAGES: &str = "//- base/Dockerfile
FROM scratch
COPY busybox /bin/busybox
RUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]
RUN mkdir -p /etc /data && echo root:x:0:0:root:/:/bin/sh >/etc/passwd && echo app:x:10:10::/:/bin/sh >>/etc/passwd
//- kv/Dockerfile
FROM base
COPY --chmod=755 get put /www/cgi-bin/
ENV MODE=store
LABEL kind=kv
EXPOSE 8080
CMD [\"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]
//- kv/get
#!/bin/sh
echo
cat /data/$QUERY_STRING 2>/dev/null || echo none
//- kv/put
#!/bin/sh
echo
echo ${QUERY_STRING#*=} >/data/${QUERY_STRING%%=*}
echo stored
";

/// One test looks at all that is on the engine: the others are not to be there meanwhile.
static ALONE: RwLock<()> = RwLock::new(());

fn beside_others() -> RwLockReadGuard<'static, ()> {
    ALONE.read().unwrap_or_else(PoisonError::into_inner)
}

fn store(test: &str, tests: &str) -> Option<Sandbox> {
    let sandbox = engine_or_skip(test)?;
    sandbox.write_all(&IMAGES.replace("COPY --chmod=755 get put", "COPY get put"));
    for script in ["kv/get", "kv/put"] {
        fs::set_permissions(sandbox.path(script), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    sandbox.edit("Imagefile.ron", &format!("(images: {{\"base\": (), \"kv\": (tests: {{{tests}}})}})"));
    sandbox.place_busybox();
    Some(sandbox)
}

/// What tests leave on the engine.
fn left(sandbox: &Sandbox) -> String {
    let filter = "label=imk.made-for=test";
    let containers = sandbox.docker(&["ps", "-aq", "--filter", filter]);
    let networks = sandbox.docker(&["network", "ls", "-q", "--filter", filter]);
    let volumes = sandbox.docker(&["volume", "ls", "-q", "--filter", filter]);
    [containers, networks, volumes].concat()
}

#[test]
fn a_service_is_tested_once_and_then_its_receipts_stand() {
    let _turn = beside_others();
    let Some(sandbox) = fixture_or_skip("suite", "kv") else { return };
    let first = sandbox.imk("test");
    let out = first.out();
    assert_eq!(first.status, 0, "{out}\n{}", first.stderr);
    assert!(out.contains("5 passed, 0 failed in"), "{out}");
    let again = sandbox.imk("test").code(0).out();
    assert!(again.contains("0 passed, 5 by receipt, 0 failed in"), "{again}");
    assert!(again.contains("kv basics: passed ") && again.contains(" (receipt "), "{again}");
    // What does not count changes nothing; what does, tests again.
    sandbox.edit("other.txt", "x");
    assert!(sandbox.imk("test kv").out().contains("5 by receipt"));
    sandbox.append("kv/cgi-bin/get", "# edited\n");
    assert!(sandbox.imk("test --filter bas*").code(0).out().contains("1 passed, 0 failed"));
    assert!(sandbox.imk("test -B --filter kv/eph*").code(0).out().contains("1 passed, 0 failed"));
    // A store that forgets is found out.
    sandbox.edit("kv/cgi-bin/put", "#!/bin/sh\necho; echo stored\n");
    let out = sandbox.imk("test").code(2).out();
    assert!(out.contains("kv persistent: failed") && out.contains("kv ephemeral: failed"), "{out}");
    assert!(out.contains("kv from beside: failed") && out.contains("kv basics: passed"), "{out}");
}

#[test]
fn a_test_that_fails_says_where_and_leaves_no_receipt() {
    let _turn = beside_others();
    let tests = r#"
        "wrong": (steps: [Start(ready: 8080), Http(port: 8080, path: "/cgi-bin/get?x", body: "some")]),
        "never ready": (timeout: "2s", steps: [Start(command: ["sleep", "60"], ready: 8080)]),
        "ends": (steps: [Start(command: ["sh", "-c", "echo why it ended; exit 4"], ready: 8080)]),
    "#;
    let Some(sandbox) = store("suite fails", tests) else { return };
    let run = sandbox.imk("test --junit report.xml").code(2);
    let out = run.out();
    assert!(
        out.contains("kv wrong: failed") && out.contains("step 2, Http port 8080, /cgi-bin/get?x:"),
        "{out}"
    );
    assert!(out.contains("does not match `some`") && out.contains("none"), "{out}");
    assert!(out.contains("nothing listens at port 8080"), "{out}");
    assert!(out.contains("it ended with status 4") && out.contains("why it ended"), "{out}");
    let report = fs::read_to_string(sandbox.path("report.xml")).unwrap();
    assert!(report.contains("tests=\"3\" failures=\"3\""), "{report}");
    assert!(sandbox.imk("test --filter wrong").code(2).out().contains("1 failed"));
}

#[test]
fn tests_of_dependents_are_skipped_when_their_bases_fail() {
    let _turn = beside_others();
    let Some(sandbox) = store("suite skips", "") else { return };
    let failing = r#"(steps: [Run(command: ["false"])])"#;
    let passing = r#"(steps: [Run(command: ["true"])])"#;
    sandbox.edit(
        "Imagefile.ron",
        &format!(r#"(images: {{"base": (tests: {{"t": {failing}}}), "kv": (tests: {{"t": {passing}}})}})"#),
    );
    let out = sandbox.imk("test").code(2).out();
    assert!(out.contains("kv t: skipped, tests of its base base failed"), "{out}");
}

#[test]
fn services_scripts_and_an_image_without_a_shell() {
    let _turn = beside_others();
    let tests = r#"
        "beside": (
            services: {"db": (image: "kv", ready: 8080)},
            steps: [Run(command: ["wget", "-q", "-O", "-", "http://db:8080/cgi-bin/get?x"], stdout: "none")],
        ),
        "in another": (steps: [Start(ready: 8080), Script(file: "test/look.sh", in: "base", args: ["x"], stdout: "none")]),
        "on the host": (ports: 8080, max_age: "1h", steps: [Start(ready: 8080), Script(file: "test/host.sh", stdout: "^kv [0-9a-f]{64} 127.0.0.1:[0-9]+$")]),
    "#;
    let Some(sandbox) = store("suite services", tests) else { return };
    sandbox.edit("test/look.sh", "#!/bin/sh\nexec wget -q -O - http://$IMK_HOST:8080/cgi-bin/get?$1\n");
    // Whether a published port leads to the container is the engine's affair, and one for tests may not care.
    sandbox.edit("test/host.sh", "#!/bin/sh\necho $IMK_IMAGE $IMK_CONTAINER $IMK_ADDRESS\n");
    fs::set_permissions(sandbox.path("test/host.sh"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    sandbox.edit("bare/Dockerfile", "FROM base AS tools\nFROM scratch\nCOPY --from=tools /bin/busybox /httpd\nCMD [\"/httpd\", \"httpd\", \"-f\", \"-p\", \"80\"]\n");
    let file = fs::read_to_string(sandbox.path("Imagefile.ron")).unwrap();
    let bare = r#""bare": (tests: {"t": (probe: "base", steps: [Image(no_shell: true), Start(ready: 80), Http(port: 80, status: 404)])})"#;
    sandbox.edit("Imagefile.ron", &file.replace("\"base\": ()", &format!("\"base\": (), {bare}")));
    let run = sandbox.imk("test");
    let out = run.out();
    assert!(run.status == 0 && out.contains("4 passed, 0 failed"), "{out}\n{}", run.stderr);
    // From another machine the same is looked at from inside; what runs here is refused by name where it cannot reach.
    let mut command = sandbox.command("", "test -B --filter b*");
    crate::run::far(&sandbox, &mut command);
    let run = sandbox.run(command.output().unwrap());
    assert!(run.status == 0, "{}\n{}", run.stdout, run.stderr);
    let mut command = sandbox.command("", "test -B --filter on*");
    crate::run::far(&sandbox, &mut command);
    let run = sandbox.run(command.output().unwrap());
    assert!(run.status == 2 && run.stdout.contains("out of reach"), "{}\n{}", run.stdout, run.stderr);
}

const STRUCTURE: &str = r#"schemaVersion: "2.0.0"
globalEnvVars:
  - {key: WHERE, value: "$MODE/here"}
commandTests:
  - name: setup
    setup: [[sh, -c, "echo $WHERE >/made"], [sh, -c, "echo more >>/made"]]
    teardown: [[rm, /made]]
    command: cat
    args: [/made]
    expectedOutput: ['^store/here\nmore\n$']
    excludedOutput: [none]
  - name: nothing of another test is here
    command: sh
    args: [-c, "echo $WHERE $OWN; ls /made >&2"]
    envVars: [{key: OWN, value: "mine"}]
    exitCode: 1
    expectedOutput: ['store/here mine']
    expectedError: ['No such file']
fileExistenceTests:
  - {name: script, path: /www/cgi-bin/get, permissions: -rwxr-xr-x, uid: 0, gid: 0, isExecutableBy: other}
  - {name: nowhere, path: /nowhere, shouldExist: false}
fileContentTests:
  - {name: script, path: /www/cgi-bin/get, expectedContents: ['^#!/bin/sh'], excludedContents: [secret]}
metadataTest:
  envVars: [{key: MODE, value: 'st.re', isRegex: true}]
  unboundEnvVars: [{key: OTHER}]
  labels: [{key: kind, value: kv}]
  exposedPorts: ["8080"]
  unexposedPorts: ["80"]
  cmd: [httpd, -f, -p, "8080", -h, /www]
licenseTests:
  - debian: true
"#;

#[test]
fn a_file_of_container_structure_test_is_a_step() {
    let _turn = beside_others();
    let tests = r#""structure": (steps: [Structure(file: "test/kv.yaml")])"#;
    let Some(sandbox) = store("suite structure", tests) else { return };
    sandbox.edit("test/kv.yaml", STRUCTURE);
    // Others beside this one leave images of their tests for a moment, too.
    let own = format!("imk.test={}", sandbox.prefix());
    sandbox.append("kv/Dockerfile", &format!("\nLABEL {own}\n"));
    let own = format!("label={own}");
    let images =
        || sandbox.docker(&["images", "-aq", "--filter", "label=imk.made-for=test", "--filter", &own]);
    let run = sandbox.imk("test").code(0);
    assert!(run.out().contains("kv structure: passed in") && run.out().contains("1 passed"), "{}", run.out());
    assert!(run.stderr.contains("test/kv.yaml:31:1: licence tests are not read"), "{}", run.stderr);
    assert!(sandbox.imk("test").code(0).out().contains("1 by receipt"));
    // The file counts, and all that fails is told.
    let wrong = STRUCTURE.replace("exitCode: 1", "exitCode: 4").replace("value: kv", "value: vk");
    sandbox.edit("test/kv.yaml", &wrong);
    let out = sandbox.imk("test").code(2).out();
    assert!(
        out.contains("step 1, Structure `test/kv.yaml`:") && out.contains("2 of its 6 tests failed"),
        "{out}"
    );
    assert!(
        out.contains("nothing of another test is here (test/kv.yaml:12): it ended with status 1, and 4"),
        "{out}"
    );
    assert!(out.contains("metadata (test/kv.yaml:25): its label `kind` is `kv`"), "{out}");
    sandbox.edit("test/kv.yaml", &STRUCTURE.replace("exitCode", "exitcode").replace("[none]", "['(']"));
    let run = sandbox.imk("test").code(2);
    assert!(
        run.stderr.contains("no key `exitcode`") && run.stderr.contains("did you mean `exitCode`"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("test/kv.yaml:11:") && run.stderr.contains("no pattern"), "{}", run.stderr);
    assert_eq!(images(), "", "what a setup left is gone");
}

#[test]
fn nothing_is_left_after_a_failure_an_interruption_or_a_kill() {
    let _turn = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    let tests = r#""t": (volumes: {"data": "/data"}, steps: [Start(), Exec(command: ["sleep", "60"])])"#;
    let Some(sandbox) = store("suite leaves nothing", tests) else { return };
    sandbox.imk("").success();
    assert_eq!(left(&sandbox), "", "a killed run of these tests left something on this engine");
    let mine = sandbox.docker(&[
        "run",
        "-d",
        "--label",
        "imk.made-for=test",
        &format!("{}base", sandbox.prefix()),
        "sleep",
        "600",
    ]);
    let started = || {
        let child = sandbox.command("", "test").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        while sandbox.docker(&["ps", "-q", "--filter", "label=imk.owner"]).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(50));
        }
        child
    };
    let mut child = started();
    Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(left(&sandbox), &mine[..12], "after Ctrl-C");
    let mut child = started();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_ne!(left(&sandbox), &mine[..12], "a killed run cannot clean up");
    sandbox.edit(
        "Imagefile.ron",
        r#"(images: {"base": (tests: {"t": (steps: [Run(command: ["true"])])}), "kv": ()})"#,
    );
    let run = sandbox.imk("test").code(0);
    assert!(run.stderr.contains("a test run left that was killed"), "{}", run.stderr);
    assert_eq!(left(&sandbox), &mine[..12], "after the next run, and nobody else's is touched");
    sandbox.docker(&["rm", "-f", &mine]);
}
