//! The secrets of hooks, by repository: made when a repository is first served, and changed with an overlap in which the old
//! one still counts.
//!
//! One file in the service's own folder, readable by its user alone, which the server and `imk serve secret` both open.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::File;
use jiff::{SignedDuration, Timestamp};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::hooks::HookSecret;

const FILE: &str = "secrets.json";
const LOCK: &str = "secrets.lock";
/// A larger file is none of ours.
const LONGEST: u64 = 16 << 20;

/// The secrets of all repositories.
#[derive(Clone, Debug)]
pub struct Secrets {
    folder: PathBuf,
}

/// The secrets of one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// For signatures and tokens, the newest first.
    pub hook: Vec<HookSecret>,
    /// For the paths that registries call, the newest first.
    pub path: Vec<HookSecret>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Kept {
    hook: String,
    path: String,
    /// Those before, and until when they count.
    #[serde(default)]
    before: Vec<Before>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Before {
    hook: String,
    path: String,
    until: Timestamp,
}

type All = BTreeMap<String, Kept>;

impl Secrets {
    /// Those in a folder, which is made when they are.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The secrets of a repository that count now; they are made when there are none yet.
    ///
    /// # Errors
    /// When they can be neither read nor made.
    pub fn of(&self, repository: &str, now: Timestamp) -> io::Result<Pair> {
        if let Some(kept) = self.read()?.get(repository) {
            return kept.pair(now);
        }
        self.changed(|all| {
            if !all.contains_key(repository) {
                all.insert(repository.to_owned(), Kept::new()?);
            }
            Ok(())
        })?;
        self.read()?
            .get(repository)
            .map_or_else(|| Err(io::Error::other("the secret is gone again")), |kept| kept.pair(now))
    }

    /// Makes a new secret for a repository; the old one counts for a while longer.
    ///
    /// # Errors
    /// When it cannot be made or written.
    pub fn rotate(&self, repository: &str, overlap: Duration, now: Timestamp) -> io::Result<Pair> {
        let overlap = SignedDuration::try_from(overlap).map_err(io::Error::other)?;
        let until = now.checked_add(overlap).map_err(io::Error::other)?;
        self.changed(|all| {
            let old = all.get(repository).cloned();
            let mut new = Kept::new()?;
            if let Some(Kept { hook, path, before }) = old {
                new.before = before.into_iter().filter(|before| before.until > now).collect();
                if until > now {
                    new.before.insert(0, Before { hook, path, until });
                }
            }
            all.insert(repository.to_owned(), new);
            Ok(())
        })?;
        self.of(repository, now)
    }

    fn read(&self) -> io::Result<All> {
        let mut bytes = Vec::new();
        match File::open(self.folder.join(FILE)) {
            Ok(file) => file.take(LONGEST).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(All::new()),
            Err(error) => return Err(error),
        };
        // The parser's words may quote a secret.
        serde_json::from_slice(&bytes).map_err(|_| io::Error::other(format!("`{FILE}` is damaged")))
    }

    /// Changes them, one at a time, so that the server and a person do not undo each other.
    fn changed(&self, change: impl FnOnce(&mut All) -> io::Result<()>) -> io::Result<()> {
        fs_err::create_dir_all(&self.folder)?;
        let lock = File::create(self.folder.join(LOCK))?;
        flock(lock.file(), FlockOperation::LockExclusive)?;
        let mut all = self.read()?;
        change(&mut all)?;
        // A temporary file is its owner's alone from the beginning.
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.as_file().set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec_pretty(&all)?)?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

impl Kept {
    fn new() -> io::Result<Self> {
        let text = |secret: Result<HookSecret, String>| secret.map(|secret| secret.shown().to_owned());
        let (hook, path) = (text(HookSecret::random()), text(HookSecret::random_for_path()));
        Ok(Self {
            hook: hook.map_err(io::Error::other)?,
            path: path.map_err(io::Error::other)?,
            before: Vec::new(),
        })
    }

    fn pair(&self, now: Timestamp) -> io::Result<Pair> {
        let counting = || self.before.iter().filter(|before| before.until > now);
        let all = |texts: Vec<&String>| -> io::Result<Vec<HookSecret>> {
            texts.into_iter().map(|text| HookSecret::new(text).map_err(io::Error::other)).collect()
        };
        Ok(Pair {
            hook: all(std::iter::once(&self.hook).chain(counting().map(|before| &before.hook)).collect())?,
            path: all(std::iter::once(&self.path).chain(counting().map(|before| &before.path)).collect())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_secret_is_made_once_kept_and_replaced_with_an_overlap() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("service");
        let secrets = Secrets::at(&place);
        let first = secrets.of("team/app", at(0)).unwrap();
        assert_eq!((first.hook.len(), first.path.len()), (1, 1));
        assert_eq!(Secrets::at(&place).of("team/app", at(0)).unwrap(), first);
        assert_ne!(secrets.of("team/other", at(0)).unwrap(), first);
        let mode = fs_err::metadata(place.join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let second = secrets.rotate("team/app", Duration::from_secs(60), at(0)).unwrap();
        assert_eq!(second.hook[1..], first.hook);
        assert_ne!(second.hook[0], first.hook[0]);
        let later = secrets.of("team/app", at(60)).unwrap();
        assert_eq!(later.hook, second.hook[..1]);
        let third = secrets.rotate("team/app", Duration::ZERO, at(61)).unwrap();
        assert_eq!(third.hook.len(), 1);
    }

    #[test]
    fn two_that_make_it_at_once_get_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::at(folder.path());
        let all: Vec<Pair> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8).map(|_| scope.spawn(|| secrets.of("a", at(0)).unwrap())).collect();
            made.into_iter().map(|made| made.join().unwrap()).collect()
        });
        assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_damaged_file_is_told_without_a_word_of_it() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(FILE), "{\"a\": \"s3cr3t\"}").unwrap();
        let why = Secrets::at(folder.path()).of("a", at(0)).unwrap_err().to_string();
        assert!(why.contains("damaged") && !why.contains("s3cr3t"), "{why}");
    }
}
