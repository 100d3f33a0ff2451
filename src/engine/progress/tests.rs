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
fn status_of_a_command_is_read_from_both_builders_words() {
    assert_eq!(exit_code("process \"x\" did not complete successfully: exit code: 137"), Some(137));
    assert_eq!(exit_code("The command 'x' returned a non-zero code: 3"), Some(3));
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
