//! The kernel's news of some folders, and which of them changed in which order.
//!
//! A folder is watched with all above it up to the root, and reached without a link and without leaving the root's
//! file system: so its path means the watched folder as long as nothing was heard. Files are watched for one thing
//! more, new names elsewhere, where the system's limit leaves room; without room `doubts` has those that bear two
//! names already. Whatever was lost is told as lost. Knows no socket and no asker.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Bound;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::super::select::join;
use super::super::stat;
use super::doubts::{Doubts, Name};
use crate::model::file::FileKind;
use crate::state::place::STATE;

/// Bytes of news that are read at once.
const BUFFER: usize = 64 * 1024;

/// News of folders: everything but reading.
const OF_FOLDERS: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::CREATE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::OPEN)
    .union(WatchFlags::CLOSE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::EXCL_UNLINK)
    .union(WatchFlags::ONLYDIR);
/// News of files: a new name elsewhere is heard of nowhere else. All other news come from their folder.
/// A folder that stands there by now keeps its own.
const OF_FILES: WatchFlags = WatchFlags::ATTRIB.union(WatchFlags::DONT_FOLLOW).union(WatchFlags::MASK_ADD);

/// The watched folders of one root.
pub struct Watches {
    inotify: Arc<OwnedFd>,
    root: Arc<OwnedFd>,
    folders: BTreeMap<Arc<str>, Folder>,
    by_number: HashMap<i32, Vec<Watched>>,
    changed: HashMap<Arc<str>, u64>,
    order: BTreeMap<u64, Arc<str>>,
    seq: u64,
    doubts: Doubts,
    /// Files that may still be watched.
    room: usize,
    files: usize,
    lost: Option<&'static str>,
}

struct Folder {
    number: i32,
    /// Somebody asked for it; the others are above one that was asked for.
    asked: bool,
    files: HashMap<Box<[u8]>, i32>,
}

#[derive(Clone, PartialEq, Eq)]
enum Watched {
    Folder(Arc<str>),
    File(Name),
}

/// One piece of news.
struct News {
    number: i32,
    what: ReadFlags,
    name: Option<Box<[u8]>>,
}

impl Watches {
    /// Begins with nothing watched. Up to `room` files are watched for themselves.
    ///
    /// # Errors
    /// When the system lets nobody begin.
    pub fn new(root: Arc<OwnedFd>, room: usize) -> io::Result<Self> {
        Ok(Self {
            inotify: Arc::new(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?),
            root,
            folders: BTreeMap::new(),
            by_number: HashMap::new(),
            changed: HashMap::new(),
            order: BTreeMap::new(),
            seq: 0,
            doubts: Doubts::default(),
            room,
            files: 0,
            lost: None,
        })
    }

