//! Any pattern file is read, and any path asked about, without panic and in time; a folder
//! that need not be walked holds nothing that is kept.

#![no_main]

use imk::syntax::dockerignore;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, &str)| {
    let (text, path) = input;
    let Ok(file) = dockerignore::parse(text) else { return };
    for (at, _) in path.match_indices('/') {
        if file.can_skip(&path[..at]) {
            assert!(file.matches(path));
        }
    }
});
