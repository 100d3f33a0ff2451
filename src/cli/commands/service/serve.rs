//! `imk serve`: the service on this machine, and what belongs to it: its secrets, the keys of its file.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as Group, Subcommand};
use jiff::Timestamp;

use super::asking::{self, AskArgs, Asking};
use super::listener::{Secured, listener, tls};
use super::options::{Read, ServiceArgs};
use super::seen;
use crate::cli::args::Global;
use crate::cli::commands::make::build;
use crate::cli::failure::{Failure, cannot};
use crate::cli::out;
use crate::service::address::Address;
use crate::service::orphans;
use crate::service::run::Service;
use crate::service::secrets::Secrets;
use crate::service::token::Token;
use crate::syntax::container::words::period;
use crate::syntax::serve::names::RepositoryName;
use crate::syntax::serve::{Settings, keys};

/// Repositories that are named at the start; of others there is a number.
const NAMED: usize = 10;

const EXAMPLES: &str = "\
imk serve                                        look at the repositories of serve.ron, listen, build what is out of date
imk serve --config /etc/imk/serve.ron            by this file
imk serve check                                  read the file and say what it means, and begin nothing
imk serve secret team/images                     the secret and the address for the forge's hook
imk serve jobs --only dead                       jobs that were given up; imk serve retry JOB does one again
imk serve build team/images                      build now; imk serve log JOB --follow shows how
imk serve --queue redis://10.0.0.5               jobs for workers on several machines: see imk worker";

/// Keep repositories fresh: poll, listen, queue, build, tell
///
/// Looks at every repository of serve.ron again and again, hears the hooks of forges and registries, keeps schedules, and has
/// jobs done one at a time of a repository: check, build, test, publish. Without a file it starts on loopback and says what
/// to do next. SIGTERM lets running jobs end; the queue is a file, and goes on where it was.
#[derive(Clone, Debug, Group)]
#[command(after_long_help = EXAMPLES, args_conflicts_with_subcommands = false)]
pub struct ServeArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub verb: Option<ServeVerb>,
    /// Where and by what.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Listen here [default: 127.0.0.1:8737]; `systemd` for a socket that is handed over
    #[arg(long, value_name = "ADDRESS", env = "IMK_SERVE_LISTEN", global = true)]
    pub listen: Option<String>,
}

/// A subcommand of `serve`.
#[derive(Clone, Debug, Subcommand)]
pub enum ServeVerb {
    /// Show the secret and the address that a forge's hook is given
    Secret(SecretArgs),
    /// List jobs, the newest first: what runs, what waits, how others ended
    Jobs(seen::JobsArgs),
    /// Print the log of a job; with --follow until it has ended, and fail when it did
    Log(seen::LogArgs),
    /// Have the work of a job done again
    Retry(seen::RetryArgs),
    /// Have a repository looked at and built now, whether it moved or not
    Build(seen::BuildArgs),
    /// Print the token that the page and programs show to act
    Token,
    /// Read serve.ron and say what it means
    Check,
    /// Explain every key of serve.ron
    Keys,
}

/// The arguments of `serve secret`.
#[derive(Clone, Debug, Group)]
pub struct SecretArgs {
    /// The repository's name in serve.ron
    #[arg(value_name = "REPOSITORY")]
    pub repository: String,
    /// Make a new one; the old one counts for so long still [default: 24h]
    #[arg(long, value_name = "PERIOD", num_args = 0..=1, default_missing_value = "24h")]
    pub rotate: Option<String>,
}

/// Serves, or does what the subcommand says.
///
/// # Errors
/// When something is wrong with the file, the folder, the queue or the address.
pub fn run(global: &Global, args: &ServeArgs) -> Result<(), Failure> {
    match &args.verb {
        None => serve(global, args),
        Some(ServeVerb::Secret(secret)) => self::secret(&args.service.read()?, args, secret),
        Some(ServeVerb::Jobs(jobs)) => seen::jobs(&asking(args, &jobs.ask)?, jobs),
        Some(ServeVerb::Log(log)) => seen::log(&asking(args, &log.ask)?, log),
        Some(ServeVerb::Retry(retry)) => seen::retry(&asking(args, &retry.ask)?, retry),
        Some(ServeVerb::Build(build)) => seen::build(&asking(args, &build.ask)?, build),
        Some(ServeVerb::Token) => asking::token(&args.service.read()?),
        Some(ServeVerb::Check) => check(&args.service.read()?),
        Some(ServeVerb::Keys) => {
            keys();
            Ok(())
        }
    }
}

