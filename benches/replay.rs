//! 300 commits of a repository with 100 images and 10,000 files, replayed: the goal is under 10 s on two cores.
//!
//! ```text
//! cargo bench --bench replay              # times the real binary, three times
//! cargo bench --bench replay -- DIR       # leaves the repository in DIR
//! ```
//!
//! A quarter of the images have the whole repository as their context, after an
//! ignore file; the others have a folder of 100 files each. Every commit edits one
//! to four files, every tenth a Dockerfile, every fiftieth a base of many, every seventh is a merge.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

const IMAGES: usize = 100;
const FILES: usize = 100;
const COMMITS: usize = 300;

fn main() {
    let keep = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = keep.as_ref().map_or(folder.path(), Path::new);
    generate(root);
    for _ in 0..3 {
        let begin = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_imk"))
            .args(["replay", "--last", &COMMITS.to_string()])
            .current_dir(root)
            .env("NO_COLOR", "1")
            .output()
            .expect("imk runs");
        let took = begin.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        println!("{}\nreplay of {COMMITS} commits, {IMAGES} images: {took:.2?}\n", text.trim_end());
    }
}

/// Bare content of the first commit, then edits, all through `git fast-import`.
fn generate(root: &Path) {
    git(root, &["init", "-q", "-b", "main"], &[]);
    let mut stream = Stream { text: Vec::new(), mark: 0, time: 1_700_000_000, random: 42 };
    let mut imagefile = String::from("(images: {\n");
    for image in 0..IMAGES {
        let context = if whole(image) { ".".to_owned() } else { name(image) };
        let dockerfile = format!("{}/Dockerfile", name(image));
        let _ =
            writeln!(imagefile, "    {:?}: (context: {context:?}, dockerfile: {dockerfile:?}),", name(image));
    }
    imagefile += "})\n";
    stream.commit("first", &[]);
    stream.file("Imagefile.ron", &imagefile);
    stream.file(".dockerignore", "**/*.md\n.git\n!img-000/keep.md\n");
    for image in 0..IMAGES {
        stream.file(&format!("{}/Dockerfile", name(image)), &dockerfile(image, 0));
        for file in 0..FILES - 1 {
            let path = path(image, file);
            stream.file(&path, &format!("{path}\n").repeat(20));
        }
    }
    let mut tip = stream.mark;
    for number in 1..=COMMITS {
        if number % 7 == 0 {
            // A branch of one commit, and its merge.
            let side = stream.commit(&format!("side {number}"), &[tip]);
            stream.edits(number);
            tip = stream.commit(&format!("merge {number}"), &[tip, side]);
            stream.edits(number);
        } else {
            tip = stream.commit(&format!("commit {number}"), &[tip]);
            stream.edits(number);
        }
    }
    git(root, &["fast-import", "--quiet"], &stream.text);
}

fn whole(image: usize) -> bool {
    image >= 20 && image % 3 == 2
}

fn name(image: usize) -> String {
    format!("img-{image:03}")
}

fn path(image: usize, file: usize) -> String {
    let end = if file % 10 == 9 { "md" } else { "txt" };
    format!("{}/part-{}/file-{file:03}.{end}", name(image), file / 20)
}

/// Five bases, fifteen on them, the rest on those.
fn dockerfile(image: usize, version: usize) -> String {
    let base = match image {
        0..5 => "alpine:3".to_owned(),
        5..20 => name(image % 5),
        _ => name(5 + image % 15),
    };
    let below = if whole(image) { format!("{}/", name(image)) } else { String::new() };
    let copies = match image % 4 {
        0 => format!("COPY {below}part-0 /part-0\n"),
        1 => format!("COPY {below}part-0/*.txt {below}part-1 /parts/\n"),
        2 if whole(image) => "COPY . /all\n".to_owned(),
        _ => format!("COPY {below}. /all\n"),
    };
    format!("FROM {base}\nARG VERSION={version}\nRUN echo $VERSION\n{copies}CMD run\n")
}

struct Stream {
    text: Vec<u8>,
    mark: usize,
    time: u64,
    random: u64,
}

impl Stream {
    fn commit(&mut self, message: &str, parents: &[usize]) -> usize {
        self.mark += 1;
        self.time += 3600;
        let _ = write!(
            self.text,
            "commit refs/heads/main\nmark :{}\ncommitter imk <imk@invalid> {} +0000\ndata {}\n{message}\n",
            self.mark,
            self.time,
            message.len()
        );
        for (at, parent) in parents.iter().enumerate() {
            let word = if at == 0 { "from" } else { "merge" };
            let _ = writeln!(self.text, "{word} :{parent}");
        }
        self.mark
    }

    fn file(&mut self, path: &str, text: &str) {
        let _ = write!(self.text, "M 100644 inline {path}\ndata {}\n{text}\n", text.len());
    }

    fn edits(&mut self, number: usize) {
        for _ in 0..=self.next(4) {
            let (image, file) = (self.next(IMAGES), self.next(FILES - 1));
            let image = if number.is_multiple_of(50) { image % 5 } else { 20 + image % 80 };
            let path = path(image, file);
            self.file(&path, &format!("{path} {number}\n").repeat(20));
        }
        if number.is_multiple_of(10) {
            let image = self.next(IMAGES);
            self.file(&format!("{}/Dockerfile", name(image)), &dockerfile(image, number));
        }
    }

    fn next(&mut self, below: usize) -> usize {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % below
    }
}

fn git(root: &Path, words: &[&str], input: &[u8]) {
    let mut child = Command::new("git")
        .args(words)
        .current_dir(root)
        .stdin(Stdio::piped())
        .spawn()
        .expect("git is installed");
    child.stdin.take().expect("a pipe").write_all(input).expect("git reads");
    assert!(child.wait().expect("git ends").success(), "git {words:?}");
}
