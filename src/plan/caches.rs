//! Layer caches of images, as a run hands them to engines: with what the environment says of them, and with the folders
//! of those that are local.
//!
//! Caches never count. Looks at folders and makes none.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

use crate::engine::Caches;
use crate::engine::stores::{self, ContentStore, Stores};
use crate::model::layer_cache::LayerCache;
use crate::outputs::place::Place;
use crate::outputs::store::FolderStore;
use crate::query::problem::Problem;
use crate::session::open::Session;
use crate::session::project::Declared;
use crate::session::sync::Synced;

/// The version of GitHub's cache service that has addresses of its own.
const GHA_V2: &str = "2";

/// The caches of every image, those of the caller added.
pub(crate) fn of_images(session: &Session, more: &Caches) -> BTreeMap<String, Caches> {
    let images = session.project.images.iter();
    images.map(|(name, image)| (name.clone(), of_image(session, name, image, more))).collect()
}

fn of_image(session: &Session, name: &str, image: &Declared, more: &Caches) -> Caches {
    let mut stores = Stores::default();
    let mut both = |declared: &[LayerCache], typed: &[LayerCache], key: &str| -> Vec<LayerCache> {
        // A login is for the host that it was given for, and not for one that an Imagefile names.
        let own = |cache: &LayerCache| match cache.attributes.contains_key("endpoint_url") {
            true => cache.clone(),
            false => filled(session, cache),
        };
        let all = declared.iter().map(own).chain(typed.iter().map(|cache| filled(session, cache)));
        let usable = all.filter(is_active);
        usable.filter_map(|cache| in_folder(session, name, cache, key, &mut stores)).collect()
    };
    let other_from = both(&image.cache.other_from, &more.other_from, "src");
    // Of a folder of both kinds the one that can be written stays.
    let to = both(&image.cache.to, &more.to, "dest");
    Caches {
        from: image.cache.from.iter().chain(&more.from).cloned().collect(),
        inline: image.cache.inline || more.inline,
        other_from,
        to,
        stores,
    }
}

/// A cache whose folder, if it has one, is found and kept in `stores`. `None` where nothing is there to be read, and for what
/// is built of a commit: folders of the work tree are not its own.
fn in_folder(
    session: &Session,
    image: &str,
    mut cache: LayerCache,
    key: &str,
    stores: &mut Stores,
) -> Option<LayerCache> {
    if !cache.is_local() {
        return Some(cache);
    }
    let place = Place::of(&session.project.root, cache.attributes.get(key)?).ok()?;
    let path = place.path().display().to_string();
    let store: Arc<dyn ContentStore> = if key == "dest" {
        if session.overrides.commit.is_some() {
            return None;
        }
        Arc::new(FolderStore::to_write(place))
    } else {
        let store = FolderStore::to_read(place);
        if !cache.attributes.contains_key("digest") {
            let found = match cache.attributes.get("tag") {
                Some(tag) => store.named(&[tag]),
                None => store.named(&[image, "latest"]),
            };
            cache.attributes.insert("digest".into(), found.ok()??);
        }
        let digest = cache.attributes.get("digest")?;
        store.open(digest).ok()??;
        Arc::new(store)
    };
    stores.0.insert(stores::of_cache(&path), store);
    cache.attributes.insert(key.to_owned(), path);
    Some(cache)
}

/// GitHub's is left out where no job of its own runs, as docker's own client has it.
fn is_active(cache: &LayerCache) -> bool {
    let has = |key: &str| cache.attributes.contains_key(key);
    cache.kind != "gha" || (has("token") && (has("url") || has("url_v2")))
}

/// A cache with what the environment of a job says of it and no file may: addresses and logins, as docker's own
/// client adds them.
fn filled(session: &Session, cache: &LayerCache) -> LayerCache {
    let variable = |name: &str| {
        let value = session.environment.get(OsStr::new(name))?.to_str()?;
        Some(value.to_owned()).filter(|value| !value.is_empty())
    };
    let mut filled = cache.clone();
    let mut add = |key: &str, name: &str| {
        let is_new = !filled.attributes.contains_key(key);
        if let Some(value) = variable(name).filter(|_| is_new) {
            filled.attributes.insert(key.to_owned(), value);
        }
    };
    match cache.kind.as_str() {
        "gha" => {
            let is_true = |value: String| ["1", "t", "true"].contains(&value.to_ascii_lowercase().as_str());
            let said = cache.attributes.get("version").map(|version| version == GHA_V2);
            let is_v2 = said.unwrap_or_else(|| variable("ACTIONS_CACHE_SERVICE_V2").is_some_and(is_true));
            add("token", "ACTIONS_RUNTIME_TOKEN");
            if is_v2 {
                add("url_v2", "ACTIONS_RESULTS_URL");
            }
            add("url", "ACTIONS_CACHE_URL");
            add("url", "ACTIONS_RESULTS_URL");
        }
        "s3" => {
            add("access_key_id", "AWS_ACCESS_KEY_ID");
            add("secret_access_key", "AWS_SECRET_ACCESS_KEY");
            add("session_token", "AWS_SESSION_TOKEN");
        }
        _ => {}
    }
    filled
}

/// Folders of an order's images in which no layers can be left.
pub(crate) fn problems(session: &Session, synced: &Synced, more: &Caches) -> BTreeMap<String, Problem> {
    let mut problems = BTreeMap::new();
    if session.overrides.commit.is_some() {
        return problems;
    }
    for name in &synced.order.names {
        let Some(image) = session.project.images.get(name) else { continue };
        let local = image.cache.to.iter().chain(&more.to).filter(|cache| cache.is_local());
        for dest in local.filter_map(|cache| cache.attributes.get("dest")) {
            let place = Place::of(&session.project.root, dest).map_err(|error| error.to_string());
            let Err(why) = place.and_then(|place| FolderStore::check(&place)) else { continue };
            let problem = Problem {
                path: session.project.imagefile.clone().unwrap_or_default(),
                span: image.span,
                message: format!("the cache `{dest}` of `{name}` cannot be written: {why}"),
                hint: Some("name another folder, or make way; nothing was built".to_owned()),
            };
            problems.insert(name.clone(), problem);
        }
    }
    problems
}
