//! The engines that imk is tested with, and a word where one is older. `ci/engine kinds` is the same list.
//!
//! Knows versions; asks nobody.

use super::check::Check;
use crate::engine::EngineIdentity;

const SECTION: &str = "engine";

/// Major and minor number of a version.
type Version = (u32, u32);

/// The oldest and the newest Docker of the tests, and what lies between.
const DOCKER: &[Version] = &[(20, 10), (26, 1), (28, 5)];
/// The same of Podman.
const PODMAN: &[Version] = &[(4, 3), (5, 8)];

/// A line on the version of an engine; none for imk's own builder.
pub(super) fn check(name: &str, identity: &EngineIdentity) -> Option<Check> {
    let (who, tested) = match identity.builder.split('/').next().unwrap_or_default() {
        "podman" => ("Podman", PODMAN),
        "buildkit" | "classic" => ("Docker", DOCKER),
        _ => return None,
    };
    let list = tested.iter().map(|(major, minor)| format!("{major}.{minor}")).collect::<Vec<_>>().join(", ");
    let list = format!("imk is tested with {who} {list}");
    let this = version(&identity.version)?;
    Some(if tested.first().is_some_and(|oldest| this < *oldest) {
        let text = format!("{name}{who} {} is too old: {list}", identity.version);
        Check::warn(SECTION, text, format!("use a newer {who}; an image may fail to build, or be refused"))
    } else {
        Check::ok(SECTION, format!("{name}{list}"))
    })
}

fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split(['.', '-', '+', '~']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::keep::doctor::check::Level;

    fn level(builder: &str, version: &str) -> Option<Level> {
        let identity = EngineIdentity {
            id: String::new(),
            version: version.into(),
            builder: builder.into(),
            platform: String::new(),
        };
        check("", &identity).map(|check| check.level)
    }

    #[test]
    fn an_engine_older_than_all_that_are_tested_is_told() {
        assert_eq!(level("buildkit/overlay2", "19.03.15"), Some(Level::Warn));
        assert_eq!(level("buildkit/overlay2", "20.10.24+dfsg1"), Some(Level::Ok));
        assert_eq!(level("buildkit/containerd", "29.7.2"), Some(Level::Ok));
        assert_eq!(level("podman/overlay", "3.4.4"), Some(Level::Warn));
        assert_eq!(level("podman/overlay", "5.8.6"), Some(Level::Ok));
    }

    #[test]
    fn of_a_builder_without_such_a_version_nothing_is_said() {
        assert_eq!(level("embedded/store", "0.1.0"), None);
        assert_eq!(level("buildkit/overlay2", "dev"), None);
    }
}
