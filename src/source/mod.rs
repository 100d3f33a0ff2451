//! The door: the only floor that opens files of the repository. Knows no engine and no query.

pub mod discover;
pub mod disk;
pub mod locate;
pub mod tree;
