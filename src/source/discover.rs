//! Finds the Dockerfiles of a repository that has no Imagefile.

use super::tree::ReadError;
use std::path::Path;

pub fn discover(root: &Path) -> Result<Vec<String>, ReadError> {
    let mut found = Vec::new();
    for e in ignore::WalkBuilder::new(root).hidden(false).require_git(false).build().flatten() {
        let n = e.file_name().to_string_lossy().into_owned();
        if e.file_type().is_some_and(|t| t.is_file())
            && (n == "Dockerfile"
                || n == "Containerfile"
                || ((n.starts_with("Dockerfile.") || n.ends_with(".Dockerfile"))
                    && !n.ends_with(".dockerignore")))
        {
            found.push(e.path().strip_prefix(root).unwrap().to_string_lossy().into_owned());
        }
    }
    found.sort();
    Ok(found)
}
