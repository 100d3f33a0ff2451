//! The engines: which, why those, what they can do, and their clocks.

use jiff::Timestamp;

use super::check::{Check, clock};
use super::{embedded, tested};
use crate::cli::args::Global;
use crate::engine::{DockerEngine, Endpoint, Engine, Environment};
use crate::session::open::Session;

const SECTION: &str = "engine";

/// All engines of a session; where none could be opened, docker's own.
pub(super) fn checks(global: &Global, session: Option<&Session>) -> Vec<Check> {
    let Some(session) = session else {
        let environment = Environment::from_lookup(|name| std::env::var(name).ok());
        return match Endpoint::resolve(&environment) {
            Ok(endpoint) => checks_of(global, &DockerEngine::new(endpoint), ""),
            Err(error) => {
                vec![Check::fail(SECTION, error.to_string(), "set DOCKER_HOST, or `docker context use NAME`")]
            }
        };
    };
    let pool = session.executor.pool();
    let mut checks = Vec::new();
    for node in pool.nodes() {
        let name = if pool.is_one() { String::new() } else { format!("`{}`: ", node.name) };
        let is_home = node.name == pool.default_node().name;
        let own = match node.unreachable() {
            Some(error) => vec![Check::fail(SECTION, format!("{name}{error}"), "see `docker context ls`")],
            None => checks_of(global, &*node.engine, &name),
        };
        checks.extend(own.into_iter().map(|check| check.weaker_unless(is_home)));
        let about = [("labels", node.labels.iter().cloned().collect()), ("builds", node.platforms.clone())];
        for (what, words) in about.into_iter().filter(|(_, words)| !words.is_empty()) {
            checks.push(Check::ok(SECTION, format!("{name}{what} {}", words.join(", "))));
        }
    }
    checks
}

fn checks_of(global: &Global, engine: &dyn Engine, name: &str) -> Vec<Check> {
    let before = Timestamp::now();
    let (identity, about) = match engine.identity().and_then(|identity| Ok((identity, engine.about()?))) {
        Ok(answers) => answers,
        Err(error) => {
            let advice = "start it (`sudo systemctl start docker`), or check who may use its socket; `imk plan` needs none";
            return vec![Check::fail(SECTION, format!("{name}{error}"), advice)];
        }
    };
    let after = Timestamp::now();
    let mut checks = vec![Check::ok(SECTION, format!("{name}{}", about.place))];
    checks.push(Check::ok(
        SECTION,
        format!(
            "{name}version {}, API {}, {} images, builds for {}",
            identity.version, about.api, about.images, identity.platform
        ),
    ));
    checks.extend(tested::check(name, &identity));
    let (builder, store) = identity.builder.split_once('/').unwrap_or((&identity.builder, &about.store));
    checks.extend(match builder {
        crate::embedded::NAME => embedded::ladder(global, name),
        "buildkit" => vec![Check::ok(SECTION, format!("{name}builder BuildKit, store {store}"))],
        "podman" => vec![Check::ok(
            SECTION,
            format!(
                "{name}Podman {}, store {store}: no secrets, everything is sent; what it cannot do is refused by name",
                identity.version
            ),
        )],
        _ => vec![Check::warn(
            SECTION,
            format!("{name}the old builder, store {store}: no secrets, no mounts, everything is sent"),
            "an engine since 18.09 has BuildKit",
        )],
    });
    if let Ok(there) = about.time.parse::<Timestamp>() {
        let milliseconds = match there {
            _ if there < before => there.as_millisecond() - before.as_millisecond(),
            _ if there > after => there.as_millisecond() - after.as_millisecond(),
            _ => 0,
        };
        checks.push(clock(&format!("{name}the engine's clock"), milliseconds));
    }
    checks
}
