//! The bare repositories that keep what was fetched, and the environment in which git works on them.
//!
//! Their configuration is imk's, to the byte: it is looked at before every use, and written anew when it
//! differs. So are the few other files by which a repository can point elsewhere or name a program.
//! Git takes its settings from there, from the user's own files and from the command line, and from no checkout:
//! it runs inside the kept repository, with all that would lead it elsewhere taken out of its environment.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use git2::{ObjectFormat, Repository};

use crate::state::folder::StateFolder;

/// The whole configuration of a kept repository, and of one whose ids are SHA-256.
const CONFIG: &[u8] = b"[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
const CONFIG_SHA256: &[u8] = b"[core]\n\trepositoryformatversion = 1\n\tfilemode = true\n\tbare = true\n\
    [extensions]\n\tobjectformat = sha256\n";
const HEAD: &[u8] = b"ref: refs/heads/main\n";
/// Files of a repository by which it is not what it seems: others' objects, another's settings, programs.
const FOREIGN: &[&str] = &[
    "commondir",
    "config.worktree",
    "gitdir",
    "hooks",
    "worktrees",
    "modules",
    "info/attributes",
    "info/grafts",
    "objects/info/alternates",
    "objects/info/http-alternates",
];
/// Folders without which git takes a folder for no repository.
const FOLDERS: &[&str] = &["objects/info", "objects/pack", "refs/heads", "refs/tags"];

/// Variables that a hook's or a script's git left in the environment, and that would point ours elsewhere.
const NOT_OURS: &[&str] = &[
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_QUARANTINE_PATH",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_CEILING_DIRECTORIES",
    "GIT_TEMPLATE_DIR",
    "GIT_REPLACE_REF_BASE",
    "GIT_GRAFT_FILE",
    "GIT_EXTERNAL_DIFF",
    // They would write the traffic, secrets included, to who knows where.
    "GIT_TRACE",
    "GIT_TRACE_CURL",
    "GIT_TRACE_PACKET",
    "GIT_CURL_VERBOSE",
];

/// Settings of every call. None of them can be the user's: hooks and watchers have no part in what imk fetches.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=true",
    "core.attributesFile=/dev/null",
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
];

/// Ways of git to reach a repository that imk has addresses for.
const PROTOCOLS: &[&str] = &["file", "git", "http", "https", "ssh"];
/// Ways that are commands in disguise; no setting of anybody opens them here.
const NEVER: &[&str] = &["ext", "fd"];

/// The one by whose word an address is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Namer {
    /// The user, in what was typed or in an Imagefile.
    User,
    /// The author of some `.gitmodules`.
    Checkout,
}

/// Makes a folder of the state a bare repository with imk's configuration, whatever it was. Gives its path.
///
/// # Errors
/// When it cannot be made.
pub(super) fn bare(folder: &StateFolder, format: ObjectFormat) -> io::Result<PathBuf> {
    if kept_format(folder) != Some(format) || !is_whole(folder) || folder.has_links() {
        for name in FOLDERS {
            folder.sub(name).make()?;
        }
        folder.remove_links()?;
        for name in FOREIGN.iter().filter(|name| folder.has(name)) {
            folder.remove(name)?;
        }
        folder.replace("config", if format == ObjectFormat::Sha1 { CONFIG } else { CONFIG_SHA256 })?;
        folder.replace("HEAD", HEAD)?;
    }
    folder.path().ok_or_else(|| io::Error::other("there is no place for imk's state"))
}

/// As [`bare`], with ids of the kind that it has already.
///
/// # Errors
/// When it cannot be made.
pub(super) fn whole(folder: &StateFolder) -> io::Result<PathBuf> {
    bare(folder, kept_format(folder).unwrap_or(ObjectFormat::Sha1))
}

/// As [`bare`], for reading alone.
///
/// # Errors
/// When it cannot be made.
pub(super) fn bare_unless_whole(folder: &StateFolder) -> io::Result<PathBuf> {
    existing(folder).map_or_else(|| whole(folder), Ok)
}

