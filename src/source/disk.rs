//! The files of a repository on a disk, seen through the stat cache.
//!
//! Answers many selections with one look over the disk. An answer given before
//! holds as long as no folder it rests on differs, and no used file in them; the
//! rest is worked out anew, reading only files whose stat differs. Knows no
//! engine; what BuildKit would read is `select.rs`'s to say.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use parking_lot::{Mutex, MutexGuard};
use rayon::prelude::*;
use rustix::fs::{Mode, OFlags};

use super::compare::Early;
use super::fsmonitor::Monitor;
use super::inside;
use super::renewal::{Changed, Made, renew};
use super::resolve_selection;
use super::scan::{Folder, Hidden, Scan};
use super::select::{Facts, Folders, ListError};
use super::stat;
use super::stat_cache::StatCache;
use super::stat_memo::Memo;
use super::tree::{OverlaySide, ReadError, Seekable, Selected, Selection, SourceTree};
use super::trusted::{Doubt, Trusted};
use crate::model::file::UsedFiles;
use crate::model::hash::{ContentHash, FieldHasher};
use crate::state::folder::StateFolder;

/// The cache's file in the state folder.
const FILE: &str = "stat";
/// The file of the hashes that go with it.
const HASHES: &str = "hashes";
/// A tree that changes under our eyes is looked at anew this many times.
const TRIES: usize = 5;

/// The files of a repository on a disk.
pub struct DiskTree {
    root: PathBuf,
    fd: Arc<OwnedFd>,
    state: StateFolder,
    hidden: Vec<Hidden>,
    known: Arc<Loaded>,
    trusted: Option<Trusted>,
    /// A look that began before anybody asked.
    early: Mutex<Option<Early>>,
}

/// The cache, once its file is read: one thread reads it while others do what needs none of it.
type Loaded = LazyLock<Mutex<Known>, Box<dyn FnOnce() -> Mutex<Known> + Send>>;

struct Known {
    cache: StatCache,
    /// Differs from what lies on the disk.
    unsaved: bool,
}

impl DiskTree {
    /// Opens the repository at `root`, with what was learned of it in `state`. A state that lies in it does not count.
    pub fn open(root: &Path, state: &StateFolder) -> Result<Self, ReadError> {
        Self::open_watched(root, state, None)
    }