/// The service that is asked.
fn asking(args: &ServeArgs, ask: &AskArgs) -> Result<Asking, Failure> {
    Asking::of(ask, args.service.read()?, args.listen.as_deref())
}

fn serve(global: &Global, args: &ServeArgs) -> Result<(), Failure> {
    let read = args.service.read()?;
    let (file, state) = (read.file.clone(), read.state.clone());
    let marked = state.clone();
    let cancel = build::cancel_on_signals(move || {
        orphans::end(&marked);
    })?;
    let settings = read.settings.clone();
    let secured = settings.tls.as_ref().map(|files| tls(files, &read.logins)).transpose()?;
    let listen = args.listen.clone().unwrap_or_else(|| settings.listen.clone());
    let listener = listener(&listen)?;
    let service =
        Service::open(args.service.options(global, read, &cancel)?, true).map_err(Failure::error)?;
    // Token and secrets are there before anybody asks for them.
    Token::open(&state).map_err(cannot("make the service's token"))?;
    for name in settings.repositories.keys() {
        Secrets::at(&state)
            .of(name.as_str(), Timestamp::now())
            .map_err(cannot("make the secrets of hooks"))?;
    }
    let at = listener.local_addr().map_err(cannot("listen"))?;
    let (acceptor, certificate) = match secured {
        Some(Secured { acceptor, certificate }) => (Some(acceptor), Some(certificate)),
        None => (None, None),
    };
    // Whoever has the folder finds the service by this.
    let scheme = if acceptor.is_some() { "https" } else { "http" };
    if let Some(address) = Address::listened(&at.to_string(), acceptor.is_some(), certificate) {
        address.write(&state).map_err(cannot("write down where the service listens"))?;
    }
    out::note(format_args!("listening at {scheme}://{at}, state in `{}`", state.display()));
    begin_with(&settings, file.as_ref(), at.ip().is_loopback() || acceptor.is_some());
    service.serve(listener, acceptor).map_err(cannot("serve"))
}

/// Says what is kept fresh, or what to do when nothing is.
fn begin_with(settings: &Settings, file: Option<&PathBuf>, is_private: bool) {
    if !is_private {
        out::warning(
            "it speaks plain HTTP to other machines: set `tls`, or listen on loopback behind a proxy",
        );
    }
    let names: Vec<&str> = settings.repositories.keys().map(RepositoryName::as_str).collect();
    match (names.as_slice(), file) {
        ([], Some(file)) => {
            out::note(format_args!("`{}` names no repository: add some to `repositories`", file.display()));
        }
        ([], None) => {
            out::note("there is no serve.ron here, so nothing is kept fresh yet. Next: write one such as");
            out::note(
                "    (repositories: {\"team/images\": (url: \"https://git.example.com/team/images.git\")})",
            );
            out::note(
                "and start again; `imk serve keys` explains every key, `imk serve secret NAME` is for its hook",
            );
        }
        (names, _) => {
            let more = match names.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let named = names[..names.len().min(NAMED)].join(", ");
            out::note(format_args!("keeps fresh: {named}{more}"));
        }
    }
    if settings.workers == 0 && settings.queue.is_none() {
        out::warning("`workers` is 0 and there is no `queue` for others: nobody does the jobs");
    }
}

