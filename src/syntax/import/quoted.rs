//! A text between quotes, as RON has it. Knows no key of an Imagefile.

/// A text as RON has it.
pub(super) fn quoted(text: &str) -> String {
    // RON writes a text as its own crate does; a text can always be written.
    ron::to_string(text).unwrap_or_else(|_| format!("{text:?}"))
}
