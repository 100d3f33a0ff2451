//! Waits until something changes in some folders.
//!
//! Watches folders, each for itself, so that only those cost anything which hold what counts. Passes over
//! imk's own state and git's objects; of git, the head and its log are told. Changes are collected until
//! none comes for a moment, and while git checks something out. Knows no images.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use fs_err as fs;
use notify::event::{AccessKind, AccessMode};
use notify::{ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

/// The quiet that must follow the last change before all are told.
const QUIET: Duration = Duration::from_millis(75);
/// The longest wait before changes are told, though more come.
const LONGEST: Duration = Duration::from_millis(500);
/// Git is given so long to check something out. One that was killed leaves its lock behind.
const CHECKOUT: Duration = Duration::from_secs(10);

/// Why nothing can be watched.
#[derive(Debug)]
pub enum WatchError {
    /// The system lets this user watch so many folders and no more.
    TooMany(usize),
    /// It lets nobody begin.
    Refused(String),
}

impl fmt::Display for WatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany(count) => {
                write!(f, "cannot watch more than {count} folders: the system allows no more")
            }
            Self::Refused(why) => write!(f, "cannot watch for changes: {why}"),
        }
    }
}

/// The end of a wait.
#[derive(Debug, Default)]
pub struct Woken {
    /// The paths that changed; empty when only somebody called.
    pub changed: BTreeSet<PathBuf>,
    /// True if somebody called.
    pub called: bool,
}

/// Ends a wait from elsewhere.
#[derive(Clone)]
pub struct Waker(Sender<Happened>);

impl Waker {
    /// Ends the wait that is on, or the next one.
    pub fn wake(&self) {
        // Without a watcher nobody waits.
        let _ = self.0.send(Happened::Called);
    }
}

enum Happened {
    Changed(Vec<PathBuf>),
    Called,
}

/// Watches the folders of one repository.
pub struct Watcher {
    inner: RecommendedWatcher,
    happened: Receiver<Happened>,
    sender: Sender<Happened>,
    /// The watched folders, and which folder stood there.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    passed: Arc<Mutex<Passed>>,
}

/// The paths that are passed over.
#[derive(Default)]
struct Passed {
    state: Option<PathBuf>,
    git: Option<PathBuf>,
}

impl Watcher {
    /// Begins, with nothing to watch.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Self, WatchError> {
        let (sender, happened) = channel();
        let passed: Arc<Mutex<Passed>> = Arc::default();
        let (to, judge) = (sender.clone(), Arc::clone(&passed));
        let told = move |event: notify::Result<Event>| {
            let passed = judge.lock();
            let paths = match event {
                // Something was lost: whatever it was, it is looked for.
                Err(_) => vec![PathBuf::new()],
                Ok(event) if event.need_rescan() => vec![PathBuf::new()],
                Ok(event) if is_change(event.kind) => {
                    event.paths.into_iter().filter(|path| passed.lets_in(path)).collect()
                }
                Ok(_) => return,
            };
            if !paths.is_empty() {
                let _ = to.send(Happened::Changed(paths));
            }
        };
        let inner = notify::recommended_watcher(told).map_err(|error| refused(&error, 0))?;
        Ok(Self { inner, happened, sender, watched: BTreeMap::new(), passed })
    }

    /// A handle that ends a wait from elsewhere.
    pub fn waker(&self) -> Waker {
        Waker(self.sender.clone())
    }

    /// Watches exactly these folders below `root`, and git's head. Those that are not there are passed
    /// over: whoever wants to see one come names the folder above it too. True when a folder is new, or is
    /// another than before: what happened in it until now was not seen.
    ///
    /// # Errors
    /// When the system lets nobody watch so much.
    pub fn watch(
        &mut self,
        root: &Path,
        state: Option<PathBuf>,
        below: &BTreeSet<String>,
    ) -> Result<bool, WatchError> {
        let git = git2::Repository::discover(root).ok().map(|repository| repository.path().to_owned());
        let mut wanted: BTreeSet<PathBuf> = below.iter().map(|path| root.join(path)).collect();
        if let Some(git) = &git {
            wanted.extend([git.clone(), git.join("logs")]);
        }
        *self.passed.lock() = Passed { state, git };
        let stand = |path: PathBuf| {
            let there = fs::metadata(&path).ok().filter(std::fs::Metadata::is_dir)?;
            Some((path, (there.dev(), there.ino())))
        };
        let wanted: BTreeMap<PathBuf, (u64, u64)> = wanted.into_iter().filter_map(stand).collect();
        let gone: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(path, id)| wanted.get(*path) != Some(id))
            .map(|(p, _)| p.clone())
            .collect();
        for path in gone {
            // The system forgot a folder that was removed.
            let _ = self.inner.unwatch(&path);
            self.watched.remove(&path);
        }
        let mut any = false;
        for (path, id) in wanted {
            if self.watched.contains_key(&path) {
                continue;
            }
            match self.inner.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(path, id)),
                // It went between two looks: the folder above tells.
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(refused(&error, self.watched.len())),
            }
            any = true;
        }
        Ok(any)
    }

    /// Waits for a change or a call. Changes are told together, when they have come to rest.
    pub fn wait(&self) -> Woken {
        let mut woken = Woken::default();
        let Ok(first) = self.happened.recv() else { return woken };
        woken.add(first);
        let since = Instant::now();
        while !woken.called {
            match self.happened.recv_timeout(QUIET) {
                Ok(more) => woken.add(more),
                Err(RecvTimeoutError::Timeout) if self.is_checking_out() && since.elapsed() < CHECKOUT => {}
                Err(_) => break,
            }
            if since.elapsed() > LONGEST && !self.is_checking_out() {
                break;
            }
        }
        woken
    }

    fn is_checking_out(&self) -> bool {
        let passed = self.passed.lock();
        passed.git.as_ref().is_some_and(|git| git.join("index.lock").exists())
    }
}

