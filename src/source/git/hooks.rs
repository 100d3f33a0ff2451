//! The hooks of a repository: where git looks for them, and how one is put in and taken out.
//!
//! A hook that was there before is kept under another name, and is never written over. Knows git's
//! settings as well, since they say where hooks are. What a hook does is for the caller.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use git2::{ConfigLevel, ErrorCode, Repository};

use super::keep;
use super::opening::{self, Opened};

/// The hook that git runs before it pushes.
const NAME: &str = "pre-push";
/// The name that a hook gets which was there before.
const BEFORE: &str = "pre-push.before-imk";

/// The pre-push hook of one repository.
pub struct Hooks {
    repository: Repository,
    /// Settings are made by git itself where libgit2 reads something that stands in for the repository.
    stand_in: Option<tempfile::TempDir>,
    /// A line that only our hook has.
    marker: String,
    /// Where git looks for hooks.
    pub folder: PathBuf,
    /// `core.hooksPath` is set for more than this repository.
    pub is_shared: bool,
    /// The top of the work tree.
    pub top: PathBuf,
}

/// The hook where git looks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Nothing,
    /// Ours; `chained` when it runs one that was there before.
    Ours { chained: bool },
    /// The hook of somebody else.
    Other,
}

/// Why a hook was not put in or taken out.
#[derive(Debug)]
pub enum HookError {
    /// Git does not say.
    Git(String),
    /// There is no work tree.
    Bare(PathBuf),
    /// Two hooks that are not ours: one would be lost.
    Two(PathBuf, PathBuf),
    /// A file: what was attempted is in the error.
    File(io::Error),
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(why) => write!(f, "git says: {why}"),
            Self::Bare(path) => write!(f, "`{}` is a bare repository", path.display()),
            Self::Two(here, before) => {
                write!(f, "`{}` and `{}` are both there", here.display(), before.display())
            }
            Self::File(error) => error.fmt(f),
        }
    }
}

impl From<git2::Error> for HookError {
    fn from(error: git2::Error) -> Self {
        Self::Git(error.message().to_owned())
    }
}

impl From<io::Error> for HookError {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

impl Hooks {
    /// Finds the hooks of the repository around `root`. `marker` is the line that ours is known by.
    ///
    /// # Errors
    /// When there is no repository, or a bare one.
    pub fn open(root: &Path, marker: &str) -> Result<Self, HookError> {
        let Opened { repository, stand_in, common } = opening::open(root, None)?;
        let Some(top) = repository.workdir().map(Path::to_owned) else {
            return Err(HookError::Bare(repository.path().to_owned()));
        };
        let config = repository.config()?;
        let level = config.get_entry("core.hooksPath").map(|entry| entry.level()).ok();
        let folder = match level {
            // Git takes a relative one from where hooks run, which is the top of the work tree.
            Some(_) => top.join(config.get_path("core.hooksPath")?),
            None => common.join("hooks"),
        };
        let own = [ConfigLevel::Local, ConfigLevel::Worktree];
        let is_shared = level.is_some_and(|level| !own.contains(&level));
        Ok(Self { repository, stand_in, marker: marker.to_owned(), folder, is_shared, top })
    }

    /// The hook's file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    /// The hook that is there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn standing(&self) -> Result<Standing, HookError> {
        let path = self.path();
        if !is_there(&path)? {
            return Ok(Standing::Nothing);
        }
        // A link that leads nowhere is somebody's all the same.
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let is_ours = text.split(|byte| *byte == b'\n').any(|line| line == self.marker.as_bytes());
        Ok(match is_ours {
            true => Standing::Ours { chained: is_there(&self.folder.join(BEFORE))? },
            false => Standing::Other,
        })
    }

    /// Puts a hook in, and says what stood there before. With `force`, a hook that was put aside
    /// earlier gives way to the one that stands there now.
    ///
    /// # Errors
    /// See [`HookError`].
    pub fn install(&self, text: &str, force: bool) -> Result<Standing, HookError> {
        let standing = self.standing()?;
        let (path, before) = (self.path(), self.folder.join(BEFORE));
        fs::create_dir_all(&self.folder)?;
        if standing == Standing::Other {
            if is_there(&before)? && !force {
                return Err(HookError::Two(path, before));
            }
            fs::rename(&path, &before)?;
        }
        let mut file = tempfile::Builder::new().prefix(NAME).suffix(".new").tempfile_in(&self.folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().set_permissions(PermissionsExt::from_mode(0o755))?;
        file.persist(&path).map_err(|error| error.error)?;
        Ok(standing)
    }

    /// Takes our hook out and puts back what was there before; says what stood there.
    ///
    /// # Errors
    /// When a file cannot be moved.
    pub fn uninstall(&self) -> Result<Standing, HookError> {
        let standing = self.standing()?;
        if let Standing::Ours { chained } = standing {
            match chained {
                // Over ours in one step, so that there is never none.
                true => fs::rename(self.folder.join(BEFORE), self.path())?,
                false => fs::remove_file(self.path())?,
            }
        }
        Ok(standing)
    }

    /// A setting, wherever it is made.
    pub fn setting(&self, name: &str) -> Option<String> {
        self.repository.config().ok()?.get_string(name).ok()
    }

    /// Makes a setting of this repository, or takes it back.
    ///
    /// # Errors
    /// When git cannot write it.
    pub fn set(&self, name: &str, value: Option<&str>) -> Result<(), HookError> {
        if self.stand_in.is_some() {
            let words = value.map_or(vec!["--unset-all", name], |value| vec![name, value]);
            let done = keep::question(&self.top).args(["config", "--local"]).args(words).output()?;
            // Git ends with 5 where there is nothing to take back.
            return match done.status.code() {
                Some(0 | 5) => Ok(()),
                _ => Err(HookError::Git(String::from_utf8_lossy(&done.stderr).trim().to_owned())),
            };
        }
        let mut config = self.repository.config()?.open_level(ConfigLevel::Local)?;
        match value {
            Some(value) => Ok(config.set_str(name, value)?),
            None => match config.remove(name) {
                Err(error) if error.code() != ErrorCode::NotFound => Err(error.into()),
                _ => Ok(()),
            },
        }
    }
}

/// Whether something has that name, be it a link that leads nowhere.
fn is_there(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
