//! One output, written: the image is taken from whoever saves it, and what is there afterwards is noted.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, OFlags};

use super::layout::{self, Described};
use super::place::{Place, beneath};
use super::record::{self, Written};
use super::saved::Saved;
use super::{folder, tarball, tree};
use crate::engine::StoredImage;
use crate::model::hash::{ContentHash, FieldHasher};
use crate::model::output::{Form, Output};
use crate::state::folder::StateFolder;

/// An image that is to be written.
#[derive(Clone, Debug)]
pub struct Image {
    /// Layers and configuration, as dependents are keyed on them.
    pub content: ContentHash,
    /// Names that it has whatever the day, in full.
    pub names: Vec<String>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

/// All that an output is made of.
pub fn wanted(image: &Image, output: &Output) -> ContentHash {
    let mut hasher = FieldHasher::new("imk output v1");
    hasher.field(image.content.0).field(format!("{:?} {:?}", output.form, output.packing));
    if output.form == Form::Docker || output.form == Form::Oci || output.form == Form::OciFolder {
        hasher.number(image.names.len() as u64);
        for name in &image.names {
            hasher.field(name);
        }
        for (key, value) in &image.annotations {
            hasher.field(key).field(value);
        }
    }
    hasher.finish()
}

/// The side that an image is taken from.
pub enum Source<'s> {
    /// Files of this machine.
    Files(StoredImage),
    /// Somebody who writes it as `docker save` does.
    Save(&'s dyn Fn(&mut dyn Write) -> io::Result<()>),
}

/// Writes one image to its places. The image is saved once, whatever the number of outputs.
///
/// # Errors
/// What could not be written, and where.
pub fn write(
    state: &StateFolder,
    image: &Image,
    outputs: &[(Output, Place)],
    source: Source<'_>,
) -> io::Result<()> {
    let Some((first, place)) = outputs.first() else { return Ok(()) };
    place.make(first.form)?;
    let scratch = scratch(place, first.form);
    let saved = match source {
        Source::Files(image) => Saved::stored(image)?,
        Source::Save(save) => Saved::take(&scratch, save)?,
    };
    for (output, place) in outputs {
        let at = |error: io::Error| {
            io::Error::new(error.kind(), format!("writing `{}`: {error}", place.path().display()))
        };
        let before = record::load(state, place);
        place.make(output.form).map_err(at)?;
        let files = one(&saved, image, output, place, &scratch).map_err(at)?;
        if let Some(before) = before.filter(|_| output.form.is_folder()) {
            remove_old(place, &before.files, &files).map_err(at)?;
        }
        let stamp = record::stamp(place, output.form, &files).map_err(at)?;
        let wanted = wanted(image, output);
        // What cannot be noted is written again by the next run.
        let _ =
            record::save(state, &Written { place: place.path().display().to_string(), wanted, stamp, files });
    }
    Ok(())
}

/// A folder on the disk of the destination, for files without names.
fn scratch(place: &Place, form: Form) -> PathBuf {
    let path = place.path();
    if form.is_folder() { path } else { path.parent().unwrap_or(Path::new("/")).to_owned() }
}

/// Writes one output; of a folder, says which files it has.
fn one(
    saved: &Saved,
    image: &Image,
    output: &Output,
    place: &Place,
    scratch: &Path,
) -> io::Result<Vec<String>> {
    let described = Described { names: &image.names, annotations: &image.annotations };
    match output.form {
        Form::Local => {
            let tree = tree::tree(&saved.layers)?;
            folder::write(place.folder()?.as_fd(), &tree)?;
            // A name that is no text is not looked after.
            Ok(tree.into_keys().filter_map(|path| String::from_utf8(path).ok()).collect())
        }
        Form::OciFolder => {
            let root = place.folder()?;
            layout::oci(saved, output.packing, &described, scratch, &mut layout::Folder(root.as_fd()))
        }
        Form::Tar => whole(place, |into| tarball::write(&tree::tree(&saved.layers)?, into)),
        Form::Oci => whole(place, |into| {
            let mut archive = layout::Archive(tar::Builder::new(into));
            layout::oci(saved, output.packing, &described, scratch, &mut archive)?;
            archive.0.into_inner()?.flush()
        }),
        Form::Docker => whole(place, |into| {
            let mut archive = layout::Archive(tar::Builder::new(into));
            layout::docker(saved, &image.names, &mut archive)?;
            archive.0.into_inner()?.flush()
        }),
    }
}

/// Puts a file in its place whole, so that nobody sees half of it, and a link there gives way.
fn whole(place: &Place, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Vec<String>> {
    let (folder, name) = place.parent()?;
    let draft = format!(".{name}.imk-{}", std::process::id());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let _ = rustix::fs::unlinkat(&folder, draft.as_str(), AtFlags::empty());
    let mode = rustix::fs::Mode::from_raw_mode(0o666);
    let file = std::fs::File::from(rustix::fs::openat(&folder, draft.as_str(), flags, mode)?);
    let written = || -> io::Result<()> {
        let mut sink = io::BufWriter::with_capacity(256 << 10, file);
        write(&mut sink)?;
        sink.flush()?;
        Ok(rustix::fs::renameat(&folder, draft.as_str(), &folder, name)?)
    };
    let written = written();
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&folder, draft.as_str(), AtFlags::empty());
    }
    written.map(|()| Vec::new())
}

/// Removes what an earlier output of ours had and this one has not; folders that are empty then as well.
fn remove_old(place: &Place, before: &[String], now: &[String]) -> io::Result<()> {
    let now: std::collections::BTreeSet<&String> = now.iter().collect();
    let root = place.folder()?;
    for path in before.iter().rev().filter(|path| !now.contains(path)) {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Ok(folder) = beneath(root.as_fd(), folder.as_bytes(), OFlags::PATH | OFlags::DIRECTORY) else {
            continue;
        };
        if rustix::fs::unlinkat(&folder, name, AtFlags::empty()).is_err() {
            let _ = rustix::fs::unlinkat(&folder, name, AtFlags::REMOVEDIR);
        }
    }
    Ok(())
}
