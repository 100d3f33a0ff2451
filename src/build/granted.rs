//! Secrets' values and agents for ssh: granted to the steps of a build, and never counted.
//!
//! Looks up what the Imagefile names; knows no engine.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::engine::{SecretValue, SshSource};
use crate::session::open::Session;
use crate::source::{inside, outside};
use crate::syntax::imagefile::SecretSource;

/// By image and id, or why there is none.
type Granted<T> = BTreeMap<String, BTreeMap<String, Result<T, String>>>;

/// The values of secrets.
pub(super) fn secrets(session: &Session) -> Granted<SecretValue> {
    let root = &session.project.root;
    let of_stranger = session.is_of_stranger();
    let read = |path: &str| match of_stranger {
        false => outside::read(&root.join(path)).map_err(|error| error.to_string()),
        true => match inside::read(root, path) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(format!("`{path}` is not in the checkout, whose author is a stranger")),
            Err(error) => Err(format!("{error}; the checkout's author is a stranger")),
        },
    };
    let value = |id: &String, source: &SecretSource| match source {
        SecretSource::Env(variable) => session
            .environment
            .get(OsStr::new(variable))
            .map(|value| SecretValue(value.as_bytes().to_vec()))
            .ok_or_else(|| format!("secret `{id}`: the variable {variable} is not set")),
        SecretSource::File(path) => {
            read(path).map(SecretValue).map_err(|error| format!("secret `{id}`: {error}"))
        }
    };
    let of_image = |secrets: &BTreeMap<String, SecretSource>| {
        secrets.iter().map(|(id, source)| (id.clone(), value(id, source))).collect()
    };
    let images = session.project.images.iter().filter(|(_, image)| !image.secrets.is_empty());
    images.map(|(name, image)| (name.clone(), of_image(&image.secrets))).collect()
}

/// The agents for ssh.
pub(super) fn ssh(session: &Session) -> Granted<SshSource> {
    let of_stranger = session.is_of_stranger();
    let variable = |name: &str| session.environment.get(OsStr::new(name)).filter(|value| !value.is_empty());
    let place = |path: &str| match (path.strip_prefix("~/"), variable("HOME")) {
        (Some(rest), Some(home)) => Path::new(home).join(rest),
        _ => session.project.root.join(path),
    };
    let source = |id: &String, paths: &Vec<String>| {
        if of_stranger && !paths.is_empty() {
            return Err(format!(
                "ssh `{id}`: the checkout's author is a stranger, who names no keys and sockets of this machine"
            ));
        }
        if paths.is_empty() {
            let socket = variable("SSH_AUTH_SOCK").map(|socket| SshSource::Agent(PathBuf::from(socket)));
            return socket.ok_or_else(|| {
                format!("ssh `{id}`: SSH_AUTH_SOCK is not set; start an agent, or name a key: `{id}=PATH`")
            });
        }
        let paths: Vec<PathBuf> = paths.iter().map(|path| place(path)).collect();
        let sockets: Result<Vec<bool>, String> = paths
            .iter()
            .map(|path| outside::is_socket(path).map_err(|error| format!("ssh `{id}`: {error}")))
            .collect();
        match (sockets?.contains(&true), paths.as_slice()) {
            (true, [socket]) => Ok(SshSource::Agent(socket.clone())),
            (true, _) => {
                Err(format!("ssh `{id}`: a socket is an agent, and an id has one; give it an id of its own"))
            }
            (false, _) => Ok(SshSource::Keys(paths)),
        }
    };
    let of_image = |ssh: &BTreeMap<String, Vec<String>>| {
        ssh.iter().map(|(id, paths)| (id.clone(), source(id, paths))).collect()
    };
    let images = session.project.images.iter().filter(|(_, image)| !image.ssh.is_empty());
    images.map(|(name, image)| (name.clone(), of_image(&image.ssh))).collect()
}
