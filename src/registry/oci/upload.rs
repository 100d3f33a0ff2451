//! Uploading a blob: in one piece when it is small, else piece by piece.
//!
//! After a break the registry is asked how far it came; when it cannot say, the
//! upload begins anew. A blob counts only after the last request, which names its
//! digest, so half an upload is never seen by anybody.

use bytes::Bytes;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, StatusCode, Url};
use tokio::time::sleep;

use super::base::Base;
use super::client::Client;
use super::source::Source;
use super::wire::{Ask, header};
use super::write::location;
use super::{read, retry};
use crate::registry::RegistryError;
use crate::syntax::reference::Reference;

/// Why an upload ended early.
enum End {
    /// Another try may go better.
    Broken(RegistryError),
    /// It may not.
    Final(RegistryError),
}

impl From<RegistryError> for End {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Unreachable { .. } => Self::Broken(error),
            _ => Self::Final(error),
        }
    }
}

/// One upload under way.
struct Upload<'a> {
    client: &'a Client,
    base: &'a Base,
    to: &'a Reference,
    what: &'a str,
    /// Where the next piece goes.
    place: Url,
    /// Bytes the registry has.
    sent: u64,
}

impl Client {
    pub(super) async fn upload(
        &self,
        to: &Reference,
        digest: &str,
        mut source: Source<'_>,
    ) -> Result<(), RegistryError> {
        let base = self.wire.base(to).await?;
        let what = format!("uploading blob {digest}");
        let mut tried = 0;
        loop {
            tried += 1;
            source.rewind(to)?;
            match self.upload_once(&base, to, digest, &what, &mut source).await {
                Ok(()) => return Ok(()),
                Err(End::Broken(_)) if tried < self.wire.options.retry.tries => {
                    sleep(retry::pause(&self.wire.options.retry, tried)).await;
                }
                Err(End::Broken(error) | End::Final(error)) => return Err(error),
            }
        }
    }

    async fn upload_once(
        &self,
        base: &Base,
        to: &Reference,
        digest: &str,
        what: &str,
        source: &mut Source<'_>,
    ) -> Result<(), End> {
        let piece = self.wire.options.piece.max(1);
        // A source that fails at once leaves nothing behind.
        let mut next = source.next(to, piece).await?;
        let (place, least) = self.begin(base, to, what).await?;
        let mut upload = Upload { client: self, base, to, what, place, sent: 0 };
        if next.len() < piece {
            return upload.finish(digest, next).await;
        }
        // Some registries take no small pieces but the last.
        if next.len() < least {
            let more = source.next(to, least - next.len()).await?;
            next = Bytes::from([next, more].concat());
        }
        let piece = piece.max(least);
        while !next.is_empty() {
            upload.piece(next).await?;
            next = source.next(to, piece).await?;
        }
        upload.finish(digest, Bytes::new()).await
    }

    /// Where to send a new upload, and the least the registry takes in one piece.
    async fn begin(&self, base: &Base, to: &Reference, what: &str) -> Result<(Url, usize), RegistryError> {
        let url = base.of_repository(&to.repository, "blobs/uploads/");
        let ask = self.order(to, what, Method::POST, url);
        let answer = self.wire.fetch(base, &ask, read::MANIFEST).await?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(self.wire.refusal(&ask, &answer));
        }
        let least = answer.header("oci-chunk-min-length").and_then(|least| least.parse().ok());
        let place = location(base, &answer.headers);
        let place = place.ok_or_else(|| RegistryError::corrupt(to, what, "it does not say where to"))?;
        Ok((place, least.unwrap_or(0)))
    }
}

