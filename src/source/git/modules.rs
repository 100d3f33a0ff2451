//! The repositories of submodules, as far as they are on this disk.
//!
//! A commit names a submodule's commit and holds none of its files. Git keeps those in a repository of the
//! submodule's own: below `modules` of its folder, or in the work tree where it is old or was put there
//! by hand. Their objects are lent to the repository around them, in memory alone: an object is known by its
//! hash, so it does not matter where it lies. Knows no `.gitmodules`: a commit is looked for by its id.

use std::path::{Path, PathBuf};

use fs_err as fs;
use git2::Repository;

/// A submodule in a submodule, and so on. No deeper.
const DEEPEST: usize = 8;

/// The bits by which git's index marks a submodule.
pub(super) const GITLINK: u32 = 0o160_000;

/// Lends a repository the objects of all its submodules that are here.
pub(super) fn share_objects(repository: &Repository) {
    let mut found = Vec::new();
    of(repository, DEEPEST, &mut found);
    let Ok(odb) = repository.odb() else { return };
    for objects in found.iter().filter_map(|path| path.to_str()) {
        // Objects that cannot be lent are objects that are not here.
        let _ = odb.add_disk_alternate(objects);
    }
}

/// The folders of objects of a repository's submodules.
fn of(repository: &Repository, depth: usize, found: &mut Vec<PathBuf>) {
    for folder in [repository.path(), repository.commondir()] {
        kept(&folder.join("modules"), depth, found);
    }
    if depth == 0 {
        return;
    }
    for module in in_work_tree(repository) {
        let objects = module.commondir().join("objects");
        if !found.contains(&objects) {
            found.push(objects);
            of(&module, depth - 1, found);
        }
    }
}

/// Repositories below a folder: a submodule's name may have slashes, and its own submodules lie in it.
fn kept(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let objects = path.join("objects");
        if found.contains(&objects) || depth == 0 {
            continue;
        }
        match objects.is_dir() && path.join("HEAD").exists() {
            true => {
                found.push(objects);
                kept(&path.join("modules"), depth - 1, found);
            }
            false => kept(&path, depth - 1, found),
        }
    }
}

/// The repositories that stand where the index has a submodule.
pub(super) fn in_work_tree(repository: &Repository) -> Vec<Repository> {
    let (Some(top), Ok(index)) = (repository.workdir(), repository.index()) else { return Vec::new() };
    let links = index.iter().filter(|entry| entry.mode == GITLINK);
    links.filter_map(|entry| at(top, &entry.path)).collect()
}

/// The repository whose work tree stands at a path.
pub(super) fn at(top: &Path, path: &[u8]) -> Option<Repository> {
    use std::os::unix::ffi::OsStrExt;
    let path = top.join(std::ffi::OsStr::from_bytes(path));
    // Else the repository around an empty folder would be found.
    path.join(".git").exists().then(|| Repository::open(&path).ok()).flatten()
}

#[cfg(test)]
#[path = "modules_tests.rs"]
pub(super) mod tests;
