//! The names that results are given: templates and rules, filled with what git, CI and the clock say.

pub mod ci;
pub mod facts;
pub mod missing;
pub mod newest;
mod registry_times;
pub mod tagging;
pub mod uncommitted;

#[cfg(test)]
mod tests;