impl Woken {
    fn add(&mut self, happened: Happened) {
        match happened {
            Happened::Changed(paths) => self.changed.extend(paths),
            Happened::Called => self.called = true,
        }
    }
}

impl Passed {
    fn lets_in(&self, path: &Path) -> bool {
        if self.state.as_ref().is_some_and(|state| path.starts_with(state)) {
            return false;
        }
        match self.git.as_ref().and_then(|git| path.strip_prefix(git).ok()) {
            Some(inside) => inside == Path::new("HEAD") || inside == Path::new("logs/HEAD"),
            None => true,
        }
    }
}

/// Reading is no change: imk itself reads what it watches.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

fn is_absent(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == std::io::ErrorKind::NotFound,
        _ => false,
    }
}

fn refused(error: &notify::Error, watched: usize) -> WatchError {
    match &error.kind {
        ErrorKind::MaxFilesWatch => WatchError::TooMany(watched),
        _ => WatchError::Refused(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until `path` is told, whatever else is.
    fn wait_for(watcher: &Watcher, path: &Path) {
        while !watcher.wait().changed.contains(path) {}
    }

    #[test]
    fn a_change_in_a_watched_folder_is_told_and_one_below_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join(".imk")).unwrap();
        let mut watcher = Watcher::new().unwrap();
        let below = BTreeSet::from([String::new(), "a".to_owned(), "absent".to_owned()]);
        let state = root.join(".imk");
        assert!(watcher.watch(&root, Some(state.clone()), &below).unwrap());
        assert!(!watcher.watch(&root, Some(state.clone()), &below).unwrap(), "nothing is new");
        fs::write(root.join("a/b/deep"), "1").unwrap();
        fs::write(root.join(".imk/ledger"), "1").unwrap();
        fs::read(root.join("a/b/deep")).unwrap();
        fs::write(root.join("a/file"), "1").unwrap();
        let woken = watcher.wait();
        assert_eq!(woken.changed.into_iter().collect::<Vec<_>>(), [root.join("a/file")]);
    }

    #[test]
    fn a_folder_that_was_removed_and_made_again_is_watched_again() {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir(root.join("a")).unwrap();
        let mut watcher = Watcher::new().unwrap();
        let below = BTreeSet::from([String::new(), "a".to_owned()]);
        let state = root.join(".imk");
        watcher.watch(&root, Some(state.clone()), &below).unwrap();
        fs::remove_dir(root.join("a")).unwrap();
        wait_for(&watcher, &root.join("a"));
        watcher.watch(&root, Some(state.clone()), &below).unwrap();
        fs::create_dir(root.join("a")).unwrap();
        wait_for(&watcher, &root.join("a"));
        assert!(watcher.watch(&root, Some(state.clone()), &below).unwrap());
        fs::write(root.join("a/file"), "1").unwrap();
        wait_for(&watcher, &root.join("a/file"));
    }

    #[test]
    fn a_call_ends_a_wait() {
        let watcher = Watcher::new().unwrap();
        watcher.waker().wake();
        let woken = watcher.wait();
        assert!(woken.called && woken.changed.is_empty());
    }

    #[test]
    fn of_git_only_the_head_is_told() {
        let passed = Passed { state: Some("/r/.imk".into()), git: Some("/r/.git/".into()) };
        let told = ["/r/.git/HEAD", "/r/.git/logs/HEAD", "/r/a", "/r/.gitignore"];
        assert!(told.iter().all(|path| passed.lets_in(Path::new(path))));
        let not = ["/r/.git/index.lock", "/r/.git/HEAD.lock", "/r/.imk/stat", "/r/.imk"];
        assert!(!not.iter().any(|path| passed.lets_in(Path::new(path))));
    }
}
