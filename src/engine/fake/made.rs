//! Results of builds in tests: an image that depends on what a real one would.

use std::collections::BTreeMap;

use super::state::{State, full_name};
use crate::engine::{BuildRequest, ImageId, ImageInfo, docker};
use crate::model::content;
use crate::model::hash::FieldHasher;
use crate::model::own_bases;

/// The image a request leads to.
pub(super) fn made(state: &State, request: &BuildRequest) -> ImageInfo {
    let mut made_of = FieldHasher::new("imk fake image content v1");
    made_of.field(request.target.as_deref().unwrap_or_default());
    // As a real engine sees it: comments do not count, and a base is what it
    // resolves to, whatever it is called.
    let lines = request.dockerfile.lines().filter(|line| !line.starts_with('#'));
    for word in lines.flat_map(str::split_whitespace).flat_map(|word| word.split(['=', ','])) {
        made_of.field(state.tags.get(&full_name(word)).map_or(word, |id| id.0.as_str()));
    }
    let labels = request
        .labels
        .iter()
        .filter(|(label, _)| ![content::KEY_LABEL, own_bases::LABEL].contains(&label.as_str()));
    for (key, value) in request.args.iter().chain(labels) {
        made_of.field(key).field(value);
    }
    made_of.field(request.platform.as_deref().unwrap_or_default());
    made_of.field(state.salts.get(&request.image).map_or("", String::as_str));
    if !state.ignores_files.contains(&request.image) {
        made_of.field(request.files.list().hash().0);
    }
    let layer = made_of.finish().to_string();
    ImageInfo {
        id: ImageId(format!("sha256:{layer}")),
        platform: request.platform.clone().unwrap_or_else(|| "linux/amd64".into()),
        repo_digests: Vec::new(),
        tags: Vec::new(),
        onbuild: Vec::new(),
        own_bases: request.labels.get(own_bases::LABEL).cloned(),
        environment: BTreeMap::new(),
        size_bytes: request.files.list().files.iter().map(|file| file.size_bytes).sum(),
        manifest: None,
        content: content::text(&[layer], &serde_json::Value::Null),
    }
}

/// Has somebody else's image in place of one that is about to be pushed, where a test wants that.
pub(super) fn cross(state: &mut State, reference: &str, image: &mut ImageInfo) {
    let Some((tag, times)) = &mut state.crossed else { return };
    if *times > 0 && docker::split_tag(reference).1.starts_with(tag.as_str()) {
        *times -= 1;
        image.content = content::text(&["of somebody else".to_owned()], &serde_json::Value::Null);
    }
}
