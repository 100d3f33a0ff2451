//! Where a repository begins, from wherever a person stands in it.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::tree::ReadError;

/// The name that is searched for upward.
pub const IMAGEFILE: &str = "Imagefile.ron";

/// A repository's root, and its Imagefile if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// All paths of a repository are below this folder.
    pub root: PathBuf,
    /// The Imagefile's name in the root; `None` means that Dockerfiles are to be discovered.
    pub imagefile: Option<String>,
}

/// Finds the repository around `start`: the nearest folder upward with an
/// `Imagefile.ron`, else the git work tree, else `start` itself. `file` is
/// what the person named instead: an Imagefile, or a folder to discover.
///
/// # Errors
/// When `file` or `start` is not there.
pub fn locate(start: &Path, file: Option<&Path>) -> Result<Located, ReadError> {
    let cannot = |path: &Path, error: std::io::Error| ReadError {
        path: path.display().to_string(),
        why: error.kind().to_string(),
    };
    let start = fs::canonicalize(start).map_err(|error| cannot(start, error))?;
    if let Some(file) = file {
        let path = start.join(file);
        let path = fs::canonicalize(&path).map_err(|error| cannot(file, error))?;
        if path.is_dir() {
            return Ok(Located { root: path, imagefile: None });
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let root = path.parent().unwrap_or(Path::new("/")).to_owned();
        return Ok(Located { root, imagefile: name });
    }
    let with = |name: &str| start.ancestors().find(|folder| folder.join(name).exists());
    if let Some(root) = with(IMAGEFILE) {
        return Ok(Located { root: root.to_owned(), imagefile: Some(IMAGEFILE.to_owned()) });
    }
    Ok(Located { root: with(".git").unwrap_or(&start).to_owned(), imagefile: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_imagefile_wins_then_the_work_tree_then_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        fs::create_dir_all(top.join("repo/.git")).unwrap();
        fs::create_dir_all(top.join("repo/a/b")).unwrap();
        let root = |start: &str| locate(&top.join(start), None).unwrap();
        assert_eq!(root("repo/a/b"), Located { root: top.join("repo"), imagefile: None });
        fs::write(top.join("repo/a/Imagefile.ron"), "()").unwrap();
        let with_file = Located { root: top.join("repo/a"), imagefile: Some(IMAGEFILE.into()) };
        assert_eq!(root("repo/a/b"), with_file);
        assert_eq!(root("repo").imagefile, None);
    }

    #[test]
    fn a_named_file_or_folder_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let top = fs::canonicalize(folder.path()).unwrap();
        fs::write(top.join("Imagefile.ron"), "()").unwrap();
        fs::create_dir(top.join("sub")).unwrap();
        let sub = locate(&top, Some(Path::new("sub"))).unwrap();
        assert_eq!(sub, Located { root: top.join("sub"), imagefile: None });
        let error = locate(&top, Some(Path::new("nope.ron"))).unwrap_err();
        assert_eq!(error.to_string(), "cannot read `nope.ron`: entity not found");
    }
}
