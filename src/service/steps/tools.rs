//! The door through which steps ask the server for what they may not do themselves: push an image, start a job of
//! Jenkins, tell people.
//!
//! Secrets stay on this side of it. A socket in the job's own folder takes a line of JSON and answers with lines of JSON;
//! `tools` in a step is the other side. Knows neither registries nor Jenkins: [`Tools`] does.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The variable that tells steps where the door is.
pub const VARIABLE: &str = "IMK_TOOLS";
/// A longer request is none.
const LONGEST: u64 = 64 * 1024;
/// How soon a request, or the end of the job, is seen.
const TICK: Duration = Duration::from_millis(20);
/// How long a caller may take to say what it wants, or to hear the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A wish of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "tool", rename_all = "lowercase", deny_unknown_fields)]
pub enum Request {
    /// Builds `./Dockerfile` and pushes the image.
    Push {
        /// The folder, from the root of the machine; it is to be in the checkout.
        folder: String,
        /// The image's name, without a tag.
        image: String,
        /// Its tags.
        tags: Vec<String>,
        /// Whether to tell more.
        debug: bool,
    },
    /// Starts a job of Jenkins.
    Jenkins {
        /// Its path, such as `view/CSE/job/Test`.
        path: String,
        /// Another user than the server's.
        user: Option<String>,
        /// That user's token.
        token: Option<String>,
    },
    /// Tells people.
    Hipchat {
        /// The room, which a notifier of today has no use for.
        room: String,
        /// The message.
        message: String,
        /// `yellow`, `green`, `red`, `purple` or `gray`.
        color: String,
    },
}

/// A line of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// Output on the way.
    Said(String),
    /// The last line: it was done.
    Done(String),
    /// The last line: it was not done, and why.
    Failed(String),
}

/// Those who do what steps ask for. Each gives a sentence of what was done, or of why it was not.
pub trait Tools: Sync {
    /// Builds and pushes; `folder` is any text that a step wrote.
    ///
    /// # Errors
    /// A sentence.
    fn push(
        &self,
        folder: &str,
        image: &str,
        tags: &[String],
        debug: bool,
        said: &mut dyn FnMut(&[u8]),
    ) -> Result<String, String>;

    /// Starts a job of Jenkins.
    ///
    /// # Errors
    /// A sentence.
    fn jenkins(&self, path: &str, user: Option<&str>, token: Option<&str>) -> Result<String, String>;

    /// Tells people.
    ///
    /// # Errors
    /// A sentence.
    fn tell(&self, room: &str, message: &str, color: &str) -> Result<String, String>;
}

/// Opens the door at a path, until `closed`; wishes are done one after the other.
///
/// # Errors
/// When there can be no socket.
pub fn open<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    at: &Path,
    tools: &'env dyn Tools,
    closed: &'env AtomicBool,
) -> io::Result<()> {
    let listener = UnixListener::bind(at)?;
    listener.set_nonblocking(true)?;
    scope.spawn(move || {
        while !closed.load(Ordering::SeqCst) {
            match listener.accept() {
                Ok((stream, _)) => {
                    // A caller that went away has nothing more to hear.
                    let _ = answer(&stream, tools);
                }
                Err(_) => std::thread::sleep(TICK),
            }
        }
    });
    Ok(())
}

fn answer(stream: &UnixStream, tools: &dyn Tools) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    let mut writer = stream;
    let mut say = |answer: &Answer| writeln!(writer, "{}", serde_json::to_string(answer).unwrap_or_default());
    let done = match serde_json::from_str(&line) {
        Err(error) => Err(format!("that is no wish: {error}")),
        Ok(Request::Push { folder, image, tags, debug }) => {
            let mut said = |bytes: &[u8]| {
                // What nobody reads any more is no reason to stop a push halfway.
                let _ = say(&Answer::Said(String::from_utf8_lossy(bytes).into_owned()));
            };
            tools.push(&folder, &image, &tags, debug, &mut said)
        }
        Ok(Request::Jenkins { path, user, token }) => tools.jenkins(&path, user.as_deref(), token.as_deref()),
        Ok(Request::Hipchat { room, message, color }) => tools.tell(&room, &message, &color),
    };
    say(&done.map_or_else(Answer::Failed, Answer::Done))
}

/// Asks at the door, from within a step; `said` is handed output on the way.
///
/// # Errors
/// Why it was not done.
pub fn ask(at: &Path, request: &Request, said: &mut dyn FnMut(&str)) -> Result<String, String> {
    let lost = |error: io::Error| format!("the server of this job does not answer: {error}");
    let stream = UnixStream::connect(at).map_err(lost)?;
    let line = serde_json::to_string(request).map_err(|error| error.to_string())?;
    let mut writer = &stream;
    writeln!(writer, "{line}").map_err(lost)?;
    for line in BufReader::new(&stream).lines() {
        match serde_json::from_str(&line.map_err(lost)?) {
            Ok(Answer::Said(text)) => said(&text),
            Ok(Answer::Done(text)) => return Ok(text),
            Ok(Answer::Failed(why)) => return Err(why),
            Err(error) => return Err(format!("the server of this job says something odd: {error}")),
        }
    }
    Err("the server of this job went away".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fake;

    impl Tools for Fake {
        fn push(
            &self,
            folder: &str,
            image: &str,
            tags: &[String],
            debug: bool,
            said: &mut dyn FnMut(&[u8]),
        ) -> Result<String, String> {
            said(format!("{folder} {image} {tags:?} {debug}\n").as_bytes());
            said(b"\xffmore");
            Ok("pushed".into())
        }

        fn jenkins(&self, path: &str, user: Option<&str>, token: Option<&str>) -> Result<String, String> {
            Ok(format!("{path} {user:?} {}", token.is_some()))
        }

        fn tell(&self, room: &str, message: &str, color: &str) -> Result<String, String> {
            Err(format!("{room} {color}: {message}"))
        }
    }

    #[test]
    fn wishes_are_done_and_answered_and_nonsense_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("tools.sock");
        let closed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            open(scope, &at, &Fake, &closed).unwrap();
            let mut said = String::new();
            let push = Request::Push {
                folder: "/x".into(),
                image: "a/b".into(),
                tags: vec!["1".into()],
                debug: true,
            };
            assert_eq!(ask(&at, &push, &mut |text| said += text), Ok("pushed".into()));
            assert_eq!(said, "/x a/b [\"1\"] true\n\u{fffd}more");
            let jenkins = Request::Jenkins { path: "job/x".into(), user: Some("me".into()), token: None };
            assert_eq!(ask(&at, &jenkins, &mut |_| {}), Ok("job/x Some(\"me\") false".into()));
            let tell =
                Request::Hipchat { room: "1".into(), message: "hi\nthere".into(), color: "red".into() };
            assert_eq!(ask(&at, &tell, &mut |_| {}), Err("1 red: hi\nthere".into()));
            for odd in ["", "\n", "{}\n", "{\"tool\":\"rm\"}\n", "\u{0}\n"] {
                let mut stream = UnixStream::connect(&at).unwrap();
                stream.write_all(odd.as_bytes()).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert!(answer.contains("that is no wish"), "{odd:?}: {answer}");
            }
            closed.store(true, Ordering::SeqCst);
        });
        assert!(
            ask(
                &at,
                &Request::Hipchat { room: "1".into(), message: "x".into(), color: "red".into() },
                &mut |_| {}
            )
            .unwrap_err()
            .contains("does not answer")
        );
    }
}
