//! A suite of receipts against the build in which nothing changed: what it costs to say that all was tested.
//!
//!     cargo bench --bench receipts                  100 images with a test each
//!     cargo bench --bench receipts -- IMAGES        so many
//!
//! Needs an engine. The images are built and tested once, under `imk-bench/`; the repository is kept in
//! `target/tmp`, so that only the first run is slow. What must hold: a suite of 100 images takes at most 1.1 times
//! the no-op.

mod common;

use std::path::Path;
use std::process::Command;

use common::repository::Shape;
use common::round::{Candidate, compare, run};

const IMK: &str = env!("CARGO_BIN_EXE_imk");
const ROUNDS: usize = 15;
/// Files of an image.
const FILES: usize = 100;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let images = words.first().map_or(100, |word| word.parse().expect("a number of images"));
    let shape = Shape { images, files: FILES, declared: true };
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("receipts-{images}"));
    shape.write(&root).expect("the repository is written");
    let mut imagefile = "(\n    prefix: \"imk-bench/receipts/\",\n    images: {\n".to_owned();
    for number in 0..images {
        let name = Shape::name(number);
        let test = "(steps: [Image(size_below: \"1g\")])";
        imagefile += &format!("        {name:?}: (tests: {{\"size\": {test}}}),\n");
    }
    fs_err::write(root.join("Imagefile.ron"), imagefile + "    },\n)\n").expect("the Imagefile is written");
    let imk = |verb: &'static str| {
        let mut command = Command::new(IMK);
        command.arg("-C").arg(&root).args((!verb.is_empty()).then_some(verb));
        command
    };
    run(&mut imk("test"));
    let candidates: Vec<Candidate<'_>> = vec![
        ("imk, nothing to do", Box::new(|| run(&mut imk("build")))),
        ("imk test, all receipts", Box::new(|| run(&mut imk("test")))),
    ];
    compare(&format!("{images} images of {FILES} files with a test each"), ROUNDS, candidates);
}
