//! The words of the Dockerfile frontend for a request.

use std::collections::HashMap;

use serde_json::json;

use crate::engine::session::folder_of;
use crate::engine::{BuildRequest, Caches, stores};
use crate::model::layer_cache::LayerCache;

/// The caches that layers may be taken from.
pub(super) fn imports(caches: &Caches) -> Vec<LayerCache> {
    let image = |name: &String| LayerCache {
        kind: "registry".into(),
        attributes: [("ref".to_owned(), name.clone())].into(),
    };
    caches.from.iter().map(image).chain(caches.other_from.iter().cloned()).collect()
}

/// The Dockerfile frontend's words for a request.
pub(super) fn attributes(request: &BuildRequest) -> HashMap<String, String> {
    let mut attributes = HashMap::from([
        ("filename".to_owned(), "Dockerfile".to_owned()),
        ("image-resolve-mode".to_owned(), "local".to_owned()),
    ]);
    let texts = [
        ("target", &request.target),
        ("platform", &request.platform),
        ("force-network-mode", &request.network),
    ];
    let said = texts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)));
    attributes.extend(said.filter(|(key, value)| key != "force-network-mode" || value != "default"));
    attributes.extend(request.args.iter().map(|(key, value)| (format!("build-arg:{key}"), value.clone())));
    attributes.extend(request.labels.iter().map(|(key, value)| (format!("label:{key}"), value.clone())));
    if request.no_cache {
        attributes.insert("no-cache".into(), String::new());
    } else if !request.no_cache_stages.is_empty() {
        attributes.insert("no-cache".into(), request.no_cache_stages.join(","));
    }
    let sandbox = &request.sandbox;
    if !sandbox.hosts.is_empty() {
        let hosts = sandbox.hosts.iter().map(|(host, address)| format!("{host}={address}"));
        attributes.insert("add-hosts".into(), hosts.collect::<Vec<_>>().join(","));
    }
    if let Some(bytes) = sandbox.shm_size_bytes {
        attributes.insert("shm-size".into(), bytes.to_string());
    }
    if !sandbox.ulimits.is_empty() {
        let limits = sandbox.ulimits.iter().map(|(name, (soft, hard))| format!("{name}={soft}:{hard}"));
        attributes.insert("ulimit".into(), limits.collect::<Vec<_>>().join(","));
    }
    let contexts = request.contexts.keys();
    attributes.extend(contexts.map(|name| (format!("context:{name}"), format!("local:{}", folder_of(name)))));
    for (name, image) in &request.layouts {
        let digest = image.digest();
        let at = format!("oci-layout://{}@{digest}", stores::layout_name(digest));
        attributes.insert(format!("context:{name}"), at);
    }
    let imports = imports(&request.cache);
    if !imports.is_empty() {
        // The frontend takes caches from here alone; the request's own list is for builds without one.
        let entry = |cache: LayerCache| json!({"Type": cache.kind, "Attrs": cache.attributes});
        let entries: Vec<_> = imports.into_iter().map(entry).collect();
        attributes.insert("cache-imports".into(), serde_json::Value::from(entries).to_string());
    }
    attributes
}
