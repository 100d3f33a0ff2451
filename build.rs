//! Makes the id of this build of imk: a snapshot written by another one is not
//! loaded, since salsa would take one query's values for another's.

use fs_err as fs;
use std::path::Path;

fn main() {
    let mut hasher = blake3::Hasher::new();
    for root in ["src", "Cargo.lock", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={root}");
        add(Path::new(root), &mut hasher);
    }
    println!("cargo::rustc-env=IMK_BUILD_ID={}", hasher.finalize().to_hex());
}

fn add(path: &Path, hasher: &mut blake3::Hasher) {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap_or_else(|error| panic!("{error}"));
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            add(&path, hasher);
        }
    } else if let Ok(bytes) = fs::read(path) {
        hasher.update(path.to_string_lossy().as_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(&bytes);
    }
}
