//! What was typed for the verbs that list and manage: `list`, `clean`, `gc` and `doctor`.

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use super::Targets;

const DOCTOR: &str = "\
Exit status: 0 when nothing fails, 2 when something does.";

/// What `list` takes.
#[derive(Clone, Debug, Default, Group)]
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
