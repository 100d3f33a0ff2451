//! The images of an engine since they were last looked at, by the engine's own events.
//!
//! On the containerd store each image that is inspected or listed costs the engine some 10 ms, and all
//! its events together 2. An engine keeps the last 256 of them, of its own process. So the newest one that was seen
//! is remembered: while the engine still tells it, it is the same process, and every later event is in the answer.
//! When it tells it no more, nothing is known. Knows nothing of why somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::Docker;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::BodyExt;
use hyper::StatusCode;
use jiff::fmt::rfc2822;
use serde_json::Value;

use super::client::DockerEngine;
use super::{AT_ONCE, podman, tags};
use crate::engine::api::{ImageEvent, SeenImages};
use crate::engine::session::query_string;
use crate::engine::{EngineError, ImageId, Inventory, transport};
use crate::model::error_chain::error_chain;
use crate::syntax::reference::normalized;

/// So many events after the remembered one, a newer is remembered: that one would soon be forgotten.
const ENOUGH: usize = 64;

/// The engine's clock may differ by this many seconds, in which alone it tells the time of an answer.
const SECONDS_APART: i64 = 1;

impl SeenImages {
    /// The events after the remembered one; `None` when that is not among them.
    fn later<'e>(&self, events: &'e [ImageEvent]) -> Option<&'e [ImageEvent]> {
        let at = events.iter().position(|event| *event == self.last)?;
        Some(&events[at + 1..])
    }

    /// Forgets every image that these events are about, by its id or by a name it bears.
    fn forget(&mut self, events: &[ImageEvent]) {
        for event in events {
            // A pull has the name in place of an id, and the name without its tag beside it.
            let names = [normalized(&event.name), normalized(&event.id)];
            self.images.retain(|id, tags| {
                let bears = |tags: &BTreeSet<String>| tags.iter().any(|tag| names.contains(&normalized(tag)));
                id.0 != event.id && id.0 != event.name && !tags.as_ref().is_some_and(bears)
            });
        }
    }
}

impl DockerEngine {
    /// Those of these images that it has, by its events and as few questions as need be.
    pub(super) async fn by_events(
        &self,
        docker: &Docker,
        ids: &BTreeSet<ImageId>,
    ) -> Result<Inventory, EngineError> {
        let before = self.seen.lock().take();
        let events = self.image_events(before.as_ref().map_or(0, |seen| seen.last.time)).await?;
        let mut seen = before.and_then(|mut seen| {
            let later = seen.later(events.as_ref()?)?;
            seen.forget(later);
            if let Some(last) = later.last().filter(|_| later.len() > ENOUGH) {
                seen.last = last.clone();
            }
            Some(seen)
        });
        if seen.is_none() {
            // Asked anew from the first that it remembers, before the images are.
            let all = match events {
                Some(_) => self.image_events(0).await?,
                None => None,
            };
            let last = all.and_then(|events| events.last().cloned());
            seen = last.map(|last| SeenImages { last, images: BTreeMap::new() });
        }
        let known = |id: &ImageId| seen.as_ref().and_then(|seen| seen.images.get(id));
        let unknown: Vec<ImageId> = ids.iter().filter(|id| known(id).is_none()).cloned().collect();
        let answers = futures_util::stream::iter(unknown.into_iter().map(|id| async move {
            let image = self.inspected(docker, &id.0).await?;
            Ok::<_, EngineError>((id, image.map(|image| tags(image.repo_tags))))
        }));
        let answers: Vec<(ImageId, Option<BTreeSet<String>>)> =
            answers.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut inventory: Inventory =
            ids.iter().filter_map(|id| Some((id.clone(), known(id)?.clone()?))).collect();
        if let Some(seen) = &mut seen {
            seen.images.extend(answers.iter().cloned());
            // Those that nobody asks for any more are not kept.
            if seen.images.len() > 2 * ids.len() + 1000 {
                seen.images.retain(|id, _| ids.contains(id));
            }
        }
        inventory.extend(answers.into_iter().filter_map(|(id, tags)| Some((id, tags?))));
        *self.seen.lock() = seen;
        Ok(inventory)
    }

