//! `imk` and `imk build`: builds what is out of date.

pub mod outcome;
mod reporter;

use std::sync::Arc;
use std::time::Instant;

use clap::Args as Group;
use clap::builder::FalseyValueParser;
use outcome::{Sum, summed_up, verdict};
use reporter::{is_passing, reporter};

use crate::build::jobserver::{Jobserver, Makeflags};
use crate::build::room::Room;
use crate::build::run::{self, BuildOptions, Ending, Event, Summary};
use crate::cli::args::{self, Global, Targets};
use crate::cli::commands::make::plan::{self, PlanArgs};
use crate::cli::failure::{Exit, Failure, cannot};
use crate::cli::progress::failures::Dockerfiles;
use crate::cli::progress::{self, Progress};
use crate::cli::records::{self, RecordArgs};
use crate::cli::remarks::Remarks;
use crate::cli::{engines, open, out, synced};
use crate::engine::{Caches, Cancel, EngineError};
use crate::model::layer_cache::LayerCache;
use crate::model::name::{declared, platform_of};
use crate::plan::tags::tagging;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::syntax::imagefile::{self, CacheSource, CacheTarget};

const EXAMPLES: &str = "\
imk build                         build everything that is out of date; `imk` alone does the same
imk build api 'svc-*'             these images, with what they are built on
imk build -k -j 8                 eight at once, going on after a failure
imk build --metadata-file m.json  and leave word of the results";

/// Build what is out of date (the default)
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct BuildArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Build so many images at once [default: 8 or more, while processors are idle]
    #[arg(short, long, value_name = "N", env = "IMK_JOBS", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub jobs: Option<u16>,
    /// Go on with what does not depend on a failure
    #[arg(short, long, env = "IMK_KEEP_GOING", value_parser = FalseyValueParser::new())]
    pub keep_going: bool,
    /// Only say what would be done, as `imk plan`
    #[arg(short = 'n', long, env = "IMK_DRY_RUN", value_parser = FalseyValueParser::new())]
    pub dry_run: bool,
    /// Say nothing; exit 1 when something is out of date
    #[arg(short, long, env = "IMK_QUESTION", conflicts_with = "dry_run", value_parser = FalseyValueParser::new())]
    pub question: bool,
    /// Build the targets though they are fresh
    #[arg(short = 'B', long, env = "IMK_ALWAYS_MAKE", value_parser = FalseyValueParser::new())]
    pub always_make: bool,
    /// As -B, and have the engine forget its own cache
    #[arg(long, env = "IMK_NO_CACHE", value_parser = FalseyValueParser::new())]
    pub no_cache: bool,
    /// Publish the results: everything by its key, the targets under their tags
    #[arg(long, env = "IMK_PUSH", value_parser = FalseyValueParser::new())]
    pub push: bool,
    /// Fetch the targets that only their registry or another engine has; of imk's own builder, put them into Docker
    #[arg(long, env = "IMK_LOAD", value_parser = FalseyValueParser::new())]
    pub load: bool,
    /// A cache whose layers may serve, as docker spells it: type=registry,ref=NAME, gha, s3, azblob
    #[arg(long = "cache-from", value_name = "CACHE", env = "IMK_CACHE_FROM", value_delimiter = ' ')]
    pub cache_from: Vec<String>,
    /// Where layers are left for others: type=inline, into the image; type=registry,ref=NAME,mode=max, gha, s3, azblob
    #[arg(long = "cache-to", value_name = "CACHE", env = "IMK_CACHE_TO", value_delimiter = ' ')]
    pub cache_to: Vec<String>,
    /// Write the target here as well: DIR, type=tar|oci|docker,dest=FILE; type=cacheonly keeps nothing of it
    #[arg(short, long = "output", value_name = "OUTPUT", env = "IMK_OUTPUT", value_delimiter = ' ')]
    pub output: Vec<String>,
    /// How to show progress
    #[arg(long, value_enum, default_value = "auto", value_name = "HOW", env = "BUILDKIT_PROGRESS")]
    pub progress: args::Progress,
    /// As --progress quiet
    #[arg(short = 's', long, env = "IMK_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,
    /// As --progress json; with -n, the plan as JSON
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
    /// Tell every cause, not the first alone
    #[arg(long, env = "IMK_TRACE", value_parser = FalseyValueParser::new())]
    pub trace: bool,
    /// The files for scripts.
    #[command(flatten)]
    pub records: RecordArgs,
}