/// The kind of the ids of a kept repository, if its configuration is imk's.
fn kept_format(folder: &StateFolder) -> Option<ObjectFormat> {
    match folder.read("config")?.as_slice() {
        CONFIG => Some(ObjectFormat::Sha1),
        CONFIG_SHA256 => Some(ObjectFormat::Sha256),
        _ => None,
    }
}

/// The path of a kept repository that is as imk leaves it; `None` when there is none.
fn existing(folder: &StateFolder) -> Option<PathBuf> {
    is_whole(folder).then(|| folder.path()).flatten()
}

/// Whether a folder is a repository that says nothing but what imk wrote, and whose folders are its own. For
/// reading that is enough: an object counts by its hash, wherever it lies.
fn is_whole(folder: &StateFolder) -> bool {
    kept_format(folder).is_some()
        && folder.read("HEAD").is_some_and(|head| head == HEAD)
        && FOLDERS.iter().all(|name| folder.sub(name).is_there())
        && !FOREIGN.iter().any(|name| folder.has(name))
}

/// Where the git program is run.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// In no repository: a question that keeps nothing.
    Nowhere,
    /// In a kept one.
    Kept(&'a StateFolder),
    /// In a checkout of imk's own.
    Checkout(&'a Path),
}

/// The git program, to be run in a repository of imk's own, or in none.
pub(super) fn git(place: Place<'_>, environment: &BTreeMap<OsString, OsString>) -> Command {
    let mut command = Command::new("git");
    let kept = match place {
        Place::Kept(folder) => folder.path(),
        Place::Nowhere | Place::Checkout(_) => None,
    };
    match (place, kept) {
        // Git starts in the repository itself, so neither a way nor a checkout around it has a say.
        (_, Some(path)) => command.current_dir(path).args(["--git-dir", "."]),
        (Place::Checkout(folder), _) => {
            command.current_dir(folder).args(["--git-dir", ".git", "--work-tree", "."])
        }
        _ => command.current_dir("/").args(["--git-dir", "/dev/null"]),
    };
    SETTINGS.iter().for_each(|setting| {
        command.args(["-c", setting]);
    });
    NOT_OURS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command
        .env("LC_ALL", "C")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GCM_INTERACTIVE", "never")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_NO_REPLACE_OBJECTS", "1")
        .env("GIT_ALLOW_PROTOCOL", allowed(environment))
        .stdin(Stdio::null());
    command
}

/// The git program, to be asked something about a work tree. It is given what the person's own git is given but for what
/// names another repository, and nothing that it is asked here runs a program.
pub(super) fn question(top: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(top);
    SETTINGS.iter().for_each(|setting| {
        command.args(["-c", setting]);
    });
    NOT_OURS.iter().for_each(|name| {
        command.env_remove(name);
    });
    command.env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0").env("GIT_NO_LAZY_FETCH", "1");
    command.env("GIT_TERMINAL_PROMPT", "0").stdin(Stdio::null());
    command
}

/// Values of a setting of the user, the system, the command line and the environment, as git has them; no
/// checkout has a say. `None` where there is no git.
pub(in crate::source) fn protected(name: &str) -> Option<Vec<String>> {
    asked(&["--get-all", name])
}

fn asked(words: &[&str]) -> Option<Vec<String>> {
    let mut command = question(Path::new("/"));
    command.args(["--git-dir", "/dev/null", "config", "--null"]).args(words);
    let output = command.output().ok()?;
    // Git ends with 1 where there is no value.
    matches!(output.status.code(), Some(0 | 1)).then_some(())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.split_terminator('\0').map(str::to_owned).collect())
}

/// The ways that git may go: those of imk's addresses, and those that the user's own configuration opens or
/// leads to. A user who set the variable has decided.
fn allowed(environment: &BTreeMap<OsString, OsString>) -> String {
    let set = environment.get(&OsString::from("GIT_ALLOW_PROTOCOL")).and_then(|value| value.to_str());
    let mut allowed: BTreeSet<String> = match set {
        Some(set) => set.split(':').map(str::to_owned).collect(),
        None => opened(PROTOCOLS.iter().map(|name| (*name).to_owned()).collect()),
    };
    allowed.retain(|name| !NEVER.contains(&name.as_str()));
    allowed.into_iter().collect::<Vec<_>>().join(":")
}

