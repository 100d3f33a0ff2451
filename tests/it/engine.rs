//! The engine floor against a real engine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use imk::engine::docker::Builder;
use imk::engine::{
    BuildEvent, BuildRequest, Cancel, ContextFiles, DockerEngine, Endpoint, Engine, EngineError, Environment,
    ImageId, SecretValue,
};
use imk::model::file::{FileKind, UsedFile, UsedFiles};
use imk::model::hash::ContentHash;

/// Files in memory; `served` may differ from what the list promises.
#[derive(Clone, Default)]
struct Files {
    list: UsedFiles,
    served: BTreeMap<String, Vec<u8>>,
    opened: Arc<AtomicUsize>,
}

impl Files {
    fn add(mut self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.list.files.push(UsedFile {
            counts: true,
            path: path.into(),
            kind: FileKind::File,
            mode,
            size_bytes: content.len() as u64,
            mtime_ns: 1_600_000_000_000_000_000,
            hash: ContentHash::of(content),
            target: String::new(),
        });
        self.served.insert(path.into(), content.to_vec());
        self
    }

    fn link(mut self, path: &str, target: &str) -> Self {
        self.list.files.push(UsedFile {
            counts: true,
            path: path.into(),
            kind: FileKind::Link,
            mode: 0,
            size_bytes: 0,
            mtime_ns: 0,
            hash: ContentHash::of(target.as_bytes()),
            target: target.into(),
        });
        self
    }

    fn busybox(self) -> Self {
        let content = fs_err::read("/bin/busybox").expect("the tests need busybox-static");
        // The engine remembers earlier runs of these tests; their steps must run again.
        self.add("busybox", 0o755, &content).add("nonce", 0o644, nonce().as_bytes())
    }
}

impl ContextFiles for Files {
    fn list(&self) -> &UsedFiles {
        &self.list
    }

    fn open(&self, file: &UsedFile) -> Result<Box<dyn std::io::Read + Send>, String> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        let bytes = self.served.get(&file.path).ok_or("gone")?;
        Ok(Box::new(Cursor::new(bytes.clone())))
    }
}

/// One text for this run of the tests, unlike that of any other.
fn nonce() -> &'static str {
    static NONCE: OnceLock<String> = OnceLock::new();
    NONCE.get_or_init(|| format!("{:?}", std::time::SystemTime::now()))
}

/// Removes the images of one test.
struct Bench {
    engine: DockerEngine,
    tags: Mutex<Vec<String>>,
    name: String,
}

impl Drop for Bench {
    fn drop(&mut self) {
        for tag in self.tags.lock().unwrap().iter() {
            let _ = self.engine.untag(tag);
        }
    }
}

impl Bench {
    fn new(name: &str, builder: Builder) -> Option<Self> {
        if std::env::var("IMK_TEST_NO_ENGINE").is_ok_and(|value| value == "1") {
            eprintln!("======== {name}: SKIPPED, IMK_TEST_NO_ENGINE=1 ========");
            return None;
        }
        let environment = Environment::from_lookup(|name| std::env::var(name).ok());
        let endpoint = Endpoint::resolve(&environment).unwrap();
        let engine = DockerEngine::with_builder(endpoint, builder);
        let name = format!("imk-test-{name}-{}", std::process::id());
        Some(Self { engine, tags: Mutex::default(), name })
    }

    fn request(&self, dockerfile: &str, files: Files) -> BuildRequest {
        BuildRequest {
            layouts: Default::default(),
            ssh: Default::default(),
            sandbox: Default::default(),
            no_cache_stages: Vec::new(),
            entitlements: Default::default(),
            image: "web".into(),
            dockerfile: dockerfile.into(),
            target: None,
            args: BTreeMap::new(),
            labels: BTreeMap::new(),
            platform: None,
            network: Some("none".into()),
            secrets: BTreeMap::new(),
            no_cache: false,
            cache: Default::default(),
            repository: None,
            share: self.name.clone(),
            files: Arc::new(files),
            contexts: Default::default(),
        }
    }