impl BuildArgs {
    /// As typed, and as `-v` has it.
    fn heeding(&self, global: &Global) -> Self {
        let progress = match self.progress {
            args::Progress::Auto if global.verbose => args::Progress::Plain,
            other => other,
        };
        Self { trace: self.trace || global.verbose, progress, ..self.clone() }
    }

    /// How progress is shown, whichever flag says so.
    pub fn progress(&self) -> args::Progress {
        match (self.quiet, self.json) {
            (true, _) => args::Progress::Quiet,
            (false, true) => args::Progress::Json,
            (false, false) => self.progress,
        }
    }
}

pub fn run(global: &Global, args: &BuildArgs) -> Result<(), Failure> {
    let make = Makeflags::read(&std::env::var("MAKEFLAGS").unwrap_or_default());
    // `make -n` still runs the lines of a recipe that begin with `+`, and nothing is to be built by them.
    if args.dry_run || make.dry_run {
        let plan = PlanArgs {
            targets: args.targets.clone(),
            always_make: args.always_make || args.no_cache,
            trace: args.trace,
            json: args.json,
            publishes: args.push,
            ..PlanArgs::default()
        };
        return plan::run(global, &plan);
    }
    if args.question {
        return plan::question(global, &args.targets, args.always_make);
    }
    built(global, args, &make).map_err(|failure| match args.progress() {
        // Who reads objects reads mistakes as objects too.
        args::Progress::Json => {
            progress::failure(&failure);
            Failure::silent(failure.exit)
        }
        _ => failure,
    })
}

fn built(global: &Global, args: &BuildArgs, make: &Makeflags) -> Result<(), Failure> {
    let started = Instant::now();
    let (jobs, jobserver) = at_once(args.jobs, make);
    let at_exit = jobserver.clone();
    let cancel = cancel_on_signals(move || at_exit.iter().for_each(|jobserver| jobserver.give_back()))?;
    let mut session = open::session_to_look(global, &args.targets.words, true, &cancel)?;
    let synced = synced::brought_up(global, &mut session, &args.targets.words)?;
    if cancel.is_cancelled() {
        return Err(Failure::silent(Exit::Interrupted));
    }
    caches(args)?;
    outputs(&mut session, &synced, args)?;
    let going = Going { jobs, jobserver, ..Going::new(global, args) };
    go(&mut session, &synced, &going, started)
}

/// How a build is gone about, beside what was typed.
pub struct Going<'a> {
    /// The arguments of every verb, as typed.
    pub global: &'a Global,
    /// The arguments of this verb, as typed.
    pub args: &'a BuildArgs,
    /// How many images at once, where that is said.
    pub jobs: Option<usize>,
    /// The jobserver of a make above, if there is one.
    pub jobserver: Option<Arc<Jobserver>>,
    /// The part of it that is kept for the next run.
    pub keep: Keep,
    /// Is told what the display is told.
    pub report: Arc<dyn Fn(&Event) + Send + Sync>,
    /// It is tried again when files change: then that is no failure, and nothing is said of it.
    pub retries: bool,
    /// The tags of what is published stay where they are: a release moves them together.
    pub withhold_tags: bool,
    /// Outputs are not written: tests come first.
    pub withhold_outputs: bool,
    /// The summary is told, to people and programs; not where standard output is for what comes after, or
    /// where another build of the run told it.
    pub tells_summary: bool,
}

impl<'a> Going<'a> {
    /// As `imk build` goes about it.
    pub fn new(global: &'a Global, args: &'a BuildArgs) -> Self {
        let jobs = args.jobs.map(usize::from);
        let report: Arc<dyn Fn(&Event) + Send + Sync> = Arc::new(|_| {});
        Self {
            global,
            args,
            jobs,
            jobserver: None,
            keep: Keep::Everything,
            report,
            retries: false,
            withhold_tags: false,
            withhold_outputs: false,
            tells_summary: true,
        }
    }
}

/// The state that a build keeps, beside its results.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All that the next run can use.
    Everything,
    /// The files that were read: the rest would be taken for the work tree's.
    Files,
}

impl Keep {
    fn save(self, session: &mut Session) -> std::io::Result<()> {
        match self {
            Self::Everything => session.save(),
            Self::Files => session.executor.tree.save().and_then(|()| session.upstream.save()),
        }
    }
}