/// The ways that git may go to an address that a checkout names, as `git submodule` goes them: those that git calls safe,
/// and those that the user opened to everybody (`protocol.NAME.allow=always`).
pub(super) fn allowed_unasked(environment: &BTreeMap<OsString, OsString>) -> BTreeSet<String> {
    let set = environment.get(&OsString::from("GIT_ALLOW_PROTOCOL")).and_then(|value| value.to_str());
    let mut allowed: BTreeSet<String> = match set {
        Some(set) => set.split(':').map(str::to_owned).collect(),
        None => by_policy(&asked(&["--get-regexp", r"^protocol\."]).unwrap_or_default()),
    };
    allowed.retain(|name| !NEVER.contains(&name.as_str()));
    allowed
}

/// The ways that are always open, by settings `protocol.…` as git lists them; the last one of a name counts.
fn by_policy(settings: &[String]) -> BTreeSet<String> {
    let mut policies: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, policy) in settings.iter().filter_map(|setting| setting.split_once('\n')) {
        let Some(name) = name.strip_prefix("protocol.") else { continue };
        match name.strip_suffix(".allow") {
            Some(name) => policies.insert(name, policy),
            None if name == "allow" => policies.insert("", policy),
            None => None,
        };
    }
    let general = policies.remove("");
    let policy = |name: &str| match (policies.get(name).copied(), general) {
        (Some(policy), _) | (None, Some(policy)) => policy,
        (None, None) if name != "file" && PROTOCOLS.contains(&name) => "always",
        (None, None) => "user",
    };
    let names = policies.keys().copied().chain(PROTOCOLS.iter().copied());
    names.filter(|name| policy(name) == "always").map(str::to_owned).collect()
}

