//! The house stays as ARCHITECTURE.md draws it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Every file of the source with its text, in order.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut todo: Vec<PathBuf> = vec![root.join("src")];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                files.push((name, text));
            }
        }
    }
    files.sort();
    files
}

/// The room of the house a file is in, and its floor.
fn floors() -> BTreeMap<&'static str, u8> {
    BTreeMap::from([
        // Above all, whatever is added.
        ("fuzz", 99),
        ("cli", 7),
        ("drive", 6),
        ("exec", 5),
        ("query", 4),
        ("engine", 3),
        ("registry", 3),
        ("source", 3),
        ("syntax", 2),
        ("state", 2),
        ("credentials", 2),
        ("content", 1),
        ("name", 1),
        ("hash", 1),
        ("file", 1),
        ("part", 1),
        ("reason", 1),
    ])
}

fn room(path: &str) -> String {
    let inside = path.strip_prefix("src/").unwrap();
    inside.split(['/', '.']).next().unwrap().to_owned()
}

fn is_test(path: &str) -> bool {
    // What is compiled for fuzzing alone is no part of the program either.
    path.ends_with("tests.rs")
        || path.contains("/tests/")
        || path.ends_with("fuzz.rs")
        || path.contains("/fuzz/")
}

/// The part of a file before its tests.
fn code(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap()
}

#[test]
fn imports_run_downward_only() {
    let floors = floors();
    let mut wrong = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| !is_test(path)) {
        let here = room(path);
        let Some(floor) = floors.get(here.as_str()) else { continue };
        for (at, _) in code(text).match_indices("crate::") {
            let word: String =
                code(text)[at + 7..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(other) = floors.get(word.as_str())
                && word != here
                && (other > floor || (other == floor && *floor > 2))
            {
                wrong.push(format!("{path} (floor {floor}) uses crate::{word} (floor {other})"));
            }
        }
    }
    assert_eq!(wrong, [""; 0], "floors know only what is below them");
}

#[test]
fn every_room_has_a_floor_and_a_place_in_the_map() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let floors = floors();
    for (path, _) in sources() {
        let room = room(&path);
        if matches!(room.as_str(), "main" | "lib") {
            continue;
        }
        assert!(floors.contains_key(room.as_str()), "{path}: `{room}` has no floor");
        assert!(map.contains(&room), "ARCHITECTURE.md does not mention `{room}`");
    }
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!") || is_test(&path), "{path} does not open with //!");
    }
}

#[test]
fn everything_printed_goes_through_one_door() {
    let words = [
        concat!("print", "ln!("),
        concat!("pri", "nt!("),
        concat!("db", "g!("),
        concat!("io::std", "out"),
        concat!("io::std", "err"),
        concat!("anstream::std", "out"),
        concat!("anstream::std", "err"),
        concat!("error.pri", "nt("),
    ];
    for (path, text) in sources().iter().filter(|(path, _)| path != "src/cli/out.rs" && !is_test(path)) {
        for word in words {
            assert!(
                !code(text).contains(word),
                "{path} prints with {word}…: `cli/out.rs` quotes what it is handed"
            );
        }
    }
    // Those that draw lines themselves, and quote what is not theirs.
    let drawers = ["src/cli/out.rs", "src/cli/mod.rs", "src/cli/failure.rs", "src/cli/ci.rs"];
    for (path, text) in sources().iter().filter(|(path, _)| !drawers.contains(&path.as_str())) {
        assert!(!text.contains("quoted_already"), "{path} gives its word for text that may be another's");
    }
}

#[test]
fn only_the_door_opens_files_of_the_repository() {
    // Logs, and the files that `init`, `import` and `replay --html` write.
    let own = [
        "src/cli/init.rs",
        "src/cli/import.rs",
        "src/cli/replay.rs",
        "src/cli/progress.rs",
        // make's pipe.
        "src/drive/jobserver.rs",
        // Docker's own configuration and certificates.
        "src/engine/endpoint.rs",
        "src/engine/transport.rs",
        // Which start of the machine this is, and an engine's socket.
        "src/engine/docker/identity.rs",
        "src/credentials.rs",
        "src/registry/oci/tls.rs",
    ];
    let own_doors = |path: &str| path.starts_with("src/source/") || path.starts_with("src/state/");
    for (path, text) in sources().iter().filter(|(path, _)| !own_doors(path)) {
        let opens = ["std::fs::", "fs_err"].iter().any(|word| code(text).contains(word));
        assert!(!opens || own.contains(&path.as_str()) || is_test(path), "{path} opens files");
    }
}

#[test]
fn only_the_face_reads_the_environment() {
    for (path, text) in sources().iter().filter(|(path, _)| !path.starts_with("src/cli") && !is_test(path)) {
        for word in ["env::var", "env::vars", "env::current_dir"] {
            assert!(!code(text).contains(word), "{path} reads the environment");
        }
    }
}

#[test]
fn no_file_grows_beyond_one_noun() {
    for (path, text) in sources() {
        let lines = code(&text).lines().count();
        assert!(lines <= 450 || is_test(&path), "{path} has {lines} lines: split it");
    }
}

#[test]
fn nothing_is_unsafe() {
    for (path, text) in sources() {
        assert!(!text.contains(concat!("uns", "afe ")), "{path}");
    }
}
