//! A program to be confined, and its view: values only.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The part of the machine's files that a program sees, beside those of the system.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Folders and files that it may read.
    pub readable: Vec<PathBuf>,
    /// Folders and files that it may change.
    pub writable: Vec<PathBuf>,
    /// Folders and files that are not to be seen, though a folder above them is.
    pub hidden: Vec<PathBuf>,
}

/// A program, and its view.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Confined {
    /// An empty folder, on which the view is laid out.
    pub at: PathBuf,
    /// Its view.
    pub view: View,
    /// The program and its arguments. Without any, the walls are tried and nothing is started.
    pub words: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The folder that it begins in, which it must see.
    pub folder: PathBuf,
}

/// An error with the attempt before it.
pub(super) fn during(what: &str) -> impl FnOnce(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}
