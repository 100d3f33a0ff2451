//! From an image and what was typed to a container, and to its end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::job::{self, Job};
use super::options::{Options, variables};
use super::target::Target;
use crate::cli::args::Global;
use crate::cli::attached::{Heard, Wanted, attached, has_terminal};
use crate::cli::failure::{Exit, Failure, cannot, said};
use crate::cli::{locate, out, registries};
use crate::containers::api::LABEL;
use crate::containers::prepare::{Facts, Prepared, prepare};
use crate::containers::users::{Caller, archive};
use crate::containers::{Channel, ContainerId, Containers, DockerContainers, End, Reach};
use crate::engine::EngineError;
use crate::session::open::Session;
use crate::source::outside;
use crate::syntax::braces::escape;
use crate::syntax::container::{Profile, Source};
use crate::syntax::suggest::did_you_mean;

/// More than any passwd or group of an image.
const MOST_USERS: u64 = 1 << 20;

/// Makes the container and runs it. Its status is the command's.
pub fn start(
    global: &Global,
    options: &Options,
    target: &Target,
    typed: &[String],
    (heard, job): (Heard, Job),
) -> Result<(), Failure> {
    let containers = DockerContainers::new(target.endpoint.clone(), &registries::patience(global))
        .map_err(|error| Failure::engine(&error))?;
    let here = std::path::absolute(locate::place(global, Path::new(".")))
        .map_err(cannot("find the current folder"))?;
    let what = typed;
    let (profile, typed) = profile(options, target, typed, &here)?;
    let facts = facts(target, &containers);
    let mut prepared = prepare(&profile, &facts, typed).map_err(Failure::error)?;
    let refused = |error: EngineError| Failure::engine(&error);
    command_or_shell(&containers, &mut prepared).map_err(refused)?;
    mounts_are_there(&prepared)?;
    let tty = !options.detach && has_terminal();
    let spec = &mut prepared.spec;
    (spec.tty, spec.stdin) = (tty || options.detach && options.tty, !options.detach);
    spec.remove = !options.no_rm;
    spec.labels.insert(LABEL.to_owned(), "run".to_owned());
    if let (true, Ok(term)) = (tty, std::env::var("TERM")) {
        spec.env.entry("TERM".to_owned()).or_insert(term);
    }
    if !target.name.is_empty() {
        spec.labels.insert("imk.image".to_owned(), target.name.clone());
        spec.labels.insert("imk.version".to_owned(), target.version.clone());
    }
    let Some(_turn) = job.turn(target, what)? else {
        return job::log_skip(&profile, &prepared, target, what);
    };
    let log = job::log(&profile, &prepared, target, what)?;
    let container = containers.create(&prepared.spec).map_err(refused)?;
    let watch = job.watch(&profile, heard.asker());
    let ended = begun(&containers, &container, &prepared, options, (heard, log.as_ref()));
    let was_over = watch.is_some_and(|watch| watch.end());
    if let Some(log) = log {
        log.end(ended.as_ref().ok().and_then(Option::as_ref));
    }
    if was_over {
        let failure = Failure::error(format!("`{}` took longer than it may, and was ended", target.name));
        return Err(Failure { exit: Exit::Command(124), ..failure });
    }
    match ended {
        Ok(Some(End::Exited(status))) => exit(status),
        Ok(Some(End::Detached)) => Ok(()),
        Ok(None) => {
            out::line(&container.0);
            Ok(())
        }
        Err(error) => {
            // One that never ran is removed by nobody else.
            let _ = containers.remove(&container);
            Err(not_started(&error))
        }
    }
}

/// A status is a byte to the system; a container's is one as well.
fn exit(status: i64) -> Result<(), Failure> {
    match u8::try_from(status) {
        Ok(0) => Ok(()),
        status => Err(Failure::silent(Exit::Command(status.unwrap_or(u8::MAX)))),
    }
}

fn begun(
    containers: &dyn Containers,
    container: &ContainerId,
    prepared: &Prepared,
    options: &Options,
    (heard, log): (Heard, Option<&job::Log>),
) -> Result<Option<End>, EngineError> {
    if let Some(caller) = &prepared.caller {
        let text = |path: &str| -> Result<String, EngineError> {
            let bytes = containers.file(container, path, MOST_USERS)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let (passwd, group) = (text("/etc/passwd")?, text("/etc/group")?);
        let files = [
            ("etc/passwd", caller.passwd(&passwd, "/bin/sh").into_bytes(), 0o644),
            ("etc/group", caller.group(&group).into_bytes(), 0o644),
        ];
        containers.put(container, "/", archive(&files))?;
    }
    if options.detach {
        heard.hand_over()?;
        containers.start(container)?;
        return Ok(None);
    }
    let wanted = Wanted { tty: prepared.spec.tty, remove: prepared.spec.remove, input: true };
    let shown = |channel: Channel, bytes: &[u8]| {
        show(channel, bytes);
        if let Some(log) = log {
            log.write(bytes);
        }
    };
    attached(containers, container, wanted, heard, &shown).map(Some)
}

fn show(channel: Channel, bytes: &[u8]) {
    match channel {
        Channel::Out => out::bytes(bytes),
        Channel::Err => out::error_bytes(bytes),
    }
}

/// The image's profile, its variant, the named command, and above all what was typed.
fn profile<'a>(
    options: &Options,
    target: &Target,
    typed: &'a [String],
    here: &Path,
) -> Result<(Profile, &'a [String]), Failure> {
    let mut profile = target.profile.clone();
    if let Some(name) = options.variant.clone().or_else(|| profile.variant.clone()) {
        profile = chosen(&profile, &name, "variant", &profile.variants)?;
    }
    let mut typed = typed;
    if let Some((name, rest)) = typed.split_first()
        && profile.commands.contains_key(name)
    {
        profile = chosen(&profile, name, "command", &profile.commands)?;
        typed = rest;
    } else if !typed.is_empty() {
        // What is typed is run instead of the profile's own command.
        profile.command = None;
    }
    let mut env = BTreeMap::new();
    for file in &profile.env_files {
        let values = variables(&target.root.join(file))?;
        env.extend(values.into_iter().map(|(name, value)| (name, escape(&value))));
    }
    env.append(&mut profile.env);
    profile.env = env;
    Ok((options.profile(here)?.over(&profile), typed))
}