    /// As [`Self::open`], with the monitor of the repository: what it vouches for is not looked at.
    pub fn open_watched(
        root: &Path,
        state: &StateFolder,
        monitor: Option<Arc<Monitor>>,
    ) -> Result<Self, ReadError> {
        let error = |why: String| ReadError { path: root.display().to_string(), why };
        let fd = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| error(stat::why(errno)))?;
        let hidden = state.path().and_then(|at| {
            let path = at.strip_prefix(root).ok()?;
            let folder = path.parent()?.to_str()?.to_owned();
            Some(Hidden { folder, name: path.file_name()?.as_encoded_bytes().to_vec() })
        });
        let hidden = hidden.into_iter().collect();
        let state = state.clone();
        let file = state.clone();
        let known: Arc<Loaded> = Arc::new(LazyLock::new(Box::new(move || {
            let hashes = file.clone();
            let parse = |bytes| StatCache::parse(bytes, move || hashes.read(HASHES));
            let cache = file.read(FILE).map(parse).unwrap_or_default();
            Mutex::new(Known { cache, unsaved: false })
        })));
        let trusted = monitor.map(|monitor| Trusted::new(monitor, &state));
        if trusted.is_none() {
            let early = Arc::clone(&known);
            std::thread::spawn(move || {
                LazyLock::force(&early);
            });
        }
        let (fd, early) = (Arc::new(fd), Mutex::default());
        Ok(Self { root: root.to_owned(), fd, state, hidden, known, trusted, early })
    }

    /// Begins to look at all that the last run asked for, since this one will ask for it as well. A monitor is asked
    /// instead, where there is one.
    pub fn look_ahead(&self) {
        if self.trusted.is_none() {
            let known = Arc::clone(&self.known);
            let early = Early::begin(Arc::clone(&self.fd), move || known.lock().cache.clone());
            *self.early.lock() = Some(early);
        }
    }

    fn cache(&self) -> StatCache {
        self.known().cache.clone()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }

    fn scan<'a>(&'a self, cache: &'a StatCache) -> Scan<'a> {
        Scan::new(&self.fd, &self.hidden, cache, &self.state)
    }

    /// One attempt to answer all questions.
    fn answer(&self, asked: &BTreeMap<ContentHash, &Selection>) -> Result<Answers, ListError> {
        let told = self.trusted.as_ref().and_then(Trusted::ask);
        if let Some((trusted, told)) = self.trusted.as_ref().zip(told.as_ref())
            && let Some(answers) = trusted.answers(told, asked.keys().copied())
        {
            return Ok(answers.into_iter().map(|(key, selected)| (key, Ok(selected))).collect());
        }
        let cache = self.cache();
        let memos: Vec<&Memo> = cache.memos.iter().filter(|memo| asked.contains_key(&memo.key)).collect();
        let mut marked = vec![false; cache.folders];
        for (first, end) in memos.iter().flat_map(|memo| &memo.folders) {
            marked[*first as usize..*end as usize].fill(true);
        }
        let doubt: Option<Doubt> = match (&self.trusted, told) {
            (Some(trusted), Some(told)) => trusted.doubt(told, &cache, &memos, &marked),
            _ => None,
        };
        let mut scan = self.scan(&cache);
        let early = self.early.lock().take().and_then(|early| early.finds(&cache));
        scan.check(marked, doubt.as_ref().map(|doubt| doubt.doubtful.as_slice()), early);

        let changed = Changed::new(&cache, scan.changed());
        let mut answers: Answers = memos
            .iter()
            .filter(|memo| !changed.touches(memo))
            .map(|memo| (memo.key, Ok(memo.selected.clone())))
            .collect();
        let open: Vec<_> = asked.iter().filter(|(key, _)| !answers.contains_key(key)).collect();
        let made: Vec<_> = open
            .par_iter()
            .map(|(key, selection)| {
                let listing = Listing { scan: &scan, used: Mutex::default() };
                match resolve_selection::resolve(&listing, selection) {
                    Ok(selected) => Ok((**key, Ok((selected, listing.into_used())))),
                    Err(ListError::Read(error)) => Ok((**key, Err(error))),
                    Err(moved) => Err(moved),
                }
            })
            .collect::<Result<_, _>>()?;
        let mut fresh = Vec::new();
        for (key, result) in made {
            answers.insert(
                key,
                result.map(|(selected, folders)| {
                    fresh.push(Made { key, selected: selected.clone(), folders });
                    selected
                }),
            );
        }
        let mut now = cache.clone();
        if !fresh.is_empty() {
            now = renew(&cache, &scan, asked, &fresh);
            *self.known() = Known { cache: now.clone(), unsaved: true };
        }
        if let (Some(trusted), Some(doubt)) = (&self.trusted, doubt) {
            let found = answers.iter().filter_map(|(key, answer)| Some((*key, answer.clone().ok()?)));
            trusted.keep(doubt, &now, scan.unverified(), found);
        }
        Ok(answers)
    }

    /// Looks over the disk with nothing taken on trust, as often as it takes to see it at rest.
    pub(super) fn with_scan<T>(
        &self,
        ask: impl Fn(&Scan<'_>) -> Result<T, ListError>,
    ) -> Result<T, ReadError> {
        let cache = self.cache();
        self.retry(|| ask(&self.scan(&cache)))
    }

    fn retry<T>(&self, mut attempt: impl FnMut() -> Result<T, ListError>) -> Result<T, ReadError> {
        let mut last = String::new();
        for _ in 0..TRIES {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(ListError::Read(error)) => return Err(error),
                Err(ListError::Moved(path)) => last = path,
            }
        }
        Err(ReadError { path: last, why: "it keeps changing while it is looked at".into() })
    }
}

type Answers = HashMap<ContentHash, Result<Selected, ReadError>>;