    fn build(&self, request: &BuildRequest) -> (Result<ImageId, EngineError>, Vec<BuildEvent>) {
        let events = Mutex::new(Vec::new());
        let result =
            self.engine.build(request, &|event| events.lock().unwrap().push(event), &Cancel::default());
        if let Ok(id) = &result {
            // Named, so that the guard can remove it.
            let tag = format!("{}:{}", self.name, self.tags.lock().unwrap().len());
            self.engine.tag(id, &tag).unwrap();
            self.tags.lock().unwrap().push(tag);
        }
        (result, events.into_inner().unwrap())
    }

    /// Builds and returns what the image's RUN steps printed.
    fn output(&self, request: &BuildRequest) -> String {
        let (result, events) = self.build(request);
        result.unwrap_or_else(|error| panic!("{error}"));
        logs(&events)
    }
}

fn logs(events: &[BuildEvent]) -> String {
    let mut text = Vec::new();
    for event in events {
        if let BuildEvent::Log { bytes, .. } = event {
            text.extend_from_slice(bytes);
        }
    }
    String::from_utf8(text).unwrap()
}

/// Runs a busybox command in a stage whose tools come from the context.
fn run(command: &str) -> String {
    format!(
        "FROM scratch\nCOPY busybox /bin/\nCOPY . /src/\nRUN [\"/bin/busybox\", \"sh\", \"-c\", \"{command}\"]\n"
    )
}

#[test]
fn an_engine_says_who_it_is_and_what_it_has() {
    let Some(bench) = Bench::new("identity", Builder::default()) else { return };
    let start = Instant::now();
    let identity = bench.engine.identity().unwrap();
    eprintln!("identity took {:?}: {identity:?}", start.elapsed());
    assert!(identity.builder.starts_with("buildkit/"));
    assert!(!identity.id.is_empty());
    let (id, _) =
        bench.build(&bench.request("FROM scratch\nCOPY a /\n", Files::default().add("a", 0o644, b"1")));
    let id = id.unwrap();
    let absent = ImageId(format!("sha256:{}", "0".repeat(64)));
    let start = Instant::now();
    let few = bench.engine.inventory(&BTreeSet::from([id.clone(), absent])).unwrap();
    eprintln!("inventory of 2 took {:?}", start.elapsed());
    assert_eq!(few.keys().collect::<Vec<_>>(), [&id]);
    // Many ids are looked up in a list: the answer is the same.
    let mut many: BTreeSet<_> = (0..5000).map(|n| ImageId(format!("sha256:{n:064}"))).collect();
    many.insert(id);
    let start = Instant::now();
    assert_eq!(bench.engine.inventory(&many).unwrap(), few);
    eprintln!("inventory of 5001 took {:?}", start.elapsed());
}

#[test]
fn names_come_and_go() {
    let Some(bench) = Bench::new("names", Builder::default()) else { return };
    let request = bench.request(
        "FROM scratch\nCOPY a /\nONBUILD COPY b /\nENV A=1\n",
        Files::default().add("a", 0o644, b"names"),
    );
    let id = bench.build(&request).0.unwrap();
    let name = format!("{}/extra:x", bench.name);
    bench.engine.tag(&id, &name).unwrap();
    let info = bench.engine.inspect(&name).unwrap().unwrap();
    assert_eq!(info.id, id);
    assert_eq!(info.onbuild, ["COPY b /"]);
    assert!(
        info.tags.contains(&name) && info.content.contains("sha256:") && info.platform.starts_with("linux/")
    );
    bench.engine.untag(&name).unwrap();
    assert_eq!(bench.engine.inspect(&name).unwrap(), None);
    assert!(bench.engine.inspect(&id.0).unwrap().is_some());
    bench.engine.untag(&name).unwrap();
    bench.engine.untag("imk-test-never/was:here").unwrap();
    assert_eq!(bench.engine.inspect("imk-test-never/was:here").unwrap(), None);
}

