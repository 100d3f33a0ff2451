//! A container in the foreground: attach, wait, start, in this order, or output and status are lost.

use bollard::query_parameters::{KillContainerOptionsBuilder, ResizeContainerTTYOptionsBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::client::DockerContainers;
use crate::containers::api::{Channel, ContainerId, Control, Conversation, End};
use crate::engine::EngineError;
use crate::engine::hijack::{Stream, begin, hijack};

/// Bytes that are read at once.
const CHUNK: usize = 32 * 1024;

pub(super) async fn converse(
    containers: &DockerContainers,
    container: &ContainerId,
    with: Conversation<'_>,
) -> Result<End, EngineError> {
    let Conversation { tty, remove, output, input, mut control } = with;
    let path = format!("/containers/{container}/attach?stream=1&stdout=1&stderr=1");
    let path = if input.is_some() { path + "&stdin=1" } else { path };
    let what = "attaching to the container";
    let stream = hijack(containers.link(), &path, &serde_json::Value::Null, what).await?;
    let condition = if remove { "removed" } else { "next-exit" };
    let path = format!("/containers/{container}/wait?condition={condition}");
    let waiting = begin(containers.link(), &path, "waiting for the container's end").await?;
    let started = containers.docker.start_container(&container.0, None).await;
    started.map_err(|error| containers.error("starting the container", error))?;

    let (reader, writer) = tokio::io::split(stream);
    let feeding = tokio::spawn(feed(writer, input));
    let mut showing = Box::pin(show(reader, tty, output));
    let mut ending = Box::pin(waiting.json("waiting for the container's end"));
    let (mut shown, mut ended) = (false, None);
    let end = loop {
        tokio::select! {
            biased;
            asked = control.recv(), if !control.is_closed() || !control.is_empty() => match asked {
                Some(Control::Detach) => break Ok(End::Detached),
                Some(asked) => obey(containers, container, &asked).await,
                None => {}
            },
            () = &mut showing, if !shown => shown = true,
            end = &mut ending, if ended.is_none() => match end {
                // An engine that is silent shows nothing more either.
                Err(error @ EngineError::Unreachable { .. }) => break Err(error),
                end => ended = Some(end),
            },
            else => {}
        }
        if shown && let Some(end) = ended.take() {
            break end.and_then(|end| status(&end));
        }
    };
    feeding.abort();
    end
}

/// The status in the engine's answer.
fn status(end: &serde_json::Value) -> Result<End, EngineError> {
    match (end["StatusCode"].as_i64(), end["Error"]["Message"].as_str()) {
        (_, Some(why)) if !why.is_empty() => {
            Err(EngineError::Refused { what: "waiting for the container's end".into(), why: why.to_owned() })
        }
        (Some(status), _) => Ok(End::Exited(status)),
        (None, _) => Err(EngineError::Refused {
            what: "waiting for the container's end".into(),
            why: "the engine did not say with which status it ended".into(),
        }),
    }
}

/// A request that comes when the container has just ended is late, and nothing else.
async fn obey(containers: &DockerContainers, container: &ContainerId, asked: &Control) {
    match asked {
        Control::Signal(name) => {
            let options = KillContainerOptionsBuilder::default().signal(name).build();
            let _ = containers.docker.kill_container(&container.0, Some(options)).await;
        }
        Control::Resize(rows, columns) => {
            let options = ResizeContainerTTYOptionsBuilder::default()
                .h(i32::from(*rows))
                .w(i32::from(*columns))
                .build();
            let _ = containers.docker.resize_container_tty(&container.0, options).await;
        }
        Control::Detach => {}
    }
}

async fn feed(mut writer: WriteHalf<Stream>, input: Option<tokio::sync::mpsc::Receiver<bytes::Bytes>>) {
    let Some(mut input) = input else { return };
    while let Some(bytes) = input.recv().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = writer.shutdown().await;
}

/// Hands output on until there is no more. Without a terminal, each piece has a header of eight bytes:
/// its channel, three zeros, its length.
pub(super) async fn show(mut reader: ReadHalf<Stream>, tty: bool, output: &(dyn Fn(Channel, &[u8]) + Sync)) {
    let mut buffer = vec![0; CHUNK];
    if tty {
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            output(Channel::Out, &buffer[..count]);
        }
        return;
    }
    let mut header = [0; 8];
    while reader.read_exact(&mut header).await.is_ok() {
        let channel = if header[0] == 2 { Channel::Err } else { Channel::Out };
        let [_, _, _, _, length @ ..] = header;
        let mut left = u32::from_be_bytes(length) as usize;
        while left > 0 {
            let most = left.min(CHUNK);
            match reader.read(&mut buffer[..most]).await {
                Ok(count @ 1..) => {
                    output(channel, &buffer[..count]);
                    left -= count;
                }
                _ => return,
            }
        }
    }
}
