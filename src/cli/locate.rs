//! Finds what the command line means on the disk: the repository, its state, a path that was typed.
//!
//! Opens no session, and asks nobody.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, cannot};
use crate::cli::{ci, out};
use crate::source::git::GitStore;
use crate::source::locate::{LocateError, Located, Trust, locate, passed_over};
use crate::source::tree::SourceTree;
use crate::state::folder::{StateFolder, Tell};
use crate::state::place::{self, Wish};

/// The repository around the current folder, `-C` or `-f`.
pub fn located(global: &Global) -> Result<Located, Failure> {
    let located = located_silently(global)?;
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    if global.file.is_none()
        && located.imagefile.is_none()
        && let Some(above) = passed_over(start)
    {
        let (above, root) = (above.display(), located.root.display());
        out::warning(format_args!(
            "`{above}` is outside the git work tree `{root}` and is not used; -f names it"
        ));
    }
    ci::begin_paths_at(&located.root);
    Ok(located)
}

/// The state of the repository: in its `.imk`, or where that is not to be. Says so on standard error then, once.
pub fn state(global: &Global, located: &Located) -> Result<StateFolder, Failure> {
    state_telling(global, located, Arc::new(warn))
}

/// As [`state`], for those who must not say anything.
pub fn state_silently(global: &Global, located: &Located) -> Result<StateFolder, Failure> {
    state_telling(global, located, Arc::new(|_: &str| {}))
}

fn state_telling(global: &Global, located: &Located, tell: Tell) -> Result<StateFolder, Failure> {
    let wish = Wish { named: global.state_dir.as_deref().map(|path| place(global, path)), cache: cache() };
    place::find(&located.root, &wish, &tell).map_err(|error| {
        Failure::with_hint(error.to_string(), "--state-dir and IMK_STATE_DIR name a folder of your own")
    })
}

/// The user's folder for what can be made again; `None` where the environment names neither it nor a home.
pub fn cache() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))
}

/// Says something on standard error, once a process.
fn warn(line: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut said = SAID.lock();
    if said.insert(line.to_owned()) {
        out::warning(line);
    }
}

/// As [`located`], without a word on the screen.
pub fn located_silently(global: &Global) -> Result<Located, Failure> {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    let trust = Trust::of_this_user(std::env::var("SUDO_UID").ok().as_deref());
    locate(start, global.directory.is_some(), global.file.as_deref(), &trust).map_err(|error| match error {
        LocateError::Unreadable(error) => error.into(),
        LocateError::Foreign { path, owner } => {
            let folder = if path.is_dir() { Some(path.as_path()) } else { path.parent() };
            let folder = folder.unwrap_or(Path::new("/")).display().to_string();
            Failure::with_hint(
                format!("`{}` belongs to another user (number {owner}), and is not taken up unasked", path.display()),
                format!(
                    "look at what it says; then `-f {}` takes it once, `git config --global --add safe.directory {folder}` for good",
                    path.display()
                ),
            )
        }
    })
}

/// A path that was typed, below `-C`.
pub fn place(global: &Global, path: &Path) -> PathBuf {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    start.join(path)
}

/// A path from the root of the machine, without links.
pub fn whole(path: &Path) -> Result<PathBuf, Failure> {
    // No path at all is the folder one is in.
    let path = if path == Path::new("") { Path::new(".") } else { path };
    path.canonicalize().map_err(cannot(format_args!("find `{}`", path.display())))
}

/// A file of a tree; nothing when it is not there or no text.
pub fn text(tree: &dyn SourceTree, path: &str) -> Option<String> {
    String::from_utf8(tree.read(path).ok()??).ok()
}

/// A path that was typed, below the repository's root.
pub fn path(global: &Global, located: &Located, typed: &str) -> Result<String, Failure> {
    let start = whole(&place(global, Path::new("")))?;
    let root = whole(&located.root)?;
    let mut whole = PathBuf::new();
    for part in start.join(typed).components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(whole.pop()),
            part => whole.push(part),
        }
    }
    let inside = whole.strip_prefix(&root).ok().and_then(Path::to_str);
    inside.map(str::to_owned).ok_or_else(|| {
        let message = format!("`{typed}` is not in the repository at `{}`", located.root.display());
        Failure::with_hint(message, "paths are read from the folder you are in, or from -C DIR")
    })
}

/// The git repository around a located one, with what was learned of it. Hooks are told git's own folder.
pub fn store(global: &Global, now: &Located, git_dir: Option<&Path>) -> Result<Arc<GitStore>, Failure> {
    Ok(GitStore::remembering(&now.root, state(global, now)?, git_dir)?)
}
