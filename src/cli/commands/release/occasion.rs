//! Commands and notices of an Imagefile around a publication, when the user allows them.
//!
//! A checkout is a stranger: what it declares runs on this machine and sends secrets, so it does neither before
//! the user has said so by `--hooks` or `IMK_HOOKS`.

use std::ffi::OsStr;

use clap::Args as Group;
use clap::builder::FalseyValueParser;

use crate::cli::failure::Failure;
use crate::cli::out;
use crate::cli::words::release::count;
use crate::release::announce::{self, Facts};
use crate::release::moves::TagMove;
use crate::release::publish::commit;
use crate::release::record::{Kind, Release};
use crate::session::open::Session;
use crate::syntax::on_publish::OnPublish;

/// Commands and notices of the Imagefile: wanted or not.
#[derive(Clone, Copy, Debug, Default, Group)]
pub struct HookArgs {
    /// Run the commands and send the notices of `on_publish` in the Imagefile
    #[arg(long, env = "IMK_HOOKS", value_parser = FalseyValueParser::new())]
    pub hooks: bool,
    /// Publish without them
    #[arg(long, conflicts_with = "hooks")]
    pub no_hooks: bool,
}

/// The commands and notices of one run.
#[derive(Clone, Debug, Default)]
pub struct Hooks(OnPublish);

impl Hooks {
    /// Those of the Imagefile, as far as the user wants them.
    ///
    /// # Errors
    /// When there are some, and the user has said nothing of them.
    pub fn of(session: &Session, args: HookArgs) -> Result<Self, Failure> {
        let declared = &session.project.on_publish;
        match (declared.is_empty() || args.no_hooks, args.hooks) {
            (true, _) => Ok(Self::default()),
            (false, true) => Ok(Self(declared.clone())),
            (false, false) => Err(Failure::with_hint(
                format!(
                    "the Imagefile has {} and {} for a publication, and nobody has allowed them",
                    count(declared.before.len() + declared.after.len(), "command"),
                    count(declared.notify.len(), "notice"),
                ),
                "read `on_publish` in the Imagefile; --hooks (IMK_HOOKS=1) runs and sends them, --no-hooks publishes without",
            )),
        }
    }

    /// Runs the commands that come before the first tag moves.
    ///
    /// # Errors
    /// When one fails: nothing is to be published then.
    pub fn before(&self, session: &Session, release: &Release, moves: &[TagMove]) -> Result<(), String> {
        let facts = facts(session, release, moves, "publishing");
        self.0.before.iter().try_for_each(|line| run(session, line, &facts))
    }

    /// Runs the commands that come after, and sends the notices. What fails is told, and all stays published.
    ///
    /// # Errors
    /// When a command failed.
    pub fn after(&self, session: &Session, release: &Release, moves: &[TagMove]) -> Result<(), Failure> {
        let facts = facts(session, release, moves, "published");
        let failed = self.0.after.iter().filter_map(|line| run(session, line, &facts).err());
        let failed: Vec<Failure> = failed.map(Failure::error).collect();
        self.notify(session, &facts, true);
        let whole = || {
            Failure::with_hint(
                format!("release {} is published, and a command after it failed", release.id),
                "all tags stay as they are; run the command again by hand, or `imk rollback`",
            )
        };
        match failed.is_empty() {
            true => Ok(()),
            false => Err(failed.into_iter().fold(whole(), Failure::and)),
        }
    }

    /// Sends the notices of a publication that failed.
    pub fn failed(&self, session: &Session, kind: &'static str, failure: &Failure) {
        let why = failure.findings.first().map_or("it failed", |finding| finding.message.as_str());
        let facts = Facts {
            result: "failed",
            kind,
            commit: commit(session).unwrap_or_default(),
            message: format!("imk: {why}"),
            ..Facts::default()
        };
        self.notify(session, &facts, false);
    }

    fn notify(&self, session: &Session, facts: &Facts, published: bool) {
        let variable = |name: &str| session.environment.get(OsStr::new(name))?.to_str().map(str::to_owned);
        let registry = session.executor.remote_cache.registry();
        for (name, notice) in self.0.notify.iter().filter(|(_, notice)| notice.on.includes(published)) {
            match announce::send(registry, notice, facts, &variable) {
                Ok(()) => out::note(format_args!("told `{name}`")),
                Err(why) => out::warning(format_args!("`{name}` was not told: {why}")),
            }
        }
    }
}

/// Runs a line, and shows what it prints.
fn run(session: &Session, line: &str, facts: &Facts) -> Result<(), String> {
    out::note(format_args!("running `{line}`"));
    let outcome = announce::command(&session.project.root, line, facts, &session.executor.cancel);
    let output = outcome.map_err(|why| format!("the command `{line}`: {why}"))?;
    for text in [output.out, output.err] {
        for line in String::from_utf8_lossy(&text).lines() {
            out::note(format_args!("  | {line}"));
        }
    }
    Ok(())
}

fn facts(session: &Session, release: &Release, moves: &[TagMove], result: &'static str) -> Facts {
    let images: Vec<String> = release.images.iter().map(|image| image.name.clone()).collect();
    let (kind, verb) = match &release.kind {
        Kind::Publish => ("publish", "published"),
        Kind::Rollback { .. } => ("rollback", "rolled back"),
    };
    let message =
        format!("{verb} {} with {} as release {}", images.join(", "), count(moves.len(), "tag"), release.id);
    Facts {
        result,
        kind,
        release: release.id.clone(),
        commit: release.commit.clone().or_else(|| commit(session)).unwrap_or_default(),
        images,
        tags: moves.iter().map(|step| step.tag.clone()).collect(),
        message,
    }
}
