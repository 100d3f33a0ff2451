//! Fetches of `ADD`: a file of the web, or the tree of a git repository.

use std::sync::Arc;

use fs_err as fs;

use super::archive;
use super::build::Build;
use super::copy::{self, Rules, Target};
use super::patch::{Content, Patch};
use super::transfer::Scraps;
use crate::embedded::layer::index::{Entry, Kind};
use crate::embedded::layer::layers::{Bounded, MOST_BYTES};
use crate::embedded::layer::view::View;
use crate::embedded::store::Sums;
use crate::embedded::trouble::{During, Result, refusal, refused};
use crate::engine::{AddedRepository, ContextFiles};
use crate::model::hash::ContentHash;
use crate::registry::digest::Sum;
use crate::syntax::dockerfile::Transfer;
use crate::syntax::error::Span;
use crate::syntax::git_source;
use crate::syntax::resolve::sources;

impl Build<'_> {
    /// A file of the web, checked against its checksum when there is one.
    pub(super) fn fetched(
        &self,
        patch: &mut Patch<'_>,
        (url, checksum): (&str, &str),
        unpack: bool,
        (to, rules): (&Target, &Rules),
        scraps: &mut Scraps,
    ) -> Result<()> {
        let what = || format!("fetching `{}`", git_source::masked(url));
        let store = self.images.layers.store;
        let wanted = Wanted { content: blake3::Hasher::new(), checksum: Sum::like(checksum) };
        if !checksum.is_empty() && wanted.checksum.is_none() {
            return refused(what(), format!("`{checksum}` is no checksum such as `sha256:…`"));
        }
        let mut draft = Bounded { inner: store.draft_with(wanted)?, left: MOST_BYTES };
        let found = self.images.registry().fetch(url, &mut draft);
        if !found.map_err(|error| refusal(what(), error.to_string()))? {
            return refused(what(), "the server has no such file");
        }
        let (file, Wanted { content, checksum: sum }, size) = draft.inner.into_parts();
        if let Some(sum) = sum {
            let came = sum.finish();
            if came != checksum {
                return refused(what(), format!("what came is {came}, and {checksum} was asked for"));
            }
        }
        let path = file.into_temp_path();
        if unpack && archive::is_one(&mut fs::File::open(&path).during(what)?).unwrap_or(false) {
            let spot = archive::spread(store, &mut fs::File::open(&path).during(what)?)?;
            archive::unpack(patch, &spot, to, rules)?;
            scraps.push(spot);
            return Ok(());
        }
        let hash = ContentHash(*content.finalize().as_bytes());
        let kind = Kind::File { size, hash, at: 0 };
        let entry = Entry { kind, ..Entry::folder(file_name(url).as_bytes(), 0o600) };
        let content = Content::Spot(path.to_path_buf(), 0);
        scraps.push(path);
        copy::file(patch, entry, content, to, rules)
    }

    /// The tree of a git repository at a commit.
    pub(super) fn cloned(
        &self,
        patch: &mut Patch<'_>,
        (word, checksum): (&str, &str),
        transfer: &Transfer,
        (to, rules): (&Target, &Rules),
    ) -> Result<()> {
        let what = || format!("fetching `{}`", git_source::masked(word));
        let remote =
            sources::remote(word, true, Some(checksum.to_owned()), transfer.keep_git_dir, Span::default());
        let wanted = AddedRepository {
            address: word,
            checksum: remote.checksum.as_deref().unwrap_or_default(),
            keep_git_dir: remote.keep_git_dir == Some(true) || git_source::keeps_git_dir(word),
        };
        let tree = self.request.files.repository(&wanted).map_err(|why| refusal(what(), why))?;
        let from = self.images.layers.view(&self.layers_of(tree)?)?;
        copy::copy(patch, &from, b"", to, rules)
    }

    /// The files of a named context, as layers.
    pub(in crate::embedded) fn context_layers(&self, name: &str) -> Result<Vec<String>> {
        match self.request.contexts.get(name) {
            Some(files) => self.layers_of(Arc::clone(files)),
            None => {
                refused(format!("looking into the context `{name}`"), "this build was not given its files")
            }
        }
    }

    /// Files that lie beside the context, as a layer of their own: so they have a place from which they can be copied.
    fn layers_of(&self, files: Arc<dyn ContextFiles>) -> Result<Vec<String>> {
        let context = super::context::Context::new(files)?;
        let view = context.view();
        let nothing = View::default();
        let mut whole = Patch::over(&nothing);
        let root = Target { path: Vec::new(), folder: true };
        copy::copy(&mut whole, &view, b"", &root, &Rules::default())?;
        let stop = || self.cancel.is_cancelled();
        let making = super::patch::Making { context: &context, ..self.making(&stop) };
        let (layer, _) = whole.into_layer(&making)?;
        Ok(layer.into_iter().collect())
    }
}

/// The last part of an address's path, as BuildKit names what it fetches.
fn file_name(url: &str) -> String {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let name = path.split_once('/').map_or("", |(_, path)| path).rsplit('/').next().unwrap_or_default();
    if name.is_empty() || name == "." || name == ".." { "__unnamed__".to_owned() } else { name.to_owned() }
}

/// An entry that a layer is known by, and the options beside its address.
struct Wanted {
    content: blake3::Hasher,
    checksum: Option<Sum>,
}

impl Sums for Wanted {
    fn add(&mut self, bytes: &[u8]) {
        self.content.update(bytes);
        if let Some(sum) = &mut self.checksum {
            sum.update(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetched_file_is_named_by_its_address() {
        for (url, name) in [
            ("https://x/a/b.tar.gz?q=/c", "b.tar.gz"),
            ("https://x/", "__unnamed__"),
            ("https://x", "__unnamed__"),
            ("https://x/..", "__unnamed__"),
        ] {
            assert_eq!(file_name(url), name, "{url}");
        }
    }
}
