//! From a profile and the facts of a run to a container: names filled in, folders named, the caller a user. Pure.
//!
//! Makes nothing: which folders are to be there is said, and `run` makes them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::api::{ContainerSpec, Reach};
use super::users::Caller;
use crate::syntax::braces::{self, Piece};
use crate::syntax::container::{Mount, Profile, Source};

/// Facts that hold for one run.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The image's id on the engine.
    pub image: String,
    /// Its name in the repository; empty for one that is run by its reference.
    pub name: String,
    /// The tag that runs.
    pub version: String,
    /// Relative paths start here.
    pub root: PathBuf,
    /// The caller's environment.
    pub env: BTreeMap<String, String>,
    /// The caller.
    pub caller: Caller,
    /// The caller's time zone, by its name.
    pub timezone: Option<String>,
    /// Where the engine is.
    pub reach: Reach,
}

/// A container to be made, and what it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// The container.
    pub spec: ContainerSpec,
    /// The caller is to be a user of it.
    pub caller: Option<Caller>,
    /// Folders of the host that are to be there, and are made.
    pub folders: Vec<PathBuf>,
    /// Where its log is kept, when it has folders.
    pub log_folder: Option<PathBuf>,
}

/// The folders of an image below the root that its profile names, and the variables that say where they are.
const FOLDERS: [(&str, &str); 4] =
    [("data", "DATADIR"), ("config", "CFGDIR"), ("log", "LOGDIR"), ("tmp", "TMPDIR")];

/// A container of `profile`. `typed` are the words behind the image, when there are any.
///
/// # Errors
/// What is wrong with the profile here and now, for a person.
pub fn prepare(profile: &Profile, facts: &Facts, typed: &[String]) -> Result<Prepared, String> {
    let mut known = known(facts);
    let mut prepared = Prepared::default();
    let mut mounts = Vec::new();
    if let Some(root) = &profile.folders {
        let root = host_path(&fill(root, &known)?, facts)?.join(escaped(&facts.name));
        for (name, variable) in FOLDERS {
            let folder = root.join(name);
            let shown = text_of(&folder)?;
            known.insert(variable.to_owned(), shown.clone());
            mounts.push(Mount { source: Source::Path(shown.clone()), target: shown, read_only: false });
            prepared.folders.push(folder);
        }
        prepared.log_folder = Some(root.join("log"));
    }
    let source_dir = profile.source_dir.as_ref().map(|text| fill(text, &known)).transpose()?;
    if let Some(folder) = &profile.source {
        let Some(target) = &source_dir else {
            return Err("`source` is mounted at `source_dir`, and that is not said".into());
        };
        let path = text_of(&host_path(&fill(folder, &known)?, facts)?)?;
        mounts.push(Mount { source: Source::Path(path), target: target.clone(), read_only: false });
    }
    if let Some(folder) = &source_dir {
        known.insert("SRCDIR".to_owned(), folder.clone());
        known.insert("SCRIPTDIR".to_owned(), folder.clone());
    }
    if let Some(folder) = &profile.script_dir {
        let folder = fill(folder, &known)?;
        known.insert("SCRIPTDIR".to_owned(), folder);
    }
    for mount in &profile.mounts {
        let source = match &mount.source {
            Source::Path(path) => Source::Path(text_of(&host_path(&fill(path, &known)?, facts)?)?),
            other => other.clone(),
        };
        let target = fill(&mount.target, &known)?;
        mounts.retain(|other| other.target != target);
        mounts.push(Mount { source, target, read_only: mount.read_only });
    }
    reachable(&mounts, &facts.reach)?;
    let spec = &mut prepared.spec;
    spec.mounts = mounts;
    spec.image.clone_from(&facts.image);
    spec.env =
        known.iter().filter(|(name, _)| is_variable(name)).map(|(n, v)| (n.clone(), v.clone())).collect();
    for (name, value) in &profile.env {
        spec.env.insert(name.clone(), fill(value, &known)?);
    }
    words(spec, profile, &mut known, typed)?;
    who_and_when(&mut prepared, profile, facts, &known)?;
    places(&mut prepared.spec, profile, &known)?;
    Ok(prepared)
}

/// Facts that texts may name; those in capitals are variables of the container as well.
fn known(facts: &Facts) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    if !facts.name.is_empty() {
        known.insert("IMAGE_NAME".to_owned(), facts.name.clone());
        known.insert("IMAGE_VERSION".to_owned(), facts.version.clone());
        known.insert("name".to_owned(), facts.name.clone());
        known.insert("version".to_owned(), facts.version.clone());
    }
    known.insert("root".to_owned(), facts.root.display().to_string());
    known.insert("uid".to_owned(), facts.caller.uid.to_string());
    known.insert("gid".to_owned(), facts.caller.gid.to_string());
    known.insert("user".to_owned(), facts.caller.name.clone());
    known.extend(facts.env.iter().map(|(name, value)| (format!("env.{name}"), value.clone())));
    known
}

