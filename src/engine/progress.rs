//! Progress of a running build, from the engine's lines, and its end.
//!
//! Pure: lines in, events and one verdict out. Reads BuildKit's trace and the
//! classic builder's text; knows nothing of connections.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexWarning};
use prost::Message;
use serde_json::Value;

use super::{BuildEvent, BuildFailure, EngineError, ImageId, SecretValue};

mod source;
mod steps;
#[cfg(test)]
mod tests;

type Events<'a> = &'a (dyn Fn(BuildEvent) + Sync);

/// The progress of a build so far.
pub(super) struct Progress {
    image: String,
    secrets: Vec<Vec<u8>>,
    steps: BTreeMap<String, Step>,
    /// The classic builder's running step.
    classic: Option<(String, String)>,
    result: Option<ImageId>,
    /// The step that failed and what it said.
    failed: Option<(String, String)>,
    error: Option<String>,
    /// The lines of the Dockerfile that it is about.
    lines: Option<(usize, usize)>,
}

#[derive(Default)]
struct Step {
    told: bool,
    done: bool,
}

impl Progress {
    /// Of the build of an image with these secrets, which no event will show.
    pub fn new<'s>(image: &str, secrets: impl IntoIterator<Item = &'s SecretValue>) -> Self {
        // A secret of a few bytes would blot out ordinary words.
        let long = |SecretValue(value): &SecretValue| {
            let value = value.trim_ascii();
            (value.len() >= 4).then(|| value.to_vec())
        };
        Self {
            image: image.to_owned(),
            secrets: secrets.into_iter().filter_map(long).collect(),
            steps: BTreeMap::new(),
            classic: None,
            result: None,
            failed: None,
            error: None,
            lines: None,
        }
    }

    /// Takes one line of the answer. What is not understood is passed over: newer engines say more.
    pub fn line(&mut self, line: &[u8], events: Events<'_>) {
        let Ok(json) = serde_json::from_slice::<Value>(line) else { return };
        let detail = json.pointer("/errorDetail/message").or_else(|| json.get("error"));
        if let Some(message) = detail.and_then(Value::as_str) {
            self.error = Some(self.hide_in(message));
        }
        match json.get("id").and_then(Value::as_str) {
            Some("moby.buildkit.trace") => {
                let text = json.get("aux").and_then(Value::as_str).unwrap_or_default();
                let bytes = STANDARD.decode(text).unwrap_or_default();
                if let Ok(status) = StatusResponse::decode(bytes.as_slice()) {
                    self.status(status, events);
                }
            }
            Some("moby.image.id") => self.take_result(&json),
            _ => {
                if json.get("aux").is_some() {
                    self.take_result(&json);
                }
                if let Some(text) = json.get("stream").and_then(Value::as_str) {
                    self.classic_text(text, events);
                }
            }
        }
    }

    fn take_result(&mut self, json: &Value) {
        if let Some(id) = json.pointer("/aux/ID").and_then(Value::as_str) {
            self.take_id(id);
        }
    }

    /// Takes the id of the result, unless it is none.
    pub fn take_id(&mut self, id: &str) {
        if is_id(id) {
            self.result = Some(ImageId(id.to_owned()));
        }
    }

    /// Takes the message that ended the build, and what BuildKit adds to it: `google.rpc.Status` with details.
    pub fn take_error(&mut self, message: &str, details: &[u8]) {
        self.error = Some(self.hide_in(message));
        self.lines = source::lines(details);
    }

    /// Takes a part of BuildKit's own report.
    pub fn status(&mut self, status: StatusResponse, events: Events<'_>) {
        for vertex in status.vertexes {
            self.vertex(vertex, events);
        }
        for log in status.logs {
            events(BuildEvent::Log { id: self.hide_in(&log.vertex), bytes: self.hide(&log.msg) });
        }
        for warning in status.warnings {
            events(BuildEvent::Note(self.hide_in(&in_words(&warning))));
        }
    }

    fn vertex(&mut self, vertex: Vertex, events: Events<'_>) {
        let error = (!vertex.error.is_empty()).then(|| self.hide_in(&vertex.error));
        let name = self.hide_in(&vertex.name);
        let id = self.hide_in(&vertex.digest);
        let step = self.steps.entry(id.clone()).or_default();
        if vertex.started.is_none() && vertex.completed.is_none() {
            return;
        }
        if !step.told {
            step.told = true;
            let (number, total) = numbers(&name).unzip();
            events(BuildEvent::Step { id: id.clone(), name: name.clone(), number, total });
        }
        if vertex.completed.is_none() || step.done {
            return;
        }
        step.done = true;
        if let Some(error) = &error {
            // Steps beside the failed one end with "context canceled"; they are not to blame.
            if self.failed.is_none() && !error.contains("context canceled") {
                self.failed = Some((name, error.clone()));
            }
        }
        let took = vertex.started.as_ref().zip(vertex.completed.as_ref()).and_then(|(a, b)| between(a, b));
        events(BuildEvent::StepDone { id, cached: vertex.cached, error, took });
    }

    /// A line of a builder that works step by step, or the output of a command.
    fn classic_text(&mut self, text: &str, events: Events<'_>) {
        let text = self.hide_in(text);
        if let Some((count, name)) = steps::begins(&text) {
            self.end_classic(None, events);
            let name = format!("[{count}] {name}");
            let (number, total) = numbers(&name).unzip();
            let id = format!("step {count}");
            events(BuildEvent::Step { id: id.clone(), name: name.clone(), number, total });
            self.classic = Some((id, name));
        } else if steps::is_cached(&text) {
            if let Some((id, _)) = self.classic.take() {
                events(BuildEvent::StepDone { id, cached: true, error: None, took: None });
            }
        } else if let Some(id) = text.strip_prefix("Successfully built ") {
            self.end_classic(None, events);
            // Engines send the whole id beside this; the short one is better than none.
            if is_id(id.trim()) {
                self.result.get_or_insert_with(|| ImageId(id.trim().to_owned()));
            }
        } else if steps::ends(&text) {
            self.end_classic(None, events);
        } else if let Some((id, _)) = self.classic.as_ref().filter(|_| !steps::is_chatter(&text)) {
            events(BuildEvent::Log { id: id.clone(), bytes: text.into_bytes() });
        } else if text.starts_with("[Warning]") {
            events(BuildEvent::Note(text.trim().to_owned()));
        }
    }

    fn end_classic(&mut self, error: Option<String>, events: Events<'_>) {
        if let Some((id, name)) = self.classic.take() {
            if let Some(error) = &error {
                self.failed = Some((name, error.clone()));
            }
            events(BuildEvent::StepDone { id, cached: false, error, took: None });
        }
    }

    /// The verdict, once the answer has ended; `broken` when it ended before its time.
    pub fn finish(mut self, broken: Option<String>) -> Result<ImageId, EngineError> {
        if self.error.is_none() && broken.is_none() {
            // An engine tells an id when all is done: a cache that is not there fails a step and no build.
            if let Some(id) = self.result.take() {
                return Ok(id);
            }
            if self.failed.is_none() {
                // Whatever else was said, a build without an id is none.
                let why = "the engine ended the build without an image; its log may say why";
                return Err(self.refused(why.into()));
            }
        }
        let said: Vec<&str> =
            [self.failed.as_ref().map(|(_, why)| why), self.error.as_ref(), broken.as_ref()]
                .into_iter()
                .flatten()
                .map(String::as_str)
                .collect();
        // It comes from many places ("failed to read dockerfile: … no space left"), so it is looked for first.
        if let Some(text) = said.iter().find(|text| text.contains("no space left on device")) {
            let why = format!(
                "the engine's disk is full; make room, for instance with `docker system prune` ({text})"
            );
            return Err(self.refused(why));
        }
        if let (None, None, Some(broken)) = (&self.failed, &self.error, &broken) {
            return Err(self.refused(format!("the connection to the engine broke: {broken}")));
        }
        let message = said.first().map(|text| text.trim_end().to_owned()).unwrap_or_default();
        let exit_code = said.iter().find_map(|text| exit_code(text));
        let step = match (self.failed, self.classic) {
            (Some((step, _)), _) | (None, Some((_, step))) => step,
            (None, None) => String::new(),
        };
        Err(EngineError::Failed(BuildFailure { step, message, exit_code, lines: self.lines }))
    }

    fn refused(&self, why: String) -> EngineError {
        EngineError::Refused { what: format!("building `{}`", self.image), why }
    }

    /// Blots out secrets a command may have shown. One that is split over two messages gets through.
    fn hide(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for secret in &self.secrets {
            let mut at = 0;
            while let Some(found) = bytes[at..].windows(secret.len()).position(|window| window == secret) {
                bytes.splice(at + found..at + found + secret.len(), *b"***");
                at += found + 3;
            }
        }
        bytes
    }

    fn hide_in(&self, text: &str) -> String {
        if self.secrets.is_empty() {
            return text.to_owned();
        }
        String::from_utf8_lossy(&self.hide(text.as_bytes())).into_owned()
    }
}

