//! The body of an answer, piece by piece, as it was before it was packed for the way.
//!
//! imk asks for no packing, but a proxy may pack what a client of another kind had asked for, and so a
//! `Content-Encoding: gzip` (RFC 9110, 8.4) is undone here: digests are those of the content. Knows nothing of
//! what the content is.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;

use super::fault::Fault;
use crate::patience::Patience;

/// The packed bytes that are unpacked at once: a thousand times as much is held in memory at most.
const PACKED: usize = 4 << 10;

/// An answer's body under way.
pub(super) struct Body {
    response: Response,
    host: String,
    patience: Patience,
    unpacking: Option<Unpacking>,
}

/// A packed body: what came and is still packed, and the decoder.
struct Unpacking {
    decoder: GzDecoder<Vec<u8>>,
    packed: Bytes,
}

impl Body {
    /// The body of an answer of `host`, which is waited for by `patience`.
    pub(super) fn of(response: Response, host: &str, patience: &Patience) -> Result<Self, Fault> {
        let encoding = response.headers().get(CONTENT_ENCODING).and_then(|value| value.to_str().ok());
        let encoding = encoding.unwrap_or_default().trim();
        let unpacking = match encoding.to_lowercase().as_str() {
            "" | "identity" => None,
            "gzip" | "x-gzip" => {
                Some(Unpacking { decoder: GzDecoder::new(Vec::new()), packed: Bytes::new() })
            }
            other => return Err(Fault::wrong(format!("it packs its answer as `{other}`, unasked"))),
        };
        Ok(Self { response, host: host.to_owned(), patience: patience.clone(), unpacking })
    }

    /// More of it; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.unpacking.is_none() {
            return self.piece().await;
        }
        loop {
            let Some(unpacking) = &mut self.unpacking else { return Ok(None) };
            if unpacking.packed.is_empty() {
                match self.piece().await? {
                    Some(piece) => {
                        if let Some(unpacking) = &mut self.unpacking {
                            unpacking.packed = piece;
                        }
                        continue;
                    }
                    None => return self.last(),
                }
            }
            let some = unpacking.packed.split_to(PACKED.min(unpacking.packed.len()));
            unpacking.decoder.write_all(&some).map_err(broken)?;
            let unpacked = std::mem::take(unpacking.decoder.get_mut());
            if !unpacked.is_empty() {
                return Ok(Some(unpacked.into()));
            }
        }
    }

    /// Bytes that the decoder held back; an archive that is cut off is none.
    fn last(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(mut unpacking) = self.unpacking.take() else { return Ok(None) };
        unpacking.decoder.try_finish().map_err(broken)?;
        let unpacked = std::mem::take(unpacking.decoder.get_mut());
        self.unpacking = None;
        Ok(Some(unpacked).filter(|unpacked| !unpacked.is_empty()).map(Bytes::from))
    }

    async fn piece(&mut self) -> Result<Option<Bytes>, Fault> {
        let waiting = self.patience.begin(&self.host).map_err(Fault::wrong)?;
        let piece = waiting.on(self.response.chunk()).await.map_err(Fault::wrong)?;
        waiting.heard();
        Ok(piece?)
    }
}

fn broken(error: std::io::Error) -> Fault {
    Fault::wrong(format!("what it packed cannot be unpacked: {error}"))
}
