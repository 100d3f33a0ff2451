//! A container that is run for its output: within a time, and removed afterwards by whoever made it.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc::{channel, unbounded_channel};

use crate::containers::api::{Channel, ContainerId, Containers, Control, Conversation, End, Limit, Output};
use crate::engine::EngineError;

/// Lines of an output that a person is shown.
const LINES: usize = 20;
/// Characters of such a line.
const COLUMNS: usize = 500;
/// How soon a wish to stop is heard.
const TICK: Duration = Duration::from_millis(50);

/// Starts a container, waits for its end, and returns its output. `input` is written, and stays open.
///
/// # Errors
/// When it does not start, or takes longer than it may; then it is killed.
pub fn captured(
    containers: &dyn Containers,
    container: &ContainerId,
    input: Option<Vec<u8>>,
    limit: &Limit,
) -> Result<Output, EngineError> {
    captured_from(containers, container, (input, false), limit)
}

/// As [`captured`], of a container that was made with a terminal.
///
/// # Errors
/// As there.
pub fn captured_at_terminal(
    containers: &dyn Containers,
    container: &ContainerId,
    limit: &Limit,
) -> Result<Output, EngineError> {
    captured_from(containers, container, (None, true), limit)
}

fn captured_from(
    containers: &dyn Containers,
    container: &ContainerId,
    (input, tty): (Option<Vec<u8>>, bool),
    limit: &Limit,
) -> Result<Output, EngineError> {
    let output = Mutex::new(Output::default());
    let (sender, control) = unbounded_channel();
    let ended = Mutex::new(false);
    let keep = |channel: Channel, bytes: &[u8]| output.lock().take(channel, bytes);
    // The sender is held, so that the input does not end before the answer came.
    let (pieces, input_of) = match input {
        Some(bytes) => {
            let (pieces, receiver) = channel(1);
            let _ = pieces.try_send(Bytes::from(bytes));
            (Some(pieces), Some(receiver))
        }
        None => (None, None),
    };
    let conversation = Conversation { tty, remove: false, output: &keep, input: input_of, control };
    let (end, was_over) = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            while !*ended.lock() {
                if limit.is_over() {
                    let _ = sender.send(Control::Signal("KILL".into()));
                    return true;
                }
                std::thread::sleep(TICK);
            }
            false
        });
        let end = containers.converse(container, conversation);
        *ended.lock() = true;
        (end, watching.join().unwrap_or_default())
    });
    drop(pieces);
    if limit.cancel.is_cancelled() {
        return Err(EngineError::Interrupted);
    }
    let mut output = output.into_inner();
    if was_over {
        let why = format!("it took longer than the test may\n{}", tail(&output));
        return Err(EngineError::Refused { what: "running a command".into(), why });
    }
    if let End::Exited(status) = end? {
        output.status = status;
    }
    Ok(output)
}

/// The end of an output, for a person.
pub fn tail(output: &Output) -> String {
    end_of(&[String::from_utf8_lossy(&output.out), String::from_utf8_lossy(&output.err)].concat())
}

/// The last lines of a text, for a person, each of a length that a screen has.
pub fn end_of(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let shown = lines[lines.len().saturating_sub(LINES)..].iter().map(|line| {
        match line.char_indices().nth(COLUMNS) {
            Some((at, _)) => format!("{}…", &line[..at]),
            None => (*line).to_owned(),
        }
    });
    shown.collect::<Vec<_>>().join("\n")
}
