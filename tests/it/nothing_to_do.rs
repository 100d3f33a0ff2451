//! A run with nothing to do, counted: system calls, files, bytes and requests. Counts are the same on every
//! machine and under every load, as times are not; a step that costs more shows here before a clock shows it.

use std::collections::{BTreeMap, BTreeSet};

use fs_err as fs;

use crate::sandbox::{Sandbox, can_trace, engine_or_skip};
use crate::second_engine::SecondEngine;

/// Images of the repository.
const IMAGES: usize = 4;
/// Calls that look at a file without opening it.
const LOOKS: [&str; 5] = ["stat", "lstat", "newfstatat", "statx", "fstatat64"];
/// Calls that open and read: folders, files of the state, the engine's answer.
const READS: [&str; 7] = ["read", "pread64", "getdents64", "openat", "openat2", "readlink", "readlinkat"];
/// Calls that change a file system.
const CHANGES: [&str; 11] = [
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "fsync",
    "fdatasync",
    "ftruncate",
    "pwrite64",
];

/// What a run did, by its trace.
struct Counted {
    lines: Vec<String>,
}

impl Counted {
    /// Traces a run of imk that is to find all fresh.
    fn of(sandbox: &Sandbox, words: &str) -> Self {
        Self::ending(sandbox, words, 0)
    }

    /// Traces a run of imk that builds nothing and ends with a status.
    fn ending(sandbox: &Sandbox, words: &str, status: i32) -> Self {
        let outside = tempfile::tempdir().unwrap();
        let file = outside.path().join("trace");
        // Paths and the first bytes of what is written; a call that another thread interrupts stands on two lines.
        let arguments = ["-f", "-y", "-qq", "-s", "64", "-o", file.to_str().unwrap()];
        let run = sandbox.run(sandbox.under("strace", &arguments, words).output().unwrap());
        assert_eq!(run.status, status, "{}{}", run.out(), run.err());
        assert_eq!(run.built(), [""; 0]);
        let trace = fs::read_to_string(file).unwrap();
        let lines = trace.lines().filter(|line| !line.contains(" resumed>")).map(ToOwned::to_owned).collect();
        Self { lines }
    }

    /// The calls of these names, without the number of the thread.
    fn calls(&self, names: &[&str]) -> Vec<&str> {
        let call = |line: &'_ str| line.split_once(' ').map(|(_, call)| call.trim_start().to_owned());
        let is_one = |line: &&String| {
            call(line).is_some_and(|call| names.contains(&call.split('(').next().unwrap_or_default()))
        };
        self.lines.iter().filter(is_one).map(String::as_str).collect()
    }

    /// Those of them that concern files of contexts.
    fn of_contexts(&self, names: &[&str]) -> Vec<&str> {
        let mut calls = self.calls(names);
        calls.retain(|call| call.contains("file-"));
        calls
    }

    /// Asks the engine once, and writes nothing: a run that computed anything would write what it found.
    #[track_caller]
    fn asks_once_and_writes_nothing(&self) {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:#?}");
        assert_eq!(self.calls(&["execve", "execveat"]).len(), 1, "imk itself");
        // The lock is opened to be held, and says who holds it.
        let is_other = |call: &&str| !call.contains("\"lock\"") && !call.contains("/.imk/lock>");
        let writing =
            |call: &&str| call.contains("O_WRONLY") || call.contains("O_RDWR") || call.contains("O_TRUNC");
        let mut opened = self.opened();
        opened.retain(|call| writing(call) && is_other(call) && !call.contains("\"/dev/"));
        assert_eq!(opened, [""; 0]);
        let mut changes = self.calls(&CHANGES);
        changes.retain(is_other);
        assert_eq!(changes, [""; 0]);
    }

    fn opened(&self) -> Vec<&str> {
        self.calls(&["open", "openat", "openat2", "creat"])
    }

    /// Names below `.imk` that were opened.
    fn state_files(&self) -> BTreeSet<String> {
        let opened = self.opened().into_iter().filter(|call| !call.contains(" = -1 "));
        let name = |call: &str| {
            let (_, rest) = call.split_once("/.imk>, \"")?;
            rest.split('"').next().map(ToOwned::to_owned)
        };
        opened.filter_map(name).collect()
    }

    fn requests(&self) -> Vec<&str> {
        let mut sent = self.calls(&["write", "writev", "send", "sendto", "sendmsg"]);
        sent.retain(|call| {
            call.contains("HTTP/1.1") || call.contains("\"GET /") || call.contains("\"POST /")
        });
        sent
    }
}

/// An engine that nobody else changes: what others do on one costs their neighbours a question.
fn engine_of_its_own() -> Option<SecondEngine> {
    engine_or_skip("nothing to do")?;
    can_trace().then(SecondEngine::start)
}

/// A chain of images, each with so many files in one folder, built and found fresh.
fn repository(engine: &SecondEngine, files: usize) -> Sandbox {
    let sandbox = Sandbox::empty().on(engine.host());
    // Unlike any other repository's: equal results are one image, which the first that is done removes.
    let mark = sandbox.root().display().to_string();
    let mut images = BTreeMap::new();
    for image in 0..IMAGES {
        let name = format!("image{image}");
        let base = if image == 0 { "scratch".to_owned() } else { format!("image{}", image - 1) };
        sandbox.edit(&format!("{name}/Dockerfile"), &format!("FROM {base}\nCOPY files /{name}\n"));
        for file in 0..files {
            sandbox.edit(&format!("{name}/files/file-{file}"), &format!("{file} of {name} of {mark}\n"));
        }
        images.insert(name, ());
    }
    sandbox.edit("Imagefile.ron", &format!("(images: {images:?})"));
    sandbox.imk("").says(&format!("0 fresh, {IMAGES} built, 0 failed"));
    // A file that was written in the same tick of the clock as it was hashed is hashed once more, and then known.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    for _ in 0..2 {
        sandbox.imk("").says(&format!("{IMAGES} fresh, 0 built, 0 failed"));
    }
    sandbox
}

