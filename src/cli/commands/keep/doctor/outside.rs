//! Checks of the outside: registries and their logins, policies and the lock file, git and its remotes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::fmt::rfc2822;

use super::check::{Check, clock};
use crate::cli::args::Global;
use crate::cli::registries;
use crate::credentials::Credentials;
use crate::parallel::at_once;
use crate::query::inputs::Workspace;
use crate::registry::OciRegistry;
use crate::session::open::Session;
use crate::session::overlays;
use crate::session::project::{self, lock_path};
use crate::source::git::GitStore;
use crate::source::locate::Located;
use crate::syntax::imagefile::Policy;
use crate::syntax::reference;

/// How bases outside are followed, and what is asked.
pub(super) fn policies(global: &Global, session: &Session) -> Vec<Check> {
    const SECTION: &str = "policies";
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    for image in session.project.images.values() {
        let policy = match image.options.upstream {
            Policy::LockedIfAny => "follow the lock file where it has the base",
            Policy::Locked => "follow the lock file alone",
            Policy::Float => "float",
            Policy::Every(_) => "are asked about once a period",
        };
        *count.entry(policy).or_default() += 1;
    }
    let policies: Vec<String> =
        count.iter().map(|(policy, number)| format!("bases of {number} images {policy}")).collect();
    let lock = &session.project.lock;
    let path = lock_path(session.project.imagefile.as_deref());
    let lock = match lock.bases.len() + lock.git.len() {
        0 => format!("no {path} in force"),
        number => format!("{path} in force with {number} entries"),
    };
    let mut checks = vec![Check::ok(SECTION, policies.join(", ")), Check::ok(SECTION, lock)];
    for (set, what) in [
        (global.offline, "--offline: no registry and no git server is asked"),
        (global.locked, "--locked: everything must be in the lock file"),
        (global.pull, "--pull: everything is asked again"),
    ] {
        if set {
            checks.push(Check::ok(SECTION, what));
        }
    }
    checks
}

/// Every registry that images are published in or based on.
pub(super) fn registries(global: &Global, located: &Located, session: &Session) -> Vec<Check> {
    let own: BTreeSet<String> =
        project::repositories(&session.project).into_values().map(|repository| repository.registry).collect();
    let mut hosts = own.clone();
    if let Some(workspace) = Workspace::try_get(session.db()) {
        let bases = workspace.outside(session.db()).keys();
        hosts.extend(bases.filter_map(|base| Some(reference::parse(&base.reference).ok()?.registry)));
    }
    if hosts.is_empty() {
        return vec![Check::ok("registries", "none is needed: no base is outside, no prefix names one")];
    }
    if global.offline {
        return vec![Check::ok("registries", "not asked: --offline")];
    }
    let (registry, credentials) =
        match (registries::registry(global, located), registries::credentials(&registries::patience(global)))
        {
            (Ok(registry), Ok(credentials)) => (registry, credentials),
            (Err(failure), _) | (_, Err(failure)) => {
                return vec![Check::fail(
                    "registries",
                    failure.title(),
                    "mend that first: no registry can be asked",
                )];
            }
        };
    let hosts: Vec<String> = hosts.into_iter().collect();
    let checks = at_once(&hosts, |host| one_registry(&registry, &credentials, host, own.contains(host)));
    checks.into_iter().flatten().collect()
}

fn one_registry(registry: &OciRegistry, credentials: &Credentials, host: &str, is_own: bool) -> Vec<Check> {
    const SECTION: &str = "registries";
    let login = match credentials.login(host, 0) {
        Ok(Some(found)) => Ok(format!("login from {}", found.source)),
        Ok(None) => Ok("no login".to_owned()),
        Err(why) => Err(why),
    };
    let before = Timestamp::now();
    let ping = match registry.ping(host) {
        Ok(ping) => ping,
        Err(error) => {
            let advice = "check the network, proxies and mirrors; `--offline` goes on with what is known";
            // Without its own registry nothing is published; without another's, what is known serves.
            let check = if is_own { Check::fail } else { Check::warn };
            return vec![check(SECTION, error.to_string(), advice.to_owned())];
        }
    };
    let after = Timestamp::now();
    let tls = if ping.tls { "TLS" } else { "plain HTTP" };
    let mut checks = vec![match (login, ping.status) {
        (Err(why), _) => Check::warn(
            SECTION,
            format!("`{host}` answers over {tls}; {why}"),
            "`docker login` writes a new one",
        ),
        (Ok(login), 200 | 401) => Check::ok(SECTION, format!("`{host}` answers over {tls}; {login}")),
        (Ok(login), status) => Check::warn(
            SECTION,
            format!("`{host}` answers over {tls} with HTTP {status}; {login}"),
            "a registry answers with 200 or 401: is this one?",
        ),
    }];
    let Ok(there) = rfc2822::parse(&ping.date).map(|date| date.timestamp()) else { return checks };
    // HTTP tells whole seconds.
    let milliseconds = match (there.as_second(), before.as_second(), after.as_second()) {
        (there, before, _) if there < before => (there - before) * 1000,
        (there, _, after) if there > after => (there - after) * 1000,
        _ => 0,
    };
    checks.push(clock(&format!("the clock of `{host}`"), milliseconds));
    checks
}

/// Git, where images use other repositories.
pub(super) fn git(global: &Global, session: &Session) -> Vec<Check> {
    const SECTION: &str = "git";
    let version = std::process::Command::new("git").arg("--version").output();
    let version = version.ok().filter(|output| output.status.success());
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let used = session.project.images.values().any(|image| image.git.is_some() || !image.overlays.is_empty());
    let mut checks = vec![match version {
        Some(version) => Check::ok(SECTION, version),
        None if used => Check::fail(
            SECTION,
            "the program git does not run",
            "install git: files from other repositories are fetched with it",
        ),
        None => Check::ok(SECTION, "the program git does not run; no image needs it"),
    }];
    checks.extend(GitStore::find(&session.project.root).err().map(|error| {
        Check::fail(
            SECTION,
            error.to_string(),
            "what git reads, imk must: tags, hook, --rev and --since need it",
        )
    }));
    if !global.offline {
        checks.extend(overlays::reach_others(session).into_iter().map(|(url, answer)| match answer {
            Ok(()) => Check::ok(SECTION, format!("`{url}` answers")),
            Err(error) => Check::fail(SECTION, format!("`{url}`: {error}"), error.hint()),
        }));
    }
    checks
}