/// Settings in the text of a file of git's form, by their names; one that is given more than once has its last value.
/// Nothing that the text names is read. `None` when it is no such text.
pub(super) fn settings_in(text: &[u8]) -> Option<BTreeMap<String, String>> {
    let mut command = question(Path::new("/"));
    command.args(["--git-dir", "/dev/null", "config", "--file", "-", "--no-includes", "--null", "--list"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut input = child.stdin.take()?;
    let output = std::thread::scope(|scope| {
        // Git reads all of it before it writes, or ends at once.
        scope.spawn(move || drop(input.write_all(text)));
        child.wait_with_output().ok()
    })?;
    output.status.success().then_some(())?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let pairs = listed.split_terminator('\0').filter_map(|entry| entry.split_once('\n'));
    Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// These ways, with those that the user's and the system's configuration open (`protocol.NAME.allow`) or lead to
/// (`url.NAME::….insteadOf`), and without those that it closes.
fn opened(mut found: BTreeSet<String>) -> BTreeSet<String> {
    let Ok(config) = git2::Config::open_default() else { return found };
    let Ok(mut entries) = config.entries(None) else { return found };
    while let Some(entry) = entries.next() {
        let Ok(entry) = entry else { break };
        let (Ok(name), Ok(value)) = (entry.name(), entry.value()) else { continue };
        if let Some(name) = name.strip_prefix("protocol.").and_then(|rest| rest.strip_suffix(".allow")) {
            match value {
                "never" => found.remove(name),
                _ => found.insert(name.to_owned()),
            };
        }
        let base = name.strip_prefix("url.").and_then(|rest| rest.strip_suffix(".insteadof"));
        if let Some((helper, _)) = base.and_then(|base| base.split_once("::").or(base.split_once("://"))) {
            found.insert(helper.to_owned());
        }
    }
    found
}

/// Opens a kept repository, if it is there. One of an older imk, or of somebody else's making, becomes ours first.
pub(super) fn open(folder: &StateFolder) -> Option<Repository> {
    let path = existing(folder).or_else(|| if folder.is_there() { whole(folder).ok() } else { None })?;
    Repository::open_bare(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use fs_err as fs;

    #[test]
    fn a_repository_that_says_more_than_imk_wrote_says_it_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateFolder::at(&dir.path().join("state"));
        let folder = state.sub("git/0123");
        assert!(existing(&folder).is_none());
        let path = bare(&folder, ObjectFormat::Sha1).unwrap();
        assert!(Repository::open_bare(&path).unwrap().is_bare());
        let hostile = "[core]\n\tbare = true\n\tsshCommand = touch /tmp/no\n[include]\n\tpath = /etc/x\n";
        type Trick = fn(&std::path::Path, &std::path::Path, &str);
        let tricks: [Trick; 8] = [
            |path, _, config| fs::write(path.join("config"), config).unwrap(),
            |path, _, _| fs::write(path.join("commondir"), "/elsewhere\n").unwrap(),
            |path, _, _| fs::write(path.join("objects/info/alternates"), "/elsewhere\n").unwrap(),
            |path, _, _| fs::write(path.join("HEAD"), "ref: ../../x\n").unwrap(),
            |path, _, _| fs::create_dir(path.join("hooks")).unwrap(),
            |path, out, _| {
                fs::remove_dir_all(path.join("objects/pack")).unwrap();
                fs_err::os::unix::fs::symlink(out, path.join("objects/pack")).unwrap();
            },
            |path, out, _| {
                fs::remove_dir_all(path.join("objects")).unwrap();
                fs_err::os::unix::fs::symlink(out, path.join("objects")).unwrap();
            },
            |path, out, _| fs_err::os::unix::fs::symlink(out, path.join("refs/imk")).unwrap(),
        ];
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        fs::write(out.join("precious"), "1").unwrap();
        for trick in tricks {
            trick(&path, &out, hostile);
            whole(&folder).unwrap();
            assert!(existing(&folder).is_some() && !folder.has_links());
            assert_eq!(fs::read(path.join("config")).unwrap(), CONFIG);
            assert!(out.join("precious").exists());
        }
    }

    #[test]
    fn an_address_of_a_checkout_goes_the_ways_that_submodules_go() {
        let ways = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|setting| setting.replace('=', "\n")).collect();
            by_policy(&settings).into_iter().collect::<Vec<_>>().join(":")
        };
        assert_eq!(ways(&[]), "git:http:https:ssh");
        assert_eq!(ways(&["protocol.file.allow=always", "protocol.version=2"]), "file:git:http:https:ssh");
        assert_eq!(ways(&["protocol.file.allow=user", "protocol.http.allow=never"]), "git:https:ssh");
        assert_eq!(ways(&["protocol.allow=never", "protocol.https.allow=always"]), "https");
        assert_eq!(
            ways(&["protocol.https.allow=never", "protocol.https.allow=always"]),
            "git:http:https:ssh"
        );
        let set = BTreeMap::from([("GIT_ALLOW_PROTOCOL".into(), "file:ext".into())]);
        assert_eq!(allowed_unasked(&set).into_iter().collect::<Vec<_>>(), ["file"]);
    }

    #[test]
    fn settings_are_read_of_a_text_and_of_nothing_that_it_names() {
        let text = b"[include]\n\tpath = /dev/zero\n[submodule \"a b\"]\n\tpath = x\n\tpath = y\n\tbare\n";
        let settings = settings_in(text).unwrap();
        assert_eq!(settings.get("submodule.a b.path").map(String::as_str), Some("y"));
        assert!(settings_in(b"[oops").is_none());
    }

    #[test]
    fn commands_in_disguise_are_never_allowed() {
        let set = |value: &str| BTreeMap::from([("GIT_ALLOW_PROTOCOL".into(), value.into())]);
        assert_eq!(allowed(&set("https:ext:fd:codecommit")), "codecommit:https");
        let usual = allowed(&BTreeMap::new());
        assert!(PROTOCOLS.iter().all(|name| usual.split(':').any(|other| other == *name)), "{usual}");
        assert!(!usual.split(':').any(|name| NEVER.contains(&name)), "{usual}");
    }
}
