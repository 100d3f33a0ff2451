//! Names in Dockerfiles that may surprise their author: a base that bears the name of an image
//! here, and is not that image.
//!
//! Knows names and declared tags. Decides no edge: `query::names` does.

use crate::model::name;
use crate::query::graph::bases;
use crate::query::inputs::{Exact, Image, OutsideBase, Text};
use crate::query::names::{Meaning, meaning};
use crate::query::recipe::recipe;
use crate::session::open::Session;
use crate::session::project::Declared;
use crate::syntax::dockerfile;
use crate::syntax::reference::{self, normalized};
use crate::syntax::suggest::nearest;

/// Remarks on the bases outside of one image, sentences without a full stop.
pub fn remarks(session: &Session, image: Image) -> Vec<String> {
    let outside = bases(session.db(), image).outside.iter();
    outside.filter_map(|base| remark(session, image, base)).collect()
}

fn remark(session: &Session, image: Image, base: &OutsideBase) -> Option<String> {
    match meaning(session.db(), image, &base.reference, &base.platform) {
        Meaning::OtherTag(ours, tag) => {
            let name = ours.name(session.db());
            Some(other_tag(&base.reference, name, &tag, session.project.images.get(name)?))
        }
        Meaning::Own => replaced(&base.reference, session.project.images.get(image.name(session.db()))?),
        Meaning::Stranger => near(session, image, base),
        Meaning::Image(_) | Meaning::OtherPlatform(_) => None,
    }
}

/// The base nearly names an image here, or a stage of the file.
fn near(session: &Session, image: Image, base: &OutsideBase) -> Option<String> {
    let reference = &base.reference;
    let parsed = reference::parse(reference).ok().filter(|parsed| parsed.digest.is_none())?;
    let user = name::declared(image.name(session.db()));
    let (prefix, last) = reference.rsplit_once('/').unwrap_or(("", reference));
    let (last, tag) = last.split_once(':').unwrap_or((last, "latest"));
    if !prefix.is_empty() {
        // Where no Imagefile says a prefix, what can be learned of all images is told once.
        let ours = session
            .project
            .images
            .get(last)
            .filter(|_| last != user && session.project.imagefile.is_some())?;
        let answers = ours.answers();
        return (tag == "latest" || answers.any || answers.tags.contains(tag)).then(|| {
            format!("`{reference}` is the image outside; if the image `{last}` here is meant, write `contexts: {{\"{reference}\": \"{last}\"}}` for `{user}`, or `prefix: \"{prefix}/\"`")
        });
    }
    // A name that is known to lead somewhere is no slip.
    let known = session.workspace().outside(session.db()).get(base);
    if known.is_some_and(|outside| outside.exact != Exact::Unknown) || parsed.tag.as_deref() != Some("latest")
    {
        return None;
    }
    let stages = stages(session, image, reference);
    let stage = nearest(last, stages.iter().map(String::as_str));
    let images = session.project.images.keys().map(|name| name::declared(name)).filter(|name| *name != user);
    match (stage, nearest(last, images)) {
        (Some(stage), _) => Some(format!(
            "`{reference}` is the image outside, for no stage above is named so; did you mean the stage `{stage}`?"
        )),
        (None, Some(name)) => Some(format!(
            "`{reference}` is the image outside, for no image here is named so; did you mean `{name}`?"
        )),
        (None, None) => None,
    }
}

/// The names of the stages above the place that names a reference.
fn stages(session: &Session, image: Image, reference: &str) -> Vec<String> {
    let (Ok(recipe), Text::Is(text)) = (recipe(session.db(), image), image.dockerfile(session.db())) else {
        return Vec::new();
    };
    let place = recipe.bases.iter().find(|base| base.reference == reference).map(|base| base.stage);
    let Ok(file) = dockerfile::parse(text) else { return Vec::new() };
    let above = file.stages.iter().take(place.unwrap_or_default());
    above.filter_map(|stage| stage.name.as_ref()).map(|name| name.text.clone()).collect()
}

/// The base has the name of an image here and another tag: what it means, and the line that would change that.
fn other_tag(reference: &str, name: &str, tag: &str, ours: &Declared) -> String {
    if let (repository, Some(_)) = name::split(name) {
        return format!(
            "`{reference}` is the image outside, for of the repository `{repository}` there is `{name}` here and no `{repository}:{tag}`; an image of that name in the Imagefile would be meant"
        );
    }
    let declared = ours.tags.iter().filter(|rule| rule.when.is_none());
    let tags: Vec<String> =
        declared.map(|rule| &*rule.template.text).chain([tag]).map(|tag| format!("\"{tag}\"")).collect();
    let imagefile = if ours.span.is_none() { " in the Imagefile that `imk init` writes" } else { "" };
    format!(
        "`{reference}` is the image outside, for the image `{name}` here has no tag `{tag}`; if `{name}` is meant, write `tags: [{}]` or `any_tag: true` for it{imagefile}",
        tags.join(", ")
    )
}

/// The result is tagged with the very name of its base.
fn replaced(reference: &str, image: &Declared) -> Option<String> {
    let base = normalized(reference);
    let same = |tag: &String| normalized(&format!("{}:{tag}", image.repository)) == base;
    let tag = image.answers().tags.into_iter().find(same)?;
    Some(format!(
        "the base `{reference}` is the image outside, and the result is tagged `{}:{tag}` in its place: to others on this engine `FROM {reference}` then means the result; a `prefix` or another name keeps the two apart",
        image.repository
    ))
}
