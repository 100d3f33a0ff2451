//! Agents for `RUN --mount=type=ssh`: the steps' connections are led to a socket of the caller's.
//!
//! What a step may ask, and agents of imk's own for key files, are `engine/agent`'s.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use bollard_buildkit_proto::moby::sshforward::v1::ssh_server::Ssh;
use bollard_buildkit_proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse};
use futures_util::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::engine::agent::{FAILURE, MESSAGE_MAX, PrivateAgent, is_allowed};
use crate::engine::api::SshSource;

/// Which agent a connection is for.
const ID: &str = "buildkit.ssh.id";
/// The id of a step that names none.
const DEFAULT: &str = "default";
/// Messages that may wait for the engine.
const QUEUE: usize = 16;

/// The agents of one build, by id.
#[derive(Clone, Default)]
pub(super) struct Agents(Arc<BTreeMap<String, Agent>>);

struct Agent {
    socket: PathBuf,
    /// The agent of our own.
    _own: Option<PrivateAgent>,
}

impl Agents {
    /// Starts what is to be started.
    ///
    /// # Errors
    /// A key that cannot be used.
    pub async fn start(sources: &BTreeMap<String, SshSource>) -> Result<Self, String> {
        let mut agents = BTreeMap::new();
        for (id, source) in sources {
            let agent = match source {
                SshSource::Agent(socket) => Agent { socket: socket.clone(), _own: None },
                SshSource::Keys(keys) => own(keys).await.map_err(|why| format!("ssh `{id}`: {why}"))?,
            };
            agents.insert(id.clone(), agent);
        }
        Ok(Self(Arc::new(agents)))
    }

    fn socket(&self, id: &str) -> Result<PathBuf, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        let found = self.0.get(id).map(|agent| agent.socket.clone());
        found.ok_or_else(|| Status::not_found(format!("this build was given no ssh agent `{id}`")))
    }
}

/// An agent that has these keys and no others.
async fn own(keys: &[PathBuf]) -> Result<Agent, String> {
    let keys = keys.to_owned();
    let started = tokio::task::spawn_blocking(move || PrivateAgent::start(&keys)).await;
    let own = started.map_err(|error| format!("no thread for an agent: {error}"))??;
    Ok(Agent { socket: own.socket().to_owned(), _own: Some(own) })
}

#[tonic::async_trait]
impl Ssh for Agents {
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.socket(&request.into_inner().id)?;
        Ok(Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = Pin<Box<dyn Stream<Item = Result<BytesMessage, Status>> + Send>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let socket = self.socket(id)?;
        let agent = UnixStream::connect(&socket).await;
        let agent =
            agent.map_err(|error| Status::unavailable(format!("the ssh agent does not answer: {error}")))?;
        let (answers, outgoing) = mpsc::channel(QUEUE);
        tokio::spawn(converse(request.into_inner(), agent.into_split(), answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

type Answers = mpsc::Sender<Result<BytesMessage, Status>>;

/// One question after the other, as the protocol has it.
async fn converse(
    mut incoming: Streaming<BytesMessage>,
    (mut from_agent, mut to_agent): (OwnedReadHalf, OwnedWriteHalf),
    answers: Answers,
) {
    let mut waiting = Vec::new();
    while let Ok(Some(BytesMessage { data })) = incoming.message().await {
        waiting.extend_from_slice(&data);
        while let Some(question) = next_message(&mut waiting) {
            let answer = match question {
                Ok(question) => ask(&question, &mut from_agent, &mut to_agent).await,
                Err(TooLong) => return,
            };
            let Some(data) = answer else { return };
            if answers.send(Ok(BytesMessage { data })).await.is_err() {
                return;
            }
        }
    }
}

/// A message that no agent takes.
#[derive(Debug, PartialEq, Eq)]
struct TooLong;

/// Takes a whole message from the front of what came.
fn next_message(waiting: &mut Vec<u8>) -> Option<Result<Vec<u8>, TooLong>> {
    let length = u32::from_be_bytes(waiting.get(..4)?.try_into().ok()?) as usize;
    if length > MESSAGE_MAX {
        return Some(Err(TooLong));
    }
    (waiting.len() >= 4 + length).then(|| Ok(waiting.drain(..4 + length).collect()))
}

async fn ask(question: &[u8], from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> Option<Vec<u8>> {
    if !is_allowed(question) {
        return Some(FAILURE.to_vec());
    }
    to.write_all(question).await.ok()?;
    let mut answer = vec![0; 4];
    from.read_exact(&mut answer).await.ok()?;
    let length = u32::from_be_bytes(answer.as_slice().try_into().ok()?) as usize;
    if length > MESSAGE_MAX {
        return None;
    }
    answer.resize(4 + length, 0);
    from.read_exact(&mut answer[4..]).await.ok()?;
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_however_they_arrive() {
        let mut waiting = vec![0, 0, 0, 1];
        assert_eq!(next_message(&mut waiting), None);
        waiting.extend([11, 0, 0]);
        assert_eq!(next_message(&mut waiting), Some(Ok(vec![0, 0, 0, 1, 11])));
        assert_eq!(waiting, [0, 0]);
        assert_eq!(next_message(&mut vec![0xff, 0, 0, 0]), Some(Err(TooLong)));
    }
}
