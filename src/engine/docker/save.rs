//! An image on its way out of the engine, as the archive that `docker save` writes.

use std::io::Write;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};

use crate::engine::sending::Traffic;
use crate::engine::session::{message_of, supervise};
use crate::engine::transport::{self, Link, Reply};
use crate::engine::{Cancel, EngineError, ImageId};
use crate::model::error_chain::error_chain;

/// See [`crate::engine::Engine::save`].
pub(super) async fn save(
    link: Link<'_>,
    id: &ImageId,
    to: &mut dyn Write,
    cancel: &Cancel,
) -> Result<(), EngineError> {
    let refused = |why: String| EngineError::Refused { what: format!("reading the image {id}"), why };
    let traffic = Traffic::default();
    let work = async {
        let get = Request::get(format!("/images/{}/get", id.0)).body(Empty::<Bytes>::new());
        let get = get.map_err(|error| refused(error.to_string()))?;
        let Reply { response, connection: _connection } = transport::send(link.endpoint, get).await?;
        let status = response.status();
        let mut body = response.into_body();
        if status != StatusCode::OK {
            let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(refused(message_of(&bytes)));
        }
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| refused(format!("the engine broke off: {}", error_chain(&error))))?;
            traffic.heard();
            if let Some(data) = frame.data_ref() {
                to.write_all(data).map_err(|error| refused(error.to_string()))?;
            }
        }
        Ok(())
    };
    supervise(link, work, &traffic, &|_| {}, cancel).await
}
