//! `imk auto`: keeps a branch of some repository built, tested and published, for a machine that nobody types on.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Seek};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args as Group;

use crate::cli::args::Global;
use crate::cli::commands::make::build;
use crate::cli::failure::{Exit, Failure, cannot, draw};
use crate::cli::words::quantity;
use crate::cli::{locate, out, registries};
use crate::engine::Cancel;
use crate::source::git::following::{Followed, Following};
use crate::source::outside::{self, Nameless};
use crate::state::folder::StateFolder;
use crate::state::lock::Turn;
use crate::syntax::container::words::period;

/// How long a run has that was asked to end, before it is killed.
const GRACE: Duration = Duration::from_secs(20);
/// How soon the end of a run, or of a wait, is seen.
const TICK: Duration = Duration::from_millis(50);

const EXAMPLES: &str = "\
imk auto https://git.example.com/team/images.git            for a line of cron: build, test and publish what is out of date
imk auto --every 5m git@git.example.com:team/images.git     the same again and again, until it is stopped
imk auto --branch next ../images svc-* -k -j4               these images of another branch; words after the address are imk ci's";

/// Keep a branch of a repository built, tested and published
///
/// Brings a checkout of its own to where the branch stands, asks registries and git servers for newer bases and sources, and
/// does what `imk ci` does there. Says one line when all is well, and everything when not. What is up to date costs some
/// questions and builds nothing. Two of the same checkout never run at once: the second does nothing.
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct AutoArgs {
    /// Follow this branch and not the one that the repository calls its own
    #[arg(short, long, value_name = "NAME", env = "IMK_AUTO_BRANCH")]
    pub branch: Option<String>,
    /// Keep the checkout in this folder, which imk makes and has for itself [default: one below the user's cache]
    #[arg(long, value_name = "DIR", env = "IMK_AUTO_FOLDER")]
    pub folder: Option<PathBuf>,
    /// Do it again after so long, such as 5m, until it is stopped
    #[arg(long, value_name = "PERIOD", env = "IMK_AUTO_EVERY")]
    pub every: Option<String>,
    /// End a run when it takes longer, such as 2h
    #[arg(long, value_name = "PERIOD", env = "IMK_AUTO_TIME_LIMIT")]
    pub time_limit: Option<String>,
    /// The repository's address or path; then images and arguments of `imk ci`
    #[arg(value_name = "REPOSITORY", required = true, num_args = 1.., trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<OsString>,
}

/// Runs it once, or until it is stopped.
///
/// # Errors
/// The failure of the run, where there is one run; else only what keeps every run from its work.
pub fn run(global: &Global, args: &AutoArgs) -> Result<(), Failure> {
    let auto = Auto::new(global, args)?;
    let Some(every) = &args.every else { return auto.once() };
    let every = Duration::from_millis(period(every).map_err(Failure::error)?);
    loop {
        let begun = Instant::now();
        if let Err(failure) = auto.once() {
            if failure.exit == Exit::Interrupted {
                return Err(failure);
            }
            draw::show(&failure);
        }
        let next = begun + every + jitter(every);
        while Instant::now() < next {
            if auto.cancel.is_cancelled() {
                return Ok(());
            }
            thread::sleep(TICK);
        }
    }
}

/// Up to a tenth more, so that machines that began together do not ask together for ever.
fn jitter(every: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    every.mul_f64(f64::from(now.subsec_nanos()) / 1e10)
}

/// A checkout, and what is done in it.
struct Auto<'a> {
    global: &'a Global,
    folder: PathBuf,
    following: Following,
    /// Words for `imk ci`.
    words: &'a [OsString],
    limit: Option<Duration>,
    cancel: Cancel,
}

impl<'a> Auto<'a> {
    fn new(global: &'a Global, args: &'a AutoArgs) -> Result<Self, Failure> {
        let [address, words @ ..] = args.words.as_slice() else {
            return Err(Failure::error("imk auto needs the address of a repository"));
        };
        let address = address.to_str().ok_or_else(|| Failure::error("the address is not UTF-8"))?;
        let limit = args.time_limit.as_deref().map(period).transpose().map_err(Failure::error)?;
        let folder = match &args.folder {
            Some(folder) => std::path::absolute(folder).map_err(cannot("find the folder"))?,
            None => {
                let hint = "--folder names one";
                let cache = locate::cache().ok_or_else(|| {
                    Failure::with_hint(
                        "no place for the checkout: neither XDG_CACHE_HOME nor HOME is set",
                        hint,
                    )
                })?;
                cache.join("imk/auto").join(Following::folder_name(address, args.branch.as_deref()))
            }
        };
        let patience = registries::patience(global);
        let environment = std::env::vars_os().collect();
        let following = Following::open(&folder, address, args.branch.as_deref(), environment, patience)
            .map_err(Failure::error)?;
        let limit = limit.map(Duration::from_millis);
        Ok(Self { global, folder, following, words, limit, cancel: build::cancel_on_signals(|| {})? })
    }

