//! Any reader of bytes from outside under libFuzzer; which one, `IMK_FUZZ_TARGET` says.
//!
//! The targets are imk's own (`src/fuzz.rs`), and the same that `cargo test` runs.

#![no_main]

use std::sync::OnceLock;

use imk::fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

fn chosen() -> &'static Target {
    static CHOSEN: OnceLock<&Target> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let name = std::env::var("IMK_FUZZ_TARGET").unwrap_or_default();
        TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            panic!("IMK_FUZZ_TARGET names one of: {}", names.join(" "))
        })
    })
}

fuzz_target!(|bytes: &[u8]| (chosen().run)(bytes));
