//! What was typed for the verbs that list and manage: `list`, `clean`, `gc` and `doctor`.

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use super::Targets;

const LIST: &str = "\
Examples:
  imk list              every image: how it stands, what it is called, how big it is
  imk list +web         web and all it is built on
  imk list -q 'svc-*'   names only, a line each
  imk list --json       for scripts; times are absolute there";

const CLEAN: &str = "\
Examples:
  imk clean             remove .imk/: what imk knows; nothing is lost but time
  imk clean -n          only say what would go, and how big it is
  imk clean web         what is kept of web
  imk clean web --images   and the images of web that imk built here";

const GC: &str = "\
Examples:
  imk gc -n             say what nothing needs any more, how big it is, and why
  imk gc                remove it
  imk gc --keep 0       keep no past builds beside what is current
  imk gc --published    let go of current results too that a registry has";

const DOCTOR: &str = "\
Examples:
  imk doctor            engine, registries, clocks, state: a line each, and what to do
  imk doctor --json     for bug reports; it holds no secret

Exit status: 0 when nothing fails, 2 when something does.";

/// What `list` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = LIST)]
pub struct ListArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Names only, a line each; asks nobody
    #[arg(short = 'q', long, conflicts_with = "json")]
    pub names: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

/// What `clean` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = CLEAN)]
pub struct CleanArgs {
    /// Which images; with none all of imk's state goes.
    #[command(flatten)]
    pub targets: Targets,
    /// Remove the images too that imk built here; what others named or use stays
    #[arg(long)]
    pub images: bool,
    /// Only say what would go
    #[arg(short = 'n', long, env = "IMK_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
}

/// What `gc` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = GC)]
pub struct GcArgs {
    /// How many past builds of each image stay
    #[arg(long, value_name = "N", default_value = "3")]
    pub keep: usize,
    /// Let go of current results too that their registry has; the next run that needs one fetches it
    #[arg(long)]
    pub published: bool,
    /// Only say what would go, and why
    #[arg(short = 'n', long, env = "IMK_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

/// What `doctor` takes.
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = DOCTOR)]
pub struct DoctorArgs {
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}