    fn once(&self) -> Result<(), Failure> {
        let shown = self.following.shown();
        let Some(turn) = self.turn()? else {
            out::note(format_args!("{shown}: another `imk auto` is at work in `{}`", self.folder.display()));
            return Ok(());
        };
        let followed = self
            .following
            .catch_up()
            .map_err(|error| Failure::with_hint(format!("cannot follow `{shown}`: {error}"), error.hint()))?;
        let at = self.standing(&followed);
        for path in &followed.left_empty {
            out::warning(format_args!("{at}: submodule `{path}` is on another host, and is left empty"));
        }
        if self.global.verbose {
            let ended = self.finish(self.ci(&turn)?.spawn().map_err(cannot("run imk ci"))?)?;
            return self.judged(&at, &ended, None);
        }
        // A file has room for whatever a build says, in the order in which it was said.
        let mut said = outside::nameless().map_err(cannot("keep the output"))?;
        let ends = [said.try_clone(), said.try_clone()];
        let [stdout, stderr] = ends.map(|end| end.map_err(cannot("keep the output")));
        let child = self.ci(&turn)?.stdout(stdout?).stderr(stderr?).spawn().map_err(cannot("run imk ci"))?;
        let ended = self.finish(child)?;
        said.rewind().map_err(cannot("read the output"))?;
        self.judged(&at, &ended, Some(said))
    }

    /// The right to use the checkout; the kernel gives it back, whoever dies.
    fn turn(&self) -> Result<Option<Turn>, Failure> {
        let (Some(above), Some(name)) = (self.folder.parent(), self.folder.file_name()) else {
            return Err(Failure::error(format!("`{}` cannot be a checkout's folder", self.folder.display())));
        };
        outside::make_folder(above).map_err(cannot("make the folder for checkouts"))?;
        let lock = format!(".{}.lock", name.to_string_lossy());
        Turn::take(&StateFolder::at(above), &lock, false, || self.cancel.is_cancelled())
            .map_err(cannot("take the lock of the checkout"))
    }

    /// `FOLDER branch 0123456789ab (was …)`.
    fn standing(&self, followed: &Followed) -> String {
        let short = |commit: &str| commit.chars().take(12).collect::<String>();
        let moved = followed.before.as_ref().map(|before| format!(" (was {})", short(before)));
        let moved = moved.unwrap_or_default();
        format!("{} {} {}{moved}", self.following.shown(), followed.branch, short(&followed.commit))
    }

    fn ci(&self, turn: &Turn) -> Result<Command, Failure> {
        let imk = std::env::current_exe().unwrap_or_else(|_| "imk".into());
        let mut command = Command::new(imk);
        command.args(&self.global.typed).arg("ci").args(self.words).current_dir(&self.folder);
        // Whoever is called by a clock is called to look; what was typed says otherwise.
        command.env("IMK_PULL", "1");
        // A run that outlives this process keeps the checkout for itself until it has ended.
        let turn = turn.for_child().map_err(cannot("hand on the lock of the checkout"))?;
        command.stdin(turn.map_or_else(Stdio::null, Stdio::from));
        // A terminal's Ctrl-C comes to this process, which asks the run to end, once.
        command.process_group(0);
        Ok(command)
    }

    /// Waits for the end of a run, which is asked to end when its time is over, or somebody stops this one.
    fn finish(&self, mut child: std::process::Child) -> Result<Ended, Failure> {
        let until = self.limit.map(|limit| Instant::now() + limit);
        let mut asked: Option<(Instant, bool)> = None;
        loop {
            if let Some(status) = child.try_wait().map_err(cannot("wait for imk ci"))? {
                return Ok(Ended { status, overdue: asked.is_some_and(|(_, overdue)| overdue) });
            }
            let overdue = until.is_some_and(|until| Instant::now() > until);
            match asked {
                None if overdue || self.cancel.is_cancelled() => {
                    let process = rustix::process::Pid::from_child(&child);
                    let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
                    asked = Some((Instant::now() + GRACE, overdue));
                }
                Some((kill, _)) if Instant::now() > kill => {
                    let _ = child.kill();
                }
                _ => {}
            }
            thread::sleep(TICK);
        }
    }

    /// Says how a run ended: its last line, or all that it said.
    fn judged(&self, at: &str, ended: &Ended, said: Option<Nameless>) -> Result<(), Failure> {
        let lines = said.map(|said| BufReader::new(said).split(b'\n'));
        let lines = lines.into_iter().flatten().map_while(Result::ok);
        let mut lines = lines.map(|line| String::from_utf8_lossy(&line).trim_end().to_owned());
        if ended.status.success() {
            let last = lines.filter(|line| !line.is_empty()).last();
            match last {
                Some(last) => out::line(format_args!("{at}: {last}")),
                None => out::line(format_args!("{at}: all is well")),
            }
            return Ok(());
        }
        lines.by_ref().for_each(out::note);
        if self.cancel.is_cancelled() {
            return Err(Failure::silent(Exit::Interrupted));
        }
        let why = match (ended.overdue, self.limit) {
            (true, Some(limit)) => format!("took longer than {}", quantity::duration(limit)),
            _ => "failed".to_owned(),
        };
        let hint = format!("`imk -C {} ci` does the same by hand", self.folder.display());
        Err(Failure::with_hint(format!("{at}: `imk ci` {why}"), hint))
    }
}

/// The end of a run.
struct Ended {
    status: ExitStatus,
    /// Its time was over before.
    overdue: bool,
}
