//! containerd's content service, of which BuildKit asks local caches and OCI layouts: blobs by digest, read and left.
//!
//! Which store is meant stands in the call's metadata. What is written is hashed here and kept only under the digest
//! that it has. Knows no folder.

use std::convert::Infallible;
use std::io::{Read, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use ring::digest::{Context as Hashing, SHA256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, NamedService, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::engine::BuildRequest;
use crate::engine::sending::Traffic;
use crate::engine::stores::{self, Blob, ContentStore, Draft, LayoutStore, Stores, is_digest};

mod messages;

use messages::{
    Action, Info, InfoRequest, InfoResponse, ReadRequest, ReadResponse, WriteRequest, WriteResponse,
};

/// Which store a call is for (BuildKit's `session/content`).
const STORE: &str = "buildkit-attachable-store-id";
/// Bytes of one answer. A caller takes 16 MiB.
const CHUNK: usize = 256 << 10;
/// Bytes that one message may have: containerd's writers send up to 8 MiB.
const MESSAGE_MAX: usize = 32 << 20;
/// Answers that may wait for the engine.
const QUEUE: usize = 4;

/// The stores of one build.
#[derive(Clone)]
pub(super) struct Content {
    stores: Arc<Stores>,
    traffic: Arc<Traffic>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl Content {
    /// The stores of a request: folders of its caches, and layouts that it builds on.
    pub fn of(request: &BuildRequest, traffic: &Arc<Traffic>) -> Self {
        let mut stores = request.cache.stores.clone();
        for image in request.layouts.values() {
            stores.0.insert(stores::of_layout(image.digest()), Arc::new(LayoutStore(Arc::clone(image))));
        }
        Self { stores: Arc::new(stores), traffic: Arc::clone(traffic) }
    }

    fn store(&self, metadata: &MetadataMap) -> Result<Arc<dyn ContentStore>, Status> {
        self.traffic.heard();
        let id = metadata.get(STORE).and_then(|id| id.to_str().ok());
        let id = id.ok_or_else(|| Status::invalid_argument("the call names no store"))?;
        let found = self.stores.0.get(id).cloned();
        found.ok_or_else(|| Status::not_found(format!("this build has no store `{id}`")))
    }

    async fn info(self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        let store = self.store(request.metadata())?;
        let digest = request.into_inner().digest;
        let size = apart({
            let digest = digest.clone();
            move || Ok(open(&*store, &digest)?.seek(SeekFrom::End(0))?)
        })
        .await?;
        let info = Info { digest, size: i64::try_from(size).unwrap_or(i64::MAX) };
        Ok(Response::new(InfoResponse { info: Some(info) }))
    }

    async fn read(self, request: Request<ReadRequest>) -> Result<Response<Answers<ReadResponse>>, Status> {
        let store = self.store(request.metadata())?;
        let ReadRequest { digest, offset, size } = request.into_inner();
        let start = u64::try_from(offset).unwrap_or_default();
        let limit = u64::try_from(size).ok().filter(|size| *size > 0).unwrap_or(u64::MAX);
        let file = apart(move || {
            let mut file = open(&*store, &digest)?;
            if start > file.seek(SeekFrom::End(0))? {
                return Err(Refusal::Said(Status::out_of_range("it begins behind the blob's end")));
            }
            file.seek(SeekFrom::Start(start))?;
            Ok(file)
        })
        .await?;
        let (answers, outgoing) = mpsc::channel(QUEUE);
        let traffic = Arc::clone(&self.traffic);
        tokio::task::spawn_blocking(move || {
            let mut file = file.take(limit);
            let mut at = offset.max(0);
            loop {
                let mut data = vec![0; CHUNK];
                let answer = match file.read(&mut data) {
                    Ok(0) => return,
                    Ok(count) => {
                        data.truncate(count);
                        let answer = ReadResponse { offset: at, data };
                        at = at.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
                        Ok(answer)
                    }
                    Err(error) => Err(Status::data_loss(error.to_string())),
                };
                traffic.heard();
                let ended = answer.is_err();
                if answers.blocking_send(answer).is_err() || ended {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn write(
        self,
        request: Request<Streaming<WriteRequest>>,
    ) -> Result<Response<Answers<WriteResponse>>, Status> {
        let store = self.store(request.metadata())?;
        let mut asked = request.into_inner();
        let (answers, outgoing) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut blob = Arriving { store, draft: None, hash: Hashing::new(&SHA256), size: 0 };
            while let Ok(Some(request)) = asked.message().await {
                self.traffic.heard();
                let is_last = request.action == Action::Commit as i32;
                let (answer, back) = blob.take(request).await;
                let failed = answer.is_err();
                if answers.send(answer).await.is_err() || failed || is_last {
                    return;
                }
                let Some(back) = back else { return };
                blob = back;
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

/// Why something was not done: in BuildKit's words, or by the system.
enum Refusal {
    Said(Status),
    Failed(std::io::Error),
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Said(status) => status,
            Refusal::Failed(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Self::permission_denied(error.to_string())
            }
            Refusal::Failed(error) => Self::unknown(error.to_string()),
        }
    }
}

/// Does what may wait for a disk, on a thread that may wait.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Status::internal("the work broke off"))?.map_err(Status::from)
}

fn open(store: &dyn ContentStore, digest: &str) -> Result<Box<dyn Blob>, Refusal> {
    if !is_digest(digest) {
        return Err(Refusal::Said(Status::invalid_argument(format!("`{digest}` is no digest"))));
    }
    store.open(digest)?.ok_or_else(|| Refusal::Said(Status::not_found(format!("there is no {digest}"))))
}

/// A blob while it is written.
struct Arriving {
    store: Arc<dyn ContentStore>,
    draft: Option<Box<dyn Draft>>,
    hash: Hashing,
    size: i64,
}

impl Arriving {
    /// Does what one message asks for. The blob comes back unless it is done with.
    async fn take(mut self, request: WriteRequest) -> (Result<WriteResponse, Status>, Option<Self>) {
        let done = tokio::task::spawn_blocking(move || {
            let answer = self.step(&request);
            (answer.map_err(Status::from), self)
        });
        match done.await {
            Ok((answer, back)) => (answer, Some(back)),
            Err(_) => (Err(Status::internal("the work broke off")), None),
        }
    }

    fn step(&mut self, request: &WriteRequest) -> Result<WriteResponse, Refusal> {
        let said = |status: Status| Err(Refusal::Said(status));
        let expected = request.expected.as_str();
        if !expected.is_empty() {
            if !is_digest(expected) {
                return said(Status::invalid_argument(format!("`{expected}` is no digest")));
            }
            if self.store.open(expected)?.is_some() {
                return said(Status::already_exists(format!("{expected} is there")));
            }
        }
        let action = Action::try_from(request.action).unwrap_or(Action::Stat);
        if action != Action::Stat {
            if request.offset == 0 && self.size > 0 {
                // It begins again.
                (self.draft, self.hash, self.size) = (None, Hashing::new(&SHA256), 0);
            }
            if request.offset != self.size {
                return said(Status::out_of_range(format!("the blob has {} bytes by now", self.size)));
            }
            let draft = match &mut self.draft {
                Some(draft) => draft,
                none => none.insert(self.store.draft()?),
            };
            draft.write_all(&request.data)?;
            self.hash.update(&request.data);
            self.size += i64::try_from(request.data.len()).unwrap_or_default();
        }
        let digest = format!("sha256:{}", hex::encode(self.hash.clone().finish()));
        if action == Action::Commit {
            if request.total > 0 && request.total != self.size {
                let why = format!("the blob has {} bytes and not {}", self.size, request.total);
                return said(Status::failed_precondition(why));
            }
            if !expected.is_empty() && expected != digest {
                return said(Status::failed_precondition(format!("the blob is {digest} and not {expected}")));
            }
            if let Some(draft) = self.draft.take() {
                draft.keep(&digest)?;
            }
        }
        let (offset, total) = (self.size, request.total);
        Ok(WriteResponse { action: action as i32, offset, total, digest })
    }
}

struct InfoCall(Content);

impl UnaryService<InfoRequest> for InfoCall {
    type Response = InfoResponse;
    type Future = BoxFuture<Response<InfoResponse>, Status>;

    fn call(&mut self, request: Request<InfoRequest>) -> Self::Future {
        Box::pin(self.0.clone().info(request))
    }
}

struct ReadCall(Content);

impl ServerStreamingService<ReadRequest> for ReadCall {
    type Response = ReadResponse;
    type ResponseStream = Answers<ReadResponse>;
    type Future = BoxFuture<Response<Answers<ReadResponse>>, Status>;

    fn call(&mut self, request: Request<ReadRequest>) -> Self::Future {
        Box::pin(self.0.clone().read(request))
    }
}

struct WriteCall(Content);

impl StreamingService<WriteRequest> for WriteCall {
    type Response = WriteResponse;
    type ResponseStream = Answers<WriteResponse>;
    type Future = BoxFuture<Response<Answers<WriteResponse>>, Status>;

    fn call(&mut self, request: Request<Streaming<WriteRequest>>) -> Self::Future {
        Box::pin(self.0.clone().write(request))
    }
}

impl NamedService for Content {
    const NAME: &'static str = "containerd.services.content.v1.Content";
}

impl Service<http::Request<tonic::body::Body>> for Content {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let content = self.clone();
        let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
        Box::pin(async move {
            Ok(match method.as_str() {
                "Info" => Grpc::new(ProstCodec::default()).unary(InfoCall(content), request).await,
                "Read" => Grpc::new(ProstCodec::default()).server_streaming(ReadCall(content), request).await,
                "Write" => {
                    let mut grpc = Grpc::new(ProstCodec::default()).max_decoding_message_size(MESSAGE_MAX);
                    grpc.streaming(WriteCall(content), request).await
                }
                // BuildKit asks for nothing else of a store in a session.
                _ => Status::unimplemented("this store reads and takes blobs").into_http(),
            })
        })
    }
}
