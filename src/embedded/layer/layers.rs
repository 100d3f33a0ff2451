//! Layers of this store and of registries: their headers, their plain bytes, their compressed forms.
//!
//! A base's layer is fetched when somebody looks into it, and not before; what comes is checked against
//! the digest it was asked by and against its diff id. Knows no Dockerfile.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use super::compress::{self, Encoding};
use super::index::Index;
use super::scan;
use super::view::{Origin, View};
use crate::embedded::room;
use crate::embedded::store::{NoteKind, Store};
use crate::embedded::trouble::{During, Result, refusal, refused};
use crate::registry::Registry;
use crate::registry::digest::Sum;
use crate::syntax::reference;

/// No layer holds more plain bytes: what claims more is a bomb.
pub const MOST_BYTES: u64 = 512 << 30;

/// The image specification's name for a plain layer.
pub const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// Its name for one in gzip.
pub const TAR_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layer as registries keep it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Form {
    /// `application/vnd.oci.image.layer.v1.tar+gzip` and the like.
    pub media_type: String,
    /// Of its compressed bytes.
    pub digest: String,
    /// Compressed bytes.
    pub size: u64,
    /// A repository that has it.
    pub from: Option<String>,
}

/// All layers, with what was looked up of them in this process.
pub struct Layers<'a> {
    /// Where they are kept.
    pub store: &'a Store,
    registry: &'a dyn Registry,
    known: Mutex<BTreeMap<String, Arc<Index>>>,
    /// Turns at reading or unpacking a layer: stages side by side want the same ones.
    turns: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
}

impl<'a> Layers<'a> {
    /// Layers of a store, and of registries that may be asked for the others.
    pub fn new(store: &'a Store, registry: &'a dyn Registry) -> Self {
        Self { store, registry, known: Mutex::default(), turns: Mutex::default() }
    }

    /// A stack of layers as one tree.
    pub fn view(&self, diff_ids: &[String]) -> Result<View> {
        let layer = |id: &String| Ok((Origin::Layer(id.clone()), self.index(id)?));
        diff_ids.iter().map(layer).collect::<Result<_>>().map(View::new)
    }

    /// The compressed forms of a layer that are known.
    pub fn forms(&self, diff_id: &str) -> Vec<Form> {
        self.store.noted(NoteKind::Layers, diff_id).unwrap_or_default()
    }

    /// Remembers a compressed form.
    pub fn learn(&self, diff_id: &str, form: Form) -> Result<()> {
        let mut forms = self.forms(diff_id);
        if forms.contains(&form) {
            return Ok(());
        }
        forms.retain(|known| known.digest != form.digest || known.from != form.from);
        forms.push(form);
        self.store.note(NoteKind::Layers, diff_id, &forms)
    }

    /// The headers of a layer; it is fetched if that is what it takes.
    pub fn index(&self, diff_id: &str) -> Result<Arc<Index>> {
        let known = || self.known().get(diff_id).map(Arc::clone);
        if let Some(known) = known() {
            return Ok(known);
        }
        let turn = self.turn(diff_id);
        let _mine = turn.lock();
        if let Some(known) = known() {
            return Ok(known);
        }
        let index = match scan::shared(self.store, diff_id) {
            Some(index) => index,
            None => Arc::new(self.scan(diff_id)?),
        };
        self.known().insert(diff_id.to_owned(), Arc::clone(&index));
        Ok(index)
    }

    fn scan(&self, diff_id: &str) -> Result<Index> {
        let what = || format!("reading layer {diff_id}");
        let (_, plain) = self.open(diff_id)?;
        let mut summed = Summed { inner: plain, sum: Sum::new() };
        let index = scan::scan(&mut summed, MOST_BYTES).map_err(|why| refusal(what(), why))?;
        if summed.sum.finish() != diff_id {
            return refused(what(), "its bytes are not those that the image's configuration names");
        }
        scan::keep_index(self.store, diff_id, &index)?;
        Ok(index)
    }

