//! Everything that reads bytes from outside, as functions that must hold for any bytes at all.
//!
//! Two drivers share them: `fuzz/tests.rs` mutates the corpus within `cargo test`, on any compiler, and
//! the program in `fuzz/` lets libFuzzer look for new branches. A target panics when its reader does, or
//! when a property does not hold. Compiled for tests and fuzzing alone; knows what the rooms offer under
//! the same name, and nothing of their formats.

mod state;

/// A reader under arbitrary bytes.
pub struct Target {
    /// Its name, and that of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Panics when the bytes break something.
    pub run: fn(&[u8]),
    /// Inputs that cannot lie in the corpus, since this build of imk alone reads them.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, seeds: Vec::new }
}

const fn seeded(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>) -> Target {
    Target { name, run, seeds }
}

/// All targets, by what they read.
pub const TARGETS: &[Target] = &[
    // What the author of a checkout writes.
    target("dockerfile", crate::syntax::fuzz::dockerfile),
    target("dockerignore", crate::syntax::fuzz::dockerignore),
    target("imagefile", crate::syntax::fuzz::imagefile),
    target("lockfile", crate::syntax::fuzz::lockfile),
    target("names", crate::syntax::fuzz::names),
    target("integration-yml", crate::syntax::fuzz::integration_yml),
    target("import-hcl", crate::syntax::fuzz::import_hcl),
    target("import-yaml", crate::syntax::fuzz::import_yaml),
    target("import-dotenv", crate::syntax::fuzz::import_dotenv),
    target("git-tree", crate::source::git::fuzz::tree),
    target("git-pushed", crate::source::git::fuzz::pushed),
    // What the service's owner writes, and what anybody sends to its hooks.
    target("serve-ron", crate::syntax::fuzz::serve_ron),
    target("hook-payload", crate::service::hooks::fuzz::payload),
    target("hook-signature", crate::service::hooks::fuzz::signature),
    // What a registry or a server answers.
    target("registry-document", crate::registry::oci::fuzz::document),
    target("registry-header", crate::registry::oci::fuzz::header),
    target("registry-words", crate::registry::oci::fuzz::words),
    // What a layer of a base or an archive holds.
    target("layer", crate::embedded::fuzz::layer),
    target("whiteouts", crate::embedded::fuzz::whiteouts),
    target("archive", crate::embedded::fuzz::archive),
    // What an engine says, and what docker keeps of engines and logins.
    target("engine-progress", crate::engine::fuzz::progress),
    target("engine-trace", crate::engine::fuzz::trace),
    target("engine-address", crate::engine::fuzz::address),
    target("docker-config", crate::engine::fuzz::docker_config),
    // What imk kept itself, after an accident.
    seeded("ledger", state::ledger, state::ledger_seeds),
    seeded("evidence", state::evidence, state::evidence_seeds),
    seeded("snapshot", state::snapshot, state::snapshot_seeds),
    seeded("stat-cache", crate::source::fuzz::stat_cache, crate::source::fuzz::stat_cache_seeds),
    seeded("git-memory", crate::source::git::fuzz::memory, crate::source::git::fuzz::memory_seeds),
    seeded("sealed", state::sealed, state::sealed_seeds),
    seeded("inputs-document", state::document, state::document_seeds),
];

#[cfg(test)]
mod tests;
