//! The house stays as ARCHITECTURE.md draws it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use fs_err as fs;

mod comments;
mod functions;
mod imports;

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

/// The rooms that the map names in a row of its table, each with its floor: the map is the only list.
fn floors() -> BTreeMap<String, u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let table = map.lines().skip_while(|line| !line.starts_with("| room | floor |")).skip(2);
    let mut floors = BTreeMap::new();
    for row in table.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let floor = if cells[2] == "top" { u8::MAX } else { cells[2].parse().expect(row) };
        for room in cells[1].split_whitespace() {
            floors.insert(room.trim_matches('`').trim_end_matches('/').to_owned(), floor);
        }
    }
    floors
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
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap()
}

/// The source without its tests.
fn code_of_all() -> Vec<(String, String)> {
    let sources = sources().into_iter().filter(|(path, _)| !is_test(path));
    sources.map(|(path, text)| (path, code(&text).to_owned())).collect()
}

#[test]
fn imports_run_downward_only() {
    let floors = floors();
    let mut wrong = Vec::new();
    for (path, used) in imports::uses(&code_of_all()) {
        let here = room(&path);
        let Some(floor) = floors.get(&here) else { continue };
        for (other, used) in used.iter().map(|used| (room(used), used)).filter(|(other, _)| *other != here) {
            let Some(below) = floors.get(&other) else { continue };
            // The words on the ground floor are made of each other.
            if below > floor || (below == floor && *floor > 1) {
                wrong.push(format!("{path} (floor {floor}) uses {used} (floor {below})"));
            }
        }
    }
    assert_eq!(wrong, [""; 0], "floors know only what is below them");
}

#[test]
fn no_file_uses_itself_through_others() {
    let circles = imports::circles(&imports::uses(&code_of_all()));
    assert_eq!(circles, [[""; 0]; 0], "each of these files uses the others");
}

#[test]
fn every_room_is_a_row_of_the_map() {
    let floors = floors();
    let rooms: BTreeSet<String> = sources().iter().map(|(path, _)| room(path)).collect();
    for room in rooms.iter().filter(|room| !matches!(room.as_str(), "main" | "lib")) {
        assert!(floors.contains_key(room), "ARCHITECTURE.md has no row for `{room}`");
    }
    let front_page = &sources().into_iter().find(|(path, _)| path == "src/lib.rs").unwrap().1;
    for room in rooms.iter().filter(|room| !matches!(room.as_str(), "main" | "lib" | "fuzz")) {
        assert!(front_page.contains(&format!("[`{room}`]")), "the crate's front page does not name `{room}`");
    }
    for room in floors.keys() {
        assert!(rooms.contains(room), "ARCHITECTURE.md has a row for `{room}`, which is not there");
    }
}

#[test]
fn a_rooms_entries_fit_on_a_screen() {
    let mut entries: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (path, _) in sources() {
        let (folder, name) = path.rsplit_once('/').unwrap();
        entries.entry(folder.to_owned()).or_default().insert(name.to_owned());
    }
    for (folder, names) in entries {
        assert!(names.len() <= 40, "{folder} has {} files: it is more than one room", names.len());
    }
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!") || is_test(&path), "{path} does not open with //!");
    }
}

#[test]
fn a_comment_names_its_noun_first() {
    let riddles: Vec<String> = sources()
        .iter()
        .flat_map(|(path, text)| {
            comments::riddles(text).into_iter().map(move |(line, first)| format!("{path}:{line}: {first}"))
        })
        .collect();
    assert_eq!(riddles, [""; 0], "begin with the thing: `Results still present`, not `What is left of`");
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
    let is_door = |path: &str| path == "src/cli/out.rs" || path.starts_with("src/cli/out/");
    for (path, text) in sources().iter().filter(|(path, _)| !is_door(path) && !is_test(path)) {
        for word in words {
            assert!(
                !code(text).contains(word),
                "{path} prints with {word}…: `cli/out.rs` quotes what it is handed"
            );
        }
    }
    // Those that draw lines themselves, and quote what is not theirs.
    let drawers = ["src/cli/out.rs", "src/cli/mod.rs", "src/cli/failure/draw.rs", "src/cli/ci.rs"];
    for (path, text) in sources().iter().filter(|(path, _)| !drawers.contains(&path.as_str())) {
        assert!(!text.contains("quoted_already"), "{path} gives its word for text that may be another's");
    }
}

#[test]
fn only_the_door_opens_files_of_the_repository() {
    let own = [
        ("src/cli/commands/imagefile/init.rs", "writes the Imagefile that a person asked for"),
        (
            "src/cli/commands/imagefile/import.rs",
            "reads the file that a person named, and writes the Imagefile",
        ),
        ("src/cli/commands/ask/replay.rs", "writes the page that a person asked for"),
        ("src/cli/progress.rs", "writes logs"),
        ("src/build/jobserver.rs", "make's pipe"),
        ("src/containers/log.rs", "logs of commands, where their profile says"),
        ("src/engine/endpoint.rs", "docker's contexts and certificates"),
        ("src/engine/docker/identity.rs", "which start of the machine this is, and an engine's socket"),
        ("src/credentials.rs", "docker's configuration"),
        ("src/registry/oci/tls.rs", "certificates of registries"),
    ];
    let own_doors = |path: &str| {
        path.starts_with("src/source/") || path.starts_with("src/state/")
        // A folder of its own, for queue, logs, secrets and checkouts.
        || path.starts_with("src/service/")
        // A store of its own: it is handed the repository's files.
        || path.starts_with("src/embedded/")
        // Destinations that a person named, opened without following a link.
        || path.starts_with("src/outputs/")
    };
    for (path, text) in sources().iter().filter(|(path, _)| !own_doors(path)) {
        let opens = ["std::fs::", "fs_err"].iter().any(|word| code(text).contains(word));
        let is_known = own.iter().any(|(file, _)| file == path);
        assert!(!opens || is_known || is_test(path), "{path} opens files");
        assert!(opens || !is_known, "{path} opens no file any more: take it off the list");
    }
}

#[test]
fn only_the_face_reads_the_environment() {
    for (path, text) in sources().iter().filter(|(path, _)| !path.starts_with("src/cli") && !is_test(path)) {
        for word in ["env::var", "env::vars", "env::current_dir"] {
            let reads = code(text).lines().any(|line| !line.trim().starts_with("//") && line.contains(word));
            assert!(!reads, "{path} reads the environment");
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
fn a_function_fits_on_a_screen() {
    for (path, text) in code_of_all() {
        // A table of cases in a test is as long as it has to be.
        let long = functions::longer_than(70, &text);
        assert_eq!(long, [], "{path}: its steps want names");
    }
}

#[test]
fn nothing_is_unsafe() {
    for (path, text) in sources() {
        assert!(!text.contains(concat!("uns", "afe ")), "{path}");
    }
}
