//! Requirements of images on engines: told to a run, and never counted.
//!
//! Knows which wish no engine can grant, and where it stands. Chooses no engine.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::pool::Wanted;
use crate::plan::verdicts::{self, Verdict};
use crate::query::problem::Problem;
use crate::session::open::Session;
use crate::session::project::Declared;
use crate::session::sync::Synced;

pub(crate) fn engine_labels(session: &Session) -> BTreeMap<String, BTreeSet<String>> {
    let images = session.project.images.iter().filter(|(_, image)| !image.engine_labels.is_empty());
    images.map(|(name, image)| (name.clone(), labels(image))).collect()
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
