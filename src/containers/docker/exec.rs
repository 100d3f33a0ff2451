//! A command inside a running container: its input, its output, its status.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;

use super::client::DockerContainers;
use super::conversation::show;
use crate::containers::api::{Channel, ContainerId, Exec, Limit, Output};
use crate::engine::EngineError;
use crate::engine::hijack::hijack;

/// How soon a wish to stop is heard.
const TICK: Duration = Duration::from_millis(100);

pub(super) async fn exec(
    containers: &DockerContainers,
    container: &ContainerId,
    exec: &Exec,
    limit: &Limit,
) -> Result<Output, EngineError> {
    let what = format!("running `{}` in the container", exec.command.join(" "));
    let env: Vec<String> = exec.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let options = bollard::exec::CreateExecOptions::<String> {
        cmd: Some(exec.command.clone()),
        env: Some(env),
        user: exec.user.clone(),
        attach_stdin: Some(exec.input.is_some()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let made = containers.docker.create_exec(&container.0, options).await;
    let made = made.map_err(|error| containers.error(&what, error))?;
    let path = format!("/exec/{}/start", made.id);
    let stream = hijack(containers.link(), &path, &json!({"Detach": false, "Tty": false}), &what).await?;
    let (reader, mut writer) = tokio::io::split(stream);
    if let Some(input) = &exec.input {
        // One that reads no input has ended before it was all there.
        let _ = writer.write_all(input).await;
    }
    let output = parking_lot::Mutex::new(Output::default());
    let keep = |channel: Channel, bytes: &[u8]| output.lock().take(channel, bytes);
    let over = async {
        while !limit.is_over() {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::select! {
        () = show(reader, false, &keep) => {}
        () = over => {
            return Err(match limit.cancel.is_cancelled() {
                true => EngineError::Interrupted,
                false => EngineError::Refused { what, why: "it took longer than the test may".into() },
            });
        }
    }
    drop(writer);
    let facts = containers.docker.inspect_exec(&made.id).await;
    let facts = facts.map_err(|error| containers.error(&what, error))?;
    let mut output = output.into_inner();
    output.status = facts.exit_code.unwrap_or(-1);
    Ok(output)
}