impl Upload<'_> {
    /// Sends one piece, in parts when the way breaks in between.
    async fn piece(&mut self, mut bytes: Bytes) -> Result<(), End> {
        let limits = self.client.wire.options.retry;
        let mut tried = 0;
        while !bytes.is_empty() {
            tried += 1;
            let end = self.sent + bytes.len() as u64;
            let mut ask = self.ask(Method::PATCH, self.place.clone(), bytes.clone());
            let range = HeaderValue::from_str(&format!("{}-{}", self.sent, end - 1));
            ask.headers.extend(range.into_iter().map(|range| (CONTENT_RANGE, range)));
            let error = match self.client.wire.fetch(self.base, &ask, read::MANIFEST).await {
                Ok(answer) if answer.status.is_success() => {
                    self.follow(&answer.headers);
                    self.sent = end;
                    return Ok(());
                }
                Ok(answer) if answer.status == StatusCode::RANGE_NOT_SATISFIABLE => {
                    self.client.wire.refusal(&ask, &answer)
                }
                // It has forgotten the upload.
                Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
                    return Err(End::Broken(self.client.wire.refusal(&ask, &answer)));
                }
                Ok(answer) => return Err(End::Final(self.client.wire.refusal(&ask, &answer))),
                Err(error @ RegistryError::Unreachable { .. }) => error,
                Err(error) => return Err(End::Final(error)),
            };
            if tried >= limits.tries {
                return Err(End::Broken(error));
            }
            sleep(retry::pause(&limits, tried)).await;
            let came = self.progress(error).await?;
            // Less than we know to be there, or more than we sent: it is confused, so anew.
            let Some(more) = came.checked_sub(self.sent).filter(|more| *more <= bytes.len() as u64) else {
                let why = format!("it has {came} bytes, and not {} to {end}", self.sent);
                return Err(End::Broken(RegistryError::refused(self.to, self.what, why)));
            };
            let _ = bytes.split_to(more as usize);
            self.sent = came;
        }
        Ok(())
    }

    /// How many bytes the registry has.
    async fn progress(&mut self, error: RegistryError) -> Result<u64, End> {
        let ask = self.ask(Method::GET, self.place.clone(), Bytes::new());
        let Ok(answer) = self.client.wire.fetch(self.base, &ask, read::MANIFEST).await else {
            return Err(End::Broken(error));
        };
        let range = answer.header(RANGE.as_str()).map(|range| range.trim_start_matches("bytes="));
        let last: Option<u64> = range.and_then(|range| range.strip_prefix("0-")?.parse().ok());
        match last {
            Some(last) if answer.status.is_success() => {
                self.follow(&answer.headers);
                // `0-0` is what registries say of nothing.
                Ok(if last == 0 { 0 } else { last + 1 })
            }
            _ => Err(End::Broken(error)),
        }
    }

    /// Makes a blob of what was sent and these last bytes.
    async fn finish(&self, digest: &str, bytes: Bytes) -> Result<(), End> {
        let mut url = self.place.clone();
        url.query_pairs_mut().append_pair("digest", digest);
        let ask = self.ask(Method::PUT, url, bytes);
        let outcome = self.client.wire.fetch(self.base, &ask, read::MANIFEST).await;
        match outcome {
            Ok(answer) if answer.status.is_success() => Ok(()),
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
                Err(End::Broken(self.client.wire.refusal(&ask, &answer)))
            }
            Ok(answer) => Err(End::Final(self.client.wire.refusal(&ask, &answer))),
            // The answer may be all that was lost.
            Err(error) => match self.client.has_blob(self.to, digest).await {
                Ok(true) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    /// A question about this upload, asked once: what to do after a break depends on how far it came.
    fn ask(&self, method: Method, url: Url, bytes: Bytes) -> Ask<'_> {
        let mut ask = self.client.order(self.to, self.what, method, url);
        ask.tries = 1;
        ask.body = bytes;
        ask.headers.push((CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")));
        ask
    }

    fn follow(&mut self, headers: &HeaderMap) {
        // Without a new place the old one stays good.
        if header(headers, "location").is_some()
            && let Some(place) = location(self.base, headers)
        {
            self.place = place;
        }
    }
}
