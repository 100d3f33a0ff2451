//! How others decide what to build, so that imk can be compared with them.
//!
//! | rule | an image is built when this was never met before |
//! |---|---|
//! | whole context hash | its context folder after the ignore file, its Dockerfile's text, its options, the same of its bases |
//! | Shipwright's | the last commit that touched its Dockerfile or what it copies (ignored files included), or that of a base |
//!
//! *Rebuild all* needs no key. Both are kind to the others: bases are found as
//! imk finds them, and a state that comes back is not built again.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::hash::{ContentHash, FieldHasher};
use crate::query::graph::bases;
use crate::query::inputs::OutsideBase;
use crate::query::inputs::{Image as Input, Text};
use crate::query::recipe::recipe;
use crate::session::open::Session;
use crate::session::overlays;
use crate::session::sync::selection;
use crate::source::git::GitTree;
use crate::source::tree::{ReadError, Selection, SourceTree};
use crate::syntax::reads::Reads;

/// The keys of the rules.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Of the whole context.
    pub context: ContentHash,
    /// Of the commits that touched it last.
    pub shipwright: ContentHash,
    /// The hash of what the image copies, as it is now.
    copied: ContentHash,
    /// The commit that made it so.
    touched: String,
}

/// An image at a commit.
pub struct Image<'a> {
    /// Its inputs are those of the commit.
    pub session: &'a Session,
    /// The image.
    pub image: Input,
    /// The commit's files.
    pub tree: &'a Arc<GitTree>,
    /// The commit.
    pub commit: &'a str,
}

impl Image<'_> {
    /// Its keys, from those it had in the commit's parents and those of its bases.
    ///
    /// # Errors
    /// When something in its context cannot be read.
    pub fn keys(&self, parents: &[&Keys], on: &[&Keys]) -> Result<Keys, ReadError> {
        let db = self.session.db();
        let options = self.image.options(db);
        let paths = self.image.paths(db);
        let text = match self.image.dockerfile(db) {
            Text::Is(text) => text.as_str(),
            Text::Absent | Text::Unreadable(_) | Text::Refused(_) => "",
        };
        let context = &paths.context;
        let there = self.tree.is_folder(context)?;
        let overlays = overlays::overlays(self.session, self.image.name(db)).unwrap_or_default();
        let mut whole = FieldHasher::new("imk replay whole context v1");
        whole.field(text);
        if there {
            let all = selection(&**self.tree, &paths.dockerfile, context, &Reads::whole(), overlays.clone())?;
            whole.field(self.tree.fingerprint(&all)?.0);
        }
        for (name, value) in options.args.iter().chain(&options.labels) {
            whole.field(name).field(value);
        }
        for option in [&options.target, &options.platform, &options.network] {
            whole.field(option.as_deref().unwrap_or_default());
        }
        for OutsideBase { reference, .. } in &bases(db, self.image).outside {
            whole.field(reference);
        }

        let mut copied = FieldHasher::new("imk replay copied v1");
        copied.field(text);
        if let Ok(recipe) = recipe(db, self.image)
            && there
        {
            // Shipwright asks git, which has not heard of ignore files.
            let reads = recipe.reads.clone();
            let asked =
                Selection { root: context.clone(), ignore: None, reads, overlays, named: BTreeMap::new() };
            copied.field(self.tree.fingerprint(&asked)?.0);
        }
        let copied = copied.finish();
        // As `git log -1 -- PATHS`: a merge that took a side unchanged did not touch it.
        let same = parents.iter().find(|parent| parent.copied == copied);
        let touched = same.map_or_else(|| self.commit.to_owned(), |parent| parent.touched.clone());
        let mut last = FieldHasher::new("imk replay last commit v1");
        last.field(self.image.name(db)).field(&touched);
        for base in on {
            whole.field(base.context.0);
            last.field(base.shipwright.0);
        }
        Ok(Keys { context: whole.finish(), shipwright: last.finish(), copied, touched })
    }
}
