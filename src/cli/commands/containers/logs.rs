//! `imk logs`: what commands of an image wrote that keep a log.

use std::io::ErrorKind;
use std::time::Duration;

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use super::run::{log_folder, logs_of};
use crate::cli::args::Global;
use crate::cli::failure::{Failure, cannot};
use crate::cli::{open, out};
use crate::containers::log;
use crate::containers::prepare::escaped;
use crate::engine::Cancel;
use crate::session::open::Session;
use crate::session::removed_images::log_name;
use crate::syntax::suggest::did_you_mean;

/// How often a followed log is looked at.
const LOOK: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
imk logs app                     which commands of app have a log; the last build's, where none has
imk logs app pipeline-load.sh    the whole log of one
imk logs app pipeline-load.sh --follow   as it is written";

/// Show the logs of an image's commands
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct LogsArgs {
    /// The image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The command, or the script that it ran
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
    /// Go on with what is added, until Ctrl-C
    #[arg(long, env = "IMK_FOLLOW", value_parser = FalseyValueParser::new())]
    pub follow: bool,
}

pub fn run(global: &Global, args: &LogsArgs) -> Result<(), Failure> {
    let session = open::session(global, false, &Cancel::default())?;
    let folder = log_folder(&session, &args.image)?;
    let names = logs_of(&folder)?;
    let Some(command) = &args.command else {
        if names.is_empty() {
            last_build(&session, &args.image);
        }
        names.iter().for_each(out::line);
        return Ok(());
    };
    let wanted = escaped(command);
    let ends = |name: &&String| **name == wanted || name.ends_with(&format!("-{wanted}"));
    let found: Vec<&String> = names.iter().filter(ends).collect();
    let [name] = found.as_slice() else {
        let hint = did_you_mean(command, names.iter().map(String::as_str));
        let hint = hint.unwrap_or_else(|| format!("`imk logs {}` shows those there are", args.image));
        return Err(Failure::with_hint(
            format!("no one log of `{}` is meant by `{command}`", args.image),
            hint,
        ));
    };
    let goes_on = || {
        if args.follow && !out::is_gone() {
            std::thread::sleep(LOOK);
        }
        args.follow && !out::is_gone()
    };
    match log::follow(&folder.join(name.as_str()), out::bytes, goes_on) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        shown => shown.map_err(cannot("read the log")),
    }
}

/// Where no command of an image keeps a log, what its last build said is all there is.
fn last_build(session: &Session, image: &str) {
    match session.state().read(&log_name(image)) {
        Some(log) => {
            out::note(format_args!("note: no command of `{image}` has a log; its last build said this"));
            out::bytes(&log);
        }
        None => out::note(format_args!(
            "note: no command of `{image}` has a log, and none is kept of a build of it here"
        )),
    }
}
