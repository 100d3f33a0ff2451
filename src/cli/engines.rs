//! `--engine` and `engines`: which engines there are, and what each is good for.
//!
//! Connects to none.

pub mod user_config;

use std::sync::Arc;

use crate::cli::failure::Failure;
use crate::cli::registries::credentials;
use crate::credentials::Credentials;
use crate::embedded::NAME;
use crate::engine::buildkitd::Buildkitd;
use crate::engine::endpoint::{Address, Tls};
use crate::engine::{DockerEngine, Endpoint, Engine, EngineError, EnginePool, Environment, NoEngine, Node};
use crate::patience::Patience;
use crate::session::project::Project;
use crate::syntax::imagefile::DeclaredEngine;
use crate::syntax::resolve::platform;
use user_config::{Own, endpoint_of};

/// An engine as typed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Typed {
    place: String,
    labels: Vec<String>,
    platforms: Vec<String>,
    jobs: Option<usize>,
    tls: Option<Tls>,
}

/// The surroundings of a run: variables that name engines, and the patience with which they are waited for.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// The variables that choose an engine.
    pub environment: &'a Environment,
    /// How long the others of this run are waited for.
    pub patience: &'a Patience,
}

/// How engines are made that are not Docker's.
pub struct Makers<'a> {
    /// imk's own builder.
    pub embedded: &'a dyn Fn() -> Arc<dyn Engine>,
    /// One of a BuildKit of its own, with the registries that keep its results.
    pub buildkitd: &'a dyn Fn(Buildkitd) -> Arc<dyn Engine>,
}

/// The engines of a run: those that were typed, else docker's own and those of the Imagefile, of
/// which the user's own file says who is trusted. A mistake in that file is one whether it is needed or not.
///
/// Where nobody has said which engine, and none listens where docker's own would, `embedded` makes one.
pub fn engine_pool(
    typed: &[String],
    project: &Project,
    around: &Around<'_>,
    makers: &Makers<'_>,
) -> Result<EnginePool, Failure> {
    pool(typed, project, around, (&user_config::read(&project.root)?, makers))
}

