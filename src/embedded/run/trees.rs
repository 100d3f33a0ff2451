//! Unpacked layers: a folder each, in the form that an overlay takes.
//!
//! Whiteouts are devices 0/0 and opaque folders bear a mark, as the kernel wants them. A layer is
//! unpacked once, beside its place, and comes there whole by a rename. Names come from headers that were
//! read before, and no link is followed on the way.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fs_err as fs;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags, chownat,
    fchmod, fchown, fsetxattr, linkat, makedev, mkdirat, mknodat, openat, openat2, symlinkat, utimensat,
};

use super::rung::Rung;
use crate::embedded::layer::index::{Entry, Kind, name as last, parent};
use crate::embedded::layer::scan;
use crate::embedded::layer::view::{Origin, View};
use crate::embedded::room;
use crate::embedded::store::Store;
use crate::embedded::trouble::{During, Result, refusal};

/// The name of an unpacked layer.
pub fn name(diff_id: &str) -> String {
    diff_id.rsplit(':').next().unwrap_or_default().chars().take(24).collect()
}

/// As [`name`], for a rung: files of mapped users are no files of root's.
pub fn name_on(rung: Rung, diff_id: &str) -> String {
    match rung {
        Rung::Root | Rung::Chroot => name(diff_id),
        Rung::User => format!("u{}", name(diff_id)),
    }
}

/// The mark of an opaque folder.
pub fn opaque_mark(rung: Rung) -> &'static str {
    match rung {
        Rung::User => "user.overlay.opaque",
        Rung::Root | Rung::Chroot => "trusted.overlay.opaque",
    }
}

/// Unpacks the layers that are not, and names all, the lowest first. Their plain bytes lie in the store.
pub fn ready(store: &Store, rung: Rung, layers: &[String], time: u64) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut view = View::default();
    for diff_id in layers {
        let index = scan::shared(store, diff_id)
            .ok_or_else(|| refusal(format!("unpacking layer {diff_id}"), "its headers are not known"))?;
        view.push(Origin::Layer(diff_id.clone()), index);
        let name = name_on(rung, diff_id);
        let place = store.root().join("trees").join(&name);
        if place.exists() {
            touch(&place);
        } else {
            let draft = store.folder()?;
            let folder = draft.path().join("t");
            fs::create_dir(&folder).during(|| "unpacking a layer".into())?;
            spread_layer(store, rung, diff_id, &view, &folder, time)?;
            // Somebody else may have been faster; then theirs is as good.
            if fs::rename(&folder, &place).is_err() && !place.exists() {
                return Err(refusal(format!("unpacking layer {diff_id}"), "it cannot be put in its place"));
            }
        }
        names.push(name);
    }
    Ok(names)
}

/// The tree of a stage, from headers that were read before.
pub fn view(store: &Store, layers: &[String]) -> Result<View> {
    let layer = |diff_id: &String| {
        let index = scan::shared(store, diff_id);
        let index =
            index.ok_or_else(|| refusal(format!("reading layer {diff_id}"), "its headers are not known"))?;
        Ok((Origin::Layer(diff_id.clone()), index))
    };
    layers.iter().map(layer).collect::<Result<_>>().map(View::new)
}

/// A folder that was used counts as new for the collector.
fn touch(place: &Path) {
    let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let _ = utimensat(rustix::fs::CWD, place, &times, AtFlags::empty());
}

/// Bytes below a folder, as far as this user may look.
pub fn size(path: &Path) -> u64 {
    let Ok(data) = path.symlink_metadata() else { return 0 };
    if !data.is_dir() {
        return data.len();
    }
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries.flatten().map(|entry| size(&entry.path())).sum()
}

fn spread_layer(
    store: &Store,
    rung: Rung,
    diff_id: &str,
    view: &View,
    folder: &Path,
    time: u64,
) -> Result<()> {
    let index = scan::shared(store, diff_id);
    let entries = index.iter().flat_map(|index| index.entries().iter().cloned());
    spread(store, rung, entries.collect(), (view, true), folder, time)
}

