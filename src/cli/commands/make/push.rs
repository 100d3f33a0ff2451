//! `imk push`: as `imk build --push`.

use clap::Args as Group;

use crate::cli::args::Global;
use crate::cli::commands::make::build::{self, BuildArgs};
use crate::cli::failure::Failure;

const EXAMPLES: &str = "\
imk push                         build what is out of date, and publish everything
imk push api                     api with its tags, and what it is built on by its key
imk push -k                      go on after a failure";

/// Build what is out of date and publish the targets, with their tags
#[derive(Clone, Debug, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct PushArgs {
    /// The arguments of `build`.
    #[command(flatten)]
    pub build: BuildArgs,
}

pub fn run(global: &Global, args: &PushArgs) -> Result<(), Failure> {
    build::run(global, &BuildArgs { push: true, ..args.build.clone() })
}
