//! `imk affected --since REV`: the images that a change concerns, for CI.

use clap::Args as Group;

use crate::cli::args::{Global, Targets};
use crate::cli::failure::{Failure, sync_error};
use crate::cli::{locate, open, out, words};
use crate::explain::tree_state::Differing;
use crate::session::sync;
use crate::source::git::GitStore;

const EXAMPLES: &str = "\
imk affected --since main...            what this branch changed, whatever main did meanwhile
imk affected --since HEAD~1 --json      [\"api\",\"web\"], as the matrix of a CI job wants it
imk affected --since v1.0 --json --waves   [[\"base\"],[\"api\",\"web\"]]: groups in building order";

/// List the images that a change concerns, from git's trees alone: for CI
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = "\
Compares what counts at REV with what counts at HEAD, in git's own trees: nothing is checked out or built. An image
is listed with all that is built on it. Bases outside count by Imagefile.lock, else by name.")]
#[command(after_long_help = EXAMPLES)]
pub struct AffectedArgs {
    /// Which images.
    #[command(flatten)]
    pub targets: Targets,
    /// Compare with the work tree as git would commit it, instead of HEAD
    #[arg(long)]
    pub worktree: bool,
    /// In groups: each can be built at once when those before are
    #[arg(long)]
    pub waves: bool,
    /// As a JSON list on one line
    #[arg(long, env = "IMK_JSON")]
    pub json: bool,
}

pub fn run(global: &Global, args: &AffectedArgs) -> Result<(), Failure> {
    let Some(rev) = &global.since else {
        let hint = "`imk affected --since main...` compares with where this branch left main";
        return Err(Failure::with_hint("since when? --since REV is missing", hint));
    };
    let located = locate::located(global)?;
    let git = GitStore::open(&located.root)?;
    let after = match args.worktree {
        true => git.work_tree()?,
        false => git.tree(&git.commit("HEAD")?)?,
    };
    let mut affected = open::since(global, &located, &git, rev, &after)?;
    if !args.targets.words.is_empty() {
        let session = &mut affected.after.session;
        let chosen = sync::choose(session, &args.targets.words)
            .map_err(|error| sync_error(error, session, &global.verbs))?;
        affected.images.retain(|differing| chosen.contains(&differing.image));
    }
    for differing in &affected.images {
        let state = affected.after.images.get(&differing.image);
        if let Some(mistake) = state.and_then(|state| state.mistake.as_ref()) {
            out::warning(format_args!("`{}` cannot be built: {mistake}", differing.image));
        }
    }
    let waves = affected.after.waves(&affected.images);
    let names = || affected.images.iter().map(|differing| differing.image.as_str());
    match (args.json, args.waves) {
        (true, true) => out::json_line(&waves),
        (true, false) => out::json_line(&names().collect::<Vec<_>>()),
        (false, true) => waves.iter().for_each(|wave| out::line(wave.join(" "))),
        (false, false) if global.verbose => {
            for Differing { image: _, chain } in &affected.images {
                let why = words::first_reason(&chain.causes);
                out::line(format_args!("{} ← {why}", chain.images.join(" ← ")));
            }
        }
        (false, false) => names().for_each(out::line),
    }
    Ok(())
}
