//! Where the bytes of an upload come from: the caller, or another repository.
//!
//! Gives them piece by piece and can begin again. What comes from a registry is
//! checked against its digest before the last piece is given.

use std::io::{Read, SeekFrom, Write};

use bytes::{Bytes, BytesMut};
use reqwest::{Response, StatusCode};

use super::base::authority;
use super::body::Body;
use super::client::Client;
use super::fault::Fault;
use crate::registry::digest::Sum;
use crate::registry::{Content, RegistryError};
use crate::syntax::reference::Reference;

/// Bytes to upload.
pub(super) enum Source<'a> {
    /// The caller's own.
    Content(&'a mut dyn Content),
    /// A blob of another repository.
    Download(Box<Download<'a>>),
}

/// A blob on its way from a registry to another.
pub(super) struct Download<'a> {
    client: &'a Client,
    from: &'a Reference,
    digest: &'a str,
    /// The rest of the answer, and what has come of it.
    open: Option<(Body, Option<Sum>)>,
    /// Bytes that came and were not asked for yet.
    spare: BytesMut,
}

impl<'a> Source<'a> {
    /// A blob of `from`.
    pub(super) fn download(client: &'a Client, from: &'a Reference, digest: &'a str) -> Self {
        Self::Download(Box::new(Download { client, from, digest, open: None, spare: BytesMut::new() }))
    }

    /// From the first byte again.
    pub(super) fn rewind(&mut self, to: &Reference) -> Result<(), RegistryError> {
        match self {
            Self::Content(content) => content.seek(SeekFrom::Start(0)).map(drop).map_err(|error| {
                RegistryError::refused(
                    to,
                    "uploading a blob",
                    format!("its source cannot be read again: {error}"),
                )
            }),
            Self::Download(download) => {
                download.open = None;
                download.spare.clear();
                Ok(())
            }
        }
    }

    /// The next `size` bytes; fewer only at the end.
    pub(super) async fn next(&mut self, to: &Reference, size: usize) -> Result<Bytes, RegistryError> {
        match self {
            // Files of this machine: not worth another thread.
            Self::Content(content) => read(*content, size).map(Bytes::from).map_err(|error| {
                RegistryError::refused(to, "uploading a blob", format!("its source cannot be read: {error}"))
            }),
            Self::Download(download) => download.next(size).await,
        }
    }
}

/// The size that a piece which was written at once does not exceed.
const PIECE: usize = 1 << 20;

fn kept(from: &Reference, what: &str, error: &std::io::Error) -> RegistryError {
    RegistryError::refused(from, format!("fetching {what}"), format!("it cannot be kept: {error}"))
}

fn read(content: &mut dyn Content, size: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.take(size as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Download<'_> {
    async fn next(&mut self, size: usize) -> Result<Bytes, RegistryError> {
        if self.open.is_none() {
            let response = self.client.blob_stream(self.from, self.digest).await?;
            let host = authority(response.url()).unwrap_or_default();
            let body = Body::of(response, &host, &self.client.wire.options.patience);
            let body = body.map_err(|fault| RegistryError::unreachable(self.from, fault.why))?;
            self.open = Some((body, Sum::like(self.digest)));
        }
        let Some((body, sum)) = &mut self.open else { return Ok(Bytes::new()) };
        while self.spare.len() < size && sum.is_some() {
            let broken = |fault: Fault| RegistryError::unreachable(self.from, fault.why);
            match body.next().await.map_err(broken)? {
                Some(piece) => {
                    if let Some(sum) = sum {
                        sum.update(&piece);
                    }
                    self.spare.extend_from_slice(&piece);
                }
                None => {
                    if sum.take().is_none_or(|sum| sum.finish() != self.digest) {
                        let what = format!("the question for blob {}", self.digest);
                        return Err(RegistryError::corrupt(self.from, what, "what came has another digest"));
                    }
                }
            }
        }
        let size = size.min(self.spare.len());
        Ok(self.spare.split_to(size).freeze())
    }
}

impl Client {
    /// Writes a blob into `into`, piece by piece.
    pub(super) async fn download(
        &self,
        from: &Reference,
        digest: &str,
        into: &mut dyn Write,
    ) -> Result<(), RegistryError> {
        let mut source = Source::download(self, from, digest);
        loop {
            let piece = source.next(from, PIECE).await?;
            if piece.is_empty() {
                return Ok(());
            }
            into.write_all(&piece).map_err(|error| kept(from, digest, &error))?;
        }
    }

    /// A blob's bytes as they come, not checked yet.
    async fn blob_stream(&self, from: &Reference, digest: &str) -> Result<Response, RegistryError> {
        let what = format!("the question for blob {digest}");
        let found = self.read(from, async |base| {
            let ask = self.blob_question(base, from, digest, &what);
            let response = self.wire.ask(base, &ask).await?;
            match response.status() {
                StatusCode::OK => Ok(Some(response)),
                StatusCode::NOT_FOUND => Ok(None),
                status => Err(RegistryError::refused(from, &what, format!("HTTP {status}"))),
            }
        });
        found.await?.ok_or_else(|| RegistryError::refused(from, &what, "it has no such blob"))
    }
}
