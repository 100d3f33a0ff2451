//! Readers: text in, values out. Opens no file and asks no engine.

pub mod braces;
pub mod container;
pub mod dockerfile;
pub mod dockerignore;
pub mod error;
pub mod expand;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub mod git_source;
pub mod glob;
pub mod imagefile;
pub mod import;
pub mod integration;
pub mod layout_source;
pub mod lockfile;
pub mod merge_marks;
pub mod named_images;
pub mod on_publish;
pub mod patterns;
pub mod reads;
pub mod reference;
pub mod resolve;
pub mod serve;
mod shell_pattern;
pub mod suggest;
pub mod tag;
mod text;
pub mod user_config;
pub(crate) mod yaml;