fn chosen(
    profile: &Profile,
    name: &str,
    noun: &str,
    among: &BTreeMap<String, Profile>,
) -> Result<Profile, Failure> {
    let Some(one) = among.get(name) else {
        let names = || among.keys().map(String::as_str);
        let all = || format!("there are: {}", names().collect::<Vec<_>>().join(", "));
        let hint = match among.is_empty() {
            true => format!("its profile has none: `run: ({noun}s: {{\"{name}\": (…)}})` declares it"),
            false => did_you_mean(name, names()).unwrap_or_else(all),
        };
        return Err(Failure::with_hint(format!("the image has no {noun} `{name}`"), hint));
    };
    Ok(one.clone().over(profile))
}

/// No command: the image's own, else its entry point alone, else a shell.
fn command_or_shell(containers: &dyn Containers, prepared: &mut Prepared) -> Result<(), EngineError> {
    let spec = &mut prepared.spec;
    let has_entry = spec.entrypoint.as_ref().is_some_and(|words| !words.is_empty());
    if spec.command.is_some() || has_entry {
        return Ok(());
    }
    let image = containers.image(&spec.image)?.unwrap_or_default();
    let own_entry = spec.entrypoint.is_none() && !image.texts("Entrypoint").is_empty();
    if image.texts("Cmd").is_empty() && !own_entry {
        spec.command = Some(vec!["sh".to_owned()]);
    }
    Ok(())
}

/// The engine would make a missing folder for root.
fn mounts_are_there(prepared: &Prepared) -> Result<(), Failure> {
    for folder in &prepared.folders {
        outside::make_folder(folder).map_err(said)?;
    }
    for mount in &prepared.spec.mounts {
        if let Source::Path(path) = &mount.source
            && !outside::is_there(Path::new(path))
        {
            let hint = "make it first: a folder that the engine makes belongs to root";
            return Err(Failure::with_hint(
                format!("there is no `{path}` to mount at `{}`", mount.target),
                hint,
            ));
        }
    }
    Ok(())
}

/// A command that cannot be run has the status that a shell gives it.
fn not_started(error: &EngineError) -> Failure {
    let text = error.to_string();
    let failure = Failure::engine(error);
    if text.contains("executable file not found") || text.contains("no such file or directory") {
        return Failure { exit: Exit::Command(127), ..failure };
    }
    if text.contains("permission denied") || text.contains("exec format error") {
        return Failure { exit: Exit::Command(126), ..failure };
    }
    failure
}

fn facts(target: &Target, containers: &dyn Containers) -> Facts {
    let env = std::env::vars_os();
    let env = env.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Facts {
        image: target.id.clone(),
        name: target.name.clone(),
        version: target.version.clone(),
        root: target.root.clone(),
        env: env.collect(),
        caller: caller(),
        timezone: jiff::tz::TimeZone::system().iana_name().map(str::to_owned),
        reach: containers.reach(),
    }
}

/// The user who runs imk, as this machine knows him.
fn caller() -> Caller {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let named = |file: &str, number: u32, at: usize| -> Option<String> {
        let text = String::from_utf8_lossy(&outside::read(Path::new(file)).ok()?).into_owned();
        let line = text.lines().find(|line| line.split(':').nth(at) == Some(&number.to_string()))?;
        Some(line.split(':').next()?.to_owned())
    };
    let name = named("/etc/passwd", uid, 2).or_else(|| std::env::var("USER").ok());
    Caller {
        uid,
        gid,
        name: name.unwrap_or_else(|| "user".to_owned()),
        group: named("/etc/group", gid, 2).unwrap_or_else(|| "group".to_owned()),
        home: "/tmp".to_owned(),
    }
}

/// The folder of an image's logs, as a run of it would have it.
pub fn log_folder(session: &Session, image: &str) -> Result<PathBuf, Failure> {
    let Some(declared) = session.project.images.get(image) else {
        return Err(Failure::with_hint(
            format!("there is no image `{image}`"),
            "`imk list` shows all of them",
        ));
    };
    // Where its folders are is all that is asked: nothing else of the profile need be there.
    let profile = Profile { folders: declared.run.folders.clone(), ..Profile::default() };
    let env = std::env::vars_os();
    let env = env.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let facts = Facts {
        image: String::new(),
        name: image.to_owned(),
        version: String::new(),
        root: session.project.root.clone(),
        env: env.collect(),
        caller: caller(),
        timezone: None,
        reach: Reach::Here,
    };
    let prepared = prepare(&profile, &facts, &[]).map_err(Failure::error)?;
    job::folder(prepared.log_folder.as_ref(), session.state().path(), image)
        .ok_or_else(|| Failure::error("nothing is kept of this repository, and no logs either"))
}
