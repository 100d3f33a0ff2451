//! `imk worker`: does jobs of a server on another machine, with this machine's engine.

use clap::Args as Group;

use super::options::ServiceArgs;
use crate::cli::args::Global;
use crate::cli::commands::make::build;
use crate::cli::failure::Failure;
use crate::cli::out;
use crate::service::orphans;
use crate::service::run::Service;

const EXAMPLES: &str = "\
imk worker --queue redis://10.0.0.5 --config serve.ron --labels jdk8+gpu
imk worker --queue redis://10.0.0.5 --workers 4      four at once";

/// Do jobs of a service on this machine: `imk serve --queue redis://…` has them
///
/// Takes those of which it has all labels, fetches their commits itself, and builds with this machine's engine. It reads the
/// same serve.ron as the server, with the logins of this machine. A job whose worker dies is done by another. SIGTERM lets
/// running jobs end.
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct WorkerArgs {
    /// Where and by what.
    #[command(flatten)]
    pub service: ServiceArgs,
}

/// Works until it is asked to end.
///
/// # Errors
/// When something is wrong with the file, the folder or the queue.
pub fn run(global: &Global, args: &WorkerArgs) -> Result<(), Failure> {
    let mut read = args.service.read()?;
    if read.settings.queue.is_none() {
        return Err(Failure::with_hint(
            "a worker takes its jobs from a Redis, and none is named",
            "--queue redis://HOST:PORT, or `queue` in serve.ron: the same as the server's",
        ));
    }
    if read.settings.repositories.is_empty() {
        return Err(Failure::with_hint(
            "no repository is known here",
            "--config names the serve.ron of the server, which says where repositories are and what is done",
        ));
    }
    read.settings.workers = read.settings.workers.max(1);
    let marked = read.state.clone();
    let cancel = build::cancel_on_signals(move || {
        orphans::end(&marked);
    })?;
    let (workers, state) = (read.settings.workers, read.state.clone());
    let service =
        Service::open(args.service.options(global, read, &cancel)?, false).map_err(Failure::error)?;
    let labels: Vec<&str> = service.shared().settings.labels.iter().map(|label| label.as_str()).collect();
    let labels = if labels.is_empty() { "no labels".to_owned() } else { labels.join("+") };
    out::note(format_args!("takes jobs, {workers} at once, with {labels}; state in `{}`", state.display()));
    service.work();
    Ok(())
}
