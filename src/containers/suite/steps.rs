//! One test, step by step, as often as it may be tried.

use std::time::{Duration, Instant};

use super::captured::{captured, end_of};
use super::host::Host;
use super::probe::refused;
use super::stage::{MOST, Stage, Subject};
use super::{checks, probe, structure};
use crate::containers::api::{ContainerSpec, Containers, Exec, Limit, Output, Reach};
use crate::containers::users::archive;
use crate::engine::{Cancel, EngineError};
use crate::syntax::container::suite::{Command, File, Image, Step, Test};

/// Milliseconds of one try unless the test says otherwise.
const TIMEOUT: u64 = 120_000;
/// The shells that `no_shell` looks for.
const SHELLS: [&str; 8] = [
    "/bin/sh",
    "/bin/bash",
    "/bin/ash",
    "/bin/dash",
    "/bin/busybox",
    "/usr/bin/sh",
    "/usr/bin/bash",
    "/busybox/sh",
];

/// How a test came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It passed at this try.
    Passed(u32),
    /// It failed at every try; lines for a person.
    Failed(Vec<String>),
    /// Somebody asked to stop.
    Interrupted,
}

/// Runs a test.
pub fn run(
    containers: &dyn Containers,
    host: &dyn Host,
    subject: &Subject,
    test: &Test,
    cancel: &Cancel,
) -> Outcome {
    let tries = test.tries.unwrap_or(1).max(1);
    let mut lines = Vec::new();
    for number in 1..=tries {
        match once(containers, host, subject, test, cancel) {
            Ok(()) => return Outcome::Passed(number),
            Err(_) if cancel.is_cancelled() => return Outcome::Interrupted,
            Err(told) if number == tries => lines = told,
            Err(_) => {}
        }
    }
    Outcome::Failed(lines)
}

fn once(
    containers: &dyn Containers,
    host: &dyn Host,
    subject: &Subject,
    test: &Test,
    cancel: &Cancel,
) -> Result<(), Vec<String>> {
    let until = Instant::now() + Duration::from_millis(test.timeout.unwrap_or(TIMEOUT));
    let limit = Limit { until, cancel: cancel.clone() };
    let told = |error: EngineError| error.to_string().lines().map(str::to_owned).collect::<Vec<_>>();
    let mut stage = Stage::set(containers, subject, test, limit).map_err(told)?;
    for (number, step) in test.steps.iter().enumerate() {
        let wrong = match perform(&mut stage, host, step) {
            Ok(None) => continue,
            Ok(Some(wrong)) => wrong,
            Err(error) => error.to_string(),
        };
        let mut lines = vec![format!("step {}, {}:", number + 1, named(step))];
        lines.extend(wrong.lines().map(|line| format!("  {line}")));
        let log = stage.log();
        if !log.is_empty() {
            lines.push("the container's log:".to_owned());
            lines.extend(end_of(&log).lines().map(|line| format!("  {line}")));
        }
        stage.kept = subject.keep;
        return Err(lines);
    }
    Ok(())
}

/// A step as a person calls it.
fn named(step: &Step) -> String {
    match step {
        Step::Start { .. } => "Start".into(),
        Step::Stop => "Stop".into(),
        Step::Run(command) => format!("Run `{}`", command.command.join(" ")),
        Step::Exec(command) => format!("Exec `{}`", command.command.join(" ")),
        Step::Port { port, .. } => format!("Port {port}"),
        Step::Http { port, path, .. } => format!("Http port {port}, {path}"),
        Step::File(file) => format!("File `{}`", file.path),
        Step::Image(_) => "Image".into(),
        Step::Structure { file } => format!("Structure `{file}`"),
        Step::Script { file, inside: None, .. } => format!("Script `{file}`"),
        Step::Script { file, inside: Some(inside), .. } => format!("Script `{file}` in `{inside}`"),
    }
}

/// Does a step; with what is other than expected, if anything is.
fn perform(stage: &mut Stage<'_>, host: &dyn Host, step: &Step) -> Result<Option<String>, EngineError> {
    if stage.limit.cancel.is_cancelled() {
        return Err(EngineError::Interrupted);
    }
    match step {
        Step::Start { env, command, ready } => stage.start(env, command.clone(), *ready).map(|()| None),
        Step::Stop => stage.stop().map(|()| None),
        Step::Run(command) => {
            let output = in_its_own(stage, command)?;
            Ok(checks::command(command, &output))
        }
        Step::Exec(command) => {
            let exec = Exec {
                command: command.command.clone(),
                env: command.env.clone(),
                user: command.user.clone(),
                input: None,
            };
            let output = stage.containers.exec(stage.running()?, &exec, &stage.limit)?;
            Ok(checks::command(command, &output))
        }
        Step::Port { port, open } => {
            let listens = probe::listens(&stage.beside(), stage.running()?, *port)?;
            let found = if listens { "something listens" } else { "nothing listens" };
            Ok((listens != *open).then(|| format!("{found} at port {port}")))
        }
        Step::Http { port, path, status, body } => {
            let answer = probe::http(&stage.beside(), stage.running()?, *port, path)?;
            if answer.status != *status {
                let body = String::from_utf8_lossy(&answer.body).into_owned();
                return Ok(Some(format!(
                    "the status is {}, and {status} is expected\n{}",
                    answer.status,
                    end_of(&body)
                )));
            }
            Ok(checks::lacks("the body", &answer.body, body))
        }
        Step::Structure { file } => structure::perform(stage, host, file),
        Step::File(file) => look_at(stage, file),
        Step::Image(image) => configured(stage, image),
        Step::Script { file, args, inside: None, status, out } => {
            let output = on_the_host(stage, host, file, args)?;
            Ok(checks::command(&expected(*status, out), &output))
        }
        Step::Script { file, args, inside: Some(inside), status, out } => {
            let output = in_another(stage, host, (file, args), inside)?;
            Ok(checks::command(&expected(*status, out), &output))
        }
    }
}

