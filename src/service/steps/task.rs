//! The work of a job as it is handed in, and as it came out.
//!
//! Plain values and the doors to what is around them; does nothing itself.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::bounds::Bounds;
use super::facts::Facts;
use super::tools::Tools;
use crate::engine::Cancel;

/// The work of one job.
pub struct Task<'a> {
    /// The repository's name and the service's folder: who has both has the user that steps run as.
    pub repository: &'a str,
    /// A fresh checkout of the very commit, from the root of the machine.
    pub checkout: &'a Path,
    /// Facts of the commit.
    pub facts: Facts,
    /// How far it goes.
    pub reach: Reach,
    /// The environment of this process, of which little is passed on.
    pub server: &'a BTreeMap<OsString, OsString>,
    /// The bounds of what its author may reach.
    pub bounds: Bounds,
    /// Variables of the policy and of its login.
    pub variables: Vec<(String, String)>,
    /// Values that are struck out of everything that is kept.
    pub secrets: Vec<String>,
    /// Logins for registries: a folder with docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// The folder of imk's own state for this repository; else it is in the checkout.
    pub state: Option<PathBuf>,
    /// The Imagefile below the checkout's root, where it is not the usual one.
    pub imagefile: Option<String>,
    /// How long all of it may take.
    pub time_limit: Duration,
    /// Tells when somebody wants it stopped.
    pub cancel: &'a Cancel,
    /// Takes all output.
    pub log: &'a (dyn Fn(&[u8]) + Sync),
    /// Done for steps that ask for it.
    pub tools: &'a dyn Tools,
}

/// How far a job goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is planned, and nothing of the repository runs: requests of forks, and policies that ask for no more.
    Plan,
    /// Everything is built.
    Build,
    /// And tested.
    Test,
    /// And published as the Imagefile's rules allow; `integration.yml` counts here.
    Publish,
}

/// An image as the job left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its name.
    pub name: String,
    /// imk's word: `fresh`, `stale`, `waits`, `built`, `reused`, `found`, `failed`, `skipped` and the like.
    pub verdict: String,
    /// Why it was out of date, or failed.
    pub reason: String,
}

/// The work as it came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Performed {
    /// All went well.
    pub ok: bool,
    /// One line.
    pub summary: String,
    /// The images, where imk itself did the work.
    pub images: Vec<Image>,
    /// The raw status, line by line; none where there are no steps.
    pub report: Vec<String>,
}
