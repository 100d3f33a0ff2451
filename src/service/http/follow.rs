//! A job's log: the part that its page has, the whole of it as text, and what is added to it as server-sent events.
//!
//! Whatever a log says reaches a browser as text of a page, as `text/plain`, or as an event's data: never as markup.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::gather::{self, find_job};
use crate::service::model::JobId;
use crate::service::page::job::LogSeen;
use crate::service::page::{raw, shown};
use crate::service::shared::Shared;

/// Bytes of a log that its page has; what was said before them is in the text.
const ON_THE_PAGE: u64 = 1 << 20;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// How soon a new line is seen.
const LOOK: Duration = Duration::from_millis(250);
/// As many logs are followed at once; each is a connection that stays.
const FOLLOWERS: usize = 200;

static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(FOLLOWERS)));

/// The end of a log, as far as its page has it.
///
/// # Errors
/// When the log cannot be read.
pub fn seen(shared: &Shared, id: JobId, has_ended: bool) -> io::Result<LogSeen> {
    let size = shared.logs.size(id)?;
    let start = size.saturating_sub(ON_THE_PAGE);
    let mut bytes = shared.logs.read_from(id, start, usize::try_from(ON_THE_PAGE).unwrap_or(usize::MAX))?;
    let mut skipped = start;
    if start > 0 {
        let first = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        bytes.drain(..first);
        skipped += first as u64;
    }
    if !has_ended {
        bytes.truncate(whole_lines(&bytes));
    }
    Ok(LogSeen { text: shown::log(&bytes), skipped, up_to: skipped + bytes.len() as u64 })
}

/// The length of the whole lines that bytes begin with; of a piece that is one long line, all of it.
fn whole_lines(bytes: &[u8]) -> usize {
    match bytes.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => at + 1,
        None if bytes.len() >= PIECE => bytes.len(),
        None => 0,
    }
}

/// `GET /jobs/ID/log`: all of it, as far as it is there.
pub async fn text(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let found = Arc::clone(&shared).blocking(move |shared| find_job(shared, &id)).await;
    let Ok(Ok((id, job))) = found else {
        return (StatusCode::NOT_FOUND, "there is no such job, or it is not kept any longer\n")
            .into_response();
    };
    let has_ended = job.ended_at.is_some();
    let pieces = stream::unfold(Some((shared, 0_u64)), move |at| async move {
        let (shared, offset) = at?;
        let read = Arc::clone(&shared).blocking(move |shared| shared.logs.read_from(id, offset, PIECE)).await;
        let bytes = match read.map_err(io::Error::other).and_then(|read| read) {
            Ok(bytes) => bytes,
            Err(error) => return Some((Err(error), None)),
        };
        // Only the last piece of a log that has ended may have a line without an end.
        let is_last = bytes.len() < PIECE;
        let length = if is_last && has_ended { bytes.len() } else { whole_lines(&bytes) };
        let next = (!is_last).then(|| (shared, offset + length as u64));
        (length > 0).then(|| (Ok(shown::log(&bytes[..length])), next))
    });
    let headers = [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::from_stream(pieces)).into_response()
}

/// The query of the events.
#[derive(Deserialize)]
pub struct From {
    /// The offset in the log from which they begin.
    #[serde(default)]
    from: u64,
}

/// `GET /jobs/ID/events`: an event `lines` for what is added to the log, and `over`, with the job as JSON, when that has ended.
pub async fn events(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Response {
    let found = Arc::clone(&shared).blocking(move |shared| find_job(shared, &id)).await;
    let Ok(Ok((id, _))) = found else {
        return (StatusCode::NOT_FOUND, "there is no such job, or it is not kept any longer\n")
            .into_response();
    };
    let Ok(permit) = Arc::clone(&ROOM).try_acquire_owned() else {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::RETRY_AFTER, "30")],
            "too many logs are followed\n",
        )
            .into_response();
    };
    // A browser that lost the connection says where it was.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let follower = Follower { shared, id, offset: last.unwrap_or(from.from), _permit: permit };
    let events = Sse::new(follower.events()).keep_alive(KeepAlive::default());
    // Without this word nginx would collect events until it has a page of them.
    ([("x-accel-buffering", "no")], events).into_response()
}

/// Somebody who follows a log.
struct Follower {
    shared: Arc<Shared>,
    id: JobId,
    offset: u64,
    _permit: OwnedSemaphorePermit,
}

/// The news of a log.
enum News {
    Lines(String),
    /// The job has ended, and this is what programs are told of it; nothing where it is not kept any longer.
    Over(Value),
    Nothing,
}

impl Follower {
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(Some(self), |follower| async move {
            let mut follower = follower?;
            loop {
                let is_ending = *follower.shared.ending().borrow();
                match follower.look().await {
                    News::Lines(text) => {
                        let event = Event::default().event("lines").id(follower.offset.to_string());
                        let event = event
                            .retry(Duration::from_secs(2))
                            .data(text.strip_suffix('\n').unwrap_or(&text));
                        return Some((Ok(event), Some(follower)));
                    }
                    News::Over(job) => {
                        return Some((Ok(Event::default().event("over").data(job.to_string())), None));
                    }
                    // The server stops, and all that was said is told: whoever follows asks the next one, which goes on from here.
                    News::Nothing if is_ending => return None,
                    News::Nothing => {}
                }
                let mut ended = follower.shared.ending();
                tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    _ = ended.wait_for(|ended| *ended) => {}
                }
            }
        })
    }

    /// News since the last look. A log or a queue that cannot be read just now is looked at again.
    async fn look(&mut self) -> News {
        let (id, offset) = (self.id, self.offset);
        let looked = Arc::clone(&self.shared).blocking(move |shared| {
            // The job first: what was said before it ended is in the log by now.
            let end = match shared.queue.job(id) {
                Ok(Some(job)) => job.state.has_ended().then(|| raw::json(&gather::job(&job))),
                Ok(None) => Some(Value::Null),
                Err(_) => None,
            };
            let bytes = shared.logs.read_from(id, offset, PIECE);
            (end, bytes.unwrap_or_default())
        });
        let Ok((end, bytes)) = looked.await else { return News::Nothing };
        let length = if end.is_some() && bytes.len() < PIECE { bytes.len() } else { whole_lines(&bytes) };
        if length == 0 {
            return end.map_or(News::Nothing, News::Over);
        }
        self.offset += length as u64;
        News::Lines(shown::log(&bytes[..length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_when_it_is_whole() {
        assert_eq!(whole_lines(b"a\nb"), 2);
        assert_eq!(whole_lines(b"ab"), 0);
        assert_eq!(whole_lines(&vec![b'x'; PIECE]), PIECE, "a line without an end is shown too");
    }
}