#[test]
fn it_asks_the_engine_once_writes_nothing_and_looks_at_each_file_once() {
    let Some(engine) = engine_of_its_own() else { return };
    let sandbox = repository(&engine, 20);
    let counted = Counted::of(&sandbox, "");
    assert_eq!(counted.calls(&["connect"]).len(), 1, "{:#?}", counted.calls(&["connect"]));
    for words in ["", "check", "plan"] {
        let counted = Counted::of(&sandbox, words);
        counted.asks_once_and_writes_nothing();
        assert_eq!(counted.of_contexts(&["open", "openat", "openat2"]), [""; 0], "imk {words}");
        let looks = counted.of_contexts(&LOOKS);
        assert_eq!(looks.len(), IMAGES * 20, "imk {words}: {looks:#?}");
    }
}

#[test]
fn one_edit_costs_the_reading_of_one_file_more() {
    let Some(engine) = engine_of_its_own() else { return };
    let sandbox = repository(&engine, 20);
    let calm = Counted::of(&sandbox, "check");
    sandbox.edit("image2/files/file-7", "edited\n");
    let edited = Counted::ending(&sandbox, "check", 1);
    assert_eq!(edited.requests().len(), 1, "{:#?}", edited.requests());
    let opened = edited.of_contexts(&["open", "openat", "openat2"]);
    assert_eq!(opened.len(), 1, "{opened:#?}");
    let read = edited.of_contexts(&["read", "pread64"]);
    assert!(read.len() <= 2, "the file and its end: {read:#?}");
    // Before and behind the reading, and once when it differed; and all files of the two images that are stale now,
    // to say why.
    let (before, after) = (calm.of_contexts(&LOOKS).len(), edited.of_contexts(&LOOKS).len());
    assert!(after <= before + 3 + 2 * 20, "{before} looks without an edit, {after} with one");
}

/// The work of a run that finds all fresh, in millions of instructions; `None` where nobody counts them.
fn instructions(sandbox: &Sandbox, words: &str) -> Option<u64> {
    if std::process::Command::new("valgrind").arg("--version").output().is_err() {
        eprintln!("SKIPPED: valgrind is not installed, and nobody counts instructions");
        return None;
    }
    let arguments = ["--tool=callgrind", "--callgrind-out-file=/dev/null"];
    let run = sandbox.run(sandbox.under("valgrind", &arguments, words).output().unwrap());
    assert_eq!(run.status, 0, "{}{}", run.out(), run.err());
    let told = run.err();
    let count = told.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse::<u64>().ok());
    Some(count.unwrap_or_else(|| panic!("callgrind counted nothing: {told}")) / 1_000_000)
}

/// The most that a test binary, which is not optimized, may need for four images: three times what it needed.
const MILLIONS: u64 = 600;

#[test]
fn a_run_with_nothing_to_do_takes_no_more_instructions_than_it_did() {
    let Some(engine) = engine_of_its_own() else { return };
    let sandbox = repository(&engine, 20);
    let Some(millions) = instructions(&sandbox, "check") else { return };
    eprintln!("{millions} million instructions");
    assert!(millions <= MILLIONS, "{millions} million instructions");
}

#[test]
fn another_file_costs_one_look_more() {
    let Some(engine) = engine_of_its_own() else { return };
    let [few, many] = [20, 120].map(|files| {
        let counted = Counted::of(&repository(&engine, files), "");
        (counted.calls(&LOOKS).len(), counted.calls(&READS).len())
    });
    assert_eq!(many.0 - few.0, IMAGES * 100);
    // A folder and the stat cache are read in pieces of a size.
    assert!(many.1 <= few.1 + 2 * IMAGES + 4, "{} calls for 20 files, {} for 120", few.1, many.1);
}

#[test]
fn with_a_monitor_no_file_of_a_context_is_looked_at_and_the_stat_cache_is_not_read() {
    let Some(engine) = engine_of_its_own() else { return };
    let sandbox = repository(&engine, 20);
    if sandbox.imk("fsmonitor start").err().contains("does not tell of all its changes") {
        eprintln!("SKIPPED: the file system does not tell its changes");
        return;
    }
    for words in ["", "check", "plan"] {
        // The first has folders watched, and a file as young as the kernel's clock is coarse is looked at once more.
        let looked = (0..50).map(|_| {
            std::thread::sleep(std::time::Duration::from_millis(50));
            let counted = Counted::of(&sandbox, words);
            let of_contexts =
                counted.of_contexts(&[&LOOKS[..], &["open", "openat", "openat2"]].concat()).len();
            let opened = counted.calls(&["open", "openat", "openat2"]);
            of_contexts
                + opened
                    .iter()
                    .filter(|call| call.contains("\"stat\"") || call.contains("/.imk/stat>"))
                    .count()
        });
        assert!(looked.into_iter().any(|looked| looked == 0), "imk {words}");
        let counted = Counted::of(&sandbox, words);
        counted.asks_once_and_writes_nothing();
        // Each is small, however many files there are. Where no git is, the state's folders are looked through.
        let small = [
            ".",
            "evidence",
            "git/heads",
            "images",
            "ledger",
            "lock",
            "logs",
            "mark",
            "snapshot",
            "told",
            "upstream",
            "watched",
        ];
        let opened = counted.state_files();
        assert!(opened.iter().all(|name| small.contains(&name.as_str())), "imk {words}: {opened:?}");
    }
    sandbox.imk("fsmonitor stop").code(0);
}
