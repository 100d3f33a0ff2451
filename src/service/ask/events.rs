//! Events of a log that is followed, as the service writes them: of server-sent events the fields that it uses.

use serde_json::Value;

/// More without an end of an event is none of ours.
const LONGEST: usize = 4 << 20;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Lines that were added, each with its end.
    Lines {
        /// The lines.
        text: String,
        /// The offset in the log after them.
        up_to: Option<u64>,
    },
    /// The job has ended so.
    Over(Value),
}

/// Events that come in pieces.
#[derive(Debug, Default)]
pub struct Events {
    held: Vec<u8>,
}

impl Events {
    /// The events that are whole with this piece.
    ///
    /// # Errors
    /// When one is too long to be one.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<Event>, String> {
        self.held.extend_from_slice(piece);
        let mut events = Vec::new();
        while let Some(end) = self.held.windows(2).position(|two| two == b"\n\n") {
            let whole: Vec<u8> = self.held.drain(..end + 2).collect();
            events.extend(event(&String::from_utf8_lossy(&whole)));
        }
        match self.held.len() <= LONGEST {
            true => Ok(events),
            false => Err("what it sends is no log".into()),
        }
    }
}

/// An event of its lines; none of a comment, which only says that somebody is there.
fn event(text: &str) -> Option<Event> {
    let fields = |name: &str| {
        let name = name.to_owned();
        text.lines().filter_map(move |line| {
            let value = line.strip_prefix(name.as_str())?.strip_prefix(':')?;
            Some(value.strip_prefix(' ').unwrap_or(value))
        })
    };
    match fields("event").next()? {
        "over" => {
            let data = fields("data").next().unwrap_or_default();
            Some(Event::Over(serde_json::from_str(data).unwrap_or_default()))
        }
        "lines" => {
            let text = fields("data").map(|line| format!("{line}\n")).collect();
            Some(Event::Lines { text, up_to: fields("id").next().and_then(|id| id.parse().ok()) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_whole_however_they_come() {
        let sent = ": \n\nevent: lines\nid: 9\nretry: 2000\ndata: one\ndata:\ndata:  two: x\n\n:\n\nevent: over\ndata: {\"ok\":true}\n\n";
        let lines = Event::Lines { text: "one\n\n two: x\n".into(), up_to: Some(9) };
        for size in [1, 7, 1000] {
            let mut events = Events::default();
            let all: Vec<Event> =
                sent.as_bytes().chunks(size).flat_map(|piece| events.push(piece).unwrap()).collect();
            assert_eq!(all, [lines.clone(), Event::Over(serde_json::json!({"ok": true}))], "{size}");
        }
        assert!(Events::default().push(&vec![b'x'; LONGEST + 1]).is_err());
    }
}
