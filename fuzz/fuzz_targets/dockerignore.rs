//! Any pattern file is read, and any path asked about, without panic and in time; a folder
//! that need not be walked holds nothing that is kept.

#![no_main]

use imk::syntax::dockerignore;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (text, path) = input;
    let Ok(file) = dockerignore::parse(text) else { return };
    let ignored = file.matches(path);
    // Each question takes pattern × path for every folder on the way: no file system has deeper ones.
    for (at, _) in path.match_indices('/').take(40) {
        assert!(ignored || !file.can_skip(&path[..at]), "{:?} may be skipped", &path[..at]);
    }
});
