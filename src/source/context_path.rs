//! The path of a file among all that an image reads: `PATH` in its context, `NAME//PATH` in a named one.
//!
//! No path below a context has `//` in it.

/// Stands between the name of a context and a path in it.
pub const MARK: &str = "//";

/// The named context that a path of an image's files lies in, if any, and the path in it.
pub fn place(path: &str) -> (Option<&str>, &str) {
    match path.split_once(MARK) {
        Some((name, rest)) => (Some(name), rest),
        None => (None, path),
    }
}
