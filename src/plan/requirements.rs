//! Requirements of images on engines, and the layer caches they name: told to a run, and never counted.
//!
//! Knows which wish no engine can grant, and where it stands. Chooses no engine.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;

use crate::engine::Caches;
use crate::engine::pool::Wanted;
use crate::model::layer_cache::LayerCache;
use crate::plan::verdicts::{self, Verdict};
use crate::query::problem::Problem;
use crate::session::open::Session;
use crate::session::project::Declared;
use crate::session::sync::Synced;

pub(crate) fn engine_labels(session: &Session) -> BTreeMap<String, BTreeSet<String>> {
    let images = session.project.images.iter().filter(|(_, image)| !image.engine_labels.is_empty());
    images.map(|(name, image)| (name.clone(), labels(image))).collect()
}

/// The caches of every image, those of the caller added.
pub(crate) fn caches(session: &Session, more: &Caches) -> BTreeMap<String, Caches> {
    let both = |declared: &[LayerCache], typed: &[LayerCache]| -> Vec<LayerCache> {
        // A login is for the host that it was given for, and not for one that an Imagefile names.
        let own = |cache: &LayerCache| match cache.attributes.contains_key("endpoint_url") {
            true => cache.clone(),
            false => filled(session, cache),
        };
        declared.iter().map(own).chain(typed.iter().map(|cache| filled(session, cache))).collect()
    };
    let of_image = |image: &Declared| Caches {
        from: image.cache.from.iter().chain(&more.from).cloned().collect(),
        inline: image.cache.inline || more.inline,
        other_from: image
            .cache
            .other_from
            .iter()
            .chain(&more.other_from)
            .map(|it| filled(session, it))
            .collect(),
        to: both(&image.cache.to, &more.to),
    };
    session.project.images.iter().map(|(name, image)| (name.clone(), of_image(image))).collect()
}

/// A cache with what the environment of a job says of it and no file may: addresses and logins, as docker's own
/// client adds them.
fn filled(session: &Session, cache: &LayerCache) -> LayerCache {
    let variable = |name: &str| {
        let value = session.environment.get(OsStr::new(name))?.to_str()?;
        Some(value.to_owned()).filter(|value| !value.is_empty())
    };
    let said: &[(&str, &str)] = match cache.kind.as_str() {
        "gha" => &[
            ("token", "ACTIONS_RUNTIME_TOKEN"),
            ("url", "ACTIONS_CACHE_URL"),
            ("url_v2", "ACTIONS_RESULTS_URL"),
        ],
        "s3" => &[
            ("access_key_id", "AWS_ACCESS_KEY_ID"),
            ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
            ("session_token", "AWS_SESSION_TOKEN"),
        ],
        _ => &[],
    };
    let mut filled = cache.clone();
    filled
        .attributes
        .extend(said.iter().filter_map(|(key, name)| Some(((*key).to_owned(), variable(name)?))));
    filled
}

/// Stages whose steps run again, by image.
pub(crate) fn no_cache_stages(session: &Session) -> BTreeMap<String, Vec<String>> {
    let images = session.project.images.iter().filter(|(_, image)| !image.no_cache_filter.is_empty());
    images.map(|(name, image)| (name.clone(), image.no_cache_filter.clone())).collect()
}

/// Rights of steps, by image.
pub(crate) fn entitlements(session: &Session) -> BTreeMap<String, BTreeSet<String>> {
    let images = session.project.images.iter().filter(|(_, image)| !image.entitlements.is_empty());
    let texts = |image: &Declared| image.entitlements.iter().map(|word| word.text.clone()).collect();
    images.map(|(name, image)| (name.clone(), texts(image))).collect()
}

/// Images of an order whose steps would have rights that nobody agreed to: an Imagefile may be a stranger's.
pub(crate) fn not_allowed(session: &Session, synced: &Synced) -> BTreeMap<String, Problem> {
    let mut problems = BTreeMap::new();
    for name in &synced.order.names {
        let Some(image) = session.project.images.get(name) else { continue };
        let allowed = &session.overrides.allowed;
        let Some(word) = image.entitlements.iter().find(|word| !allowed.contains(&word.text)) else {
            continue;
        };
        let problem = Problem {
            path: session.project.imagefile.clone().unwrap_or_default(),
            span: Some(word.span),
            message: format!("image `{name}` asks for `{}`, which nobody agreed to", word.text),
            hint: Some(format!("--allow {} is your word that its steps may have it", word.text)),
        };
        problems.insert(name.clone(), problem);
    }
    problems
}

/// Images of an order that would have to be built, and that no engine builds.
pub(crate) fn unplaced(session: &Session, synced: &Synced, always: bool) -> BTreeMap<String, Problem> {
    let pool = session.executor.pool();
    let wish = |image: &Declared| Wanted {
        platform: image.options.platform.clone().unwrap_or_default(),
        labels: labels(image),
        ..Wanted::default()
    };
    let declared = |name: &String| session.project.images.get(name).map(|image| (name.clone(), image));
    let order = synced.order.names.iter().filter_map(declared);
    let unplaced: BTreeMap<String, &Declared> =
        order.filter(|(_, image)| !pool.could(&wish(image))).collect();
    if unplaced.is_empty() {
        return BTreeMap::new();
    }
    // What is there already needs no engine.
    let verdicts: BTreeMap<String, Verdict> =
        verdicts::plan(session, synced, always).jobs.into_iter().collect();
    let to_build =
        |name: &String| !matches!(verdicts.get(name), None | Some(Verdict::Fresh | Verdict::Retag(_)));
    let problem = |image: &Declared, name: &str| {
        let wish = wish(image);
        let missing = |label: &&String| pool.nodes().iter().all(|node| !node.labels.contains(*label));
        let quoted = wish.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>();
        let what = match (quoted.is_empty(), wish.platform.is_empty()) {
            (false, true) => quoted.join(" and "),
            (false, false) => format!("{} for {}", quoted.join(" and "), wish.platform),
            (true, _) => wish.platform,
        };
        let word =
            image.engine_labels.iter().find(|word| missing(&&word.text)).or(image.engine_labels.first());
        Problem {
            path: session.project.imagefile.clone().unwrap_or_default(),
            span: word.map(|word| word.span).or(image.span),
            message: format!("image `{name}` needs an engine with {what}, and there is none"),
            hint: Some(format!(
                "there are {}; say what one is good for: --engine 'HOST,labels=gpu', or `engines` in Imagefile.ron",
                pool.described().join(", ")
            )),
        }
    };
    let problems = unplaced.iter().filter(|(name, _)| to_build(name));
    problems.map(|(name, image)| (name.clone(), problem(image, name))).collect()
}

fn labels(image: &Declared) -> BTreeSet<String> {
    image.engine_labels.iter().map(|word| word.text.clone()).collect()
}