fn pool(
    typed: &[String],
    project: &Project,
    around: &Around<'_>,
    (own, makers): (&Own, &Makers<'_>),
) -> Result<EnginePool, Failure> {
    let Around { environment, .. } = *around;
    if typed.iter().all(|text| text.trim().is_empty()) {
        return match project.engines.is_empty() && !environment.names_an_engine() {
            true => Ok(enlisted(Node::new(NAME, (makers.embedded)()), Vec::new(), around)),
            false => declared(project, around, (own, makers)),
        };
    }
    let mut nodes: Vec<Node> = Vec::new();
    for one in parse(typed)? {
        let declared = project.engines.get(&one.place);
        let there = declared.map(|engine| endpoint_of(&engine.address, environment, IMAGEFILE));
        let mut node = match (declared, there, endpoint(&one.place, environment)) {
            (None, _, _) if one.place == NAME => Node::new(NAME, (makers.embedded)()),
            // A name that is the user's own context means that: an Imagefile takes no name from docker.
            (Some(engine), Some(Ok(there)), Ok(context)) if there.address == context.address => {
                dressed(made(&one.place, proven(context, &one)?, around, makers)?, engine)
            }
            (_, _, Ok(context)) => made(&one.place, proven(context, &one)?, around, makers)?,
            // Typed, it is the user's own choice, whoever wrote down where it is.
            (Some(engine), Some(there), Err(_)) => {
                let there = there.map_err(|error| Failure::engine(&error))?;
                dressed(made(&one.place, proven(there, &one)?, around, makers)?, engine)
            }
            (_, _, Err(error)) => return Err(Failure::engine(&error)),
        };
        node.labels.extend(one.labels);
        node.platforms.extend(one.platforms);
        node.jobs = one.jobs.or(node.jobs);
        if nodes.iter().any(|other| other.name == node.name) {
            let hint = "its labels, platforms and jobs stand in one word, with commas between";
            return Err(Failure::with_hint(format!("the engine `{}` is named twice", node.name), hint));
        }
        nodes.push(node);
    }
    let mut nodes = nodes.into_iter();
    match nodes.next() {
        Some(default_engine) => Ok(enlisted(default_engine, nodes.collect(), around)),
        None => declared(project, around, (own, makers)),
    }
}

/// The endpoint with what was typed to prove who speaks.
fn proven(endpoint: Endpoint, typed: &Typed) -> Result<Endpoint, Failure> {
    match &typed.tls {
        Some(tls) => endpoint.with_tls(tls.clone()).map_err(|error| Failure::engine(&error)),
        None => Ok(endpoint),
    }
}

/// These engines. Where the first is imk's own builder, `--load` puts targets into the Docker engine that was named
/// beside it, else into docker's own.
fn enlisted(default_engine: Node, others: Vec<Node>, around: &Around<'_>) -> EnginePool {
    let is_own = default_engine.name == NAME && default_engine.endpoint.is_none();
    let beside = others.iter().find_map(|node| node.endpoint.clone());
    let pool = EnginePool::new(default_engine, others);
    let docker = || Endpoint::resolve(around.environment).ok().filter(|endpoint| !endpoint.buildkitd);
    let endpoint = beside.or_else(docker).filter(|_| is_own);
    match endpoint {
        Some(endpoint) => {
            let engine = DockerEngine::new(endpoint.clone()).with_patience(around.patience);
            pool.loading_into(Node::new("docker", Arc::new(engine)).at(endpoint))
        }
        None => pool,
    }
}

/// How the origin of an address is told.
const IMAGEFILE: &str = "by the Imagefile";

/// Docker's own engine, and those of the Imagefile. One of these that is docker's own says more of it.
fn declared(
    project: &Project,
    around: &Around<'_>,
    (own, makers): (&Own, &Makers<'_>),
) -> Result<EnginePool, Failure> {
    let Around { environment, patience } = *around;
    let default = Endpoint::resolve(environment).map_err(|error| Failure::engine(&error))?;
    let mut default_engine: Option<Node> = None;
    let mut others = Vec::new();
    let mut unknown = Vec::new();
    for (name, engine) in &project.engines {
        match endpoint_of(&engine.address, environment, IMAGEFILE) {
            Ok(endpoint) if endpoint.address == default.address && default_engine.is_none() => {
                default_engine = Some(dressed(made(name, default.clone(), around, makers)?, engine));
            }
            Ok(endpoint) if own.trusts(project, &endpoint, environment)? => {
                others.push(dressed(made(name, endpoint, around, makers)?, engine));
            }
            // The checkout's author names it: no login and no secret goes there, and no program is started for it.
            Ok(endpoint) if endpoint.buildkitd => {
                if let Address::Program { program, .. } = &endpoint.address {
                    let why = format!(
                        "the Imagefile would have `{program}` run; name the engine yourself: --engine {name}"
                    );
                    unknown
                        .push((name.clone(), EngineError::Unreachable { tried: endpoint.to_string(), why }));
                    others.push(dressed(Node::new(name, Arc::new(NoEngine)), engine));
                    continue;
                }
                let daemon = Buildkitd::new(endpoint, Credentials::none(), patience);
                others.push(dressed(Node::new(name, (makers.buildkitd)(daemon)), engine));
            }
            Ok(endpoint) => {
                let engine_there =
                    Arc::new(DockerEngine::new(endpoint).with_patience(patience).chosen_by_the_checkout());
                others.push(dressed(Node::new(name, engine_there), engine));
            }
            Err(error) => {
                // Not everybody has everybody's contexts: the others do.
                unknown.push((name.clone(), error));
                others.push(dressed(Node::new(name, Arc::new(NoEngine)), engine));
            }
        }
    }
    let name = if project.engines.is_empty() { String::new() } else { default.address.to_string() };
    let default_engine = match default_engine {
        Some(default_engine) => default_engine,
        None => made(&name, default, around, makers)?,
    };
    let pool = EnginePool::new(default_engine, others);
    for (name, error) in unknown {
        if let Some(node) = pool.named(&name) {
            pool.mark_unreachable(node, error);
        }
    }
    Ok(pool)
}

fn dressed(mut node: Node, engine: &DeclaredEngine) -> Node {
    node.labels.extend(engine.labels.iter().cloned());
    node.platforms.extend(engine.platforms.iter().cloned());
    node.jobs = engine.jobs;
    node
}

fn endpoint(place: &str, environment: &Environment) -> Result<Endpoint, EngineError> {
    match place.contains("://") {
        true => Endpoint::of_host(environment, place, "from --engine"),
        false => Endpoint::of_context(environment, place, "named by --engine"),
    }
}

fn made(name: &str, endpoint: Endpoint, around: &Around<'_>, makers: &Makers<'_>) -> Result<Node, Failure> {
    if endpoint.buildkitd {
        let daemon = Buildkitd::new(endpoint, credentials(around.patience)?, around.patience);
        return Ok(Node::new(name, (makers.buildkitd)(daemon)));
    }
    let engine = DockerEngine::new(endpoint.clone()).with_patience(around.patience);
    let engine = engine.with_credentials(credentials(around.patience)?).with_proxies_of(around.environment);
    Ok(Node::new(name, Arc::new(engine)).at(endpoint))
}

/// The engine that runs containers: the first one, and none that only a checkout names.
pub fn runner(node: &Node) -> Result<Endpoint, Failure> {
    node.endpoint.clone().ok_or_else(|| {
        let name = if node.name.is_empty() { "the engine" } else { &node.name };
        let hint = "imk's own builder and a buildkitd make images and run none of them: start Docker, or name an engine with \
                    --engine or DOCKER_HOST. Without one, a stage with RUN can check what a test would";
        Failure::with_hint(format!("`{name}` runs no containers"), hint)
    })
}

/// Engines with spaces or commas between; what has a `=` belongs to the engine in front of it.
fn parse(typed: &[String]) -> Result<Vec<Typed>, Failure> {
    let mut found: Vec<Typed> = Vec::new();
    let words = typed.iter().flat_map(|text| text.split(|c: char| c == ',' || c.is_whitespace()));
    for word in words.filter(|word| !word.is_empty()) {
        let Some((key, value)) = word.split_once('=').filter(|_| !word.contains("://")) else {
            found.push(Typed { place: word.to_owned(), ..Typed::default() });
            continue;
        };
        let wrong = |message: String| {
            let hint = "such as --engine 'ssh://me@big,labels=gpu+jdk17,platforms=linux/amd64,jobs=4'";
            Failure::with_hint(message, hint)
        };
        let Some(engine) = found.last_mut() else {
            return Err(wrong(format!("`{word}` stands behind no engine")));
        };
        let list = || value.split('+').filter(|text| !text.is_empty()).map(str::to_owned);
        match key {
            "labels" => engine.labels.extend(list()),
            "platforms" => match list().find(|text| platform::parse(text).is_none()) {
                Some(text) => return Err(wrong(format!("`{text}` is not a platform"))),
                None => engine.platforms.extend(list().map(|text| platform::asked(&text).unwrap_or(text))),
            },
            "jobs" => match value.parse().ok().filter(|jobs| *jobs > 0) {
                Some(jobs) => engine.jobs = Some(jobs),
                None => return Err(wrong(format!("`{value}` is not a number of jobs"))),
            },
            "cacert" => engine.tls.get_or_insert_default().ca = Some(value.into()),
            "cert" => engine.tls.get_or_insert_default().cert = Some(value.into()),
            "key" => engine.tls.get_or_insert_default().key = Some(value.into()),
            "servername" => engine.tls.get_or_insert_default().server_name = Some(value.to_owned()),
            other => {
                return Err(wrong(format!(
                    "an engine has no `{other}`: it has labels, platforms, jobs, cacert, cert, key, servername"
                )));
            }
        }
    }
    Ok(found)
}

/// The builds at once of an engine that nobody limited: builders wait for disks and networks most of the time.
const AT_ONCE: usize = 8;

/// How many images are built at once where nobody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtOnce {
    /// At the most.
    pub most: usize,
    /// More than these only while this machine's processors are idle; `None` where the work is done elsewhere.
    pub always: Option<usize>,
}

/// How many jobs run at once unless something else is asked for: as many as the engines take together.
pub fn jobs(pool: &EnginePool) -> AtOnce {
    let here = std::thread::available_parallelism().map_or(1, usize::from);
    if let [node] = pool.nodes()
        && node.jobs.is_none()
        && let Some(endpoint) = &node.endpoint
    {
        let most = AT_ONCE.max(2 * here);
        let is_here = matches!(endpoint.address, Address::Unix(_));
        return AtOnce { most, always: is_here.then_some(here) };
    }
    AtOnce { most: pool.nodes().iter().map(|node| node.jobs.unwrap_or(here)).sum(), always: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::imagefile::EngineAddress;

    fn parsed(text: &str) -> Vec<Typed> {
        parse(&[text.to_owned()]).unwrap()
    }

    #[test]
    fn engines_stand_beside_each_other_with_spaces_or_commas() {
        let places = |text: &str| parsed(text).into_iter().map(|it| it.place).collect::<Vec<_>>();
        assert_eq!(places("default ssh://me@big:22,tcp://h:1"), ["default", "ssh://me@big:22", "tcp://h:1"]);
        let all = parsed("a,labels=gpu+jdk17,jobs=4 b,platforms=linux/arm64+linux/amd64");
        assert_eq!((all[0].labels.join(" ").as_str(), all[0].jobs), ("gpu jdk17", Some(4)));
        assert_eq!(all[1].platforms, ["linux/arm64", "linux/amd64"]);
    }

    #[test]
    fn what_is_said_of_an_engine_must_make_sense() {
        for text in ["labels=x", "a,jobs=0", "a,jobs=x", "a,platforms=solaris", "a,color=red"] {
            assert!(parse(&[text.to_owned()]).is_err() || text.ends_with("solaris"), "{text}");
        }
    }

    #[test]
    fn a_checkout_starts_no_program_to_reach_a_buildkitd() {
        let engine = |host: &str| DeclaredEngine {
            address: EngineAddress::Host(host.into()),
            labels: Vec::new(),
            platforms: Vec::new(),
            jobs: None,
        };
        let engines = [
            ("box".to_owned(), engine("buildkit+docker-container://bk")),
            ("far".to_owned(), engine("buildkit+tcp://far")),
        ];
        let project = Project { engines: engines.into_iter().collect(), ..Project::default() };
        let environment =
            Environment { docker_host: Some("unix:///x.sock".into()), ..Environment::default() };
        let made = std::cell::RefCell::new(Vec::new());
        let buildkitd = |daemon: Buildkitd| -> Arc<dyn Engine> {
            made.borrow_mut().push(daemon.endpoint().address.to_string());
            Arc::new(NoEngine)
        };
        let makers = Makers { embedded: &|| Arc::new(NoEngine), buildkitd: &buildkitd };
        let around = Around { environment: &environment, patience: &Patience::default() };
        let pool = pool(&[], &project, &around, (&Own::Nowhere, &makers)).unwrap();
        assert_eq!(*made.borrow(), ["tcp://far:1234"]);
        let why = pool.named("box").unwrap().unreachable().unwrap().to_string();
        assert!(why.contains("--engine box"), "{why}");
    }

    #[test]
    fn an_engine_of_the_imagefile_that_is_dockers_own_is_home() {
        let engine = |host: &str| DeclaredEngine {
            address: EngineAddress::Host(host.into()),
            labels: vec!["gpu".into()],
            platforms: Vec::new(),
            jobs: Some(2),
        };
        let engines =
            [("here".to_owned(), engine("unix:///x.sock")), ("there".to_owned(), engine("tcp://h:1"))];
        let project = Project { engines: engines.into_iter().collect(), ..Project::default() };
        let environment =
            Environment { docker_host: Some("unix:///x.sock".into()), ..Environment::default() };
        let none = Makers { embedded: &|| Arc::new(NoEngine), buildkitd: &|_| Arc::new(NoEngine) };
        let around = Around { environment: &environment, patience: &Patience::default() };
        let pool = pool(&[], &project, &around, (&Own::Nowhere, &none)).unwrap();
        let names: Vec<&str> = pool.nodes().iter().map(|node| node.name.as_str()).collect();
        assert_eq!((names, pool.default_node().jobs), (vec!["here", "there"], Some(2)));
        // Typed, they are those that were typed, and no others.
        let pool =
            super::pool(&["there,labels=big".into()], &project, &around, (&Own::Nowhere, &none)).unwrap();
        assert!(pool.is_one() && pool.default_node().labels.len() == 2);
    }
}
