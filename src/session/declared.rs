//! One image of a repository, as it is declared or was found.
//!
//! A value: opens no file, and knows nothing of the images beside it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::name;
use crate::model::output::Outputs;
use crate::query::inputs::{Answers, Options, Paths};
use crate::syntax::container::Profile;
use crate::syntax::container::suite::Test;
use crate::syntax::error::Span;
use crate::syntax::git_source::GitSource;
use crate::syntax::imagefile::{DeclaredCaches, DeclaredOverlay, OverlaySource, SecretSource, Word};
use crate::syntax::tag::{TagRule, When};

/// One image as it is declared or was found.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The options that may count.
    pub options: Options,
    /// Where its files are, which never counts.
    pub paths: Paths,
    /// The Dockerfile's text, where it stands in the Imagefile; its path is then a name for messages.
    pub dockerfile_inline: Option<String>,
    /// The platforms of its name, in their order.
    pub platforms: Vec<String>,
    /// The name that every tag of it stands behind.
    pub repository: String,
    /// Tags it is given.
    pub tags: Vec<TagRule>,
    /// Whether any tag of its name means this image where it is a base.
    pub any_tag: bool,
    /// Which builds may be published, one rule being enough; every build when `None`.
    pub publish: Option<Vec<When>>,
    /// Where its secrets come from.
    pub secrets: BTreeMap<String, SecretSource>,
    /// The repository that its context is from, if it is from another.
    pub git: Option<GitSource>,
    /// Where its context is declared.
    pub context_span: Option<Span>,
    /// Overlays of its context.
    pub overlays: Vec<DeclaredOverlay>,
    /// Where the files of its named contexts are, of those that are files.
    pub context_files: BTreeMap<String, ContextFiles>,
    /// The named contexts that it declares itself.
    pub own_contexts: BTreeSet<String>,
    /// Labels that an engine must have to build it.
    pub engine_labels: Vec<Word>,
    /// Layer caches.
    pub cache: DeclaredCaches,
    /// Files and folders written beside it.
    pub outputs: Outputs,
    /// The same as declared, whatever the platform.
    pub declared_outputs: Outputs,
    /// Agents and keys for its steps, by id.
    pub ssh: BTreeMap<String, Vec<String>>,
    /// Stages of which an engine's cache is not used.
    pub no_cache_filter: Vec<String>,
    /// Annotations of the index of its name, where that is for several platforms.
    pub index_annotations: BTreeMap<String, String>,
    /// Rights of its steps beyond the usual ones.
    pub entitlements: Vec<Word>,
    /// How its containers are run.
    pub run: Profile,
    /// Its tests, by name.
    pub tests: BTreeMap<String, Test>,
    /// One sentence about it.
    pub description: Option<String>,
    /// Its place in the Imagefile.
    pub span: Option<Span>,
    /// The choice of its matrix that it is; empty where no matrix makes it. Those of one matrix have one place.
    pub choice: BTreeMap<String, String>,
}

/// The files that a named context stands for.
#[derive(Clone, Debug)]
pub struct ContextFiles {
    /// Where they come from.
    pub from: OverlaySource,
    /// Where the Imagefile says so; none of what was typed.
    pub span: Option<Span>,
}

impl Declared {
    /// The tags under which it may be a base. A rule's condition does not matter, and a tag made
    /// of facts is none: the graph is the same on every branch, day and machine.
    pub fn answers(&self) -> Answers {
        let tags = self.tags.iter().filter_map(|rule| rule.template.fixed()).collect();
        Answers { tags, any: self.any_tag }
    }

    /// An image for each of its platforms. `asked` are the platforms that were typed: where an image has all of
    /// them, they say later which of its platforms are meant; else they take the place of its own.
    pub(super) fn for_each(self, name: String, asked: &[String]) -> Vec<(String, Self)> {
        let choice = self.platforms.len() > 1 && asked.iter().all(|one| self.platforms.contains(one));
        let platforms = if asked.is_empty() || choice { self.platforms.clone() } else { asked.to_vec() };
        let of = |platform: Option<&String>| {
            let mut image = Self { platforms: platforms.clone(), ..self.clone() };
            image.options.platform = platform.cloned();
            if let Some(platform) = platform.filter(|_| platforms.len() > 1) {
                image.outputs = image.outputs.for_platform(platform);
            }
            image
        };
        match platforms.as_slice() {
            [] | [_] => vec![(name, of(platforms.first()))],
            several => several.iter().map(|one| (name::for_platform(&name, one), of(Some(one)))).collect(),
        }
    }
}
