//! Overrides: the additions of command line and environment to an Imagefile.

use crate::cli::args::{Global, Set};
use crate::session::project::Overrides;

/// The additions of command line and environment to the Imagefile.
pub fn overrides(global: &Global) -> Overrides {
    let pairs = |prefix: &str, typed: &[(String, String)]| {
        let from_env = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.to_str()?.strip_prefix(prefix)?.to_owned();
            Some((name, value.to_str()?.to_owned()))
        });
        // The later of two wins: what was typed.
        from_env.chain(typed.iter().cloned()).collect()
    };
    let set = global.settings.iter().filter_map(|set| match set {
        Set::Variable(name, value) => Some((name.clone(), value.clone())),
        Set::Key(_) => None,
    });
    let vars: Vec<(String, String)> = global.vars.iter().cloned().chain(set).collect();
    let keys = global.settings.iter().filter_map(|set| match set {
        Set::Variable(..) => None,
        Set::Key(setting) => Some(setting.clone()),
    });
    Overrides {
        vars: pairs("IMK_VAR_", &vars),
        typed_vars: vars.iter().map(|(name, _)| name.clone()).collect(),
        settings: keys.collect(),
        args: pairs("IMK_BUILD_ARG_", &global.build_args),
        contexts: (
            global.build_contexts.iter().cloned().collect(),
            std::path::absolute(".").unwrap_or_default(),
        ),
        allowed: global.allow.iter().cloned().collect(),
        ssh: global.ssh.iter().map(|ssh| (ssh.id.clone(), ssh.paths.clone())).collect(),
        platforms: global.platforms.iter().filter(|platform| !platform.is_empty()).cloned().collect(),
        source_date_epoch: std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty()),
        prefix: global.prefix.clone(),
        target: global.target.clone(),
        imagefile: global.imagefile.clone(),
        tags: global.tags.clone(),
        build_number: global.build_number.clone(),
        commit: None,
    }
}
