//! Fixtures are read as they are written.

use super::*;

#[test]
fn a_fixture_is_read_and_edited() {
    let mut tree = MemoryTree::new("//- a/run.sh mode=755\necho\n//- a/new link=run.sh\n//- b/c/\n");
    assert_eq!(tree.read("a/new").unwrap().unwrap(), b"echo\n");
    assert!(tree.is_folder("b/c").unwrap());
    tree.rename("a", "z/a");
    assert_eq!(tree.read("a/run.sh").unwrap(), None);
    assert_eq!(tree.nodes[&Key("z/a/run.sh".into())].mode, 0o755);
    tree.remove("z");
    assert!(!tree.is_folder("z/a").unwrap());
    assert!(tree.is_folder("").unwrap());
}

#[test]
#[should_panic(expected = "neither mode=")]
fn a_bad_heading_is_a_mistake_in_the_test() {
    MemoryTree::new("//- a colour=red\n");
}
