//! The variables that words are filled in with, and the mistakes found on the way.

use std::collections::BTreeMap;

use crate::syntax::error::SyntaxError;

/// The variables of a file. Each part of an image is read by an `impl` in a file of its own.
pub(super) struct Scope<'a> {
    pub vars: BTreeMap<String, String>,
    pub errors: &'a mut Vec<SyntaxError>,
}