/// A warning with its place in the Dockerfile and the page that explains it.
fn in_words(warning: &VertexWarning) -> String {
    let mut text = String::from_utf8_lossy(&warning.short).trim_end().to_owned();
    let line = warning.ranges.first().and_then(|range| range.start.as_ref()).map(|start| start.line);
    let more: Vec<String> = line
        // Newer ones say the line themselves.
        .filter(|line| *line > 0 && !text.contains("(line "))
        .map(|line| format!("line {line}"))
        .into_iter()
        .chain(Some(warning.url.clone()).filter(|url| !url.is_empty()))
        .collect();
    if !more.is_empty() {
        text += &format!(" ({})", more.join(", "));
    }
    text
}

/// Whether a text can be an image's id: a digest, or the start of one. An engine may be anybody's, and what is
/// no id would come to stand in the ledger, in Dockerfiles and on the screen.
fn is_id(text: &str) -> bool {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    !digits.is_empty() && digits.len() <= 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `2` and `4` of `[2/4] COPY`, `[stage 2/4] COPY`, `[linux/amd64 stage-1 2/4] COPY`.
fn numbers(name: &str) -> Option<(u32, u32)> {
    let (inside, _) = name.strip_prefix('[')?.split_once(']')?;
    let (number, total) = inside.rsplit(' ').next()?.split_once('/')?;
    Some((number.parse().ok()?, total.parse().ok()?))
}

/// `3` of `… exit code: 3` (BuildKit), `… returned a non-zero code: 3` (classic) and `… exit status 3` (Podman).
fn exit_code(message: &str) -> Option<i64> {
    let marks = ["exit code: ", "non-zero code: ", "exit status "];
    let (_, after) = marks.iter().find_map(|mark| message.rsplit_once(mark))?;
    let end = after.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(after.len());
    after[..end].parse().ok()
}

fn between(start: &Timestamp, end: &Timestamp) -> Option<Duration> {
    let nanoseconds = |time: &Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    u64::try_from(nanoseconds(end) - nanoseconds(start)).ok().map(Duration::from_nanos)
}