/// Makes the files of a whole tree in a folder.
pub fn spread_all(store: &Store, rung: Rung, view: &View, folder: &Path, time: u64) -> Result<()> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut first: BTreeMap<(usize, Vec<u8>), Vec<u8>> = BTreeMap::new();
    for (path, (layer, entry)) in view.below(b"") {
        let Some((at, file)) = view.file(layer, &entry) else { continue };
        let mut whole = Entry { path: path.clone(), ..file.as_ref().clone() };
        if let Kind::File { .. } = whole.kind {
            let one = (at, file.path.clone());
            match first.get(&one) {
                Some(first) => whole.kind = Kind::Hard(first.clone()),
                None => drop(first.insert(one, path)),
            }
        }
        entries.push(whole);
    }
    spread(store, rung, entries, (view, false), folder, time)
}

fn spread(
    store: &Store,
    rung: Rung,
    entries: Vec<Entry>,
    (view, layered): (&View, bool),
    folder: &Path,
    time: u64,
) -> Result<()> {
    room::ask(store, entries.iter().map(Entry::bytes).sum(), || "unpacking a layer".into())?;
    let root = super::root::open_folder(folder).during(|| "unpacking a layer".into())?;
    fchmod(&root, Mode::from_raw_mode(0o755)).during(|| "unpacking a layer".into())?;
    let maker = Maker { store, rung, view, root };
    // Links to files come when the files are there, and folders get their modes when nothing is put in any more.
    let (links, others): (Vec<Entry>, Vec<Entry>) = entries
        .into_iter()
        .filter(|entry| !entry.path.is_empty())
        .partition(|entry| matches!(entry.kind, Kind::Hard(_)));
    for entry in others.iter().chain(&links) {
        let what = || format!("unpacking `/{}`", String::from_utf8_lossy(&entry.path));
        maker.make(entry, layered)?;
        maker.own(entry).during(what)?;
    }
    for entry in others.iter().rev().chain(&links) {
        maker
            .stamp(entry, time)
            .during(|| format!("unpacking `/{}`", String::from_utf8_lossy(&entry.path)))?;
    }
    Ok(())
}

struct Maker<'a> {
    store: &'a Store,
    rung: Rung,
    view: &'a View,
    root: OwnedFd,
}

