//! `imk watch`: builds on every change of a file that counts.
//!
//! Each round opens the repository anew, since anything may have changed, with the database of the round
//! before. The lock is held while something is built and no longer.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args as Group;
use clap::builder::FalseyValueParser;
use parking_lot::Mutex;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::build::run::Event;
use crate::cli::args::{Global, Progress, Targets};
use crate::cli::commands::make::build::{self, BuildArgs, Going};
use crate::cli::failure::{Exit, Failure, cannot, draw, sync_error};
use crate::cli::{locate, open, out, synced};
use crate::engine::Cancel;
use crate::exec::executor::JobEvent;
use crate::plan::{ready, verdicts};
use crate::session::open::{Kept, Session};
use crate::session::sync::Synced;
use crate::session::watched::{self, InputHashes, reached};
use crate::source::watching::{Waker, WatchError, Watcher};

const EXAMPLES: &str = "\
imk watch              build everything, then whatever a change makes stale
imk watch api -j 4     this image and all it is built on, four at once
imk watch --trace      say of every change that came what it meant";

const MORE: &str = "\
Only files that some image uses count, with Dockerfiles, ignore files and the Imagefile: a touched file or one
that nobody copies builds nothing. What editors leave beside a file while it is edited (swap files, locks,
backups) is looked past. A build whose own files change is stopped and begun again.";

/// Build on every change of a file that counts, until Ctrl-C
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = MORE)]
#[command(after_long_help = EXAMPLES)]
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

/// New folders are looked at again before they are trusted, so often at most.
const LOOKS: usize = 5;

pub fn run(global: &Global, args: &WatchArgs) -> Result<(), Failure> {
    let watcher = Watcher::new().map_err(failure)?;
    let stop = Stop::on_signals(watcher.waker())?;
    let mut watch = Watch {
        global,
        args,
        watcher,
        stop,
        kept: None,
        seen: None,
        tried: None,
        told: None,
        is_first: true,
    };
    let mut changed = BTreeSet::new();
    loop {
        let again = watch.round(&changed)?;
        // A round that waited for the lock ends when that is asked for, and must not begin anew.
        if watch.stop.is_asked() {
            return Err(Failure::silent(Exit::Interrupted));
        }
        if again {
            continue;
        }
        let woken = watch.watcher.wait();
        if watch.stop.is_asked() {
            return Err(Failure::silent(Exit::Interrupted));
        }
        changed = woken.changed;
    }
}

/// Requests to stop: of the watch, and of the round that is on.
#[derive(Clone, Default)]
struct Stop {
    /// The request that imk end.
    all: Cancel,
    /// The round that is on.
    current: Arc<Mutex<Cancel>>,
}

impl Stop {
    /// Ctrl-C and a polite kill end the watch; a second one ends imk at once.
    fn on_signals(waker: Waker) -> Result<Self, Failure> {
        let stop = Self::default();
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(cannot("listen for signals"))?;
        let asked = stop.clone();
        std::thread::spawn(move || {
            for _ in signals.forever() {
                if asked.all.is_cancelled() {
                    std::process::exit(130);
                }
                asked.all.cancel();
                asked.current.lock().cancel();
                waker.wake();
            }
        });
        Ok(stop)
    }

    fn is_asked(&self) -> bool {
        self.all.is_cancelled()
    }

    /// For something new; stopped already when imk is to end.
    fn fresh(&self) -> Cancel {
        let fresh = Cancel::default();
        *self.current.lock() = fresh.clone();
        if self.is_asked() {
            fresh.cancel();
        }
        fresh
    }
}

struct Watch<'a> {
    global: &'a Global,
    args: &'a WatchArgs,
    watcher: Watcher,
    stop: Stop,
    kept: Option<Kept>,
    /// The folders that counted, and for which images.
    seen: Option<(InputHashes, BTreeSet<String>)>,
    /// The inputs of the last build that did not come out well: it is not tried again as it is.
    tried: Option<InputHashes>,
    /// The failure that was shown last.
    told: Option<Failure>,
    is_first: bool,
}

