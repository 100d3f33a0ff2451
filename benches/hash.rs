//! The first look at 100,000 files: read and hashed for their images, against reading them and nothing else. The look
//! after all were touched, against reading and hashing; and one file of 1 GB, on all processors.
//!
//!     cargo bench --bench hash

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::repository::Shape;
use common::round::compare;
use imk::source::disk::DiskTree;
use imk::source::tree::{Selection, SourceTree};
use imk::state::folder::StateFolder;
use imk::syntax::reads::Reads;

const SHAPE: Shape = Shape { images: 100, files: 1000, declared: true };
const ROUNDS: usize = 7;

fn main() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hash");
    SHAPE.write(&root).unwrap_or_else(|error| panic!("{}: {error}", root.display()));
    let selections: Vec<Selection> = (0..SHAPE.images)
        .map(|number| Selection {
            root: Shape::name(number),
            ignore: None,
            reads: Reads::whole(),
            overlays: Vec::new(),
            named: Default::default(),
        })
        .collect();
    let cold = || {
        let tree = DiskTree::open(&root, &StateFolder::at(&root.join(".imk"))).expect("the repository opens");
        let answers = tree.select(&selections);
        let files: u64 = answers.iter().map(|answer| answer.as_ref().expect("all can be read").count).sum();
        assert!(files >= (SHAPE.images * SHAPE.files) as u64, "{files} files");
    };
    compare(
        "100,000 files of 1 KB, no cache",
        ROUNDS,
        vec![("read, two threads", Box::new(|| read(&root))), ("select, cold", Box::new(cold))],
    );
    touched(&root, &selections);
    large();
}

/// All files touched: each is read and hashed once more, against reading and hashing them and nothing else.
fn touched(root: &Path, selections: &[Selection]) {
    let state = StateFolder::at(&root.join("../hash-state"));
    let select = || {
        let tree = DiskTree::open(root, &state).expect("the repository opens");
        assert!(tree.select(selections).iter().all(Result::is_ok));
        tree.save().expect("the state can be written");
    };
    select();
    let hashed = || {
        below(root, &|bytes| {
            std::hint::black_box(blake3::hash(bytes));
        })
    };
    let touched = || {
        below_each(root, &|path| {
            let file =
                fs_err::File::options().write(true).open(path).expect("a generated file can be written");
            file.file().set_modified(std::time::SystemTime::now()).expect("a file can be touched");
        });
    };
    // The touching is in neither: each is timed by itself.
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        touched();
        let began = std::time::Instant::now();
        hashed();
        let bare = began.elapsed();
        let began = std::time::Instant::now();
        select();
        ratios.push(began.elapsed().as_secs_f64() / bare.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "\n100,000 files touched: {:.2} of reading and hashing them ({ROUNDS} pairs)",
        ratios[ROUNDS / 2]
    );
}

/// One file of 1 GB, against one thread that reads and hashes it.
fn large() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("there is room for 1 GB");
    fs_err::create_dir(folder.path().join("image")).expect("a folder");
    let path = folder.path().join("image/large");
    fs_err::write(&path, vec![7; 1 << 30]).expect("there is room for 1 GB");
    let selection = Selection {
        root: "image".into(),
        ignore: None,
        reads: Reads::whole(),
        overlays: Vec::new(),
        named: Default::default(),
    };
    let cold = || {
        let state = StateFolder::at(&folder.path().join("absent"));
        let tree = DiskTree::open(folder.path(), &state).expect("the repository opens");
        assert!(tree.select(std::slice::from_ref(&selection))[0].is_ok());
    };
    let alone = || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs_err::File::open(&path).expect("it is there")).expect("it can be read");
        std::hint::black_box(hasher.finalize());
    };
    compare(
        "1 file of 1 GB",
        ROUNDS,
        vec![("one thread", Box::new(alone)), ("select, cold", Box::new(cold))],
    );
}

/// Reads every file of every image, image by image on two threads.
fn read(root: &Path) {
    below(root, &|bytes| {
        std::hint::black_box(bytes.len());
    });
}

fn below(root: &Path, with: &(dyn Fn(&[u8]) + Sync)) {
    below_each(root, &|path| with(&fs_err::read(path).expect("a generated file can be read")));
}

fn below_each(root: &Path, with: &(dyn Fn(&Path) + Sync)) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= SHAPE.images {
                        return;
                    }
                    read_below(root.join(Shape::name(number)), with);
                }
            });
        }
    });
}

fn read_below(folder: PathBuf, with: &dyn Fn(&Path)) {
    for entry in fs_err::read_dir(folder).expect("a generated folder can be listed") {
        let entry = entry.expect("a generated folder can be listed");
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            read_below(entry.path(), with);
        } else {
            with(&entry.path());
        }
    }
}