    /// The plain bytes of a layer, not checked. `true` when they lie in the store as they are.
    pub fn open(&self, diff_id: &str) -> Result<(bool, Box<dyn Read>)> {
        if self.store.has(diff_id) {
            return Ok((true, Box::new(self.store.open(diff_id)?)));
        }
        let form = self.fetched(diff_id)?;
        let plain = compress::plain(self.store.open(&form.digest)?);
        plain.map(|(_, plain)| (false, plain)).during(|| format!("reading layer {diff_id}"))
    }

    /// A compressed form that lies in the store; it is fetched if none does.
    fn fetched(&self, diff_id: &str) -> Result<Form> {
        let forms = self.forms(diff_id);
        if let Some(form) = forms.iter().find(|form| self.store.has(&form.digest)) {
            return Ok(form.clone());
        }
        let mut unanswered = None;
        for form in &forms {
            match self.fetch(form) {
                Ok(()) => return Ok(form.clone()),
                Err(error) => unanswered = Some(error),
            }
        }
        Err(unanswered.unwrap_or_else(|| {
            refusal(
                format!("reading layer {diff_id}"),
                "the image store has lost it, and no registry is known to have it",
            )
        }))
    }

    fn fetch(&self, form: &Form) -> Result<()> {
        let what = || format!("fetching layer {}", form.digest);
        let Some(from) = &form.from else { return refused(what(), "no registry is known to have it") };
        let from = reference::parse(from).map_err(|why| refusal(what(), why))?;
        room::ask(self.store, form.size, what)?;
        // A server may go on for ever, and its manifest has said how much there is.
        let draft = Bounded { inner: self.store.draft()?, left: form.size };
        let mut draft = io::BufWriter::with_capacity(256 << 10, draft);
        let fetched = self.registry.download(&from, &form.digest, &mut draft);
        fetched.map_err(|error| refusal(what(), error.to_string()))?;
        let draft = draft
            .into_inner()
            .map(|draft| draft.inner)
            .map_err(io::IntoInnerError::into_error)
            .during(what)?;
        let (digest, _) = draft.keep()?;
        if digest == form.digest { Ok(()) } else { refused(what(), "what came has another digest") }
    }

    /// Sees to it that the plain bytes of a layer lie in the store.
    pub fn plain(&self, diff_id: &str) -> Result<()> {
        if self.store.has(diff_id) {
            return Ok(());
        }
        let turn = self.turn(diff_id);
        let _mine = turn.lock();
        if self.store.has(diff_id) {
            return Ok(());
        }
        let what = || format!("unpacking layer {diff_id}");
        let (_, plain) = self.open(diff_id)?;
        let mut draft = io::BufWriter::with_capacity(256 << 10, self.store.draft()?);
        let copied = io::copy(&mut plain.take(MOST_BYTES), &mut draft);
        copied.during(what)?;
        let draft = draft.into_inner().map_err(io::IntoInnerError::into_error).during(what)?;
        let (digest, _) = draft.keep()?;
        match digest == diff_id {
            true => Ok(()),
            false => refused(what(), "its bytes are not those that the image's configuration names"),
        }
    }

    /// A part of a layer's plain bytes.
    pub fn part(&self, diff_id: &str, at: u64, size: u64) -> Result<Box<dyn Read>> {
        self.plain(diff_id)?;
        let mut file = self.store.open(diff_id)?;
        file.seek(SeekFrom::Start(at)).during(|| format!("reading layer {diff_id}"))?;
        Ok(Box::new(file.take(size)))
    }

