//! `imk push`: as `imk build --push`.

use clap::Args as Group;

use crate::cli::args::Global;
use crate::cli::commands::make::build::{self, BuildArgs};
use crate::cli::failure::Failure;
use crate::model::name;

const EXAMPLES: &str = "\
imk push                         build what is out of date, and publish everything
imk push api                     api with its tags, and what it is built on by its key
imk push -t 1.2 api              api as 1.2 and under no other tag
imk push -k                      go on after a failure";

/// Build what is out of date and publish the targets, with their tags
///
/// Each image is published as soon as it is built. `imk publish` moves the tags of all at once, or none.
#[derive(Clone, Debug, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct PushArgs {
    /// The arguments of `build`.
    #[command(flatten)]
    pub build: BuildArgs,
    /// Give the targets this tag and none that they declare; may be repeated
    #[arg(short, long = "tag", value_name = "TAG", value_parser = tag)]
    pub tags: Vec<String>,
}

/// A tag alone: the name before it is the image's.
fn tag(text: &str) -> Result<String, String> {
    match name::check_tag(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(_) if text.contains(['/', ':']) => {
            Err("it is the tag alone, such as 1.2; the name comes from the image and `prefix`".into())
        }
        Err(why) => Err(why.to_string()),
    }
}

pub fn run(global: &Global, args: &PushArgs) -> Result<(), Failure> {
    let global = Global { tags: args.tags.clone(), ..global.clone() };
    build::run(&global, &BuildArgs { push: true, ..args.build.clone() })
}
