//! Names in Dockerfiles that may surprise their author: a base that bears the name of an image
//! here, and is not that image.
//!
//! Knows names and declared tags. Decides no edge: `query::names` does.

use crate::model::name;
use crate::query::graph::bases;
use crate::query::inputs::{Image, OutsideBase};
use crate::query::names::{Meaning, meaning};
use crate::session::open::Session;
use crate::session::project::Declared;
use crate::syntax::reference::normalized;

/// Remarks on the bases outside of one image, sentences without a full stop.
pub fn remarks(session: &Session, image: Image) -> Vec<String> {
    let outside = bases(session.db(), image).outside.iter();
    outside.filter_map(|base| remark(session, image, base)).collect()
}

fn remark(session: &Session, image: Image, base: &OutsideBase) -> Option<String> {
    match meaning(session.db(), image, &base.reference) {
        Meaning::OtherTag(ours, tag) => {
            let name = ours.name(session.db());
            Some(other_tag(&base.reference, name, &tag, session.project.images.get(name)?))
        }
        Meaning::Own => replaced(&base.reference, session.project.images.get(image.name(session.db()))?),
        Meaning::Image(_) | Meaning::Stranger => None,
    }
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
