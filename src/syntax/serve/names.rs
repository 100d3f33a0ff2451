//! Words of the service that somebody outside may say: names of repositories, labels, filters of branches.
//!
//! Each is checked once, here, and is harmless afterwards: none of them is a path, a command or an option.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::syntax::glob;

/// A name, or a label, has at most so many bytes.
const LONGEST: usize = 200;

/// The name of a repository in `serve.ron`: letters, digits, `.`, `_` and `-`, with `/` between parts that begin with a
/// letter or a digit. It decides nothing about paths or commands.
///
/// ```
/// use imk::syntax::serve::RepositoryName;
///
/// assert_eq!(RepositoryName::new("team/images").unwrap().as_str(), "team/images");
/// assert!(RepositoryName::new("../etc").is_err() && RepositoryName::new("a//b").is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct RepositoryName(String);

impl RepositoryName {
    /// Checks a name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let is_good = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && !part.contains("..")
        };
        match text.len() <= LONGEST && text.split('/').all(is_good) {
            true => Ok(Self(text.to_owned())),
            false => Err(format!(
                "`{}` cannot name a repository: letters, digits, `.`, `_` and `-`, with `/` between parts",
                text.chars().take(60).collect::<String>().escape_debug()
            )),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name for a file or a folder, and no other repository's: `team/images` is `team+images`.
    pub fn file_name(&self) -> String {
        self.0.replace('/', "+")
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RepositoryName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A capability of a worker that a job may ask for, such as `jdk8`. Case does not count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Label(String);

impl Label {
    /// Checks a label, and writes it in small letters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        match !text.is_empty() && text.len() <= LONGEST && text.chars().all(good) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(format!(
                "`{}` cannot be a label: letters, digits, `.`, `_` and `-`",
                text.chars().take(60).collect::<String>().escape_debug()
            )),
        }
    }

    /// As it is compared.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Several labels, in order.
pub type Labels = BTreeSet<Label>;

/// Labels with `+` between them, as they stand in the address of a hook and behind `--labels`: `JDK8+SBT`.
///
/// # Errors
/// What is wrong with one of them.
pub fn labels(text: &str) -> Result<Labels, String> {
    text.split(['+', ',', ' ']).filter(|word| !word.is_empty()).map(Label::new).collect()
}

/// A pattern for names of branches: `*` stands for everything but `/`, `**` for everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchFilter(String);

impl BranchFilter {
    /// Checks a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let plain = pattern.replace("**", "*");
        match !pattern.is_empty() && !pattern.contains(char::is_control) && glob::check(&plain).is_ok() {
            true => Ok(Self(pattern.to_owned())),
            false => Err(format!("`{}` is no pattern for branches", pattern.escape_debug())),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a branch is meant.
    pub fn admits(&self, branch: &str) -> bool {
        if self.0.contains("**") {
            // One segment of everything: `/` is no border then.
            let pattern = self.0.replace("**", "*").replace('/', "\u{1}");
            return glob::matches(&pattern, &branch.replace('/', "\u{1}")) == Ok(true);
        }
        glob::matches(&self.0, branch) == Ok(true)
    }
}
