//! Standard output: results, in the order they are known.

use std::fmt::Display;
use std::io::{ErrorKind, Write};

/// Writes a line. A reader that has seen enough (`imk graph | head -1`) ends
/// the program quietly, as it ends any other in a pipe.
pub fn line(text: impl Display) {
    block(format_args!("{text}\n"));
}

/// Writes text that has its own line ends.
pub fn block(text: impl Display) {
    let mut out = anstream::stdout().lock();
    let written = write!(out, "{text}").and_then(|()| out.flush());
    if let Err(error) = written {
        let status = if error.kind() == ErrorKind::BrokenPipe { 0 } else { 2 };
        std::process::exit(status);
    }
}