/// Builds what a session was brought up to date for, and tells how it went.
pub fn go(
    session: &mut Session,
    synced: &Synced,
    going: &Going<'_>,
    started: Instant,
) -> Result<(), Failure> {
    carry_out(session, synced, going, started).map(drop)
}

/// As [`go`], for those who do more with what was built.
pub fn carry_out(
    session: &mut Session,
    synced: &Synced,
    going: &Going<'_>,
    started: Instant,
) -> Result<Summary, Failure> {
    let args = &going.args.heeding(going.global);
    let mut remarks = Remarks::begin(session.state());
    synced::remark_trouble(session, &mut remarks);
    let cache = checked(session, synced, going)?;
    plan::warnings(session, synced).into_iter().for_each(|remark| remarks.add(remark));
    let progress = Arc::new(Progress::new(
        args.progress(),
        args.trace,
        session.state().clone(),
        Dockerfiles::of(session),
    ));
    let at_once = engines::jobs(&session.executor.pool());
    let is_told = going.global.verbose && going.jobs.is_none() && progress.tells_failures();
    let report = reporter(&progress, &going.report, going.retries, is_told.then_some(at_once));
    let options = BuildOptions {
        jobs: going.jobs.unwrap_or(at_once.most),
        room: at_once.always.filter(|_| going.jobs.is_none()).map(|always| Arc::new(Room::beside(always))),
        keep_going: args.keep_going,
        always: args.always_make || args.no_cache,
        no_cache: args.no_cache,
        push: args.push,
        withhold_tags: going.withhold_tags,
        withhold_outputs: going.withhold_outputs,
        load: args.load,
        cache,
        source_date_epoch_seconds: source_date_epoch()?,
        jobserver: going.jobserver.clone(),
    };
    let mut summary = run::build(session, synced, &options, &report);
    if let Err(error) = going.keep.save(session) {
        out::warning(format_args!(
            "what imk learned could not be kept: {error}; the next run will be slower"
        ));
    }
    if going.retries {
        for ending in summary.endings.values_mut() {
            if matches!(ending, Ending::Failed(error) if is_passing(error)) {
                *ending = Ending::Skipped;
            }
        }
    }
    let took = started.elapsed();
    let sum = match (going.tells_summary, args.progress()) {
        (false, _) => Sum::Silent,
        (true, args::Progress::Quiet) => Sum::NoLine,
        (true, _) => Sum::Told,
    };
    if going.global.verbose && sum == Sum::Told {
        outcome::tell_publications(&summary);
    }
    summed_up(session, &summary, &progress, sum, took, remarks);
    match verdict(&summary) {
        Exit::Done => records::write(going.global, &args.records, synced, &summary).map(|()| summary),
        exit => Err(Failure::silent(exit)),
    }
}

/// Finds what hinders a build before it begins, and gives the layer caches of the command line.
fn checked(session: &mut Session, synced: &Synced, going: &Going<'_>) -> Result<Caches, Failure> {
    let args = going.args;
    if let Err(error) = &synced.engine {
        return Err(no_engine(session, synced, error));
    }
    if let Some((one, other)) = tagging::one_tag_for_two(session, synced) {
        let message = format!("`{one}` and `{other}` share a repository, and -t gives both of them one tag");
        return Err(Failure::with_hint(message, "name one of them"));
    }
    let cache = caches(args)?;
    records::prepare(going.global, &args.records, synced)?;
    let problems = run::problems(session, synced, args.always_make || args.no_cache, &cache);
    if !problems.is_empty() && !args.keep_going {
        let all = problems.values().flatten();
        let failure = Failure::problems(all, |path| session.text(path));
        // What was read is worth keeping though nothing was built.
        let _ = going.keep.save(session);
        return Err(failure);
    }
    Ok(cache)
}

/// The time that published images bear: SOURCE_DATE_EPOCH (reproducible-builds.org), else now.
fn source_date_epoch() -> Result<i64, Failure> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.trim().parse().map_err(|_| {
            let hint = "it is a number of seconds since 1970; unset it to use the time of the run";
            Failure::with_hint(format!("SOURCE_DATE_EPOCH is `{text}`"), hint)
        }),
        Err(_) => Ok(jiff::Timestamp::now().as_second()),
    }
}