impl SourceTree for DiskTree {
    /// Writes the cache, if it differs from what lies on the disk.
    fn save(&self) -> std::io::Result<()> {
        // One that nobody needed was not read, and cannot differ.
        if self.trusted.is_none() || LazyLock::get(&self.known).is_some() {
            let mut known = self.known();
            if known.unsaved {
                self.state.replace(HASHES, known.cache.hashes().bytes())?;
                self.state.replace(FILE, known.cache.bytes())?;
                known.unsaved = false;
            }
        }
        self.trusted.as_ref().map_or(Ok(()), Trusted::save)
    }

    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        inside::content(self.fd.as_fd(), &self.root, path)
    }

    fn is_file(&self, path: &str) -> Result<bool, ReadError> {
        inside::is_file(self.fd.as_fd(), &self.root, path)
    }

    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        inside::is_folder(self.fd.as_fd(), &self.root, path)
    }

    fn seekable(&self, path: &str) -> Result<Option<Box<dyn Seekable>>, ReadError> {
        let file = inside::file(self.fd.as_fd(), &self.root, path)?;
        Ok(file.map(|(file, _)| Box::new(file) as Box<dyn Seekable>))
    }

    fn select(&self, selections: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        let keys: Vec<ContentHash> = selections.iter().map(key).collect();
        let asked = keys.iter().copied().zip(selections).collect();
        match self.retry(|| self.answer(&asked)) {
            Ok(answers) => keys.iter().map(|key| answers[key].clone()).collect(),
            Err(error) => vec![Err(error); selections.len()],
        }
    }

    fn used_files(&self, selection: &Selection) -> Result<UsedFiles, ReadError> {
        // Nothing is taken on trust here: every used file is asked for its stat.
        self.with_scan(|scan| resolve_selection::list(scan, selection))
    }

    fn open(&self, path: &str) -> Result<Box<dyn Read + Send>, ReadError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, path, flags, Mode::empty())
            .map_err(|errno| ReadError { path: path.to_owned(), why: stat::why(errno) })?;
        Ok(Box::new(std::fs::File::from(fd)))
    }
}

/// The identity of a question: places in the Dockerfile make no difference.
pub(super) fn key(selection: &Selection) -> ContentHash {
    let mut hasher = FieldHasher::new("imk selection v1");
    hasher.field(&selection.root).number(selection.ignore.is_some().into());
    hasher.field(selection.ignore.as_deref().unwrap_or_default());
    for source in &selection.reads.sources {
        let flags = [source.wildcard, source.include.is_some(), source.required].map(u8::from);
        hasher.field(&source.pattern).field(flags).number(source.exclude.len() as u64);
        if let Some(include) = &source.include {
            hasher.field(include);
        }
        source.exclude.iter().for_each(|pattern| {
            hasher.field(pattern);
        });
    }
    if !selection.overlays.is_empty() {
        hasher.field("overlays").number(selection.overlays.len() as u64);
    }
    for overlay in &selection.overlays {
        match &overlay.from {
            OverlaySide::Path(path) => hasher.field(&overlay.at).field("path").field(path),
            OverlaySide::Tree(tree) => hasher.field(&overlay.at).field("git").field(tree.id()),
        };
    }
    hasher.finish()
}

/// A scan that remembers which folders one selection listed.
struct Listing<'a> {
    scan: &'a Scan<'a>,
    used: Mutex<Vec<Arc<Folder>>>,
}

impl Listing<'_> {
    fn note(&self, folder: Arc<Folder>) -> Arc<Folder> {
        self.used.lock().push(Arc::clone(&folder));
        folder
    }

    fn into_used(self) -> Vec<Arc<Folder>> {
        self.used.into_inner()
    }
}

impl Folders for Listing<'_> {
    type Folder = Arc<Folder>;

    fn context(&self, path: &str) -> Result<Arc<Folder>, ListError> {
        self.scan.context(path).map(|folder| self.note(folder))
    }
    fn folder(&self, path: &str) -> Result<Arc<Folder>, ListError> {
        self.scan.folder(path).map(|folder| self.note(folder))
    }
    fn facts(&self, folder: &Arc<Folder>, indexes: &[u32]) -> Result<Vec<Facts>, ListError> {
        self.scan.facts(folder, indexes)
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
