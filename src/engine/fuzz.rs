//! Answers of engines and docker's files, under any bytes: see `crate::fuzz`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;

use super::endpoint::{Endpoint, Environment};
use super::progress::Progress;
use super::{BuildEvent, SecretValue};
use crate::credentials::Credentials;

const SECRET: &str = "hunter2-hunter2";

fn watch(lines: impl IntoIterator<Item = Vec<u8>>) {
    let mut progress = Progress::new("web", &[SecretValue(SECRET.into())]);
    let told = Mutex::new(0);
    let events = |event: BuildEvent| {
        // One that an engine splits over two messages gets through; none of these does.
        assert!(!format!("{event:?}").contains(SECRET), "{event:?}");
        *told.lock() += 1;
    };
    for line in lines {
        progress.line(&line, &events);
    }
    let verdict = progress.finish(None);
    assert!(!format!("{verdict:?}").contains(SECRET), "{verdict:?}");
}

/// An answer, a JSON object a line.
pub(crate) fn progress(bytes: &[u8]) {
    watch(bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec));
}

/// A message of BuildKit's trace.
pub(crate) fn trace(bytes: &[u8]) {
    let line = format!(r#"{{"id":"moby.buildkit.trace","aux":"{}"}}"#, STANDARD.encode(bytes));
    watch([line.clone().into_bytes(), line.into_bytes()]);
}

/// Addresses of engines, a line each; what `ssh` is called with is never an option.
pub(crate) fn address(bytes: &[u8]) {
    for line in String::from_utf8_lossy(bytes).lines().take(50) {
        if let Ok(endpoint) = Endpoint::parse(line, None, "typed".into()) {
            if let super::endpoint::Address::Ssh { user, host, .. } = &endpoint.address {
                assert!(!host.starts_with('-') && !user.as_deref().unwrap_or_default().starts_with('-'));
            }
            let _ = endpoint.to_string();
        }
    }
}

/// docker's `config.json`, for the context and for logins; and the description of a context.
pub(crate) fn docker_config(bytes: &[u8]) {
    static FOLDER: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::tempdir().expect("there is a place for temporary files"));
    let meta = folder.path().join("contexts/meta/0");
    fs_err::create_dir_all(&meta).expect("the folder can be made");
    fs_err::write(folder.path().join("config.json"), bytes).expect("the file can be written");
    fs_err::write(meta.join("meta.json"), bytes).expect("the file can be written");
    let environment = Environment { config_folder: Some(folder.path().into()), ..Environment::default() };
    let _ = Endpoint::resolve(&environment);
    let _ = Endpoint::of_context(&environment, "remote", "typed");
    // A helper that is named is a program of the user's: none is run here.
    let text = String::from_utf8_lossy(bytes);
    if !text.contains("credHelpers") && !text.contains("credsStore") && !text.contains('\\') {
        let credentials = Credentials { config_folder: Some(folder.path().into()), ..Credentials::default() };
        let _ = credentials.login("r.example", 0).map(|found| format!("{found:?}"));
    }
}
