//! `.shipwright.json`: a namespace, and names for folders; the images are the Dockerfiles that are there.
//!
//! An image is named after its Dockerfile's folder, with what follows `Dockerfile` in the file's name. Its tags are
//! those that shipwright gives: the revision, the branch, and `latest`.

use super::Source;
use super::draft::{Draft, Drafts, literal};
use crate::model::name;
use crate::syntax::error::Span;
use crate::syntax::yaml::Node;

/// The tags of every image, as an Imagefile writes them.
const TAGS: [&str; 3] = ["{git.sha:12}", "{git.branch}", "latest"];

pub(super) fn read(root: &Node, source: &Source<'_>) -> Drafts {
    let mut drafts = Drafts::default();
    let mut names = Vec::new();
    let mut namespace = None;
    for (key, value) in root.entries() {
        match key.text.as_str() {
            "version" | "assert_hostname" => {}
            "namespace" => namespace = value.text().map(|text| text.trim_end_matches('/').to_owned()),
            "names" | "namesMap" => {
                let pairs = value.entries().iter();
                names.extend(pairs.filter_map(|(key, value)| Some((key, value.text()?.to_owned()))));
            }
            other => drafts.lost(key.span, format!("{other}: an Imagefile has no such key")),
        }
    }
    let mut used = vec![false; names.len()];
    for path in source.dockerfiles {
        let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(after) = file.strip_prefix("Dockerfile").filter(|after| !after.ends_with(".dockerignore"))
        else {
            continue;
        };
        let last =
            if folder.is_empty() { source.repository } else { folder.rsplit('/').next().unwrap_or_default() };
        let short = format!("{last}{after}");
        let mapped = names.iter().position(|(key, _)| {
            let key = key.text.trim_matches('/');
            key == folder || key == path
        });
        let reference = match (mapped, &namespace) {
            (Some(at), _) => {
                used[at] = true;
                Some((names[at].1.clone(), names[at].0.span))
            }
            (None, Some(namespace)) => Some((format!("{namespace}/{short}"), Span::default())),
            (None, None) => None,
        };
        let references = reference.into_iter().map(|(reference, span)| (literal(&reference), span)).collect();
        drafts.images.push(Draft {
            name: name::from_path(&short),
            context: literal(folder),
            dockerfile: literal(path),
            references,
            tag_templates: TAGS.map(str::to_owned).to_vec(),
            ..Draft::default()
        });
    }
    for ((key, _), _) in names.iter().zip(used).filter(|(_, used)| !used) {
        drafts.lost(key.span, format!("the name of `{}`: no Dockerfile is there", key.text));
    }
    drafts
}