#[test]
fn modes_links_and_deep_folders_arrive() {
    for builder in [Builder::default(), Builder::Classic] {
        let Some(bench) = Bench::new(&format!("modes-{}", builder as u8), builder) else { return };
        let files = Files::default()
            .busybox()
            .add("a/b/c.txt", 0o640, b"deep")
            .add("a.b", 0o755, b"x")
            .add("a-c/d", 0o600, b"")
            .link("link", "a/b/c.txt");
        let output = bench.output(&bench.request(
            &run("cd /src; /bin/busybox stat -c %a:%u:%g:%n a/b/c.txt a.b a-c/d; /bin/busybox cat link; /bin/busybox ls -A"),
            files,
        ));
        assert!(output.contains("640:0:0:a/b/c.txt"), "{output}");
        assert!(output.contains("755:0:0:a.b") && output.contains("600:0:0:a-c/d"), "{output}");
        assert!(output.contains("deep"), "{output}");
        assert!(!output.contains("ockerfile") && !output.contains("dockerignore"), "{output}");
    }
}

#[test]
fn a_same_size_edit_with_its_time_put_back_is_sent_again() {
    let Some(bench) = Bench::new("same-size", Builder::default()) else { return };
    let say = run("/bin/busybox cat /src/f");
    let one = Files::default().busybox().add("f", 0o644, b"content-one");
    let two = Files::default().busybox().add("f", 0o644, b"content-two");
    assert!(bench.output(&bench.request(&say, one.clone())).contains("content-one"));
    // BuildKit has `f` with this size, mode and second.
    assert!(bench.output(&bench.request(&say, two.clone())).contains("content-two"));
    assert_eq!(two.opened.load(Ordering::SeqCst), 1, "only the edited file travels");
    // And back again: the engine's own cache answers, with the first image.
    let (first, _) = bench.build(&bench.request(&say, one.clone()));
    let (again, events) = bench.build(&bench.request(&say, one));
    assert_eq!(first.unwrap(), again.unwrap());
    let cached = |event: &BuildEvent| matches!(event, BuildEvent::StepDone { cached: true, .. });
    assert!(events.iter().any(cached), "{events:?}");
}

#[test]
fn an_unchanged_context_is_not_sent_again() {
    let Some(bench) = Bench::new("unchanged", Builder::default()) else { return };
    let files = Files::default().busybox().add("f", 0o644, b"same");
    let dockerfile = "FROM scratch\nCOPY . /\n";
    bench.build(&bench.request(dockerfile, files.clone())).0.unwrap();
    files.opened.store(0, Ordering::SeqCst);
    bench.build(&bench.request(dockerfile, files.clone())).0.unwrap();
    assert_eq!(files.opened.load(Ordering::SeqCst), 0);
}

#[test]
fn steps_are_told_with_number_log_and_time() {
    for builder in [Builder::default(), Builder::Classic] {
        let Some(bench) = Bench::new(&format!("steps-{}", builder as u8), builder) else { return };
        let (result, events) =
            bench.build(&bench.request(&run("echo hello-$((40+2))"), Files::default().busybox()));
        result.unwrap();
        let has_run = events.iter().any(|event| {
            matches!(event, BuildEvent::Step { name, number: Some(_), total: Some(3 | 4), .. } if name.contains("RUN"))
        });
        assert!(has_run, "{events:#?}");
        assert!(logs(&events).contains("hello-42"), "{events:#?}");
        assert!(
            events.iter().any(|event| matches!(event, BuildEvent::Sent { bytes: 1.., .. })),
            "{events:#?}"
        );
    }
}