impl Watch<'_> {
    /// Looks at what is, and builds what is stale. True when it is to look again at once.
    fn round(&mut self, changed: &BTreeSet<PathBuf>) -> Result<bool, Failure> {
        let looked = self.open_round();
        let (session, synced) = match looked {
            Ok(looked) => looked,
            Err(RoundError::Fatal(failure)) => return Err(failure),
            Err(RoundError::Wrong(failure)) => {
                if self.stop.is_asked() {
                    return Err(Failure::silent(Exit::Interrupted));
                }
                self.print(failure);
                return Ok(false);
            }
        };
        let plan = verdicts::plan(&session, &synced, false);
        let input_hashes = watched::input_hashes(&session, &synced);
        // A stat cache that cannot be written costs time.
        let _ = session.executor.tree.save();
        self.kept = Some(session.leave());
        let is_tried = self.tried.as_ref() == Some(&input_hashes);
        if !self.is_first && (plan.is_fresh() || is_tried) {
            if (self.args.trace || self.global.verbose) && !changed.is_empty() {
                let paths: Vec<String> = changed.iter().map(|path| format!("`{}`", path.display())).collect();
                out::note(format_args!("nothing to build: {}", paths.join(", ")));
            }
            if plan.is_fresh() && self.told.take().is_some() {
                out::note(format_args!("everything is up to date again"));
                waiting();
            }
            return Ok(false);
        }
        self.is_first = false;
        self.build()
    }

    /// Opens the repository and watches what counts in it.
    fn open_round(&mut self) -> Result<(Session, Synced), RoundError> {
        let cancel = self.stop.fresh();
        let opened = open::session_with(self.global, false, &cancel, &mut self.kept);
        let mut session = match opened {
            Ok(session) => session,
            Err(failure) => {
                // What was watched shows when it is mended, and at first the root must do.
                let root = locate::located(self.global).map_err(RoundError::Wrong)?.root;
                let mut folders = self.seen.as_ref().map(|(_, folders)| folders.clone()).unwrap_or_default();
                folders.insert(String::new());
                self.watcher.watch(&root, None, &folders).map_err(fatal)?;
                return Err(RoundError::Wrong(failure));
            }
        };
        session.look_past_editors();
        for _ in 0..LOOKS {
            let synced = match ready::sync(&mut session, &self.args.targets.words) {
                Ok(synced) => synced,
                Err(error) => {
                    let failure = sync_error(error, &session, &self.global.verbs);
                    let folders = self.seen.as_ref().map(|(_, folders)| folders.clone()).unwrap_or_default();
                    let folders = folders.into_iter().chain(watched::recipe_folders(&session)).collect();
                    let root = session.project.root.clone();
                    self.watcher.watch(&root, session.state().path(), &folders).map_err(fatal)?;
                    self.kept = Some(session.leave());
                    return Err(RoundError::Wrong(failure));
                }
            };
            let input_hashes = watched::input_hashes(&session, &synced);
            let is_known = input_hashes.values().all(Result::is_ok);
            let folders = match self.seen.take() {
                Some((before, folders)) if is_known && before == input_hashes => folders,
                _ => watched::folders(&session, &synced),
            };
            let root = session.project.root.clone();
            let is_new = self.watcher.watch(&root, session.state().path(), &folders).map_err(fatal)?;
            self.seen = Some((input_hashes, folders));
            if !is_new {
                return Ok((session, synced));
            }
        }
        let why = "folders come and go too fast to be watched; start again when they rest";
        Err(RoundError::Fatal(Failure::error(why)))
    }

    /// Builds what is stale, and stops when what is being built changes. True when something changed meanwhile.
    fn build(&mut self) -> Result<bool, Failure> {
        let started = Instant::now();
        let cancel = self.stop.fresh();
        let (mut session, synced) = match self.open_build(&cancel) {
            Ok(opened) => opened,
            Err(failure) => {
                self.print(failure);
                return Ok(true);
            }
        };
        let input_hashes = watched::input_hashes(&session, &synced);
        let (outcome, changed) = self.build_watched(&mut session, &synced, &input_hashes, &cancel, started);
        self.kept = Some(session.leave());
        if self.stop.is_asked() {
            return Err(Failure::silent(Exit::Interrupted));
        }
        // Whoever read the summaries has seen enough.
        if out::is_gone() {
            return Err(Failure::silent(Exit::Done));
        }
        if cancel.is_cancelled() {
            return Ok(true);
        }
        self.tried = outcome.is_err().then_some(input_hashes);
        match outcome {
            Ok(()) => self.told = None,
            // What failed is told already, or is told once.
            Err(failure) if failure.findings.is_empty() => self.told = Some(failure),
            Err(failure) => {
                self.print(failure);
                return Ok(changed);
            }
        }
        waiting();
        Ok(changed)
    }

    /// Opens the repository to build in it, which nobody else does meanwhile.
    fn open_build(&mut self, cancel: &Cancel) -> Result<(Session, Synced), Failure> {
        let mut session = open::session_with(self.global, true, cancel, &mut self.kept)?;
        match synced::brought_up(self.global, &mut session, &self.args.targets.words) {
            Ok(synced) => Ok((session, synced)),
            Err(failure) => {
                self.kept = Some(session.leave());
                Err(failure)
            }
        }
    }

    /// Builds beside an eye on the files; tells how that went, and whether something changed.
    fn build_watched(
        &self,
        session: &mut Session,
        synced: &Synced,
        input_hashes: &InputHashes,
        cancel: &Cancel,
        started: Instant,
    ) -> (Result<(), Failure>, bool) {
        let args = BuildArgs {
            targets: self.args.targets.clone(),
            jobs: self.args.jobs,
            keep_going: true,
            progress: self.args.progress,
            trace: self.args.trace,
            ..BuildArgs::default()
        };
        let flying: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let shared = Arc::clone(&flying);
        let report = move |event: &Event| match event {
            Event::Job(name, JobEvent::Started(_)) => drop(shared.lock().insert(name.clone())),
            Event::Ended(name, ..) => drop(shared.lock().remove(name)),
            Event::Job(..) | Event::Result(..) | Event::Ahead(_) => {}
        };
        let going = Going { report: Arc::new(report), retries: true, ..Going::new(self.global, &args) };
        let waker = self.watcher.waker();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let building = scope.spawn(|| {
                let outcome = build::go(session, synced, &going, started);
                // Said before the call: whoever wakes by it must not wait for another.
                is_done.store(true, Ordering::SeqCst);
                waker.wake();
                outcome
            });
            let mut changed = false;
            loop {
                let woken = self.watcher.wait();
                changed |= !woken.changed.is_empty();
                if is_done.load(Ordering::SeqCst) {
                    break;
                }
                if !woken.changed.is_empty() && !cancel.is_cancelled() {
                    self.stop_outdated(input_hashes, synced, &flying, cancel);
                }
            }
            let outcome = building.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (outcome, changed)
        })
    }

    /// Stops the build when an image that is being built is not what it was when that began.
    fn stop_outdated(
        &self,
        before: &InputHashes,
        synced: &Synced,
        flying: &Mutex<BTreeSet<String>>,
        cancel: &Cancel,
    ) {
        let outdated = self.outdated(before, synced, flying);
        if !outdated.is_empty() {
            let names = outdated.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
            out::note(format_args!("{} changed: its build is stopped", names.join(", ")));
            cancel.cancel();
        }
    }

    /// The images that are being built and are not what they were when that began.
    fn outdated(
        &self,
        before: &InputHashes,
        synced: &Synced,
        flying: &Mutex<BTreeSet<String>>,
    ) -> BTreeSet<String> {
        // Another look beside the one that builds: it has the database. Mistakes are told in the next round.
        let now = || {
            let mut session = open::session_with(self.global, false, &Cancel::default(), &mut None).ok()?;
            session.look_past_editors();
            let synced = ready::sync(&mut session, &self.args.targets.words).ok()?;
            Some(watched::input_hashes(&session, &synced))
        };
        let Some(now) = now() else { return BTreeSet::new() };
        let reached = reached(before, &now, &synced.order.bases);
        flying.lock().intersection(&reached).cloned().collect()
    }

    /// Tells what is wrong, once.
    fn print(&mut self, failure: Failure) {
        self.is_first = false;
        if self.told.as_ref() != Some(&failure) {
            draw::show(&failure);
            self.told = Some(failure);
            waiting();
        }
    }
}

/// Why a round came to no plan.
enum RoundError {
    /// A mistake that a person can mend while imk watches.
    Wrong(Failure),
    /// A failure that ends the watch.
    Fatal(Failure),
}

fn fatal(error: WatchError) -> RoundError {
    RoundError::Fatal(failure(error))
}

fn failure(error: WatchError) -> Failure {
    let hint = match &error {
        WatchError::TooMany(_) => {
            "`sudo sysctl fs.inotify.max_user_watches=524288` allows more; naming images watches fewer"
        }
        WatchError::Refused(_) => "`sudo sysctl fs.inotify.max_user_instances=512` lets more programs watch",
    };
    Failure::with_hint(error.to_string(), hint)
}

fn waiting() {
    out::note("waiting for changes");
}