impl Maker<'_> {
    /// The folder that an entry lies in; no link is followed on the way.
    fn folder(&self, path: &[u8]) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let folder = match parent(path) {
            b"" => OsStr::new("."),
            folder => OsStr::from_bytes(folder),
        };
        Ok(openat2(&self.root, folder, flags, Mode::empty(), within)?)
    }

    fn make(&self, entry: &Entry, layered: bool) -> Result<()> {
        let what = || format!("unpacking `/{}`", String::from_utf8_lossy(&entry.path));
        let folder = self.folder(&entry.path).during(what)?;
        let name = OsStr::from_bytes(last(&entry.path));
        let private = Mode::from_raw_mode(0o600);
        match &entry.kind {
            Kind::File { size, at, .. } => {
                let (diff_id, at) = self.place(entry, *at)?;
                self.file(&folder, name, &diff_id, at, *size).during(what)
            }
            Kind::Folder { opaque, .. } => {
                mkdirat(&folder, name, Mode::from_raw_mode(0o700)).during(what)?;
                if *opaque && layered {
                    let own = openat(
                        &folder,
                        name,
                        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                        Mode::empty(),
                    );
                    let own = own.during(what)?;
                    fsetxattr(&own, opaque_mark(self.rung), b"y", XattrFlags::empty()).during(what)?;
                }
                Ok(())
            }
            Kind::Link(target) => symlinkat(OsStr::from_bytes(target), &folder, name).during(what),
            Kind::Hard(target) => self.hard(&folder, name, entry, target),
            Kind::Gone => mknodat(&folder, name, FileType::CharacterDevice, Mode::empty(), 0).during(what),
            Kind::Pipe => mknodat(&folder, name, FileType::Fifo, private, 0).during(what),
            Kind::Device { character, major, minor } => {
                let kind = if *character { FileType::CharacterDevice } else { FileType::BlockDevice };
                match mknodat(&folder, name, kind, private, makedev(*major, *minor)) {
                    // Nobody but root makes devices; a command has those of its own `/dev`.
                    Err(rustix::io::Errno::PERM) if self.rung != Rung::Root => Ok(()),
                    made => made.during(what),
                }
            }
        }
    }

    /// Where a file's content is: in the layer that the view has it from.
    fn place(&self, entry: &Entry, at: u64) -> Result<(String, u64)> {
        let found = self.view.get(&entry.path).and_then(|(layer, seen)| {
            let (at, _) = self.view.file(layer, &seen)?;
            self.view.origin(at).cloned()
        });
        match found {
            Some(Origin::Layer(diff_id)) => Ok((diff_id, at)),
            _ => Err(refusal("unpacking a layer", "a file of it has no content")),
        }
    }

    fn file(&self, folder: &OwnedFd, name: &OsStr, diff_id: &str, at: u64, size: u64) -> io::Result<()> {
        use std::io::Seek as _;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(folder, name, flags, Mode::from_raw_mode(0o600))?;
        let mut into = std::fs::File::from(fd);
        let blob = self.store.blob(diff_id).ok_or_else(|| io::Error::other("it is no layer"))?;
        // Between files of the system itself the kernel copies.
        let mut from = fs::File::open(blob)?.into_parts().0;
        from.seek(io::SeekFrom::Start(at))?;
        let copied = io::copy(&mut from.take(size), &mut into)?;
        if copied == size { Ok(()) } else { Err(io::Error::other("its layer ends too early")) }
    }

    /// Another name of a file of this layer; of a file below a copy, since an overlay's layers share none.
    fn hard(&self, folder: &OwnedFd, name: &OsStr, entry: &Entry, target: &[u8]) -> Result<()> {
        let what = || format!("unpacking `/{}`", String::from_utf8_lossy(&entry.path));
        let linked = self.folder(target).and_then(|from| {
            let to = (folder.as_fd(), name);
            Ok(linkat(&from, OsStr::from_bytes(last(target)), to.0, to.1, AtFlags::empty())?)
        });
        match linked {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            linked => return linked.during(what),
        }
        let found = self.view.get(&entry.path).and_then(|(layer, seen)| {
            let (at, file) = self.view.file(layer, &seen)?;
            let Some(Origin::Layer(diff_id)) = self.view.origin(at) else { return None };
            let Kind::File { at, size, .. } = file.kind else { return None };
            Some((diff_id.clone(), at, size))
        });
        let Some((diff_id, at, size)) = found else {
            return Err(refusal(what(), "it is a link to a file that is not there"));
        };
        self.file(folder, name, &diff_id, at, size).during(what)
    }

    fn own(&self, entry: &Entry) -> io::Result<()> {
        let folder = self.folder(&entry.path)?;
        let name = OsStr::from_bytes(last(&entry.path));
        if matches!(entry.kind, Kind::Gone) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        match chownat(&folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW) {
            // Where one user is mapped, all is that user's.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) if self.rung == Rung::User => {}
            Err(rustix::io::Errno::NOENT) if matches!(entry.kind, Kind::Device { .. }) => return Ok(()),
            owned => owned?,
        }
        let (Kind::File { .. } | Kind::Hard(_)) = entry.kind else { return Ok(()) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat(&folder, name, flags, Mode::empty())?;
        let _ = fchown(&file, Some(uid), Some(gid));
        fchmod(&file, Mode::from_raw_mode(entry.mode))?;
        for (name, value) in &entry.xattrs {
            // Not every file system has them, and not everybody may set them.
            let _ = fsetxattr(&file, name.as_str(), value, XattrFlags::empty());
        }
        Ok(())
    }

    /// Last comes what later work would change: modes of folders, and times.
    fn stamp(&self, entry: &Entry, time: u64) -> io::Result<()> {
        if matches!(entry.kind, Kind::Gone) {
            return Ok(());
        }
        let folder = self.folder(&entry.path)?;
        let name = OsStr::from_bytes(last(&entry.path));
        if !matches!(entry.kind, Kind::Link(_) | Kind::File { .. } | Kind::Hard(_)) {
            match rustix::fs::chmodat(&folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty()) {
                Err(rustix::io::Errno::NOENT) => return Ok(()),
                changed => changed?,
            }
        }
        stamp(&folder, name, time)
    }
}

/// Gives one entry a time.
pub fn stamp(folder: &OwnedFd, name: &OsStr, time: u64) -> io::Result<()> {
    let at = Timespec { tv_sec: i64::try_from(time).unwrap_or_default(), tv_nsec: 0 };
    let times = Timestamps { last_access: at, last_modification: at };
    Ok(utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