#[test]
fn arguments_target_labels_and_secrets_are_honoured() {
    let Some(bench) = Bench::new("options", Builder::default()) else { return };
    let dockerfile = "FROM scratch AS base\nCOPY busybox nonce /bin/\nARG WORD\nRUN --network=none [\"/bin/busybox\", \"echo\", \"x\"]\n\
        FROM base AS wanted\nARG WORD\n\
        RUN --mount=type=secret,id=key [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox echo $WORD; /bin/busybox wc -c /run/secrets/key; /bin/busybox cat /run/secrets/key\"]\n\
        FROM base AS never\nRUN [\"/bin/busybox\", \"false\"]\n";
    let dockerfile = dockerfile.replace("RUN --network=none", "RUN");
    let mut request = bench.request(&dockerfile, Files::default().busybox());
    request.target = Some("wanted".into());
    request.args.insert("WORD".into(), "a word & = ü".into());
    request.labels.insert("imk.test".into(), "lab el".into());
    request.secrets.insert("key".into(), SecretValue(b"hunter2hunter2".to_vec()));
    let (result, events) = bench.build(&request);
    let info = bench.engine.inspect(&result.unwrap().0).unwrap().unwrap();
    assert!(info.content.contains("lab el"), "{}", info.content);
    let output = logs(&events);
    assert!(output.contains("a word & = ü") && output.contains("14 /run/secrets/key"), "{output}");
    assert!(!output.contains("hunter2") && output.contains("***"), "{output}");
    // no_cache runs the step anew.
    request.no_cache = true;
    assert!(logs(&bench.build(&request).1).contains("14 /run/secrets/key"));
}

#[test]
fn a_failing_command_gives_its_step_and_status() {
    for builder in [Builder::default(), Builder::Classic] {
        let Some(bench) = Bench::new(&format!("failing-{}", builder as u8), builder) else { return };
        let (result, events) =
            bench.build(&bench.request(&run("echo before; exit 3"), Files::default().busybox()));
        let Err(EngineError::Failed(failure)) = result else { panic!("{result:?}") };
        assert_eq!(failure.exit_code, Some(3), "{failure:?}");
        assert!(failure.step.contains("RUN"), "{failure:?}");
        assert!(logs(&events).contains("before"));
    }
}

#[test]
fn a_missing_file_and_a_bad_dockerfile_are_failures() {
    for builder in [Builder::default(), Builder::Classic] {
        let Some(bench) = Bench::new(&format!("bad-{}", builder as u8), builder) else { return };
        let missing =
            bench.build(&bench.request("FROM scratch\nCOPY nothing /\n", Files::default())).0.unwrap_err();
        eprintln!("{builder:?}: {missing}");
        assert!(missing.to_string().contains("nothing"), "{missing}");
        let bad = bench.build(&bench.request("FROM scratch\nFROB x\n", Files::default())).0.unwrap_err();
        eprintln!("{builder:?}: {bad}");
        assert!(bad.to_string().to_lowercase().contains("frob"), "{bad}");
        // A 20.10 engine dies of this one, so it is never sent.
        let none = bench.build(&bench.request("RUN true\n", Files::default())).0.unwrap_err();
        assert!(none.to_string().contains("no FROM"), "{none}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_sent_fails_the_build() {
    for builder in [Builder::default(), Builder::Classic] {
        let Some(bench) = Bench::new(&format!("changing-{}", builder as u8), builder) else { return };
        let nonce = nonce();
        let good = Files::default().add("f", 0o644, format!("good {nonce}").as_bytes());
        for other in [format!("evil {nonce}"), "short".into(), format!("longer than {nonce}")] {
            let mut files = good.clone();
            files.served.insert("f".into(), other.into_bytes());
            let result = bench.build(&bench.request("FROM scratch\nCOPY f /\n", files)).0;
            assert_eq!(result, Err(EngineError::FileChanged { path: "f".into() }));
        }
        // The engine kept nothing of the aborted transfer.
        bench.build(&bench.request("FROM scratch\nCOPY f /\n", good)).0.unwrap();
    }
}

/// What takes less than this ended by the cancel: the step itself sleeps for half a day, and the machine may be busy.
const PROMPT: Duration = Duration::from_secs(60);

#[test]
fn a_cancelled_build_leaves_no_process() {
    for (number, builder) in [Builder::default(), Builder::Classic].into_iter().enumerate() {
        let Some(bench) = Bench::new(&format!("cancel-{number}"), builder) else { return };
        let seconds = 60_000 + std::process::id() as usize % 10_000 * 2 + number;
        let command = format!("echo running; exec /bin/busybox sleep {seconds}");
        let request = bench.request(&run(&command), Files::default().busybox());
        let cancel = Cancel::default();
        let stop = cancel.clone();
        let start = Instant::now();
        let seen = Mutex::new(None);
        let result = bench.engine.build(
            &request,
            &|event| {
                if matches!(&event, BuildEvent::Log { .. }) && !stop.is_cancelled() {
                    *seen.lock().unwrap() = Some((sleeping(seconds), Instant::now()));
                    stop.cancel();
                }
            },
            &cancel,
        );
        assert_eq!(result, Err(EngineError::Interrupted));
        let (_, cancelled) = seen.into_inner().unwrap().expect("the step never ran");
        assert!(cancelled.elapsed() < PROMPT);
        while sleeping(seconds) {
            assert!(cancelled.elapsed() < PROMPT, "the process outlived its build");
            std::thread::sleep(Duration::from_millis(20));
        }
        eprintln!(
            "{builder:?}: gone {:?} after the cancel, {:?} in all",
            cancelled.elapsed(),
            start.elapsed()
        );
    }
}

/// Whether a process of the engine on this machine sleeps that long.
fn sleeping(seconds: usize) -> bool {
    let wanted = seconds.to_string();
    fs_err::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs_err::read(entry.path().join("cmdline")).unwrap_or_default();
        let words: Vec<_> = line.split(|byte| *byte == 0).collect();
        words.len() > 2 && words[words.len() - 2] == wanted.as_bytes() && words.contains(&b"sleep".as_slice())
    })
}

