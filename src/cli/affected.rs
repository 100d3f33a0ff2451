//! `imk affected --since REV`: the images that a change concerns, for CI.

use serde_json::json;

use super::args::{AffectedArgs, Global};
use super::failure::{Failure, sync_error};
use super::{VERBS, open, out};
use crate::session::sync;
use crate::source::git::GitStore;

pub fn run(global: &Global, args: &AffectedArgs) -> Result<(), Failure> {
    let Some(rev) = &global.since else {
        let hint = "`imk affected --since main...` compares with where this branch left main";
        return Err(Failure::with_hint("since when? --since REV is missing", hint));
    };
    let located = open::located(global)?;
    let git = GitStore::open(&located.root)?;
    let after = match args.worktree {
        true => git.work_tree()?,
        false => git.tree(&git.commit("HEAD")?)?,
    };
    let mut affected = open::since(global, &located, &git, rev, &after)?;
    if !args.targets.words.is_empty() {
        let session = &mut affected.after.session;
        let chosen =
            sync::choose(session, &args.targets.words).map_err(|error| sync_error(error, session, VERBS))?;
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
        (true, true) => out::json_line(&json!(waves)),
        (true, false) => out::json_line(&json!(names().collect::<Vec<_>>())),
        (false, true) => waves.iter().for_each(|wave| out::line(wave.join(" "))),
        (false, false) => names().for_each(out::line),
    }
    Ok(())
}
