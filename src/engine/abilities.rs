//! Abilities of an engine's BuildKit, by the engine's version.
//!
//! Reads versions and requests; asks nobody. What an engine refuses itself, by name and before it builds, is not
//! repeated here; what it would pass over in silence is.

use super::BuildRequest;

/// `docker build --shm-size` and `--ulimit` reach BuildKit since then (BuildKit 0.10); 20.10 passes them over.
const LIMITS_SINCE: u64 = 23;

/// The first thing of a request that an engine of this version would not do.
pub(super) fn refusal(version: &str, request: &BuildRequest) -> Option<String> {
    let major = version.split('.').next().and_then(|major| major.parse::<u64>().ok());
    // What has no version is no release: it is taken for a new one.
    let is_old = major.is_some_and(|major| major < LIMITS_SINCE);
    let (key, what) = match &request.sandbox {
        sandbox if is_old && sandbox.shm_size_bytes.is_some() => ("shm_size", "the size of /dev/shm"),
        sandbox if is_old && !sandbox.ulimits.is_empty() => ("ulimits", "limits of processes"),
        _ => return None,
    };
    Some(format!(
        "Docker {version} builds without a word on {what}; leave `{key}` out, or use an engine from {LIMITS_SINCE} on"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::podman::tests::plain;
    use crate::model::sandbox::Sandbox;

    #[test]
    fn what_an_old_engine_would_pass_over_is_refused_by_name() {
        let shm =
            BuildRequest { sandbox: Sandbox { shm_size_bytes: Some(1), ..Sandbox::default() }, ..plain() };
        let limits = [("nofile".to_owned(), (1, 2))].into();
        let limits = BuildRequest { sandbox: Sandbox { ulimits: limits, ..Sandbox::default() }, ..plain() };
        assert!(refusal("20.10.24", &shm).unwrap().contains("`shm_size`"));
        assert!(refusal("20.10.24", &limits).unwrap().contains("`ulimits`"));
        for new in ["23.0.0", "28.5.2", "dev"] {
            assert_eq!(refusal(new, &shm), None, "{new}");
        }
        assert_eq!(refusal("20.10.24", &plain()), None);
    }
}