    /// Its events of images since then (nanoseconds since 1970), oldest first; `None` when its clock is another than
    /// ours, by which it would be asked.
    async fn image_events(&self, since: i64) -> Result<Option<Vec<ImageEvent>>, EngineError> {
        let now = nanoseconds(SystemTime::now());
        let filters = r#"{"type":["image"]}"#.to_owned();
        let query = [("since", stamp(since)), ("until", stamp(now)), ("filters", filters)];
        let request = podman::get(&format!("/events?{}", query_string(&query)))?;
        let reply = transport::ask(&self.endpoint, &self.patience, request).await?;
        let status = reply.response.status();
        let date = reply.response.headers().get("date").and_then(|date| date.to_str().ok());
        let agrees = date.and_then(|date| rfc2822::parse(date).ok()).is_some_and(|there| {
            (there.timestamp().as_second() - now / 1_000_000_000).abs() <= SECONDS_APART
        });
        if status != StatusCode::OK || !agrees {
            return Ok(None);
        }
        let body = reply.response.into_body().collect().await;
        let body = body.map_err(|error| transport::unreachable(&self.endpoint, error_chain(&error)))?;
        Ok(read(&body.to_bytes()))
    }
}

/// A line an event. `None` where one is not understood: what it is about is not known either.
fn read(body: &[u8]) -> Option<Vec<ImageEvent>> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let event = |line: &[u8]| {
        let event: Value = serde_json::from_slice(line).ok()?;
        let name = event["Actor"]["Attributes"]["name"].as_str().unwrap_or_default();
        Some(ImageEvent {
            time: event["timeNano"].as_i64()?,
            action: event["Action"].as_str()?.to_owned(),
            id: event["Actor"]["ID"].as_str()?.to_owned(),
            name: name.to_owned(),
        })
    };
    lines.map(event).collect()
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// As the API takes a time: seconds with nine digits behind the point.
fn stamp(nanoseconds: i64) -> String {
    format!("{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(time: i64, action: &str, id: &str, name: &str) -> ImageEvent {
        ImageEvent { time, action: action.into(), id: id.into(), name: name.into() }
    }

    fn seen() -> SeenImages {
        let tagged = |id: &str, tag: &str| (ImageId(id.into()), Some(BTreeSet::from([tag.to_owned()])));
        let images = [tagged("sha256:a", "a:latest"), tagged("sha256:b", "docker.io/library/b:1")];
        let absent = (ImageId("sha256:c".into()), None);
        SeenImages {
            last: event(5, "tag", "sha256:a", "a:latest"),
            images: images.into_iter().chain([absent]).collect(),
        }
    }

    fn left(events: &[ImageEvent]) -> Vec<String> {
        let mut seen = seen();
        seen.forget(events);
        seen.images.into_keys().map(|id| id.0).collect()
    }

    #[test]
    fn an_answer_without_the_remembered_event_proves_nothing() {
        let later = event(9, "delete", "sha256:b", "");
        assert_eq!(seen().later(std::slice::from_ref(&later)), None, "another process, or a full buffer");
        assert_eq!(seen().later(&[]), None);
        assert_eq!(seen().later(&[seen().last, later.clone()]), Some(&[later][..]));
    }

    #[test]
    fn what_happened_to_an_image_or_to_its_name_has_it_asked_for_again() {
        assert_eq!(left(&[event(9, "delete", "sha256:b", "sha256:b")]), ["sha256:a", "sha256:c"]);
        // Another image took the name.
        assert_eq!(left(&[event(9, "tag", "sha256:x", "b:1")]), ["sha256:a", "sha256:c"]);
        assert_eq!(left(&[event(9, "pull", "b:1", "b")]), ["sha256:a", "sha256:c"]);
        // An image that was absent arrived.
        assert_eq!(left(&[event(9, "load", "sha256:c", "c:1")]), ["sha256:a", "sha256:b"]);
        assert_eq!(left(&[event(9, "tag", "sha256:z", "other:1")]).len(), 3);
    }

    #[test]
    fn events_are_read_and_a_broken_one_makes_all_of_them_useless() {
        let line = br#"{"Type":"image","Action":"tag","Actor":{"ID":"sha256:a","Attributes":{"name":"a:1"}},"time":1,"timeNano":1000000002}"#;
        let two = [line.as_slice(), b"\n", line.as_slice(), b"\n"].concat();
        assert_eq!(read(&two), Some(vec![event(1_000_000_002, "tag", "sha256:a", "a:1"); 2]));
        assert_eq!(read(&two[..two.len() - 9]), None);
        assert_eq!(stamp(1_000_000_002), "1.000000002");
    }
}
