//! `imk run`: brings an image up to date and runs it, as its profile says.

mod job;
mod options;
mod start;
mod target;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use crate::cli::args::Global;
use crate::cli::failure::{Exit, Failure, cannot};
use crate::cli::{attached, out};
use crate::containers::log;
use crate::engine::Cancel;
use crate::session::open::Session;
use crate::syntax::container::words;
use job::{Job, Overlap};
use options::Options;
use target::Which;

const EXAMPLES: &str = "\
imk run app                        bring app up to date and run it, as its profile says
imk run app ls -l /                with a command of one's own
imk run -e MODE=test -v ./data:/data app
imk run --latest app               the newest that its registry has by time tag, as it is
imk run --no-build app             what was built last, stale or not
imk run registry.example/tool:1.2  an image of no repository";

/// Bring an image up to date and run it
#[derive(Clone, Debug, Default, Group)]
#[command(override_usage = "imk run [OPTIONS] IMAGE [COMMAND]...")]
#[command(after_help = "\
Flags stand before IMAGE and are docker's; all behind IMAGE is the command's. Flags of imk itself that docker has not, \
such as -C and -f, stand before IMAGE as well. The container is removed when it ends (--no-rm: not), has an init, our input, and \
a terminal when both input and output are one. Exit status: the command's; 2 when imk could not run it, 126 and 127 when \
the container could not.")]
#[command(after_long_help = EXAMPLES)]
pub struct RunArgs {
    /// Build nothing: run what was built last, stale or not
    #[arg(long, env = "IMK_NO_BUILD", conflicts_with_all = ["local", "latest"], value_parser = FalseyValueParser::new())]
    pub no_build: bool,
    /// Build nothing: run the newest here by its time tag, and ask no registry
    #[arg(long, env = "IMK_LOCAL", conflicts_with = "latest", value_parser = FalseyValueParser::new())]
    pub local: bool,
    /// Build nothing: run the newest of the registry by its time tag, which is pulled if it is not here
    #[arg(long, env = "IMK_LATEST", value_parser = FalseyValueParser::new())]
    pub latest: bool,
    /// The flags of docker run.
    #[command(flatten)]
    pub options: Options,
    /// For cron: say nothing when all is well, and everything when not; skip what runs already (--overlap)
    #[arg(long, env = "IMK_CRON", conflicts_with = "detach", value_parser = FalseyValueParser::new())]
    pub cron: bool,
    /// When the same command of the image runs already [default: allow; skip with --cron]
    #[arg(long, value_enum, value_name = "HOW", env = "IMK_OVERLAP", conflicts_with = "detach")]
    pub overlap: Option<Overlap>,
    /// End it when it takes longer, such as 1h; its status is 124 then
    #[arg(long, value_name = "PERIOD", env = "IMK_TIME_LIMIT", conflicts_with = "detach")]
    pub time_limit: Option<String>,
    /// The image, and the command with all its arguments
    #[arg(value_name = "IMAGE", required = true, num_args = 1.., trailing_var_arg = true)]
    pub words: Vec<OsString>,
}

pub fn run(global: &Global, args: &RunArgs) -> Result<(), Failure> {
    let words: Vec<String> = args.words.iter().map(text).collect::<Result<_, _>>()?;
    let Some((image, typed)) = words.split_first() else {
        return Err(Failure::error("imk run needs an image"));
    };
    let which = match (args.no_build, args.local, args.latest) {
        (true, _, _) => Which::Last,
        (_, true, _) => Which::Newest { registry: false },
        (_, _, true) => Which::Newest { registry: true },
        _ => Which::UpToDate,
    };
    if args.cron {
        out::hold_back();
    }
    let done = prepared(global, args, image, typed, which);
    let is_well = done.is_ok();
    if args.cron {
        out::release(!is_well);
    }
    done
}

fn prepared(
    global: &Global,
    args: &RunArgs,
    image: &str,
    typed: &[String],
    which: Which,
) -> Result<(), Failure> {
    let cancel = Cancel::default();
    let heard = attached::hear(&cancel).map_err(cannot("listen for signals"))?;
    let target = target::find(global, image, which, &cancel)?;
    if cancel.is_cancelled() {
        return Err(Failure::silent(Exit::Interrupted));
    }
    let overlap = args.overlap.unwrap_or(if args.cron { Overlap::Skip } else { Overlap::Allow });
    let limit = args.time_limit.as_deref().map(words::period).transpose().map_err(Failure::error)?;
    start::start(global, &args.options, &target, typed, (heard, Job { overlap, limit, cancel }))
}

fn text(word: &OsString) -> Result<String, Failure> {
    let text = word.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        Failure::error(format!("`{}` is not UTF-8, and the engine takes nothing else", word.display()))
    })
}

/// The folder of an image's logs.
pub fn log_folder(session: &Session, image: &str) -> Result<PathBuf, Failure> {
    start::log_folder(session, image)
}

/// The logs in a folder, by name.
pub fn logs_of(folder: &Path) -> Result<Vec<String>, Failure> {
    log::logs(folder).map_err(cannot("read the folder of logs"))
}
