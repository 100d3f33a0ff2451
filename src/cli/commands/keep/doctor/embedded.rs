//! imk's own builder: what this machine gives to its commands, and what there is not without a daemon.

use super::check::Check;
use crate::cli::args::Global;
use crate::cli::embedded;

const SECTION: &str = "engine";

/// The rung and its shortcomings.
pub(super) fn ladder(global: &Global, name: &str) -> Vec<Check> {
    // A wrong word was refused when the engine was opened.
    let isolation = embedded::isolation(global).unwrap_or_default();
    let machine = crate::embedded::machine(isolation, &embedded::store(global));
    let mut checks = Vec::new();
    if machine.rung.is_some() {
        checks.push(Check::ok(SECTION, format!("{name}{}", machine.text)));
    }
    let lacks = machine.lacks.into_iter();
    checks.extend(lacks.map(|(text, advice)| Check::warn(SECTION, format!("{name}{text}"), advice)));
    let text = format!(
        "{name}`imk run`, `imk test` and `imk logs` need a Docker engine: this builder runs no containers"
    );
    checks.push(Check::ok(SECTION, text));
    checks
}