    /// The handle that becomes readable when there is news.
    pub fn handle(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.inotify)
    }

    /// Number of the last change.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Watched folders, watched files, files in doubt.
    pub fn counts(&self) -> (usize, usize, usize) {
        (self.folders.len(), self.files, self.doubts.count())
    }

    /// Whether there was room for all files so far.
    pub fn is_whole(&self) -> bool {
        self.room > 0
    }

    /// The reason why news may be missing.
    pub fn lost(&self) -> Option<&'static str> {
        self.lost
    }

    /// The folders that were asked for and changed after a number.
    pub fn changed_since(&self, seq: u64) -> Vec<String> {
        self.order.range(seq.saturating_add(1)..).map(|(_, path)| path.to_string()).collect()
    }

    /// Watches some folders, and those above them; returns those that cannot be watched. Looking into a folder is news
    /// as well, so all news is heard every now and then: else that of thousands would be more than the system keeps.
    pub fn watch_all(&mut self, folders: Vec<String>) -> Vec<String> {
        let mut refused = Vec::new();
        for (number, folder) in folders.into_iter().enumerate() {
            if number % 256 == 0 {
                self.drain();
            }
            if !self.watch(&folder) {
                refused.push(folder);
            }
        }
        self.drain();
        refused
    }

    /// Watches a folder, and those above it. False when it cannot be watched.
    fn watch(&mut self, path: &str) -> bool {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        let above: Vec<&str> = std::iter::once("").chain(above).collect();
        above.into_iter().all(|path| self.ensure(path, false)) && self.ensure(path, true)
    }

    /// Looks at the files in doubt: those that changed at `since_ns` or later changed their folders.
    pub fn look_at_doubts(&mut self, since_ns: i64) {
        let is_old = |(folder, name): &&Name| {
            let path = [folder.as_bytes(), if folder.is_empty() { b"" } else { b"/" }, name].concat();
            stat::stat(&*self.root, &path).is_ok_and(|seen| seen.ctime_ns.max(seen.mtime_ns) < since_ns)
        };
        let changed: Vec<Arc<str>> =
            self.doubts.names().filter(|name| !is_old(name)).map(|(folder, _)| Arc::clone(folder)).collect();
        changed.iter().for_each(|folder| self.touched(folder));
    }

    /// Hears all news there is.
    pub fn drain(&mut self) {
        let mut buffer: Vec<u8> = Vec::with_capacity(BUFFER);
        let spare: &mut [MaybeUninit<u8>] = buffer.spare_capacity_mut();
        let mut reader = inotify::Reader::new(Arc::clone(&self.inotify), spare);
        loop {
            let news = match reader.next() {
                Ok(event) => News {
                    number: event.wd(),
                    what: event.events(),
                    name: event.file_name().map(|name| name.to_bytes().into()),
                },
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                Err(_) => {
                    self.lost = Some("the system's news could not be read");
                    return;
                }
            };
            self.hear(news);
        }
    }

    fn ensure(&mut self, path: &str, asked: bool) -> bool {
        if let Some(folder) = self.folders.get_mut(path) {
            let was_asked = folder.asked;
            folder.asked |= asked;
            return !asked || was_asked || self.watch_files(&Arc::from(path));
        }
        let Ok(fd) = open(&self.root, path, OFlags::PATH) else { return false };
        let at = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let Ok(number) = inotify::add_watch(&*self.inotify, at, OF_FOLDERS) else { return false };
        let path: Arc<str> = Arc::from(path);
        self.by_number.entry(number).or_default().push(Watched::Folder(Arc::clone(&path)));
        self.folders.insert(Arc::clone(&path), Folder { number, asked, files: HashMap::new() });
        !asked || self.watch_files(&path)
    }

    /// Watches the files of a folder, or remembers those with several names. Without that it is not watched.
    fn watch_files(&mut self, path: &Arc<str>) -> bool {
        let listed = open(&self.root, path, OFlags::RDONLY).and_then(|fd| Ok((stat::list(&fd)?, fd)));
        let Ok((listed, fd)) = listed else {
            self.forget(path);
            return false;
        };
        for (name, _) in listed.into_iter().filter(|(_, kind)| *kind == FileKind::File) {
            self.watch_file((Arc::clone(path), name), &fd);
        }
        true
    }

    /// Watches a file of a folder that is open.
    fn watch_file(&mut self, name: Name, folder: &OwnedFd) {
        if self.room > 0 {
            let at = [format!("/proc/self/fd/{}/", folder.as_raw_fd()).as_bytes(), &name.1].concat();
            match inotify::add_watch(&*self.inotify, at, OF_FILES) {
                Ok(number) => {
                    let old = self.folders.get_mut(&name.0).map(|it| it.files.insert(name.1.clone(), number));
                    if old != Some(Some(number)) {
                        self.by_number.entry(number).or_default().push(Watched::File(name.clone()));
                        self.room -= 1;
                        self.files += 1;
                    }
                    if let Some(Some(old)) = old
                        && old != number
                    {
                        self.release(old, &Watched::File(name.clone()));
                        self.files -= 1;
                    }
                }
                Err(Errno::NOENT) => return self.touched(&name.0),
                Err(_) => self.room = 0,
            }
        }
        self.look_for_names(name, folder);
    }

    /// A file with several names is in doubt.
    fn look_for_names(&mut self, name: Name, folder: &OwnedFd) {
        match rustix::fs::statat(folder, &*name.1, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
            Ok(it) if it.st_nlink > 1 => self.doubts.linked(name),
            Ok(_) => {}
            Err(_) => self.touched(&name.0),
        }
    }

    fn hear(&mut self, news: News) {
        if news.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.lost = Some("more changed at once than the system keeps");
            return;
        }
        if news.what.contains(ReadFlags::UNMOUNT) {
            self.lost = Some("a file system was unmounted");
            return;
        }
        let watched = self.by_number.get(&news.number).cloned().unwrap_or_default();
        for watched in watched {
            match (watched, &news.name) {
                (Watched::Folder(path), _) if news.what.contains(ReadFlags::IGNORED) => self.forget(&path),
                (Watched::Folder(path), None) => self.hear_of_folder(&path, news.what),
                (Watched::Folder(path), Some(name)) if **name != *STATE.as_bytes() => {
                    self.hear_of_name((path, name.clone()), news.what);
                }
                (Watched::Folder(_), Some(_)) => {}
                (Watched::File(name), _) if news.what.contains(ReadFlags::IGNORED) => self.forget_file(&name),
                (Watched::File(name), _) => {
                    self.touched(&name.0);
                    if let Ok(folder) = open(&self.root, &name.0, OFlags::PATH) {
                        self.look_for_names(name, &folder);
                    }
                }
            }
        }
    }

    /// The folder itself was named.
    fn hear_of_folder(&mut self, path: &Arc<str>, what: ReadFlags) {
        if what.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
            self.forget(path);
        } else if what.contains(ReadFlags::ATTRIB) {
            self.touched(path);
        }
    }

    /// A name in a folder was named.
    fn hear_of_name(&mut self, name: Name, what: ReadFlags) {
        let comes = ReadFlags::CREATE | ReadFlags::MOVED_TO;
        let goes = ReadFlags::DELETE | ReadFlags::MOVED_FROM;
        if what.contains(ReadFlags::ISDIR) {
            if what.intersects(comes | goes) {
                self.forget(&join(&name.0, &String::from_utf8_lossy(&name.1)));
            }
            if what.intersects(comes | goes | ReadFlags::ATTRIB) {
                self.touched(&name.0);
            }
            return;
        }
        if what.intersects(goes) {
            self.doubts.gone(&name);
            self.forget_file(&name);
        }
        let folder = Arc::clone(&name.0);
        let is_asked = self.folders.get(&folder).is_some_and(|it| it.asked);
        if is_asked && what.contains(ReadFlags::OPEN) {
            self.doubts.opened(name);
        } else if is_asked && what.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::CLOSE_NOWRITE) {
            self.doubts.closed(name);
        } else if is_asked && what.intersects(comes) {
            self.doubts.arrived(name.clone());
            match open(&self.root, &folder, OFlags::PATH) {
                Ok(fd) => self.watch_file(name, &fd),
                Err(_) => self.touched(&folder),
            }
        }
        if !what.intersects(ReadFlags::OPEN | ReadFlags::CLOSE_NOWRITE) {
            self.touched(&folder);
        }
    }

    fn touched(&mut self, path: &Arc<str>) {
        if self.folders.get(path).is_some_and(|folder| folder.asked) {
            self.told(Arc::clone(path));
        }
    }

    fn told(&mut self, path: Arc<str>) {
        self.seq += 1;
        if let Some(before) = self.changed.insert(Arc::clone(&path), self.seq) {
            self.order.remove(&before);
        }
        self.order.insert(self.seq, path);
    }

    /// Watches a folder and all below it no more: its path may mean another.
    fn forget(&mut self, path: &str) {
        let below = format!("{path}/");
        let is_below = |known: &str| path.is_empty() || known.starts_with(&below);
        let inside = self
            .folders
            .range::<str, _>((Bound::Included(below.as_str()), Bound::Unbounded))
            .take_while(|(known, _)| is_below(known));
        let mut gone: Vec<Arc<str>> = inside.map(|(known, _)| Arc::clone(known)).collect();
        if path.is_empty() {
            gone = self.folders.keys().cloned().collect();
        }
        gone.extend(self.folders.get_key_value(path).map(|(known, _)| Arc::clone(known)));
        for path in &gone {
            let Some(folder) = self.folders.remove(path) else { continue };
            self.release(folder.number, &Watched::Folder(Arc::clone(path)));
            self.files -= folder.files.len();
            for (name, number) in folder.files {
                self.release(number, &Watched::File((Arc::clone(path), name)));
            }
            if folder.asked {
                self.told(Arc::clone(path));
            }
        }
        if !gone.is_empty() {
            self.doubts.folders_gone(|folder| folder == path || is_below(folder));
        }
    }

    fn forget_file(&mut self, name: &Name) {
        if let Some(number) = self.folders.get_mut(&name.0).and_then(|folder| folder.files.remove(&name.1)) {
            self.files -= 1;
            self.release(number, &Watched::File(name.clone()));
        }
    }

    /// One of those that a number stands for needs it no more.
    fn release(&mut self, number: i32, watched: &Watched) {
        let Some(all) = self.by_number.get_mut(&number) else { return };
        all.retain(|other| other != watched);
        if all.is_empty() {
            self.by_number.remove(&number);
            // The system forgot one that is gone.
            let _ = inotify::remove_watch(&*self.inotify, number);
        }
    }
}

/// Opens a folder below the root, through no link and no mount.
fn open(root: &OwnedFd, path: &str, how: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { "." } else { path };
    let resolve = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let flags = how | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    rustix::fs::openat2(root, Path::new(path), flags, Mode::empty(), resolve)
}

/// File systems all of whose changes this kernel makes itself, and so tells: ext, xfs, btrfs, f2fs, bcachefs, tmpfs, zfs.
const TOLD: [u64; 7] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0xCA45_1A4E, 0x0102_1994, 0x2FC1_2FC1];

/// Whether the file system of a folder tells all changes. One that other machines or programs write does not.
///
/// # Errors
/// When the system does not say what it is.
pub fn tells(root: &OwnedFd) -> io::Result<bool> {
    let kind = rustix::fs::fstatfs(root)?.f_type;
    Ok(TOLD.contains(&(kind.cast_unsigned() & 0xFFFF_FFFF)))
}
