//! The engine: which one, why that one, what it can do, and its clock.

use jiff::Timestamp;

use super::{Check, clock};
use crate::engine::{DockerEngine, Endpoint, Engine, Environment};

const SECTION: &str = "engine";

pub(super) fn checks() -> Vec<Check> {
    let environment = Environment::from_lookup(|name| std::env::var(name).ok());
    let endpoint = match Endpoint::resolve(&environment) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            return vec![Check::fail(
                SECTION,
                error.to_string(),
                "set DOCKER_HOST, or `docker context use NAME`",
            )];
        }
    };
    let mut checks = vec![Check::ok(SECTION, format!("{} {}", endpoint.address, endpoint.origin))];
    let engine = DockerEngine::new(endpoint);
    let before = Timestamp::now();
    let (identity, about) = match engine.identity().and_then(|identity| Ok((identity, engine.about()?))) {
        Ok(answers) => answers,
        Err(error) => {
            let advice = "start it (`sudo systemctl start docker`), or check who may use its socket; `imk plan` needs none";
            checks.push(Check::fail(SECTION, error.to_string(), advice));
            return checks;
        }
    };
    let after = Timestamp::now();
    checks.push(Check::ok(
        SECTION,
        format!(
            "version {}, API {}, {} images, builds for {}",
            identity.version, about.api, about.images, identity.platform
        ),
    ));
    let (builder, store) = identity.builder.split_once('/').unwrap_or((&identity.builder, &about.store));
    checks.push(match builder {
        "buildkit" => Check::ok(SECTION, format!("builder BuildKit, store {store}")),
        _ => Check::warn(
            SECTION,
            format!("the old builder, store {store}: no secrets, no mounts, everything is sent"),
            "an engine since 18.09 has BuildKit",
        ),
    });
    if let Ok(there) = about.time.parse::<Timestamp>() {
        let milliseconds = match there {
            _ if there < before => there.as_millisecond() - before.as_millisecond(),
            _ if there > after => there.as_millisecond() - after.as_millisecond(),
            _ => 0,
        };
        checks.push(clock("the engine's clock", milliseconds));
    }
    checks
}
