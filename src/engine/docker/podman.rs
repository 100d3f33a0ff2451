//! Podman's answers: how it is told from Docker, who it is, and what its description of an image lacks.
//!
//! Knows nothing of builds.

use bollard::models::{HealthConfig, ImageInspect, SystemInfo};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use serde_json::Value;

use crate::engine::endpoint::Endpoint;
use crate::engine::{EngineError, transport};
use crate::model::error_chain::error_chain;
use crate::model::hash::FieldHasher;
use crate::patience::Patience;

/// How lines of an image's history begin that Buildah writes for instructions without a command.
const INSTRUCTION: &str = "/bin/sh -c #(nop) ";

/// Whether it is Podman that answers: it says so on `/_ping`, as `Server: Libpod/5.8.6 (linux)`.
pub(super) async fn answers(endpoint: &Endpoint, patience: &Patience) -> Result<bool, EngineError> {
    let reply = transport::ask(endpoint, patience, get("/_ping")?).await?;
    let headers = reply.response.headers();
    let server = headers.get("server").and_then(|server| server.to_str().ok()).unwrap_or_default();
    Ok(server.starts_with("Libpod/") || headers.contains_key("libpod-api-version"))
}

/// An id that is the same tomorrow. The one that Podman tells is another with each question, so this is made of
/// the machine and the folder where it keeps its images.
pub(super) fn id(info: &SystemInfo) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let mut hasher = FieldHasher::new("imk podman v1");
    hasher.field(text(&info.name)).field(text(&info.docker_root_dir)).field(text(&info.driver));
    format!("podman-{}", hasher.finish().short(24))
}

/// Adds what Docker's form of the description lacks on Podman: health check, shell and triggers. The first is
/// in Podman's own description, the others only in the history.
pub(super) async fn complete(
    endpoint: &Endpoint,
    patience: &Patience,
    image: &mut ImageInspect,
) -> Result<(), EngineError> {
    let Some(id) = &image.id else { return Ok(()) };
    let reply = transport::ask(endpoint, patience, get(&format!("/v4.0.0/libpod/images/{id}/json"))?).await?;
    let status = reply.response.status();
    let body = reply.response.into_body().collect().await;
    let body = body.map_err(|error| transport::unreachable(endpoint, error_chain(&error)))?;
    let told: Option<Value> =
        serde_json::from_slice(&body.to_bytes()).ok().filter(|_| status == StatusCode::OK);
    let Some(told) = told else {
        let why = format!("Podman answered {status} when it was asked for its own description");
        return Err(EngineError::Refused { what: format!("inspecting `{id}`"), why });
    };
    settle(image, &told);
    Ok(())
}

fn settle(image: &mut ImageInspect, told: &Value) {
    let config = image.config.get_or_insert_default();
    config.healthcheck = serde_json::from_value::<HealthConfig>(told["Healthcheck"].clone()).ok();
    let history = told["History"].as_array().into_iter().flatten();
    let lines = history.filter_map(|line| line["created_by"].as_str());
    let lines: Vec<&str> = lines.map(|line| line.strip_prefix(INSTRUCTION).unwrap_or(line).trim()).collect();
    let mut shells = lines.iter().filter_map(|line| line.strip_prefix("SHELL "));
    config.shell = shells.next_back().and_then(|list| serde_json::from_str(list).ok());
    // History does not tell which of them were carried out by an image between; more files are read then than must be.
    let triggers = lines.iter().filter_map(|line| line.strip_prefix("ONBUILD "));
    let triggers: Vec<String> = triggers.map(str::to_owned).collect();
    config.on_build = Some(triggers).filter(|triggers| !triggers.is_empty());
}

/// A question.
pub(super) fn get(path: &str) -> Result<Request<Empty<Bytes>>, EngineError> {
    Request::get(path).body(Empty::new()).map_err(|error| EngineError::Refused {
        what: format!("asking the engine for `{path}`"),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn health_check_shell_and_triggers_are_found() {
        let told = json!({
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 5},
            "History": [
                {"created_by": "/bin/sh -c #(nop) SHELL [\"/bin/a\"]"},
                {"created_by": "/bin/sh -c #(nop) SHELL [\"/bin/b\",\"-c\"]", "empty_layer": true},
                {"created_by": "/bin/sh -c #(nop) ONBUILD RUN echo hi  "},
                {"created_by": "ONBUILD COPY a /"},
                {"created_by": "/bin/sh -c echo ONBUILD no"},
            ],
        });
        let mut image = ImageInspect::default();
        settle(&mut image, &told);
        let config = image.config.unwrap();
        assert_eq!(config.healthcheck.unwrap().test.unwrap(), ["CMD-SHELL", "true"]);
        assert_eq!(config.shell.unwrap(), ["/bin/b", "-c"]);
        assert_eq!(config.on_build.unwrap(), ["RUN echo hi", "COPY a /"]);
    }

    #[test]
    fn an_image_without_them_has_none() {
        let mut image = ImageInspect::default();
        settle(&mut image, &json!({"History": [{"created_by": "/bin/sh -c true"}]}));
        let config = image.config.unwrap();
        assert_eq!((config.healthcheck, config.shell, config.on_build), (None, None, None));
    }

    #[test]
    fn the_id_stays_when_podman_tells_another_with_each_question() {
        let info = |id: &str, root: &str| SystemInfo {
            id: Some(id.into()),
            name: Some("host".into()),
            docker_root_dir: Some(root.into()),
            driver: Some("overlay".into()),
            ..SystemInfo::default()
        };
        assert_eq!(super::id(&info("1", "/a")), super::id(&info("2", "/a")));
        assert_ne!(super::id(&info("1", "/a")), super::id(&info("1", "/b")));
    }
}
