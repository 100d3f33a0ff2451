//! BuildKit's own checks of a Dockerfile: the subrequest `frontend.lint`, as `docker build --check` asks for it.
//!
//! Nothing is built. A frontend that knows no such request is one without checks, which is no error.

use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1::SolveRequest;
use bollard_buildkit_proto::moby::buildkit::v1::control_client::ControlClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::llb_bridge_client::LlbBridgeClient;
use bollard_buildkit_proto::moby::buildkit::v1::frontend::{
    PingRequest, Result as FrontendResult, ReturnRequest, SolveRequest as FrontendRequest,
};
use serde::Deserialize;
use tonic::Code;
use tonic::transport::Channel;

use super::attributes::attributes;
use super::channel::{Dialled, MESSAGE_MAX, dial, serve};
use crate::credentials::Credentials;
use crate::engine::api::CheckFinding;
use crate::engine::sending::Traffic;
use crate::engine::session::{self, refused, supervise};
use crate::engine::transport::Link;
use crate::engine::{BuildRequest, Cancel, EngineError};

/// How often it is asked whether the frame has begun, and the pause between.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);
/// Names the build to the service that frontends speak with.
const BUILD: &str = "buildkit-controlapi-buildid";
/// The answer's key.
const ANSWER: &str = "result.json";

/// The findings on a Dockerfile; `None` where BuildKit has no checks.
pub(in crate::engine) async fn checks(
    link: Link<'_>,
    credentials: &Credentials,
    request: &BuildRequest,
    cancel: &Cancel,
) -> Result<Option<Vec<CheckFinding>>, EngineError> {
    let traffic = std::sync::Arc::new(Traffic::default());
    let work = async {
        let Dialled { channel, _connection } = dial(link, &format!("checking `{}`", request.image)).await?;
        let client = ControlClient::new(channel.clone()).max_decoding_message_size(MESSAGE_MAX);
        let id = session::session_id();
        let routes = session::routes(credentials, request, &traffic).await?;
        let session = serve(client.clone(), routes, &session::headers(request, &id)).await;
        let _session =
            session.map_err(|why| refused(request, format!("BuildKit opens no session: {why}")))?;
        let reference = session::session_id();
        let mut solving = client.clone();
        let frame =
            SolveRequest { r#ref: reference.clone(), session: id, internal: true, ..SolveRequest::default() };
        let asked = ask(channel, &reference, request);
        tokio::pin!(asked);
        let answer = tokio::select! {
            biased;
            answer = &mut asked => answer,
            // The frame of the question ends when it is refused, and when all is said.
            ended = solving.solve(frame) => match ended {
                Err(status) => Err(status),
                Ok(_) => asked.await,
            },
        };
        match answer {
            Err(status) if !has_none(&status) => Err(refused(request, status.message().to_owned())),
            Err(_) => Ok(None),
            Ok(answer) => Ok(answer),
        }
    };
    supervise(link, work, &traffic, &|_| {}, cancel).await
}

/// Whether it says that there is no such request.
fn has_none(status: &tonic::Status) -> bool {
    let text = status.message();
    status.code() == Code::Unimplemented
        || ["unsupported request", "unknown request", "unsupported subrequest", "invalid empty definition"]
            .iter()
            .any(|word| text.contains(word))
}

async fn ask(
    channel: Channel,
    reference: &str,
    request: &BuildRequest,
) -> Result<Option<Vec<CheckFinding>>, tonic::Status> {
    let mut bridge = LlbBridgeClient::new(channel).max_decoding_message_size(MESSAGE_MAX);
    let id = reference.parse().map_err(|_| tonic::Status::internal("an id is no header"))?;
    let named = |id: &tonic::metadata::MetadataValue<_>, metadata: &mut tonic::metadata::MetadataMap| {
        metadata.insert(BUILD, id.clone());
    };
    // It knows no such build until the frame has begun.
    let mut tries = 0;
    loop {
        let mut ping = tonic::Request::new(PingRequest {});
        named(&id, ping.metadata_mut());
        match bridge.ping(ping).await {
            Ok(_) => break,
            Err(status) if tries >= TRIES || status.code() == Code::Unimplemented => {
                return Err(status);
            }
            Err(_) => tries += 1,
        }
        tokio::time::sleep(PAUSE).await;
    }
    let mut options = attributes(request);
    options.insert("requestid".into(), "frontend.lint".into());
    let mut solve = tonic::Request::new(FrontendRequest {
        frontend: "dockerfile.v0".into(),
        frontend_opt: options,
        allow_result_return: true,
        allow_result_array_ref: true,
        ..FrontendRequest::default()
    });
    named(&id, solve.metadata_mut());
    let solved = bridge.solve(solve).await?.into_inner();
    let found = solved.result.and_then(|result| findings(result.metadata.get(ANSWER)?));
    let mut done =
        tonic::Request::new(ReturnRequest { result: Some(FrontendResult::default()), error: None });
    named(&id, done.metadata_mut());
    // What was asked is known; how the frame ends matters to nobody.
    let _ = bridge.r#return(done).await;
    Ok(found)
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    warnings: Option<Vec<Warning>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Warning {
    #[serde(default)]
    rule_name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    detail: String,
    location: Option<Location>,
}

#[derive(Deserialize)]
struct Location {
    #[serde(default)]
    ranges: Option<Vec<Range>>,
}

#[derive(Deserialize)]
struct Range {
    start: Option<Position>,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    line: usize,
}

fn findings(json: &[u8]) -> Option<Vec<CheckFinding>> {
    let answer: Answer = serde_json::from_slice(json).ok()?;
    let finding = |warning: Warning| {
        let ranges = warning.location.and_then(|location| location.ranges).unwrap_or_default();
        let line = ranges.first().and_then(|range| range.start.as_ref()).map(|start| start.line);
        CheckFinding {
            rule: warning.rule_name,
            message: if warning.detail.is_empty() { warning.description } else { warning.detail },
            url: warning.url,
            line: line.filter(|line| *line > 0),
        }
    };
    Some(answer.warnings.unwrap_or_default().into_iter().map(finding).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_have_rule_place_and_page() {
        let json = br#"{"warnings":[{"ruleName":"FromAsCasing","description":"d","url":"https://x","detail":"as","location":{"sourceIndex":0,"ranges":[{"start":{"line":3},"end":{"line":3}}]}},{"ruleName":"Y","description":"only"}],"sources":[]}"#;
        let found = findings(json).unwrap();
        assert_eq!(
            (found[0].rule.as_str(), found[0].message.as_str(), found[0].line),
            ("FromAsCasing", "as", Some(3))
        );
        assert_eq!((found[1].message.as_str(), found[1].line), ("only", None));
        assert_eq!(findings(br#"{"warnings":null}"#), Some(Vec::new()));
        assert_eq!(findings(b"no json"), None);
    }
}
