//! Verbs about the Imagefile itself: one is written, laid out, or told of key by key.

pub mod fmt;
pub mod import;
pub mod init;
pub mod keys;
pub mod schema;
