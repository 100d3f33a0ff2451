//! naive stand-in
use super::tree::*;
use crate::file::*;
use crate::hash::ContentHash;
use crate::syntax::{dockerignore, glob::Selector};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
pub struct DiskTree {
    root: PathBuf,
}
impl DiskTree {
    pub fn open(root: &Path, _: &Path) -> Self {
        Self { root: root.into() }
    }
}
impl DiskTree {
    fn walk(&self, selection: &Selection) -> Result<(UsedFiles, Vec<usize>), ReadError> {
        let err = |e: std::io::Error| ReadError { path: selection.root.clone(), why: e.to_string() };
        let ignore = dockerignore::parse(selection.ignore.as_deref().unwrap_or(""))
            .map_err(|e| ReadError { path: ".dockerignore".into(), why: e[0].message.clone() })?;
        let selectors: Vec<Selector> =
            selection.reads.sources.iter().map(|s| Selector::new(s).unwrap()).collect();
        let mut hit = vec![false; selectors.len()];
        let mut out = UsedFiles::default();
        let base = self.root.join(&selection.root);
        let mut stack: Vec<String> = vec![String::new()];
        while let Some(dir) = stack.pop() {
            let mut names: Vec<_> = std::fs::read_dir(base.join(&dir)).map_err(err)?.flatten().collect();
            names.sort_by_key(|e| e.file_name());
            for entry in names {
                let path = crate::name::join(&dir, &entry.file_name().to_string_lossy());
                if path == ".imk" {
                    continue;
                }
                let meta = std::fs::symlink_metadata(entry.path()).map_err(err)?;
                let ignored = ignore.matches(&path);
                if meta.is_dir() {
                    stack.push(path.clone());
                }
                if ignored {
                    continue;
                }
                let mut used = false;
                for (n, s) in selectors.iter().enumerate() {
                    if s.reads(&path) {
                        used = true;
                        hit[n] = true;
                    }
                }
                if !used {
                    continue;
                }
                let (kind, hash, target) = if meta.is_symlink() {
                    let t = std::fs::read_link(entry.path()).unwrap().to_string_lossy().into_owned();
                    (FileKind::Link, ContentHash::of(t.as_bytes()), t)
                } else if meta.is_dir() {
                    (FileKind::Folder, ContentHash::default(), String::new())
                } else {
                    (
                        FileKind::File,
                        ContentHash::of(&std::fs::read(entry.path()).map_err(err)?),
                        String::new(),
                    )
                };
                let size = if kind == FileKind::File { meta.len() } else { 0 };
                out.files.push(UsedFile {
                    path,
                    kind,
                    mode: if kind == FileKind::Link { 0 } else { meta.permissions().mode() & 0o7777 },
                    size,
                    mtime: meta.mtime() * 1_000_000_000 + meta.mtime_nsec(),
                    hash,
                    target,
                });
            }
        }
        for (n, s) in selection.reads.sources.iter().enumerate() {
            if s.pattern.is_empty() {
                hit[n] = true;
            }
        }
        out.files.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')));
        let missing = (0..hit.len()).filter(|n| !hit[*n] && selection.reads.sources[*n].required).collect();
        Ok((out, missing))
    }
}
impl SourceTree for DiskTree {
    fn read(&self, path: &str) -> Result<Option<Vec<u8>>, ReadError> {
        match std::fs::read(self.root.join(path)) {
            Ok(b) => Ok(Some(b)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(ReadError { path: path.into(), why: e.to_string() }),
        }
    }
    fn is_folder(&self, path: &str) -> Result<bool, ReadError> {
        Ok(self.root.join(path).is_dir())
    }
    fn select(&self, s: &[Selection]) -> Vec<Result<Selected, ReadError>> {
        s.iter()
            .map(|s| {
                self.walk(s).map(|(u, missing)| Selected { hash: u.hash(), missing, count: 0, bytes: 0 })
            })
            .collect()
    }
    fn used_files(&self, s: &Selection) -> Result<UsedFiles, ReadError> {
        self.walk(s).map(|w| w.0)
    }
    fn open(&self, p: &str) -> Result<Box<dyn std::io::Read + Send>, ReadError> {
        Ok(Box::new(
            std::fs::File::open(self.root.join(p))
                .map_err(|e| ReadError { path: p.into(), why: e.to_string() })?,
        ))
    }
}