fn expected(status: i64, out: &[String]) -> Command {
    Command { status, out: out.to_vec(), ..Command::default() }
}

fn in_its_own(stage: &mut Stage<'_>, command: &Command) -> Result<Output, EngineError> {
    let spec = ContainerSpec {
        command: Some(command.command.clone()).filter(|words| !words.is_empty()),
        entrypoint: command.entrypoint.clone(),
        user: command.user.clone(),
        keeps_no_log: true,
        ..stage.own_spec(&command.env)
    };
    let container = stage.make(&spec)?;
    captured(stage.containers, &container, None, &stage.limit)
}

/// A file of the started container; of a container that never runs, when none is started.
fn look_at(stage: &mut Stage<'_>, file: &File) -> Result<Option<String>, EngineError> {
    let container = match &stage.started {
        Some(container) => container.clone(),
        None => stage.still()?,
    };
    let containers = stage.containers;
    let facts = containers.file_facts(&container, &file.path)?;
    let content = match facts.is_some() && !(file.content.is_empty() && file.never.is_empty()) {
        true => containers.file(&container, &file.path, MOST)?,
        false => None,
    };
    let text = |path: &str| -> Result<String, EngineError> {
        let bytes = containers.file(&container, path, MOST)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let names = match file.owner {
        Some(_) => (text("/etc/passwd")?, text("/etc/group")?),
        None => Default::default(),
    };
    Ok(checks::file(file, facts.as_ref(), content.as_deref(), (&names.0, &names.1)))
}

fn configured(stage: &mut Stage<'_>, image: &Image) -> Result<Option<String>, EngineError> {
    let facts = stage.containers.image(&stage.subject.id)?.unwrap_or_default();
    if let Some(wrong) = checks::image(image, &facts) {
        return Ok(Some(wrong));
    }
    if image.no_shell {
        let container = stage.still()?;
        for shell in SHELLS {
            if stage.containers.file_facts(&container, shell)?.is_some() {
                return Ok(Some(format!("there is a shell: `{shell}`")));
            }
        }
    }
    Ok(None)
}

fn in_another(
    stage: &mut Stage<'_>,
    host: &dyn Host,
    (file, args): (&str, &[String]),
    inside: &str,
) -> Result<Output, EngineError> {
    let content = host.read(file).map_err(|why| refused(&format!("reading `{file}`"), &why))?;
    let mut spec = ContainerSpec {
        image: stage.image(inside),
        entrypoint: Some(vec!["/imk-test".to_owned()]),
        command: Some(args.to_vec()),
        keeps_no_log: true,
        ..stage.spec()
    };
    spec.env.insert("IMK_HOST".into(), "image".into());
    spec.env.insert("IMK_IMAGE".into(), stage.subject.name.clone());
    let container = stage.make(&spec)?;
    stage.containers.put(&container, "/", archive(&[("imk-test", content, 0o755)]))?;
    captured(stage.containers, &container, None, &stage.limit)
}

fn on_the_host(
    stage: &Stage<'_>,
    host: &dyn Host,
    file: &str,
    args: &[String],
) -> Result<Output, EngineError> {
    let what = format!("running `{file}`");
    let mut env = vec![
        ("IMK_IMAGE".to_owned(), stage.subject.name.clone()),
        ("IMK_IMAGE_ID".to_owned(), stage.subject.id.clone()),
    ];
    let address = match stage.containers.reach() {
        Reach::Here => "127.0.0.1".to_owned(),
        Reach::Elsewhere(host) => host,
    };
    if let Some(container) = &stage.started {
        let state = stage.containers.state(container)?.unwrap_or_default();
        env.push(("IMK_CONTAINER".to_owned(), container.0.clone()));
        env.push(("IMK_HOST".to_owned(), address.clone()));
        for (inside, outside) in &state.ports {
            if !probe::from_here(&address, *outside) {
                let why = format!(
                    "port {outside} of the engine's machine `{address}` is out of reach from here; let the script run in an image: `in: \"IMAGE\"`"
                );
                return Err(refused(&what, &why));
            }
            env.push((format!("IMK_PORT_{inside}"), outside.to_string()));
        }
        if let Some((_, outside)) = state.ports.first_key_value() {
            env.push(("IMK_ADDRESS".to_owned(), format!("{address}:{outside}")));
        }
    }
    host.run(file, args, &env, &stage.limit).map_err(|why| refused(&what, &why))
}
