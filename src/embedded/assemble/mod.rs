//! A stage put together: what each instruction of a Dockerfile does to configuration and layers.

pub(super) mod archive;
pub(super) mod build;
mod chmod;
mod context;
pub(super) mod copy;
mod instructions;
pub(super) mod patch;
pub(super) mod plan;
mod remote;
mod stages;
mod transfer;
pub(super) mod users;
