//! `imk hook run pre-push`: are the images of the commits built that git is about to push?
//!
//! Git tells refs on standard input. Each tree among them is planned from git's objects, so the work
//! tree may look as it likes. Silent when all is well.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args as Group;

use super::mode::{Mode, mode};
use crate::cli::args::Global;
use crate::cli::commands::make::build::{self, BuildArgs, Going, Keep};
use crate::cli::commands::make::plan::{mistakes, sentence as verdict_sentence};
use crate::cli::failure::{Exit, Failure, cannot, draw};
use crate::cli::{locate, open, out, synced, words};
use crate::engine::Cancel;
use crate::explain::pushed::{self, Lack};
use crate::plan::verdicts::{self, Verdict as PlanVerdict};
use crate::query::graph::Order;
use crate::source::git::pushed::{PushedTree, pushed};
use crate::source::locate::Located;

/// The arguments of `hook run`.
#[derive(Clone, Debug, Group)]
pub struct RunArgs {
    /// Git's own folder, where it is not found from here
    #[arg(long, value_name = "DIR", hide = true)]
    pub git_dir: Option<PathBuf>,
    /// The hook
    #[arg(value_name = "HOOK", value_parser = ["pre-push"])]
    pub hook: String,
    /// The remote that is pushed to: its name and its address
    #[arg(value_name = "REMOTE")]
    pub remote: Vec<String>,
}

/// Set to `true`, images must be in their registries too.
const PUBLISHED: &str = "imk.hook.published";
/// Digits of a commit's id that are told.
const DIGITS: usize = 12;

pub fn run(global: &Global, args: &RunArgs) -> Result<(), Failure> {
    let now = locate::located(global)?;
    let store = locate::store(global, &now, args.git_dir.as_deref())?;
    let mode = mode(|name| store.setting(name))?;
    if mode == Mode::Off {
        return Ok(());
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(cannot("read what is pushed from standard input"))?;
    let refs = pushed(&text).map_err(|line| {
        let hint = "git's pre-push hook calls this: <local ref> <local id> <remote ref> <remote id> a line";
        Failure::with_hint(format!("`{line}` on standard input is no ref"), hint)
    })?;
    let push = Push { global, now, published: store.setting(PUBLISHED).as_deref() == Some("true"), mode };
    let (trees, unread) = store.pushed_trees(&refs);
    let mut verdict = Verdict::default();
    for (name, error) in unread {
        out::note(format_args!("imk: {name} cannot be judged: {error}"));
        verdict.unjudged += 1;
    }
    for tree in &trees {
        push.judge(tree, &mut verdict)?;
    }
    // What was learned of git's objects makes the next push fast; without it nothing is wrong.
    let _ = store.save();
    verdict.end(mode)
}

/// The verdict on all trees.
#[derive(Default)]
struct Verdict {
    lacking: usize,
    unjudged: usize,
}

/// A push, and what is asked of it.
struct Push<'a> {
    global: &'a Global,
    now: Located,
    published: bool,
    mode: Mode,
}

