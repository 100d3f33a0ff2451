//! The environment of a job's commands: made from a list of what may pass, never from what must not.
//!
//! A server's own variables hold its secrets, under names that nobody can foresee.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::bounds::Bounds;

/// Variables of the server that commands have as they are: where programs and trust are, how to get out, which language.
const PASSED: &[&str] = &[
    "PATH",
    "LANG",
    "LANGUAGE",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];
/// Variables that say which engine is used; what uses one has them.
const OF_ENGINES: &[&str] = &[
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_BUILDKIT",
    "XDG_RUNTIME_DIR",
    "IMK_ENGINE",
    "IMK_ISOLATION",
    "IMK_INSECURE_REGISTRY",
    "IMK_REGISTRY_MIRROR",
    "IMK_PREFIX",
    "IMK_TIMEOUT",
    "IMK_STORE",
];
/// Ways of git that reach nothing of this machine.
const GIT_ELSEWHERE: &str = "git:http:https:ssh";
/// Where programs are when the server does not know.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment for a command whose home is a folder of the job's own; `tools` goes before the server's `PATH`.
pub fn passed(
    server: &BTreeMap<OsString, OsString>,
    home: &Path,
    tools: Option<&Path>,
) -> BTreeMap<OsString, OsString> {
    let is_passed = |name: &OsStr| {
        let text = name.to_str().unwrap_or_default();
        PASSED.contains(&text) || OF_ENGINES.contains(&text) || text.starts_with("LC_")
    };
    let mut environment: BTreeMap<OsString, OsString> = server
        .iter()
        .filter(|(name, _)| is_passed(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut path = tools.map(|folder| folder.as_os_str().to_owned()).unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(environment.get(OsStr::new("PATH")).map_or(OsStr::new(USUAL_PATH), OsString::as_os_str));
    environment.insert("PATH".into(), path);
    environment.insert("HOME".into(), home.into());
    environment.insert("TMPDIR".into(), home.join("tmp").into());
    environment.insert("CI".into(), "true".into());
    environment.insert("SHELL".into(), "/bin/sh".into());
    environment
}

/// The environment for imk itself, called for a repository: where the engine is, and logins of the repository alone.
pub fn of_imk(
    server: &BTreeMap<OsString, OsString>,
    home: &Path,
    bounds: &Bounds,
    docker_config: Option<&Path>,
) -> BTreeMap<OsString, OsString> {
    let mut environment = passed(server, home, None);
    if let Some(folder) = docker_config {
        environment.insert("DOCKER_CONFIG".into(), folder.into());
    }
    if let Some(store) = &bounds.store {
        // A home is gone with its job; what was built is to be found by the next one.
        environment.entry("IMK_STORE".into()).or_insert_with(|| store.into());
    }
    if let Some(ssh) = &bounds.ssh {
        environment.insert("GIT_SSH_COMMAND".into(), ssh.into());
    }
    if bounds.trusts_authors {
        return environment;
    }
    // A Dockerfile of a stranger is never built without walls, whatever the server's own are built with.
    environment.remove(OsStr::new("IMK_ISOLATION"));
    environment.insert("IMK_STRANGER".into(), "1".into());
    // Files of other repositories lie on this machine, and git would fetch from them as from any address.
    let ways = server.get(OsStr::new("GIT_ALLOW_PROTOCOL")).cloned();
    environment.insert("GIT_ALLOW_PROTOCOL".into(), ways.unwrap_or_else(|| GIT_ELSEWHERE.into()));
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_server_stay_where_they_are_whatever_their_names() {
        let server: BTreeMap<OsString, OsString> = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("DOCKER_HOST", "unix:///x"),
            ("TEAM_TOKEN", "s3cr3t"),
            ("GITHUB_TOKEN", "s3cr3t"),
            ("IMK_TOKEN", "s3cr3t"),
            ("SSH_AUTH_SOCK", "/agent"),
            ("DOCKER_CONFIG", "/root/.docker"),
            ("LD_PRELOAD", "/evil.so"),
            ("HOME", "/root"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .into();
        let got = passed(&server, Path::new("/job"), Some(Path::new("/job/bin")));
        let got: Vec<String> =
            got.iter().map(|(name, value)| format!("{}={}", name.display(), value.display())).collect();
        let expected = [
            "CI=true",
            "DOCKER_HOST=unix:///x",
            "HOME=/job",
            "LC_ALL=C",
            "PATH=/job/bin:/bin",
            "SHELL=/bin/sh",
            "TMPDIR=/job/tmp",
        ];
        assert_eq!(got, expected);
        let named = |environment: BTreeMap<OsString, OsString>| {
            let mut all: Vec<String> = environment
                .iter()
                .map(|(name, value)| format!("{}={}", name.display(), value.display()))
                .collect();
            all.retain(|line| line.contains("GIT") || line.contains("IMK") || line.contains("CONFIG"));
            all
        };
        let server = [("IMK_ISOLATION", "chroot"), ("IMK_REGISTRY_PASSWORD", "s3cr3t")];
        let server = server.map(|(name, value)| (name.into(), value.into())).into();
        let bounds = Bounds {
            ssh: Some("ssh -i key".into()),
            store: Some("/state/stores/a".into()),
            ..Bounds::default()
        };
        let strangers = of_imk(&server, Path::new("/job"), &bounds, Some(Path::new("/logins")));
        let expected = [
            "DOCKER_CONFIG=/logins",
            "GIT_ALLOW_PROTOCOL=git:http:https:ssh",
            "GIT_SSH_COMMAND=ssh -i key",
            "IMK_STORE=/state/stores/a",
            "IMK_STRANGER=1",
        ];
        assert_eq!(named(strangers), expected);
        let bounds = Bounds { trusts_authors: true, ..Bounds::default() };
        assert_eq!(named(of_imk(&server, Path::new("/job"), &bounds, None)), ["IMK_ISOLATION=chroot"]);
        let bare = passed(&BTreeMap::new(), Path::new("/job"), None);
        assert_eq!(bare[OsStr::new("PATH")], USUAL_PATH);
    }
}