    /// The form in which a layer leaves the store: one that a registry gave, else gzip of our own. It
    /// need not lie in the store; `ready` has it there.
    pub fn leaving(&self, diff_id: &str) -> Result<Form> {
        let forms = self.forms(diff_id);
        let here = |form: &&Form| self.store.has(&form.digest);
        if let Some(form) = forms.iter().find(here).or_else(|| forms.iter().find(|form| form.from.is_some()))
        {
            return Ok(form.clone());
        }
        let what = || format!("compressing layer {diff_id}");
        let mut summed = Summed { inner: self.store.open(diff_id)?, sum: Sum::new() };
        let mut draft = io::BufWriter::with_capacity(256 << 10, self.store.draft()?);
        compress::gzip(&mut summed, &mut draft).during(what)?;
        if summed.sum.finish() != diff_id {
            return refused(
                what(),
                "its bytes in the image store were changed; `imk -B --no-cache` makes it anew",
            );
        }
        let draft = draft.into_inner().map_err(io::IntoInnerError::into_error).during(what)?;
        let (digest, size) = draft.keep()?;
        let form = Form { media_type: TAR_GZIP.to_owned(), digest, size, from: None };
        self.learn(diff_id, form.clone())?;
        Ok(form)
    }

    /// As [`Layers::leaving`], with its bytes in the store.
    pub fn ready(&self, diff_id: &str) -> Result<Form> {
        let form = self.leaving(diff_id)?;
        if !self.store.has(&form.digest) {
            self.fetch(&form)?;
        }
        Ok(form)
    }

    fn turn(&self, diff_id: &str) -> Arc<Mutex<()>> {
        Arc::clone(self.turns.lock().entry(diff_id.to_owned()).or_default())
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Index>>> {
        self.known.lock()
    }
}

/// The media type of a layer in the image specification's words, by docker's or its own.
pub fn media_type(told: &str) -> String {
    match told {
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => TAR_GZIP.to_owned(),
        "application/vnd.docker.image.rootfs.diff.tar" => TAR.to_owned(),
        other => other.to_owned(),
    }
}

/// A writer that takes so many bytes and no more.
pub struct Bounded<W> {
    /// The writer.
    pub inner: W,
    /// Bytes that it still takes.
    pub left: u64,
}

impl<W: Write> Write for Bounded<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.ok_or_else(|| io::Error::other("more bytes came than were announced"))?;
        self.inner.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A reader that sums up all that is read of it.
struct Summed<R> {
    inner: R,
    sum: Sum,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.sum.update(&buffer[..read]);
        Ok(read)
    }
}

/// Copies an archive's plain bytes into the store as a blob that nothing names, and says which.
pub fn unpacked(store: &Store, archive: impl Read) -> io::Result<(Encoding, tempfile::NamedTempFile)> {
    let (encoding, plain) = compress::plain(archive)?;
    let file = tempfile::NamedTempFile::new_in(store.root().join("drafts"))?;
    let mut file = io::BufWriter::with_capacity(256 << 10, file);
    let copied = io::copy(&mut plain.take(MOST_BYTES), &mut file)?;
    if copied == MOST_BYTES {
        return Err(io::Error::other("it holds more bytes than any archive may"));
    }
    Ok((encoding, file.into_inner().map_err(io::IntoInnerError::into_error)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{FakeRegistry, digest};

    #[test]
    fn a_registry_that_goes_on_or_gives_another_layer_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let (store, registry) = (Store::at(folder.path().join("s")), FakeRegistry::new());
        let bytes = vec![0; 4096];
        let there = digest::of(&bytes);
        let at = reference::parse("r.example/os").unwrap();
        registry.upload(&at, &there, &mut io::Cursor::new(bytes)).unwrap();
        let layers = Layers::new(&store, &registry);
        let form = |size| Form {
            media_type: TAR.to_owned(),
            digest: there.clone(),
            size,
            from: Some("r.example/os".to_owned()),
        };
        // It was said to be shorter than what comes.
        layers.learn(&there, form(1024)).unwrap();
        let error = layers.plain(&there).unwrap_err().to_string();
        assert!(error.contains("more bytes came than were announced"), "{error}");
        assert!(!store.has(&there));
        // It is another than the configuration names.
        let named = digest::of(b"another");
        layers.learn(&named, form(4096)).unwrap();
        for error in [layers.index(&named).map(drop), layers.plain(&named)] {
            assert!(
                error.unwrap_err().to_string().contains("are not those that the image's configuration names")
            );
        }
        assert!(!store.has(&named));
        layers.plain(&there).unwrap();
    }
}