#[test]
fn many_builds_run_side_by_side_and_large_files_are_streamed() {
    let Some(bench) = Bench::new("parallel", Builder::default()) else { return };
    let large: Vec<u8> = (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (bench, large) = (&bench, &large);
            scope.spawn(move || {
                let mut files = Files::default().add("large", 0o644, large);
                for m in 0..300 {
                    files = files.add(&format!("d{}/f{m:03}", m % 7), 0o644, format!("{n} {m}").as_bytes());
                }
                files.list.files.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
                let mut request = bench.request("FROM scratch\nCOPY . /\n", files);
                request.share = format!("{}-{n}", bench.name);
                bench.build(&request).0.unwrap();
            });
        }
    });
}

#[test]
fn an_engine_that_is_not_there_is_told_with_the_origin() {
    let endpoint = Endpoint::parse("unix:///nowhere/x.sock", None, "from DOCKER_HOST".into()).unwrap();
    let text = DockerEngine::new(endpoint).identity().unwrap_err().to_string();
    assert!(
        text.contains("unix:///nowhere/x.sock (from DOCKER_HOST)") && text.contains("does not exist"),
        "{text}"
    );
}

#[test]
fn a_silent_step_longer_than_buildkits_patience_goes_on() {
    // BuildKit asks its client for signs of life every few seconds; a client without an answer loses its build.
    let Some(bench) = Bench::new("silent", Builder::default()) else { return };
    let mut request = bench.request(&run("/bin/busybox sleep 17; echo awake"), Files::default().busybox());
    request.no_cache = true;
    assert!(bench.output(&request).contains("awake"));
}

#[test]
fn a_folder_that_only_changed_its_mode_arrives_with_it() {
    let Some(bench) = Bench::new("folder-mode", Builder::default()) else { return };
    let folder = |mode| {
        let mut files = Files::default().busybox().add("d/f", 0o644, nonce().as_bytes());
        files.list.files.push(UsedFile {
            counts: true,
            path: "d".into(),
            kind: FileKind::Folder,
            mode,
            size_bytes: 0,
            mtime_ns: 1_600_000_000_000_000_000,
            hash: ContentHash::of(b""),
            target: String::new(),
        });
        files
    };
    let say = run("/bin/busybox stat -c %a:%n /src/d");
    for mode in [0o755, 0o700, 0o775, 0o755] {
        let output = bench.output(&bench.request(&say, folder(mode)));
        // The way back is answered by the engine's cache and prints nothing.
        assert!(output.is_empty() || output.contains(&format!("{mode:o}:/src/d")), "{mode:o}: {output}");
        assert!(mode == 0o755 || !output.is_empty(), "{mode:o} came out of the cache");
    }
}
