//! The words for a question about a Dockerfile and for its answer, the recipe.
//!
//! Works nothing out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::syntax::dockerfile::Frontend;
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::reads::{ReadSource, Reads};

/// The request for a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Build arguments that were given.
    pub args: BTreeMap<String, String>,
    /// The stage to build, by name or number; the last one without.
    pub target: Option<String>,
    /// The platform to build for, as `linux/arm64`.
    pub platform: String,
    /// The platform of the builder.
    pub build_platform: String,
    /// `ONBUILD` triggers of bases, by the name that the Dockerfile uses after expansion.
    pub triggers: BTreeMap<String, Vec<String>>,
    /// Environments of bases, where known, by the same name. For a base that is
    /// not here a variable may be set or not, and imk takes the larger view.
    pub environments: BTreeMap<String, BTreeMap<String, String>>,
    /// Named contexts (`--build-context name=…`): they go before images, and in place of stages of their name.
    pub contexts: BTreeMap<String, NamedContext>,
}

/// The meaning of a named context.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NamedContext {
    /// An image, by its reference; or nothing, by `scratch`.
    Image(String),
    /// Files.
    Files,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            args: BTreeMap::new(),
            target: None,
            platform: "linux/amd64".into(),
            build_platform: "linux/amd64".into(),
            triggers: BTreeMap::new(),
            environments: BTreeMap::new(),
            contexts: BTreeMap::new(),
        }
    }
}

/// The recipe of a target: its stages, their bases and what they read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The frontend that reads the file.
    pub frontend: Frontend,
    /// The value of `# syntax=`, or of the argument `BUILDKIT_SYNTAX`. It counts.
    pub syntax: Option<String>,
    /// `\` or `` ` ``.
    pub escape: char,
    /// The platform to build for, in BuildKit's spelling.
    pub platform: String,
    /// The number of the target in the file, and its name if it has one: what the engine is asked for.
    pub target: Target,
    /// The reached stages in the order of the file.
    pub stages: Vec<ReachedStage>,
    /// Arguments that the reached stages declare or use, with their final values.
    /// Proxy arguments are left out.
    pub args: BTreeMap<String, Option<String>>,
    /// Images that the reached stages build on or copy from.
    pub bases: Vec<BaseUse>,
    /// The reads of the main context.
    pub reads: Reads,
    /// The reads of additional contexts, by name.
    pub context_reads: BTreeMap<String, Reads>,
    /// The sources that `ADD` fetches.
    pub remotes: Vec<Remote>,
    /// `ONBUILD` triggers that the image will carry: what its dependents run.
    pub triggers: Vec<String>,
    /// True if the meaning of some word depends on a base's environment that was not told.
    pub guesses: bool,
    /// Things that work and deserve a word.
    pub warnings: Vec<SyntaxError>,
    /// Arguments that are given, and that nothing declares.
    pub undeclared: Vec<String>,
    /// Named contexts that are given, and that nothing in the file names.
    pub idle_contexts: Vec<String>,
    /// Places whose text is not sent as it is, for named contexts: a word to put there, or none
    /// where an instruction falls away because a context stands for its stage.
    pub rewrites: Vec<(Span, Option<String>)>,
}

/// The stage that is built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Its number in the file.
    pub index: usize,
    /// Its name, if it has one.
    pub name: Option<String>,
}

/// A stage of the recipe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachedStage {
    /// Its number in the file; its number among the reached ones is its place in the list.
    pub index: usize,
    /// Its name. Does not count.
    pub name: Option<String>,
    /// Its base.
    pub base: StageBase,
    /// Its platform.
    pub platform: String,
    /// Triggers of the base first, then its own.
    pub instructions: Vec<CanonicalInstruction>,
}

/// The base of a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageBase {
    /// Nothing.
    Scratch,
    /// A reached stage, by its place in [`Recipe::stages`].
    Stage(usize),
    /// An image or context, by its place in [`Recipe::bases`].
    Base(usize),
}

/// An instruction as it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanonicalInstruction {
    /// Two instructions mean the same where these texts are the same.
    pub text: String,
    /// Where it stands; for a trigger, the `FROM` that brought it.
    pub span: Span,
}

/// How an image is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum How {
    /// `FROM`
    From,
    /// `COPY --from`
    Copy,
    /// `RUN --mount=from=`
    Mount,
}

/// One use of an image that is no stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseUse {
    /// By what.
    pub how: How,
    /// The word of the Dockerfile after expansion, or the name of a stage that a context stands for.
    pub word: String,
    /// The name that it leads to, not completed: the word itself unless it names a context.
    pub reference: String,
    /// For which platform.
    pub platform: String,
    /// The words to replace when the image is pinned; none for a trigger of a base.
    pub spans: Vec<Span>,
    /// The number of the stage in the file.
    pub stage: usize,
    /// A context of files is meant, not an image.
    pub context: bool,
}

/// A source that `ADD` fetches from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// After expansion.
    pub url: String,
    /// A git repository, not a file.
    pub git: bool,
    /// `--checksum`, or the one in the URL of a git repository.
    pub checksum: Option<String>,
    /// `--keep-git-dir`
    pub keep_git_dir: Option<bool>,
    /// Where the word stands.
    pub span: Span,
}

impl Recipe {
    /// Every read in the order in which a tree answers for them: those of the context, then those of
    /// named ones, each with its context's name.
    pub fn all_reads(&self) -> impl Iterator<Item = (Option<&str>, &ReadSource)> {
        let named = self.context_reads.iter();
        let named =
            named.flat_map(|(name, reads)| reads.sources.iter().map(move |read| (Some(name.as_str()), read)));
        self.reads.sources.iter().map(|read| (None, read)).chain(named)
    }

    /// Whether no instruction reads any context.
    pub fn reads_nothing(&self) -> bool {
        self.reads.sources.is_empty() && self.context_reads.is_empty()
    }

    /// Everything that counts of the Dockerfile itself, one line for each part.
    pub fn canonical(&self) -> String {
        let mut lines = vec![format!("escape {}", self.escape)];
        lines.extend(self.syntax.iter().map(|syntax| format!("syntax {syntax}")));
        for (number, stage) in self.stages.iter().enumerate() {
            let base = match stage.base {
                StageBase::Scratch => "scratch".to_owned(),
                StageBase::Stage(base) => format!("stage {base}"),
                StageBase::Base(base) => format!("base {base}"),
            };
            lines.push(format!("stage {number} FROM {base} {}", stage.platform));
            lines.extend(stage.instructions.iter().map(|instruction| instruction.text.clone()));
        }
        lines.join("\n")
    }
}
