//! What `watch` takes.

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use super::{Progress, Targets};

const MORE: &str = "\
Only files that some image uses count, with Dockerfiles, ignore files and the Imagefile: a touched file or one
that nobody copies builds nothing. What editors leave beside a file while it is edited (swap files, locks,
backups) is looked past. A build whose own files change is stopped and begun again.";

/// What `watch` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = MORE)]
pub struct WatchArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Build so many images at once [default: the number of processors]
    #[arg(short, long, value_name = "N", env = "IMK_JOBS", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// How to show progress
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW", env = "BUILDKIT_PROGRESS")]
    pub progress: Progress,
    /// Tell every cause, and which changes came
    #[arg(long, env = "IMK_TRACE", value_parser = FalseyValueParser::new())]
    pub trace: bool,
}
