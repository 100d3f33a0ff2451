//! `imk fsmonitor`: starts and ends the process that watches a repository, and says how it is.

use clap::{Args as Group, Subcommand};
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, cannot};
use crate::cli::words::quantity;
use crate::cli::{locate, monitor, out};
use crate::source::fsmonitor::{Serving, StartError, Status, request_stop, status};

const EXAMPLES: &str = "\
imk fsmonitor start       watch this repository: `imk` and `imk check` look at what changed, and at nothing else
imk fsmonitor status      whether it is watched, and how many folders
imk fsmonitor stop        look at every file again";

const MORE: &str = "\
`IMK_FSMONITOR=1` starts a monitor whenever there is none, and `fsmonitor` in config.ron does so for repositories
that you name; IMK_FSMONITOR=0 has imk look at every file though it is watched. An Imagefile starts none.

Whatever the monitor cannot vouch for is looked at as if there were none: after changes were lost, a start of the
monitor, a step of the clock, a mount, and every ten minutes.";

/// Watch the repository, so that a run with nothing to do looks at no file
#[derive(Clone, Debug, Group)]
#[command(after_help = MORE)]
#[command(after_long_help = EXAMPLES)]
pub struct FsmonitorArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub verb: FsmonitorVerb,
}

/// A subcommand of `fsmonitor`.
#[derive(Clone, Debug, Subcommand)]
pub enum FsmonitorVerb {
    /// Start the process that watches, unless there is one
    Start,
    /// End it
    Stop,
    /// Say whether the repository is watched, and how well
    Status(StatusArgs),
    /// Watch until it is ended: what `start` starts
    Run,
}

/// The arguments of `fsmonitor status`.
#[derive(Clone, Debug, Default, Group)]
pub struct StatusArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Does what the verb says.
pub fn run(global: &Global, args: &FsmonitorArgs) -> Result<(), Failure> {
    let located = locate::located(global)?;
    let place = monitor::place(&located.root)?;
    match &args.verb {
        FsmonitorVerb::Start => {
            if let Ok(Some(status)) = status(&place) {
                out::line(format_args!("`{}` is watched already, by process {}", status.root, status.pid));
                return Ok(());
            }
            // One of another version answers nothing, and gives way.
            let _ = request_stop(&place);
            monitor::start(&located.root, &place)?;
            out::line(format_args!("`{}` is watched", located.root.display()));
        }
        FsmonitorVerb::Stop => match request_stop(&place).map_err(cannot("end the file system monitor"))? {
            true => out::line(format_args!("`{}` is watched no more", located.root.display())),
            false => out::line("the repository was not watched"),
        },
        FsmonitorVerb::Status(args) => {
            let status = status(&place).map_err(cannot("ask the file system monitor"))?;
            tell(args, status, &located.root.display().to_string());
        }
        FsmonitorVerb::Run => {
            // Whoever starts it may end, and his terminal with him.
            let _ = rustix::process::setsid();
            let serving = Serving::start(&located.root, &place).map_err(refused)?;
            serving.serve().map_err(cannot("watch the repository"))?;
        }
    }
    Ok(())
}

#[derive(Serialize)]
struct Told {
    watched: bool,
    #[serde(flatten)]
    status: Option<Status>,
}

fn tell(args: &StatusArgs, status: Option<Status>, root: &str) {
    if args.json {
        return out::json(&Told { watched: status.is_some(), status });
    }
    let Some(status) = status else {
        return out::line(format_args!("`{root}` is not watched: `imk fsmonitor start`"));
    };
    let age = quantity::duration(std::time::Duration::from_secs(status.age_s));
    out::line(format_args!("`{}` is watched by process {}, for {age}", status.root, status.pid));
    out::line(format_args!(
        "{} folders, {} files, {} changes, {} questions",
        status.folders, status.files, status.changes, status.questions
    ));
    if !status.whole {
        out::line(
            "fs.inotify.max_user_watches leaves no room for all files: a write through a link that was made elsewhere \
             later is seen within ten minutes",
        );
    }
    if let Some(reset) = status.reset {
        let times = if status.resets == 1 { "once".into() } else { format!("{} times", status.resets) };
        out::line(format_args!("it began anew {times}, last because {reset}"));
    }
}

fn refused(error: StartError) -> Failure {
    match error {
        StartError::Running => Failure::error("the repository is watched already"),
        StartError::Untold => Failure::with_hint(
            "the repository is on a file system that does not tell of all its changes",
            "shares, FUSE and overlays can change elsewhere; imk looks at every file there",
        ),
        StartError::System(error) => cannot("watch the repository")(error),
    }
}
