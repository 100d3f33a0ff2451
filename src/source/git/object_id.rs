//! Ids of git's objects in words: forty hexadecimal digits, or sixty-four where a repository's ids are SHA-256.
//!
//! Knows no objects.

use git2::{ObjectFormat, Oid};

/// As many digits as an id has that is no SHA-256.
const SHORT: usize = 40;

/// The kind that a whole id is of.
pub(super) fn format_of(id: &str) -> ObjectFormat {
    if id.len() > SHORT { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 }
}

/// An id that is written out.
///
/// # Errors
/// When it is none.
pub(super) fn parse(id: &str) -> Result<Oid, git2::Error> {
    Oid::from_str_ext(id, format_of(id))
}
