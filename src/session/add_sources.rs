//! Sources of `ADD` from elsewhere: the state in which each is now.
//!
//! A file is told by its server's validators, a repository by the commit that its
//! ref stands for. Both are asked for as floating bases are, with the same time to
//! live. What has a checksum in the Dockerfile needs no question.

use std::collections::BTreeSet;

use salsa::Setter;

use crate::parallel::at_once;
use crate::query::graph::Order;
use crate::query::recipe::recipe;
use crate::session::open::Session;
use crate::syntax::git_source;

/// Sets the state of everything that the Dockerfiles of an order fetch.
pub(crate) fn set_remotes(session: &mut Session, order: &Order) {
    let (files, repositories) = fetched(session, order);
    if files.is_empty() && repositories.is_empty() {
        return;
    }
    let mut remotes = session.workspace().remotes(&session.db).clone();
    let files: Vec<&String> = files.iter().collect();
    let upstream = &*session.upstream;
    let states = at_once(&files, |url| upstream.file(url));
    for (url, state) in files.into_iter().zip(states) {
        remotes.extend(state.map(|state| (url.clone(), state)));
    }
    let repositories: Vec<String> = repositories.into_iter().collect();
    let sources = &session.git_sources;
    let heads = at_once(&repositories, |url| sources.head(&git_source::parse(url).ok()?));
    for (url, head) in repositories.into_iter().zip(heads) {
        let doubt = match &head {
            None => Some("nobody says where it stands"),
            Some(head) => head.unreachable.as_deref(),
        };
        if let Some(why) = doubt {
            session.upstream.doubts().doubt_address(&url, why);
        }
        remotes.extend(head.map(|head| (url, head.commit)));
    }
    if remotes != *session.workspace().remotes(&session.db) {
        session.changed = true;
        session.workspace().set_remotes(&mut session.db).to(remotes);
    }
}

/// The addresses of files and of repositories.
fn fetched(session: &Session, order: &Order) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut files, mut repositories) = (BTreeSet::new(), BTreeSet::new());
    for image in order.names.iter().filter_map(|name| session.image(name)) {
        let Ok(recipe) = recipe(&session.db, image) else { continue };
        for remote in recipe.remotes.iter().filter(|remote| remote.checksum.is_none()) {
            let kind = if remote.git { &mut repositories } else { &mut files };
            kind.insert(remote.url.clone());
        }
    }
    (files, repositories)
}
