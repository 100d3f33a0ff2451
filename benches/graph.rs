//! 1,000 Dockerfiles: parsed and put in order, and the salsa database saved and loaded.
//!
//!     cargo bench --bench graph

mod common;

use std::path::Path;
use std::sync::Arc;

use common::library;
use common::repository::Shape;
use common::round::{compare, size};
use imk::engine::FakeEngine;
use imk::session::open::{STATE, Session};
use imk::session::sync;
use imk::source::locate::Located;
use imk::source::memory::MemoryTree;

const SHAPE: Shape = Shape { images: 1000, files: 1, declared: false };
const ROUNDS: usize = 25;

fn main() {
    let mut tree = MemoryTree::new("");
    for number in 0..SHAPE.images {
        tree.write(&format!("{}/Dockerfile", Shape::name(number)), SHAPE.dockerfile(number));
    }
    let tree = Arc::new(tree);
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let [known, fresh] = ["known", "fresh"].map(|name| folder.path().join(name));
    order_and_save(&known, &tree);
    let load = || {
        let mut session = open(&known, &tree);
        order(&mut session);
        assert!(!session.db().computed_anything(), "all of it was remembered");
    };
    compare(
        "1,000 images",
        ROUNDS,
        vec![
            ("parse and order", Box::new(|| order(&mut open(&fresh, &tree)))),
            ("load and order", Box::new(load)),
            ("parse, order and save", Box::new(|| order_and_save(&folder.path().join("saved"), &tree))),
        ],
    );
    println!("  the snapshot holds {:.2} MB", size(&known));
}

fn open(root: &Path, tree: &Arc<MemoryTree>) -> Session {
    let located = Located { root: root.to_owned(), imagefile: None };
    library::open(located, Arc::clone(tree) as _, &Arc::new(FakeEngine::new()), false, || {
        Ok((0..SHAPE.images).map(|number| format!("{}/Dockerfile", Shape::name(number))).collect())
    })
}

fn order(session: &mut Session) {
    let order = sync::order(session, &[]).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(order.names.len(), SHAPE.images);
}

fn order_and_save(root: &Path, tree: &Arc<MemoryTree>) {
    let _ = fs_err::remove_dir_all(root.join(STATE));
    let mut session = open(root, tree);
    order(&mut session);
    session.save().expect("the state is writable");
}
