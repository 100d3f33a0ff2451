//! Checks of what is in force on this machine and why: the Imagefile, the umask, limits, variables that are set.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Command;

use super::check::Check;
use crate::cli::args::Global;
use crate::cli::engines::user_config::{self, Own};
use crate::source::git::GitStore;
use crate::source::locate::Located;
use crate::source::outside;

/// Variables that no option has, and what they change.
const OTHERS: &[(&str, &str)] = &[
    ("IMK_REGISTRY_USER", "the name for registries"),
    ("IMK_REGISTRY_PASSWORD", "the password for registries"),
    ("IMK_REGISTRY_HOST", "the only registry that name and password are for"),
];

/// Below so many watches an editor and `imk` together may run out of them.
const WATCHES: u64 = 65_536;

/// Which repository this is, and why.
pub(super) fn repository(global: &Global, located: &Located) -> Check {
    let root = located.root.display();
    let why = match (&global.file, &located.imagefile) {
        (Some(named), Some(file)) => {
            format!("`{root}/{file}`, named by -f or IMK_FILE (`{}`)", named.display())
        }
        (Some(_), None) => format!("the Dockerfiles below `{root}`, a folder named by -f or IMK_FILE"),
        (None, Some(file)) => format!("`{root}/{file}`, the nearest one upward"),
        (None, None) => format!("the Dockerfiles below `{root}`: there is no Imagefile.ron upward"),
    };
    Check::ok("Imagefile", why)
}

/// Which file of the user's own is read.
pub(super) fn user_config(located: &Located) -> Check {
    const SECTION: &str = "configuration";
    match user_config::read(&located.root) {
        Ok(Own::Read(path, config)) => {
            let engines = match config.engines.len() {
                0 => "it trusts no engine of an Imagefile".to_owned(),
                number => format!("engines that an Imagefile may name: {number}"),
            };
            Check::ok(SECTION, format!("`{}` is read: {engines}", path.display()))
        }
        Ok(Own::Absent(path)) => Check::ok(SECTION, format!("there is no `{}`: defaults", path.display())),
        Ok(Own::Nowhere) => {
            Check::ok(SECTION, "neither XDG_CONFIG_HOME nor HOME says where config.ron is: defaults")
        }
        Ok(Own::InCheckout(path)) => Check::warn(
            SECTION,
            format!("`{}` is inside the repository and is not read: defaults", path.display()),
            "what a checkout can bring decides nothing; keep the file elsewhere",
        ),
        Err(failure) => Check::fail(SECTION, failure.title(), "imk stops at it: mend the file"),
    }
}

/// Limits and settings of this machine that make a difference.
pub(super) fn machine(located: &Located) -> Vec<Check> {
    const SECTION: &str = "machine";
    let number = |path: &str| -> Option<u64> {
        let bytes = outside::read(Path::new(path)).ok()?;
        String::from_utf8(bytes).ok()?.trim().parse().ok()
    };
    let mut checks = Vec::new();
    if let Some(watches) = number("/proc/sys/fs/inotify/max_user_watches") {
        let text = format!("{watches} folders can be watched (fs.inotify.max_user_watches)");
        checks.push(match watches {
            0..WATCHES => {
                Check::warn(SECTION, text, "`sysctl fs.inotify.max_user_watches=524288` allows more")
            }
            _ => Check::ok(SECTION, text),
        });
    }
    if let Some(umask) = umask() {
        checks.push(match umask.trim_start_matches('0') {
            "22" | "2" => Check::ok(SECTION, format!("umask {umask}")),
            _ => Check::warn(
                SECTION,
                format!(
                    "umask {umask}: files checked out here have other modes than under 022, and modes count"
                ),
                "with another umask than its colleagues this machine shares no results with them",
            ),
        });
    }
    if let Ok(store) = GitStore::open(&located.root)
        && store.ignores_modes()
    {
        checks.push(Check::warn(
            SECTION,
            "git is told that modes mean nothing here (core.fileMode=false), yet for images they count",
            "on such a file system files may have other modes than elsewhere, and no results are shared",
        ));
    }
    checks
}

/// The umask of this process, in octal.
fn umask() -> Option<String> {
    let status = String::from_utf8(outside::read(Path::new("/proc/self/status")).ok()?).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    Some(line.trim().to_owned())
}

/// Every IMK_ variable that is set. Values may be secrets, so none is shown.
pub(super) fn variables(command: &Command) -> Vec<Check> {
    const SECTION: &str = "variables";
    let mut known: BTreeMap<String, String> =
        OTHERS.iter().map(|(name, what)| ((*name).to_owned(), (*what).to_owned())).collect();
    for command in std::iter::once(command).chain(command.get_subcommands()) {
        for argument in command.get_arguments() {
            if let (Some(variable), Some(help)) = (argument.get_env(), argument.get_help()) {
                let option = argument.get_long().map(|long| format!("--{long}: ")).unwrap_or_default();
                known.entry(variable.to_string_lossy().into_owned()).or_insert(format!("{option}{help}"));
            }
        }
    }
    let is_ours = |name: &String| name.starts_with("IMK_");
    let set = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).filter(is_ours);
    let mut set: Vec<String> = set.collect();
    set.sort();
    if set.is_empty() {
        return vec![Check::ok(SECTION, "none of imk's is set")];
    }
    let told = |name: String| {
        let what = match known.get(&name) {
            Some(what) => what.clone(),
            None if name.starts_with("IMK_VAR_") => "a variable of the Imagefile".into(),
            None if name.starts_with("IMK_GIT_TOKEN_") => "a token for a git server".into(),
            None => {
                let what = format!("{name} is set, and means nothing to imk");
                return Check::warn(SECTION, what, "is it spelled right? `imk VERB --help` names each");
            }
        };
        Check::ok(SECTION, format!("{name} is set: {what}"))
    };
    set.into_iter().map(told).collect()
}
