//! Payloads of registries: which image was published.
//!
//! Most registries sign nothing. What they say is a reason to ask where a tag stands, and is believed no further.

use std::collections::BTreeSet;

use serde_json::Value;

use super::field::{list, text};
use super::received::Received;
use crate::syntax::reference::{self, Reference};

/// More images in one message are more than anybody published.
const MOST: usize = 200;

/// The images that a registry's payload names: Docker Hub's, Harbor's (also as a cloud event), Quay's, that of the
/// distribution's own registry, and GitHub's.
pub(super) fn of_registry(payload: &Value) -> Received {
    let mut names: Vec<String> = Vec::new();
    if let Some(repository) = text(payload, &["repository", "repo_name"]) {
        names.extend(tagged(repository, text(payload, &["push_data", "tag"])));
    }
    // Quay gives the name with its host, and all tags that moved.
    if let Some(repository) = text(payload, &["docker_url"]) {
        let tags = list(payload, &["updated_tags"]).iter().filter_map(Value::as_str);
        names.extend(tags.filter_map(|tag| tagged(repository, Some(tag))));
    }
    let is_push = |kind: &str| matches!(kind, "PUSH_ARTIFACT" | "pushImage" | "harbor.artifact.pushed");
    if text(payload, &["type"]).is_none_or(is_push) {
        for path in [["event_data", "resources"], ["data", "resources"]] {
            let resources = list(payload, &path).iter();
            names.extend(resources.filter_map(|one| text(one, &["resource_url"])).map(str::to_owned));
        }
    }
    for event in list(payload, &["events"]).iter().filter(|event| text(event, &["action"]) == Some("push")) {
        let at = text(event, &["request", "host"]).zip(text(event, &["target", "repository"]));
        let name = at.map(|(host, repository)| format!("{host}/{repository}"));
        names.extend(name.and_then(|name| tagged(&name, text(event, &["target", "tag"]))));
    }
    if payload.get("registry_package").is_some() || payload.get("package").is_some() {
        return of_github(payload);
    }
    published(names)
}

/// The image of GitHub's `registry_package` and `package` events.
pub(super) fn of_github(payload: &Value) -> Received {
    let package = payload.get("registry_package").or_else(|| payload.get("package")).unwrap_or(&Value::Null);
    let is_image = text(package, &["package_type"])
        .or_else(|| text(package, &["ecosystem"]))
        .is_some_and(|kind| kind.eq_ignore_ascii_case("container"));
    if !is_image {
        return Received::Ignored("the package is no image".into());
    }
    let version = &package["package_version"];
    let tag = text(version, &["container_metadata", "tag", "name"]).filter(|tag| !tag.is_empty());
    let url = text(version, &["package_url"]).filter(|url| !url.is_empty());
    let named = || {
        let owner = text(package, &["namespace"]).or_else(|| text(package, &["owner", "login"]))?;
        Some(format!("ghcr.io/{}/{}", owner.to_lowercase(), text(package, &["name"])?.to_lowercase()))
    };
    let name = match (url, tag) {
        // The address of a version may end with its tag, or with `:` alone.
        (Some(url), _)
            if url.rsplit('/').next().is_some_and(|last| last.contains(':') && !last.ends_with(':')) =>
        {
            Some(url.to_owned())
        }
        (Some(url), Some(tag)) => tagged(url.trim_end_matches(':'), Some(tag)),
        (_, Some(tag)) => named().and_then(|name| tagged(&name, Some(tag))),
        _ => None,
    };
    match name {
        Some(name) => published(vec![name]),
        None => Received::Ignored("the image has no tag".into()),
    }
}

fn tagged(repository: &str, tag: Option<&str>) -> Option<String> {
    tag.filter(|tag| !tag.is_empty()).map(|tag| format!("{repository}:{tag}"))
}

fn published(names: Vec<String>) -> Received {
    // Only what has the form of an image's name goes any further.
    let found: BTreeSet<Reference> =
        names.iter().take(MOST).filter_map(|name| reference::parse(name).ok()).collect();
    match found.is_empty() {
        true => Received::Ignored("no image with a tag was published".into()),
        false => Received::Images(found.into_iter().collect()),
    }
}
