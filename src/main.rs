//! Runs the command line and turns the result into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(imk::cli::main())
}
