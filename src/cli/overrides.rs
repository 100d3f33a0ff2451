//! Overrides: the additions of command line and environment to an Imagefile.

use crate::cli::args::Global;
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
    Overrides {
        vars: pairs("IMK_VAR_", &global.vars),
        typed_vars: global.vars.iter().map(|(name, _)| name.clone()).collect(),
        args: pairs("IMK_BUILD_ARG_", &global.build_args),
        allowed: global.allow.iter().cloned().collect(),
        ssh: global.ssh.iter().map(|ssh| (ssh.id.clone(), ssh.paths.clone())).collect(),
        platform: global.platform.clone().filter(|platform| !platform.is_empty()),
        source_date_epoch: std::env::var("SOURCE_DATE_EPOCH").ok().filter(|text| !text.is_empty()),
        prefix: global.prefix.clone(),
        target: global.target.clone(),
        tags: global.tags.clone(),
        build_number: global.build_number.clone(),
        commit: None,
    }
}
