//! The first look at 100,000 files: read and hashed for their images, against reading them and nothing else.
//!
//!     cargo bench --bench hash

mod common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::repository::Shape;
use common::round::compare;
use imk::source::disk::DiskTree;
use imk::source::tree::{Selection, SourceTree};
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
        let tree = DiskTree::open(&root, &imk::state::folder::StateFolder::at(&root.join(".imk")))
            .expect("the repository opens");
        let answers = tree.select(&selections);
        let files: u64 = answers.iter().map(|answer| answer.as_ref().expect("all can be read").count).sum();
        assert!(files >= (SHAPE.images * SHAPE.files) as u64, "{files} files");
    };
    compare(
        "100,000 files of 1 KB, no cache",
        ROUNDS,
        vec![("read, two threads", Box::new(|| read(&root))), ("select, cold", Box::new(cold))],
    );
}

/// Reads every file of every image, image by image on two threads.
fn read(root: &Path) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= SHAPE.images {
                        return;
                    }
                    read_below(root.join(Shape::name(number)));
                }
            });
        }
    });
}

fn read_below(folder: PathBuf) {
    for entry in fs_err::read_dir(folder).expect("a generated folder can be listed") {
        let entry = entry.expect("a generated folder can be listed");
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            read_below(entry.path());
        } else {
            std::hint::black_box(fs_err::read(entry.path()).expect("a generated file can be read"));
        }
    }
}
