//! Verbs about what is kept: locked bases, images on engines, the state, and whether all of it is well.

pub mod clean;
pub mod doctor;
pub mod fsmonitor;
pub mod gc;
pub mod outdated;
pub mod update;
