//! Answers of an engine, line by line, and what is made of them.

use parking_lot::Mutex;

use super::*;

fn progress(secrets: &[&str]) -> Progress {
    Progress {
        image: "web".into(),
        secrets: secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect(),
        steps: BTreeMap::new(),
        classic: None,
        result: None,
        failed: None,
        error: None,
        lines: None,
    }
}

fn read(mut progress: Progress, lines: &[String]) -> (Vec<BuildEvent>, Result<ImageId, EngineError>) {
    let events = Mutex::new(Vec::new());
    for line in lines {
        progress.line(line.as_bytes(), &|event| events.lock().push(event));
    }
    (events.into_inner(), progress.finish(None))
}

fn trace(vertices: Vec<Vertex>) -> String {
    let status = StatusResponse { vertexes: vertices, ..StatusResponse::default() };
    format!(r#"{{"id":"moby.buildkit.trace","aux":"{}"}}"#, STANDARD.encode(status.encode_to_vec()))
}

fn vertex(name: &str, seconds: Option<(i64, i64)>, error: &str) -> Vertex {
    let time = |seconds| Timestamp { seconds, nanos: 0 };
    Vertex {
        digest: format!("sha256:{name}"),
        name: name.into(),
        started: seconds.map(|(start, _)| time(start)),
        completed: seconds.filter(|(_, end)| *end > 0).map(|(_, end)| time(end)),
        error: error.into(),
        ..Vertex::default()
    }
}

fn image() -> String {
    r#"{"id":"moby.image.id","aux":{"ID":"sha256:1"}}"#.into()
}

#[test]
fn a_step_is_told_once_with_its_numbers_and_time() {
    let name = "[stage 2/4] COPY a /";
    let lines = [
        trace(vec![vertex(name, None, "")]),
        trace(vec![vertex(name, Some((10, 0)), "")]),
        trace(vec![vertex(name, Some((10, 13)), "")]),
        trace(vec![vertex(name, Some((10, 13)), "")]),
        image(),
    ];
    let (events, result) = read(progress(&[]), &lines);
    let id = format!("sha256:{name}");
    let expected = [
        BuildEvent::Step { id: id.clone(), name: name.into(), number: Some(2), total: Some(4) },
        BuildEvent::StepDone { id, cached: false, error: None, took: Some(Duration::from_secs(3)) },
    ];
    assert_eq!(events, expected);
    assert_eq!(result, Ok(ImageId("sha256:1".into())));
}

#[test]
fn a_failed_step_gives_its_name_and_status_and_its_neighbours_do_not() {
    let lines = [
        trace(vec![vertex("[b 2/2] RUN y", Some((1, 2)), "context canceled")]),
        trace(vec![vertex("[a 2/2] RUN x", Some((1, 2)), "executor failed running [x]: exit code: 3")]),
        r#"{"errorDetail":{"message":"failed to solve: executor failed running [x]: exit code: 3"}}"#.into(),
    ];
    let (_, result) = read(progress(&[]), &lines);
    let failure = BuildFailure {
        step: "[a 2/2] RUN x".into(),
        message: "executor failed running [x]: exit code: 3".into(),
        exit_code: Some(3),
        lines: None,
    };
    assert_eq!(result, Err(EngineError::Failed(failure)));
}

#[test]
fn an_answer_without_an_image_is_a_failure() {
    let (_, result) = read(progress(&[]), &[trace(vec![vertex("[1/1] COPY", Some((1, 2)), "")])]);
    assert!(result.unwrap_err().to_string().contains("without an image"));
}

#[test]
fn a_connection_that_broke_after_the_image_is_still_a_failure() {
    let mut progress = progress(&[]);
    progress.line(image().as_bytes(), &|_| {});
    let text = progress.finish(Some("reset by peer".into())).unwrap_err().to_string();
    assert_eq!(text, "building `web`: the connection to the engine broke: reset by peer");
}

#[test]
fn a_full_disk_is_told_as_such_wherever_it_was_noticed() {
    let message = "failed to read dockerfile: write /x: no space left on device";
    let (_, result) = read(progress(&[]), &[format!(r#"{{"errorDetail":{{"message":"{message}"}}}}"#)]);
    let text = result.unwrap_err().to_string();
    assert!(text.contains("disk is full") && text.contains("docker system prune"), "{text}");
}

#[test]
fn no_secret_gets_into_an_event_or_error() {
    let lines = [
        trace(vec![vertex("[2/2] RUN x", Some((1, 2)), "failed: hunter2 hunter2")]),
        r#"{"error":"solve: hunter2"}"#.into(),
    ];
    let (events, result) = read(progress(&["hunter2"]), &lines);
    assert!(!format!("{events:?} {result:?}").contains("hunter2"));
}

#[test]
fn the_classic_builders_text_becomes_the_same_events() {
    let stream = |text: &str| serde_json::json!({ "stream": text }).to_string();
    let lines = [
        stream("Step 1/2 : FROM scratch"),
        stream(" ---> 123"),
        stream("Step 2/2 : RUN x"),
        stream(" ---> Using cache"),
        r#"{"aux":{"ID":"sha256:9"}}"#.into(),
        stream("Successfully built 9\n"),
    ];
    let (events, result) = read(progress(&[]), &lines);
    assert_eq!(result, Ok(ImageId("sha256:9".into())));
    assert_eq!(events.len(), 4, "{events:?}");
    assert!(matches!(&events[3], BuildEvent::StepDone { id, cached: true, .. } if id == "step 2/2"));
}

#[test]
fn podmans_text_becomes_the_same_events_and_a_failing_commands_output_is_kept() {
    let stream = |text: &str| serde_json::json!({ "stream": text }).to_string();
    let hash = "43da28a66c5fc057c3f597beae18dd7244e614895f869931b8e4de1f37d723dc";
    let error = "building at STEP \"RUN x\": while running runtime: exit status 3\n";
    let lines = [
        stream("[1/2] STEP 1/1: FROM scratch AS a\n"),
        stream("STEP 1/3: FROM scratch\n"),
        stream("STEP 2/3: COPY a /\n"),
        stream(&format!("--> Using cache {hash}\n")),
        stream("--> 43da28a66c5\n"),
        stream("STEP 3/3: RUN x\n"),
        stream("one\n--> src/main.rs\n"),
        stream("--> src/lib.rs:3\n"),
        serde_json::json!({"errorDetail": {"message": error}, "error": error}).to_string(),
    ];
    let (events, result) = read(progress(&[]), &lines);
    let told: Vec<String> = events
        .iter()
        .map(|event| match event {
            BuildEvent::Step { name, number, total, .. } => format!("{name} {number:?} {total:?}"),
            BuildEvent::StepDone { id, cached, .. } => format!("{id} cached {cached}"),
            BuildEvent::Log { bytes, .. } => format!("log {}", String::from_utf8_lossy(bytes).trim_end()),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "[stage 1, 1/1] FROM scratch AS a Some(1) Some(1)",
            "step stage 1, 1/1 cached false",
            "[1/3] FROM scratch Some(1) Some(3)",
            "step 1/3 cached false",
            "[2/3] COPY a / Some(2) Some(3)",
            "step 2/3 cached true",
            "[3/3] RUN x Some(3) Some(3)",
            "log one\n--> src/main.rs",
            "log --> src/lib.rs:3",
        ]
    );
    let failure = BuildFailure {
        step: "[3/3] RUN x".into(),
        message: error.trim().into(),
        exit_code: Some(3),
        lines: None,
    };
    assert_eq!(result, Err(EngineError::Failed(failure)));
}

#[test]
fn a_finished_build_of_podmans_has_its_id_and_no_step_left_open() {
    let stream = |text: &str| serde_json::json!({ "stream": text }).to_string();
    let hash = "43da28a66c5fc057c3f597beae18dd7244e614895f869931b8e4de1f37d723dc";
    let lines = [
        stream("STEP 1/1: FROM scratch\n"),
        stream("COMMIT\n"),
        stream("--> 43da28a66c5\n"),
        stream("[Warning] one or more build args were not consumed: [V]\n"),
        stream(&format!("{hash}\n")),
        serde_json::json!({"aux": {"ID": format!("sha256:{hash}")}}).to_string(),
        stream("Successfully built 43da28a66c5f\n"),
    ];
    let (events, result) = read(progress(&[]), &lines);
    assert_eq!(result, Ok(ImageId(format!("sha256:{hash}"))));
    let kinds: Vec<bool> = events.iter().map(|event| matches!(event, BuildEvent::Log { .. })).collect();
    assert_eq!(kinds, [false; 3], "{events:?}");
}

#[test]
fn status_of_a_command_is_read_from_all_builders_words() {
    assert_eq!(exit_code("process \"x\" did not complete successfully: exit code: 137"), Some(137));
    assert_eq!(exit_code("The command 'x' returned a non-zero code: 3"), Some(3));
    assert_eq!(exit_code("building at STEP \"RUN x\": while running runtime: exit status 3"), Some(3));
    assert_eq!(exit_code("no such file"), None);
    assert_eq!(numbers("[internal] load build definition"), None);
    assert_eq!(numbers("[linux/amd64 stage-1 3/7] RUN x"), Some((3, 7)));
}

#[test]
fn what_an_engine_calls_an_id_and_is_none_is_no_result() {
    for id in ["", "sha256:", "latest", "sha256:1\\nFROM evil", "registry.example/x@sha256:1", "\\u001b[2J"] {
        let (_, result) =
            read(progress(&[]), &[format!(r#"{{"id":"moby.image.id","aux":{{"ID":"{id}"}}}}"#)]);
        assert!(matches!(result, Err(EngineError::Refused { .. })), "{id}: {result:?}");
    }
}