fn secret(read: &Read, args: &ServeArgs, secret: &SecretArgs) -> Result<(), Failure> {
    let name = RepositoryName::new(&secret.repository).map_err(Failure::error)?;
    if !read.settings.repositories.contains_key(&name) {
        let known: Vec<&str> = read.settings.repositories.keys().map(RepositoryName::as_str).collect();
        let hint = match known.as_slice() {
            [] => "serve.ron names no repository; --config names the file".to_owned(),
            known => format!("there are: {}", known.join(", ")),
        };
        return Err(Failure::with_hint(format!("serve.ron has no repository `{name}`"), hint));
    }
    let secrets = Secrets::at(&read.state);
    let now = Timestamp::now();
    let pair = match &secret.rotate {
        Some(overlap) => {
            let overlap = period(overlap).map_err(Failure::error)?;
            secrets.rotate(name.as_str(), Duration::from_millis(overlap), now)
        }
        None => secrets.of(name.as_str(), now),
    };
    let pair = pair.map_err(cannot("read the secrets of hooks"))?;
    let listen = args.listen.as_ref().unwrap_or(&read.settings.listen);
    let base = read.settings.public_url.clone().unwrap_or_else(|| format!("http://{listen}"));
    if let Some(hook) = pair.hook.first() {
        out::line(format_args!("address:  {base}/hook/{name}"));
        out::line(format_args!("secret:   {}", hook.shown()));
        out::line("content:  application/json, events: pushes");
    }
    if let Some(path) = pair.path.first() {
        out::line(format_args!("registry: {base}/registry/{}/{name}", path.shown()));
    }
    if pair.hook.len() > 1 {
        out::note("an older secret counts for a while still: give the forge the new one");
    }
    if read.settings.public_url.is_none() {
        out::note("`public_url` in serve.ron says under which address a forge reaches this");
    }
    Ok(())
}

fn check(read: &Read) -> Result<(), Failure> {
    let Some(file) = &read.file else {
        return Err(Failure::with_hint("there is no serve.ron here", "--config names the file"));
    };
    let settings = &read.settings;
    out::line(format_args!("file:       {}", file.display()));
    out::line(format_args!("state:      {}", read.state.display()));
    out::line(format_args!("listen:     {}", settings.listen));
    let queue = if settings.queue.is_some() { "Redis" } else { "a file in the state" };
    out::line(format_args!("queue:      {queue}, {} at once here", settings.workers));
    for (name, repository) in &settings.repositories {
        let branches: Vec<&str> = repository.branches.iter().map(|filter| filter.as_str()).collect();
        let branches =
            if branches.is_empty() { "the repository's own branch".to_owned() } else { branches.join(", ") };
        let poll = match repository.poll {
            None => "never".to_owned(),
            Some(every) => format!("every {}s", every.as_secs()),
        };
        let does = format!("{:?}", repository.does).to_lowercase();
        out::line(format_args!("{name}: {does} {branches}, looked at {poll}"));
        for schedule in &repository.schedule {
            let next = crate::service::schedule::next(schedule, crate::model::time::UnixSeconds::now());
            let next = next.map_or_else(|| "never".to_owned(), |next| next.timestamp().to_string());
            out::line(format_args!("{name}: \"{} {}\", next {next}", schedule.cron, schedule.zone));
        }
        read.logins.for_git(settings, repository).map_err(|why| Failure::error(format!("{name}: {why}")))?;
        read.logins
            .for_steps(settings, repository)
            .map_err(|why| Failure::error(format!("{name}: {why}")))?;
    }
    if let Some(files) = &settings.tls {
        tls(files, &read.logins)?;
    }
    for (name, notifier) in &settings.notify {
        read.logins.text(&notifier.url).map_err(|why| Failure::error(format!("notify {name}: {why}")))?;
    }
    Ok(())
}

fn keys() {
    let parts: [(&str, &[(&str, &str)]); 6] = [
        ("serve.ron", keys::SERVE_KEYS),
        ("one of `repositories`", keys::REPOSITORY_KEYS),
        ("one of `credentials`", keys::CREDENTIAL_KEYS),
        ("`jenkins` of one of `credentials`", keys::JENKINS_KEYS),
        ("`logs`", keys::LOG_KEYS),
        ("`tls`", keys::TLS_KEYS),
    ];
    for (at, (part, keys)) in parts.iter().enumerate() {
        if at > 0 {
            out::line("");
        }
        out::line(format_args!("{part}:"));
        for (key, meaning) in *keys {
            out::line(format_args!("  {key:<14}{meaning}"));
        }
    }
}
