//! The environment of a job's commands: made from a list of what may pass, never from what must not.
//!
//! A server's own variables hold its secrets, under names that nobody can foresee.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;

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
];
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
        let bare = passed(&BTreeMap::new(), Path::new("/job"), None);
        assert_eq!(bare[OsStr::new("PATH")], USUAL_PATH);
    }
}
