//! Which images are not as the commit that is checked out has them.
//!
//! Git says first which files differ; when there are none, nothing else is asked. Else
//! the commit is planned beside the work tree: an image differs when its instructions,
//! arguments or bases do, or when a file that either side uses is one that git calls different.
//! So neither the umask nor git's filters make an image differ, and what git does not
//! track does, once an image uses it. Knows no engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::EngineIdentity;
use crate::model::name;
use crate::query::action_key::known_parts;
use crate::query::graph::bases;
use crate::query::recipe::recipe;
use crate::session::open::{STATE, Session};
use crate::session::sync::{self, Synced, selection};
use crate::session::{inputs, named_contexts, project};
use crate::source::git::GitStore;
use crate::source::locate::Located;
use crate::source::tree::{Overlay, OverlaySide};
use crate::source::tree::{ReadError, Selection};
use crate::syntax::imagefile::OverlaySource;

/// Images of an order that are not those of the commit, or stand on such a one.
///
/// # Errors
/// When git cannot compare.
pub fn uncommitted(
    now: &Session,
    synced: &Synced,
    store: &Arc<GitStore>,
) -> Result<BTreeSet<String>, ReadError> {
    let mut differing = store.differing()?;
    differing.remove(STATE);
    if differing.is_empty() {
        return Ok(BTreeSet::new());
    }
    let then = committed(now, synced, store)?;
    let mut found = BTreeSet::new();
    for name in &synced.order.names {
        let same = then.as_ref().is_some_and(|then| {
            same_but_files(now, then, name)
                && !uses(now, synced.selections.get(name).map(|it| Ok(it.clone())), &differing)
                && !uses(then, reads(then, name), &differing)
        });
        let on = now.input(name).map(|image| &bases(now.db(), image).inside);
        if !same || on.is_some_and(|edges| edges.iter().any(|edge| found.contains(&edge.base))) {
            found.insert(name.clone());
        }
    }
    Ok(found)
}

/// The commit as a repository of its own, with the engine and the outside bases of now. `None` when
/// nothing can be planned there: then every image is new.
fn committed(now: &Session, synced: &Synced, store: &Arc<GitStore>) -> Result<Option<Session>, ReadError> {
    let tree = store.tree(&store.commit("HEAD")?)?;
    let here = Located { root: now.project.root.clone(), imagefile: now.project.imagefile.clone() };
    let located = tree.located(&here, true)?;
    let mut then = Session::detached(&located, Arc::new(tree.clone()));
    let Ok(mut project) = project::read(&located, &tree, || tree.recipes(), &now.overrides) else {
        return Ok(None);
    };
    for name in &synced.targets {
        if let (Some(stage), Some(declared)) = (&now.target, project.images.get_mut(name)) {
            declared.options.target = Some(stage.clone());
        }
    }
    let there = |name: &&String| project.images.contains_key(*name);
    let names: Vec<String> = synced.order.names.iter().filter(there).cloned().collect();
    if names.is_empty() {
        return Ok(None);
    }
    then.project = project;
    inputs::sync_images(&mut then);
    let workspace = now.workspace();
    inputs::set_engine(
        &mut then,
        &EngineIdentity {
            id: workspace.engine(now.db()).to_owned(),
            version: String::new(),
            builder: workspace.builder_kind(now.db()).to_owned(),
            platform: workspace.platform(now.db()).to_owned(),
        },
    );
    let mut outside = workspace.outside(now.db()).clone();
    // Contexts are left alone: what differs in them is for git to say, and hashing them is dear.
    let Ok(mut order) = sync::order(&mut then, &names) else { return Ok(None) };
    while inputs::set_outside(&mut then, &order, &mut outside) {
        let Ok(again) = sync::order(&mut then, &names) else { return Ok(None) };
        order = again;
    }
    Ok(Some(then))
}

/// Whether all that counts but files is the same at both times.
fn same_but_files(now: &Session, then: &Session, name: &str) -> bool {
    let parts = |session: &Session| {
        let image = session.input(name)?;
        let recipe = recipe(session.db(), image).as_ref().ok()?;
        Some(known_parts(session.db(), image, recipe))
    };
    let here = parts(now);
    here.is_some() && here == parts(then)
}

/// The selection of an image; nothing when no instruction reads files.
fn reads(session: &Session, name: &str) -> Option<Result<Selection, ReadError>> {
    let image = session.input(name)?;
    let recipe = recipe(session.db(), image).as_ref().ok()?;
    let reads = &recipe.reads;
    let paths = image.paths(session.db());
    let (dockerfile, context) = (&paths.dockerfile, &paths.context);
    // Trees of other repositories are none of this one's changes.
    let declared = session.project.images.get(name).map(|image| image.overlays.as_slice());
    let paths = declared.unwrap_or_default().iter().filter_map(|overlay| match &overlay.from {
        OverlaySource::Path(path) => {
            Some(Overlay { at: overlay.at.clone(), from: OverlaySide::Path(path.clone()) })
        }
        OverlaySource::Git(_) => None,
    });
    let of = || {
        let own = selection(&*session.executor.tree, dockerfile, context, reads, paths.collect())?;
        Ok(Selection { named: named_contexts::of(session, name, recipe).unwrap_or_default(), ..own })
    };
    (!recipe.reads_nothing()).then(of)
}

/// Whether a selection uses one of these files, or one in one of these folders.
fn uses(
    session: &Session,
    selection: Option<Result<Selection, ReadError>>,
    differing: &BTreeSet<String>,
) -> bool {
    let selection = match selection {
        None => return false,
        Some(Err(_)) => return true,
        Some(Ok(selection)) => selection,
    };
    selection.parts().any(|(_, part)| uses_part(session, &part.alone(), differing))
}

/// The same for one context.
fn uses_part(session: &Session, selection: &Selection, differing: &BTreeSet<String>) -> bool {
    let root = selection.root.as_str();
    let below = |path: &str, folder: &str| {
        folder.is_empty()
            || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let overlays = selection.overlays.iter().filter_map(|overlay| match &overlay.from {
        OverlaySide::Path(path) => Some(path.as_str()),
        OverlaySide::Tree(_) => None,
    });
    let roots: Vec<&str> = std::iter::once(root).chain(overlays).collect();
    let is_near = |path: &&str| roots.iter().any(|root| below(path, root) || below(root, path));
    let near: BTreeSet<&str> = differing.iter().map(String::as_str).filter(is_near).collect();
    if near.is_empty() {
        return false;
    }
    let Ok(used) = session.executor.tree.used_files(selection) else { return true };
    used.files.iter().any(|file| {
        let path = match Overlay::over(&selection.overlays, &file.path) {
            None => name::join(root, &file.path),
            Some((Overlay { from: OverlaySide::Path(path), .. }, rest)) => name::join(path, rest),
            Some((Overlay { from: OverlaySide::Tree(_), .. }, _)) => return false,
        };
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        above.chain(["", path.as_str()]).any(|path| near.contains(path))
    })
}