fn is_variable(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Entry point and command. `{script}` takes the first typed word, below the folder of scripts.
fn words(
    spec: &mut ContainerSpec,
    profile: &Profile,
    known: &mut BTreeMap<String, String>,
    typed: &[String],
) -> Result<(), String> {
    let filled = |words: &[String], known: &BTreeMap<String, String>| -> Result<Vec<String>, String> {
        words.iter().map(|word| fill(word, known)).collect()
    };
    let mut rest = typed;
    let asks = profile.command.iter().flatten().any(|word| word.contains("{script}"));
    if asks {
        let Some((script, others)) = typed.split_first() else {
            return Err("this command runs a script: name one behind it".into());
        };
        let folder = known.get("SCRIPTDIR").map_or("", String::as_str);
        let whole = if script.starts_with('/') || folder.is_empty() {
            script.clone()
        } else {
            format!("{}/{script}", folder.trim_end_matches('/'))
        };
        known.insert("script".to_owned(), whole);
        rest = others;
    }
    spec.entrypoint = profile.entrypoint.as_deref().map(|words| filled(words, known)).transpose()?;
    let command = profile.command.as_deref().map(|words| filled(words, known)).transpose()?;
    spec.command = match command {
        Some(command) => Some(command.into_iter().chain(rest.iter().cloned()).collect()),
        None if rest.is_empty() => None,
        None => Some(rest.to_vec()),
    };
    Ok(())
}

fn who_and_when(
    prepared: &mut Prepared,
    profile: &Profile,
    facts: &Facts,
    known: &BTreeMap<String, String>,
) -> Result<(), String> {
    match profile.user.as_deref() {
        Some("host") => {
            prepared.spec.user = Some(facts.caller.numbers());
            let home = known.get("DATADIR").map_or("/tmp", String::as_str).to_owned();
            prepared.spec.env.entry("HOME".to_owned()).or_insert_with(|| home.clone());
            prepared.caller = Some(Caller { home, ..facts.caller.clone() });
        }
        Some(user) => prepared.spec.user = Some(fill(user, known)?),
        None => {}
    }
    let zone = match profile.timezone.as_deref() {
        Some("host") => facts.timezone.clone(),
        Some(zone) => Some(fill(zone, known)?),
        None => None,
    };
    if let Some(zone) = zone {
        prepared.spec.env.entry("TZ".to_owned()).or_insert(zone);
    }
    Ok(())
}

fn places(
    spec: &mut ContainerSpec,
    profile: &Profile,
    known: &BTreeMap<String, String>,
) -> Result<(), String> {
    let text = |text: &Option<String>| text.as_ref().map(|text| fill(text, known)).transpose();
    spec.workdir = text(&profile.workdir)?;
    spec.network = text(&profile.network)?;
    spec.hostname = text(&profile.hostname)?;
    spec.name = text(&profile.name)?;
    spec.hosts = profile.hosts.iter().map(|line| fill(line, known)).collect::<Result<_, _>>()?;
    spec.ports.clone_from(&profile.ports);
    spec.limits = profile.limits.clone();
    spec.init = profile.init.unwrap_or(true);
    for (name, value) in &profile.labels {
        spec.labels.insert(name.clone(), fill(value, known)?);
    }
    Ok(())
}

/// Fills in the facts of a text.
///
/// # Errors
/// When there is no such fact.
pub fn fill(text: &str, known: &BTreeMap<String, String>) -> Result<String, String> {
    let mut filled = String::new();
    for piece in braces::split(text) {
        match piece {
            Piece::Text(piece) | Piece::Lone(piece) => filled.push_str(piece),
            Piece::Name(name) => match known.get(name) {
                Some(value) => filled.push_str(value),
                None => return Err(missing(text, name)),
            },
        }
    }
    Ok(filled)
}

fn missing(text: &str, name: &str) -> String {
    match name.strip_prefix("env.") {
        Some(variable) => format!("`{text}` needs the environment variable `{variable}`, which is not set"),
        None if name.ends_with("DIR") => {
            format!(
                "`{text}` needs `{name}`: `folders` names where the image's folders are, `source_dir` its source"
            )
        }
        None if name == "script" => format!("`{text}`: `{{script}}` stands in `command` only"),
        None => format!("`{text}` needs `{name}`, and there is no such fact"),
    }
}

/// A path of the host, whole. `~` is the caller's home.
fn host_path(text: &str, facts: &Facts) -> Result<PathBuf, String> {
    let home = || facts.env.get("HOME").ok_or_else(|| format!("`{text}` needs HOME, which is not set"));
    let path = match text.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            PathBuf::from(home()?).join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(text),
    };
    let whole = facts.root.join(path);
    let mut clean = PathBuf::new();
    for part in whole.components() {
        match part {
            std::path::Component::ParentDir => drop(clean.pop()),
            std::path::Component::CurDir => {}
            part => clean.push(part),
        }
    }
    Ok(clean)
}

fn text_of(path: &Path) -> Result<String, String> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("`{}` is not UTF-8, and the engine takes no other path", path.display()))
}

/// An engine of another machine would mount its own folders of these names.
fn reachable(mounts: &[Mount], reach: &Reach) -> Result<(), String> {
    let Reach::Elsewhere(host) = reach else { return Ok(()) };
    let paths = mounts.iter().filter_map(|mount| match &mount.source {
        Source::Path(path) => Some(format!("`{path}`")),
        _ => None,
    });
    let paths: Vec<String> = paths.collect();
    match paths.is_empty() {
        true => Ok(()),
        false => Err(format!(
            "the engine is on `{host}`, and these folders are here: {}; use volumes there, or an engine here",
            paths.join(", ")
        )),
    }
}

/// A name as the name of one folder.
pub fn escaped(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let mut text = String::new();
    for c in name.chars() {
        match c {
            c if plain(c) && !(c == '.' && text.is_empty()) => text.push(c),
            c => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    text += &format!("%{byte:02X}");
                }
            }
        }
    }
    text
}

#[cfg(test)]
#[path = "prepare_tests.rs"]
mod tests;