impl Push<'_> {
    /// Tells what a tree lacks, and builds it where that is wanted.
    fn judge(&self, pushed: &PushedTree, verdict: &mut Verdict) -> Result<(), Failure> {
        let mut lacks = match self.lacks(pushed) {
            Ok(lacks) => lacks,
            Err(failure) if failure.exit == Exit::Interrupted => return Err(failure),
            Err(failure) => {
                draw::show(&failure);
                out::note(format_args!("imk: {} cannot be judged", title(pushed)));
                verdict.unjudged += 1;
                return Ok(());
            }
        };
        if self.mode == Mode::Build && lacks.iter().any(|(_, lack)| matches!(lack, Lack::Result(_))) {
            self.build(pushed, &lacks)?;
            lacks = self.lacks(pushed)?;
        }
        if !lacks.is_empty() {
            let (images, are) = if lacks.len() == 1 { ("image", "is") } else { ("images", "are") };
            out::note(format_args!("imk: {} {images} of {} {are} not ready", lacks.len(), title(pushed)));
        }
        for (name, lack) in &lacks {
            out::note(format_args!("  {name}: {}", sentence(lack)));
        }
        verdict.lacking += lacks.len();
        Ok(())
    }

    fn lacks(&self, pushed: &PushedTree) -> Result<Vec<(String, Lack)>, Failure> {
        let PushedTree { tree, commit, .. } = pushed;
        let located = tree.located(&self.now, self.global.file.is_some())?;
        if located.imagefile.is_none() && tree.recipes()?.is_empty() {
            return Ok(Vec::new());
        }
        let mut session = open::session_of(self.global, &self.now, tree, commit, false, &Cancel::default())?;
        let synced = synced::synced(self.global, &mut session, &[])?;
        let found = verdicts::plan(&session, &synced, false);
        mistakes(&session, &found)?;
        let lacks = pushed::lacking(&session, &synced, &found, self.published);
        if !lacks.is_empty()
            && let Err(error) = &synced.engine
        {
            out::warning(format_args!("{error}; what imk wrote down is believed"));
        }
        let _ = session.upstream.save();
        Ok(lacks)
    }

    /// Builds what a commit lacks, from its own files: nothing that they are not all of.
    fn build(&self, pushed: &PushedTree, lacks: &[(String, Lack)]) -> Result<(), Failure> {
        let started = Instant::now();
        let cancel = build::cancel_on_signals(|| {})?;
        let PushedTree { tree, commit, .. } = pushed;
        out::note(format_args!("imk: building {}", title(pushed)));
        let mut session = open::session_of(self.global, &self.now, tree, commit, true, &cancel)?;
        let all = synced::brought_up(self.global, &mut session, &[])?;
        let names = whole(&all.order, lacks);
        if names.is_empty() {
            return Ok(());
        }
        let synced = synced::brought_up(self.global, &mut session, &names)?;
        let args = BuildArgs::default();
        let going = Going { keep: Keep::Files, ..Going::new(self.global, &args) };
        build::go(&mut session, &synced, &going, started).map_err(|failure| {
            let hint = "mend it and commit that, or push with --no-verify";
            let told = Failure::with_hint("the push is stopped: not everything could be built", hint);
            let exit = match failure.exit {
                Exit::Interrupted => Exit::Interrupted,
                _ => Exit::NotUpToDate,
            };
            Failure { exit, ..failure.and(told) }
        })
    }
}

impl Verdict {
    /// The end of a push: in mode warn it always goes on.
    fn end(&self, mode: Mode) -> Result<(), Failure> {
        let Self { lacking, unjudged } = *self;
        if mode == Mode::Warn || lacking + unjudged == 0 {
            return Ok(());
        }
        let (what, hint) = match (lacking, mode) {
            (0, _) => ("what it brings cannot be judged", "mend that, or push with --no-verify"),
            (_, Mode::Build) => ("not everything is ready", "push again when it is, or with --no-verify"),
            _ => (
                "not everything is built",
                "`imk` builds what is committed; `IMK_HOOK_MODE=build git push` builds it from the commits; \
                 --no-verify pushes all the same",
            ),
        };
        let told = Failure::with_hint(format!("the push is stopped: {what}"), hint);
        Err(Failure { exit: Exit::NotUpToDate, ..told })
    }
}

/// The images that lack a result and can be built from the commit alone, with all that they are built on.
fn whole(order: &Order, lacks: &[(String, Lack)]) -> Vec<String> {
    let beyond =
        |name: &String| lacks.iter().any(|(other, lack)| other == name && matches!(lack, Lack::Ignored(..)));
    let mut out: BTreeSet<&String> = BTreeSet::new();
    for name in &order.names {
        let on = order.bases.get(name).into_iter().flatten();
        if beyond(name) || on.into_iter().any(|base| out.contains(base)) {
            out.insert(name);
        }
    }
    let wanted = lacks.iter().filter(|(name, lack)| matches!(lack, Lack::Result(_)) && !out.contains(name));
    wanted.map(|(name, _)| name.clone()).collect()
}

/// `refs/heads/main (93c1d0a2b7ff)`.
fn title(pushed: &PushedTree) -> String {
    let id = &pushed.commit.id;
    format!("{} ({})", pushed.refs.join(", "), &id[..DIGITS.min(id.len())])
}

fn sentence(lack: &Lack) -> String {
    match lack {
        Lack::Result(verdict) => verdict_sentence(verdict, false).unwrap_or_default(),
        Lack::Ignored(PlanVerdict::Ignored(_), paths) => {
            let path = paths.first().map_or("", String::as_str);
            format!("{}; it is not here either: make it, and `imk` builds the image", words::beyond_git(path))
        }
        Lack::Ignored(verdict, paths) => {
            let (why, path) = (verdict_sentence(verdict, false), paths.first().map_or("", String::as_str));
            format!(
                "{}; {}: `imk` builds it as it lies in the work tree",
                why.unwrap_or_default(),
                words::beyond_git(path)
            )
        }
        Lack::Published => "built, but its registry does not have it: `imk push` publishes it".into(),
        Lack::Word => "built, but its registry does not say whether it has it".into(),
    }
}
