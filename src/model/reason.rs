//! Why an image is stale, as data.
//!
//! A closed list of codes, each with a subject and its value before and after.
//! Words are made from it in `cli/words.rs` and nowhere else.

use serde::{Deserialize, Serialize};

/// The kind of thing that changed. The names are part of the `--json` output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Code {
    /// A file that an instruction reads: added, removed or changed.
    File,
    /// An instruction of a reached stage.
    Dockerfile,
    /// The value of a declared build argument.
    Arg,
    /// A base inside the repository came out different.
    Base,
    /// A base outside the repository is another image now.
    Upstream,
    /// A commit or branch that a source follows.
    Git,
    /// A key of the Imagefile: target, platform, label, network.
    Config,
    /// The builder or the layout of the key.
    Builder,
    /// There is no result: never built here, or gone from the engine.
    Missing,
    /// Somebody asked for it.
    Forced,
    /// A test of the image.
    Test,
}

/// One cause.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reason {
    /// Its kind.
    pub code: Code,
    /// The thing that changed: a path, an argument's name, a base, an instruction.
    pub subject: String,
    /// Its value at the last build; `None` when it was not there.
    pub before: Option<String>,
    /// Its value now; `None` when it is gone.
    pub after: Option<String>,
}

impl Reason {
    /// There is no result of this image on the engine.
    pub fn never_built() -> Self {
        Self { code: Code::Missing, subject: String::new(), before: None, after: None }
    }

    /// Of two trees, only this one has the image. Says nothing of results.
    pub fn new_image() -> Self {
        Self { subject: "image".to_owned(), ..Self::never_built() }
    }

    /// There is a result on another engine, and none on this one.
    pub fn built_elsewhere() -> Self {
        Self { after: Some("another engine".to_owned()), ..Self::never_built() }
    }

    /// The result was built, and the engine has it no more.
    pub fn gone(id: &str) -> Self {
        Self { code: Code::Missing, subject: String::new(), before: Some(id.to_owned()), after: None }
    }

    /// `-B` or `--no-cache`.
    pub fn forced() -> Self {
        Self { code: Code::Forced, subject: String::new(), before: None, after: None }
    }
}