/// How many images at once, where that is said, and who else has a say in it.
fn at_once(typed: Option<u16>, make: &Makeflags) -> (Option<usize>, Option<Arc<Jobserver>>) {
    let warn = |text: &str| out::warning(format_args!("{text}"));
    match (typed, &make.jobserver) {
        (typed, None) => (typed.map(usize::from), None),
        (Some(jobs), Some(_)) => {
            warn(&format!("-j{jobs} given: make's jobserver is not asked"));
            (Some(usize::from(jobs)), None)
        }
        (None, Some(address)) => match Jobserver::open(address) {
            Ok(jobserver) => (make.jobs, Some(Arc::new(jobserver))),
            Err(_) => {
                warn(
                    "make's jobserver is not available: using -j1; add `+` to the line of the parent make's rule",
                );
                (Some(1), None)
            }
        },
    }
}

pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Puts the outputs of the command line in the place of those that targets declare.
///
/// # Errors
/// When one is no output.
pub fn outputs(session: &mut Session, synced: &Synced, args: &BuildArgs) -> Result<(), Failure> {
    if args.output.is_empty() {
        return Ok(());
    }
    let refused = |(message, hint): (String, String)| Failure::with_hint(message, hint);
    let mut typed = imagefile::ask_outputs(&args.output).map_err(refused)?;
    for file in &mut typed.files {
        let path = std::path::absolute(&file.dest).map_err(cannot("look for the folder of an output"))?;
        file.dest = path.display().to_string();
    }
    let count = |called: &str| synced.targets.iter().filter(|name| declared(name) == called).count();
    for name in &synced.targets {
        if let Some(image) = session.project.images.get_mut(name) {
            let called = declared(name);
            // One that is named alone is put where it was said.
            image.outputs = match platform_of(name).filter(|_| count(called) > 1) {
                Some(platform) => typed.for_platform(platform),
                None => typed.clone(),
            };
        }
    }
    Ok(())
}

/// The layer caches of the command line.
fn caches(args: &BuildArgs) -> Result<Caches, Failure> {
    let refused = |(message, hint): (String, String)| Failure::with_hint(message, hint);
    let mut caches = Caches::default();
    for text in &args.cache_from {
        match imagefile::cache_source(text).map_err(refused)? {
            CacheSource::Image(image) => caches.from.push(image),
            CacheSource::Other(cache) => caches.other_from.push(from_here(cache)?),
        }
    }
    for text in &args.cache_to {
        match imagefile::cache_target(text).map_err(refused)? {
            CacheTarget::Inline => caches.inline = true,
            CacheTarget::Other(cache) => caches.to.push(from_here(cache)?),
        }
    }
    Ok(caches)
}

/// A cache as it was typed, whose folder is seen from where the caller is.
fn from_here(mut cache: LayerCache) -> Result<LayerCache, Failure> {
    if cache.is_local() {
        let folders = cache.attributes.iter_mut().filter(|(key, _)| matches!(key.as_str(), "src" | "dest"));
        for (_, path) in folders {
            let absolute = std::path::absolute(&path).map_err(cannot("look for the folder of a cache"))?;
            *path = absolute.display().to_string();
        }
    }
    Ok(cache)
}

/// Ctrl-C and a polite kill stop the engine's builds; a second one ends imk at once, after `at_exit`.
pub fn cancel_on_signals(at_exit: impl Fn() + Send + 'static) -> Result<Cancel, Failure> {
    let cancel = Cancel::default();
    let mut signals = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
        signal_hook::consts::SIGHUP,
    ])
    .map_err(cannot("listen for signals"))?;
    let asked = cancel.clone();
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if asked.is_cancelled() {
                at_exit();
                #[expect(clippy::exit, reason = "a second Ctrl-C does not wait for anybody")]
                std::process::exit(130);
            }
            asked.cancel();
        }
    });
    Ok(cancel)
}

/// Mistakes in the files are told before the engine's absence: they can be mended without one.
fn no_engine(session: &Session, synced: &Synced, error: &EngineError) -> Failure {
    let problems = run::problems(session, synced, false, &Caches::default());
    let failure = Failure::engine(error);
    if problems.is_empty() {
        return failure;
    }
    Failure::problems(problems.values().flatten(), |path| session.text(path)).and(failure)
}
