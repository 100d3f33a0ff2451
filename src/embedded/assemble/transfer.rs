//! `COPY` and `ADD`: where their sources are, and what becomes of each.
//!
//! Follows `dispatchCopy`. Which files go where is in `copy.rs`; archives that `ADD` unpacks are in
//! `archive.rs`, and what it fetches in `remote.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::archive;
use super::build::{Build, Outcome, Stage};
use super::chmod::Change;
use super::copy::{self, Rules, Target};
use super::patch::{Content, Patch, absolute};
use crate::embedded::layer::index::{Entry, Kind, name};
use crate::embedded::layer::view::{Origin, View};
use crate::embedded::trouble::{Result, refusal};
use crate::model::hash::ContentHash;
use crate::syntax::dockerfile::{Heredoc, Transfer};
use crate::syntax::expand::Lexer;
use crate::syntax::resolve::names::Source;
use crate::syntax::resolve::sources::{self, Kind as Word};

/// Files that live only as long as an instruction: unpacked archives and what was fetched.
pub type Scraps = Vec<tempfile::TempPath>;

impl Build<'_> {
    pub(super) fn transfer(&self, transfer: &Transfer, add: bool, here: &mut Stage) -> Result<Outcome> {
        let mut rules = Rules { exclude: transfer.exclude.clone(), ..Rules::default() };
        if let Some(chown) = &transfer.chown {
            let chown = self.expand(chown, here)?.text;
            rules.owner = self.owner(&chown, here)?;
        }
        if let Some(chmod) = &transfer.chmod {
            let chmod = self.expand(chmod, here)?.text;
            let change = |why| refusal(format!("reading --chmod={chmod}"), why);
            rules.mode = if chmod.is_empty() { None } else { Some(Change::parse(&chmod).map_err(change)?) };
        }
        let to = self.target(transfer, here)?;
        let tree = self.tree(transfer)?;
        let words: Vec<String> = transfer
            .sources
            .iter()
            .map(|word| self.expand(&word.text, here).map(|expanded| expanded.text))
            .collect::<Result<_>>()?;
        let texts: Vec<(String, String)> = transfer
            .contents
            .iter()
            .map(|heredoc| Ok((heredoc.name.clone(), self.content(heredoc, here)?)))
            .collect::<Result<_>>()?;
        let checksum = self.expand(transfer.checksum.as_deref().unwrap_or_default(), here)?.text;
        let nothing = View::default();
        let mut scraps = Scraps::new();
        // What is linked means the same over every tree, so the tree is not looked at.
        let mut patch = match transfer.link {
            true => Patch::bare(&nothing),
            false => Patch::over(self.view(here)?),
        };
        for word in &words {
            rules.number = self.sources.fetch_add(1, Ordering::Relaxed);
            match sources::kind(word) {
                Word::Path => {
                    self.path(&mut patch, &tree, word, transfer, add, (&to, &rules), &mut scraps)?;
                }
                Word::Http => {
                    let remote = (word.as_str(), checksum.as_str());
                    self.fetched(
                        &mut patch,
                        remote,
                        transfer.unpack == Some(true),
                        (&to, &rules),
                        &mut scraps,
                    )?;
                }
                Word::Git => self.cloned(&mut patch, (word, &checksum), transfer, (&to, &rules))?,
            }
        }
        for (name, text) in texts {
            let bytes: Arc<[u8]> = text.into_bytes().into();
            let kind = Kind::File { size: bytes.len() as u64, hash: ContentHash::of(&bytes), at: 0 };
            let entry = Entry { kind, ..Entry::folder(name.as_bytes(), 0o644) };
            copy::file(&mut patch, entry, Content::Text(bytes), &to, &rules)?;
        }
        let stop = || self.cancel.is_cancelled();
        let (layer, cached) = patch.into_layer(&self.making(&stop))?;
        Ok(Outcome { layer, cached })
    }

    fn target(&self, transfer: &Transfer, here: &Stage) -> Result<Target> {
        let text = self.expand(&transfer.destination, here)?.text;
        let folder = text.ends_with('/') || text == "." || text.ends_with("/.");
        let path = absolute(here.config.text("WorkingDir"), &text);
        let folder = folder || transfer.parents || path.is_empty();
        Ok(Target { path, folder })
    }

    /// The tree that is copied from.
    fn tree(&self, transfer: &Transfer) -> Result<View> {
        let Some(from) = &transfer.from else { return Ok(self.context.view()) };
        let what = || format!("copying from `{}`", from.text);
        match self.plan.heads.copy_source(from).map_err(|error| refusal(what(), error.message))? {
            Source::Scratch => Ok(View::default()),
            Source::Stage(index) => self.stage_view(index),
            Source::Image(name) => self.image(&name),
            Source::Context(name) => self.images.layers.view(&self.context_layers(&name)?),
        }
    }

    /// The files of a stage that is done.
    pub(in crate::embedded) fn stage_view(&self, index: usize) -> Result<View> {
        let stage = self.stages.get(index)?;
        let mut stage = stage.lock();
        self.view(&mut stage).cloned()
    }

    #[expect(clippy::too_many_arguments, reason = "one source word needs all that its instruction says")]
    fn path(
        &self,
        patch: &mut Patch<'_>,
        tree: &View,
        word: &str,
        transfer: &Transfer,
        add: bool,
        (to, rules): (&Target, &Rules),
        scraps: &mut Scraps,
    ) -> Result<()> {
        if transfer.parents {
            return copy::parents(patch, tree, word, to, rules);
        }
        for source in copy::matches(tree, word)? {
            let unpacked = match add && transfer.unpack != Some(false) {
                true => self.unpacked(patch, tree, &source, (to, rules), scraps)?,
                false => false,
            };
            if !unpacked {
                copy::copy(patch, tree, &source, to, rules)?;
            }
        }
        Ok(())
    }

    /// Unpacks what is an archive. `false` for all else.
    fn unpacked(
        &self,
        patch: &mut Patch<'_>,
        tree: &View,
        source: &[u8],
        (to, rules): (&Target, &Rules),
        scraps: &mut Scraps,
    ) -> Result<bool> {
        let shown = || format!("unpacking `{}`", String::from_utf8_lossy(name(source)));
        let from = tree.resolve(source).map_err(|why| refusal(shown(), why))?;
        let Some((layer, entry)) = tree.get(&from) else { return Ok(false) };
        let Some((at, file)) = tree.file(layer, &entry) else { return Ok(false) };
        let Kind::File { size, at: place, .. } = file.kind else { return Ok(false) };
        let content = match tree.origin(at) {
            Some(Origin::Layer(diff_id)) => Content::Layer(diff_id.clone(), place),
            _ => Content::Context(place),
        };
        let stop = || self.cancel.is_cancelled();
        let making = self.making(&stop);
        let open = || making.open(Some(&content), size);
        if !archive::is_one(&mut *open()?).unwrap_or(false) {
            return Ok(false);
        }
        let spot = archive::spread(self.images.layers.store, &mut *open()?)?;
        archive::unpack(patch, &spot, to, rules)?;
        scraps.push(spot);
        Ok(true)
    }

    /// A heredoc: variables count unless its name is quoted; quotes in it mean nothing.
    fn content(&self, heredoc: &Heredoc, here: &Stage) -> Result<String> {
        let content = heredoc.chomped();
        if !heredoc.expand {
            return Ok(content);
        }
        let lexer = Lexer { skip_quotes: true, ..Lexer::new('\\') };
        let expanded = lexer.expand(&content, &here.scope);
        expanded.map(|it| it.text).map_err(|why| refusal(format!("reading `<<{}`", heredoc.name), why))
    }
}
