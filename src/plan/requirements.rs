//! Requirements of images on engines, and the layer caches they name: told to a run, and never counted.
//!
//! Knows which wish no engine can grant, and where it stands. Chooses no engine.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::Caches;
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

/// The caches of every image, those of the caller added.
pub(crate) fn caches(session: &Session, more: &Caches) -> BTreeMap<String, Caches> {
    let of_image = |image: &Declared| Caches {
        from: image.cache.from.iter().chain(&more.from).cloned().collect(),
        inline: image.cache.inline || more.inline,
    };
    session.project.images.iter().map(|(name, image)| (name.clone(), of_image(image))).collect()
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
