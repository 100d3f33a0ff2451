//! The reading: text in, values out. Opens no file and asks no engine.

pub mod error;
pub mod imagefile;
pub mod reads;
pub mod suggest;
