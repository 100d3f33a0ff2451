//! `serve.ron`: what `imk serve` listens on, which repositories it keeps fresh, and by which policy.
//!
//! As strict as an Imagefile: text in, values out, all mistakes with their places. Opens no file, reads no variable
//! and asks nobody: a secret is named here and never held.

mod decode;
pub mod keys;
pub mod names;
pub mod settings;

pub use decode::read;
pub use names::{BranchFilter, Label, Labels, RepositoryName};
pub use settings::{
    Authors, Credentials, Does, Forge, Forks, JenkinsLogin, LogLimits, Notifier, NotifierKind, Repository,
    Running, Schedule, Settings, Statuses, Tls,
};

#[cfg(test)]
mod tests;
