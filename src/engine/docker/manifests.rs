//! An image of the containerd store: an index, perhaps, with a manifest for each platform.
//!
//! Its id is that of what its name leads to. Knows nothing of what is made of it.

use bollard::models::{ImageInspect, ImageManifestSummary, ImageManifestSummaryKindEnum};
use http_body_util::BodyExt;
use hyper::StatusCode;

use super::podman::get;
use crate::engine::endpoint::Endpoint;
use crate::engine::session::message_of;
use crate::engine::{EngineError, transport};
use crate::model::error_chain::error_chain;
use crate::patience::Patience;

/// An image with its manifests, which an engine tells since API 1.48 when it is asked for them.
pub(super) async fn described(
    endpoint: &Endpoint,
    patience: &Patience,
    reference: &str,
) -> Result<Option<ImageInspect>, EngineError> {
    let refused = |why: String| EngineError::Refused { what: format!("inspecting `{reference}`"), why };
    let reply =
        transport::ask(endpoint, patience, get(&format!("/images/{reference}/json?manifests=1"))?).await?;
    let status = reply.response.status();
    let body = reply.response.into_body().collect().await;
    let body = body.map_err(|error| transport::unreachable(endpoint, error_chain(&error)))?.to_bytes();
    match status {
        StatusCode::OK => serde_json::from_slice(&body).map(Some).map_err(|error| refused(error.to_string())),
        StatusCode::NOT_FOUND => Ok(None),
        _ => Err(refused(message_of(&body))),
    }
}

/// The manifest for the platform that the image stands for here; none where the engine did not tell them.
pub(super) fn of_platform(image: &ImageInspect) -> Option<&ImageManifestSummary> {
    let images = image.manifests.iter().flatten();
    let mut images =
        images.filter(|it| it.available && it.kind == Some(ImageManifestSummaryKindEnum::IMAGE)).peekable();
    let first = images.next()?;
    if images.peek().is_none() {
        return Some(first);
    }
    std::iter::once(first).chain(images).find(|it| {
        let platform = it.image_data.as_ref().map(|data| &data.platform);
        platform.is_some_and(|it| it.os == image.os && it.architecture == image.architecture)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn manifest(digest: &str, kind: &str, architecture: &str) -> Value {
        json!({
            "ID": digest, "Available": true, "Kind": kind,
            "Descriptor": {"mediaType": "m", "digest": digest, "size": 1},
            "Size": {"Total": 9, "Content": 2},
            "ImageData": {
                "Platform": {"os": "linux", "architecture": architecture}, "Containers": [], "Size": {"Unpacked": 7},
            },
        })
    }

    fn found(manifests: &[Value]) -> Option<String> {
        let image = json!({"Id": "sha256:i", "Os": "linux", "Architecture": "arm64", "Manifests": manifests});
        let image: ImageInspect = serde_json::from_value(image).unwrap();
        of_platform(&image)?.descriptor.digest.clone()
    }

    #[test]
    fn a_note_beside_the_image_does_not_count_and_of_two_platforms_the_images_own_does() {
        let (arm, amd) = (manifest("a", "image", "arm64"), manifest("b", "image", "amd64"));
        let note = manifest("n", "attestation", "unknown");
        assert_eq!(found(&[note.clone(), amd.clone()]).as_deref(), Some("b"));
        assert_eq!(found(&[amd, note.clone(), arm]).as_deref(), Some("a"));
        assert_eq!(found(&[note]), None);
        assert_eq!(found(&[]), None);
    }
}
