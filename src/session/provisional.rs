//! Which images of an order have a key that other machines may not compute, and why.
//!
//! Gathers what was not confirmed of the bases outside, of what `ADD` fetches and of branches and tags
//! in other repositories, and hands it on to everything that is built on it. Asks nobody.

use std::collections::{BTreeMap, BTreeSet};

use crate::exec::doubt::Doubt;
use crate::model::time::UnixSeconds;
use crate::query::graph::bases;
use crate::query::recipe::recipe;
use crate::session::git_sources;
use crate::session::open::Session;
use crate::session::sync::Synced;
use crate::syntax::git_source::Wanted;

/// The images of an order whose keys are provisional, with what nobody confirmed.
pub fn provisional(session: &Session, synced: &Synced) -> BTreeMap<String, BTreeSet<Doubt>> {
    let mut all: BTreeMap<String, BTreeSet<Doubt>> = BTreeMap::new();
    for name in &synced.order.names {
        let mut doubts = own_doubts(session, name);
        let on = synced.order.bases.get(name).into_iter().flatten();
        doubts.extend(on.filter_map(|base| all.get(base)).flatten().cloned());
        if !doubts.is_empty() {
            all.insert(name.clone(), doubts);
        }
    }
    all
}

fn own_doubts(session: &Session, name: &str) -> BTreeSet<Doubt> {
    let Some(image) = session.image(name) else { return BTreeSet::new() };
    let outside = bases(&session.db, image).outside.iter();
    let mut doubts: BTreeSet<Doubt> =
        outside.filter_map(|base| session.upstream.doubts().of_base(base)).collect();
    if let Ok(recipe) = recipe(&session.db, image) {
        let remotes = recipe.remotes.iter().filter(|remote| remote.checksum.is_none());
        doubts.extend(remotes.filter_map(|remote| session.upstream.doubts().of_address(&remote.url)));
    }
    let declared = session.project.images.get(name);
    for source in declared.into_iter().flat_map(git_sources::sources) {
        let Some(head) = session.git_sources.found_head(source) else { continue };
        let is_pinned = head.when == UnixSeconds::default() || matches!(source.wanted, Wanted::Commit(_));
        let why = match &head.unreachable {
            Some(why) => why.clone(),
            None if session.upstream.is_offline() && !is_pinned => "nobody was to be asked".to_owned(),
            None => continue,
        };
        doubts.insert(Doubt { about: source.shown(), why });
    }
    doubts
}
