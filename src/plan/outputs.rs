//! Outputs that are to be written beside images, and destinations that cannot be written.
//!
//! Looks at destinations and at what was noted of them; writes nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::hash::ContentHash;
use crate::model::output::Output;
use crate::outputs::place::Place;
use crate::outputs::record::{self, Why};
use crate::outputs::write::{self, Image};
use crate::query::problem::Problem;
use crate::session::open::Session;
use crate::session::project::Declared;
use crate::session::sync::Synced;

/// An output that is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// The image.
    pub image: String,
    /// The form.
    pub output: Output,
    /// Where to.
    pub place: Place,
    /// Why.
    pub why: Why,
}

impl Lacking {
    /// Where to, as people write it in the repository.
    pub fn shown(&self, session: &Session) -> String {
        let path = self.place.path();
        path.strip_prefix(&session.project.root).unwrap_or(&path).display().to_string()
    }
}

/// The outputs of targets that are not as these results have them.
pub fn lacking(session: &Session, synced: &Synced, results: &BTreeMap<String, ContentHash>) -> Vec<Lacking> {
    let mut all = Vec::new();
    for (name, declared) in written(session, synced) {
        let Some(content) = results.get(name) else { continue };
        let image = image(declared, *content);
        for output in &declared.outputs.files {
            // One that cannot be looked at cannot be written either, and that was told before.
            let Ok(place) = Place::of(&session.project.root, &output.dest) else { continue };
            let wanted = write::wanted(&image, output);
            if let Some(why) = record::why(session.state(), &place, output.form, &wanted) {
                all.push(Lacking { image: name.clone(), output: output.clone(), place, why });
            }
        }
    }
    all
}

/// An image as its outputs show it: with the names that it has whatever the day.
pub fn image(declared: &Declared, content: ContentHash) -> Image {
    let always = declared.tags.iter().filter(|rule| rule.when.is_none());
    let names = always.filter_map(|rule| Some(format!("{}:{}", declared.repository, rule.template.fixed()?)));
    Image { content, names: names.collect(), annotations: declared.options.annotations.clone() }
}

/// The destinations of targets that cannot be written, and those that two would write.
pub fn problems(session: &Session, synced: &Synced) -> BTreeMap<String, Vec<Problem>> {
    let mut problems: BTreeMap<String, Vec<Problem>> = BTreeMap::new();
    let mut taken: BTreeMap<std::path::PathBuf, String> = BTreeMap::new();
    for (name, declared) in written(session, synced) {
        for output in &declared.outputs.files {
            let mut add = |message: String, hint: &str| {
                let problem = Problem {
                    path: session.project.imagefile.clone().unwrap_or_default(),
                    span: declared.span,
                    message,
                    hint: Some(hint.to_owned()),
                };
                problems.entry(name.clone()).or_default().push(problem);
            };
            let place = Place::of(&session.project.root, &output.dest).map_err(|error| error.to_string());
            match place.and_then(|place| place.check(output.form).map(|()| place.path())) {
                Err(why) => add(
                    format!("the output `{}` of `{name}` cannot be written: {why}", output.dest),
                    "name another place, or make way; nothing was built",
                ),
                Ok(path) => {
                    if let Some(other) = taken.insert(path, name.clone()) {
                        add(
                            format!("`{other}` and `{name}` have one output, `{}`", output.dest),
                            "give each image a place of its own; with --output, name one image",
                        );
                    }
                }
            }
        }
    }
    problems
}

/// Targets that are only to be shown to build: nothing of the order is built on them, and nothing is kept of them.
pub fn proofs(session: &Session, synced: &Synced) -> BTreeSet<String> {
    let is_base = |name: &String| synced.order.bases.values().flatten().any(|base| base == name);
    let nothing =
        targets(session, synced).filter(|(name, declared)| declared.outputs.nothing && !is_base(name));
    nothing.map(|(name, _)| name.clone()).collect()
}

/// Outputs are the work tree's: those of a commit that is looked at, or built before a push, are nobody's.
fn written<'s>(session: &'s Session, synced: &'s Synced) -> impl Iterator<Item = (&'s String, &'s Declared)> {
    targets(session, synced).filter(|_| session.overrides.commit.is_none())
}

fn targets<'s>(session: &'s Session, synced: &'s Synced) -> impl Iterator<Item = (&'s String, &'s Declared)> {
    synced.targets.iter().filter_map(|name| session.project.images.get_key_value(name))
}
