//! Questions to a service that runs, by whoever types.
//!
//! Knows no page: it sends a request with the service's token, and gives the answer as it came. The queue in a file belongs to
//! the service while that runs, so whoever wants to know of it has to ask.

mod events;
mod trust;

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use self::events::{Event, Events};
use super::address::Address;
use super::model::JobId;
use super::token::Token;

/// An answer has so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// A log that is followed says something, if only that it is there, within this time.
const SILENCE: Duration = Duration::from_secs(60);
/// A service that is started again while its log is followed has so long.
const AWAY: Duration = Duration::from_secs(120);
/// The wait before a service is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// A longer answer is none of ours.
const LONGEST: usize = 256 << 20;

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Bytes,
}

/// Somebody who asks a service.
pub struct Client {
    /// The service's address.
    pub address: Address,
    /// The service's token.
    pub token: Token,
}

/// Takes lines of a log; whether somebody still reads them.
pub type Said<'a> = &'a mut dyn FnMut(&str) -> bool;

trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Wire for S {}

/// A response, and the connection that it comes over.
struct Coming {
    response: Response<Incoming>,
    connection: JoinHandle<Result<(), hyper::Error>>,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    /// Asks. A form makes it an action.
    ///
    /// # Errors
    /// When nobody answers there, or not in time, or it cannot be believed who answers.
    pub fn ask(&self, path: &str, form: Option<String>) -> Result<Answer, String> {
        let runtime = crate::runtime::start().map_err(|error| error.to_string())?;
        runtime.block_on(in_time(async {
            let mut coming = self.sent(path, form).await?;
            let status = coming.response.status().as_u16();
            let body = Limited::new(coming.response.body_mut(), LONGEST).collect().await;
            Ok(Answer { status, body: body.map_err(|error| error.to_string())?.to_bytes() })
        }))
    }

    /// Gives what is added to the log of a job until the job has ended, also across a service that is started again meanwhile.
    ///
    /// # Errors
    /// When the service does not answer, or is away for too long.
    pub fn follow(&self, job: JobId, said: Said<'_>) -> Result<End, String> {
        let runtime = crate::runtime::start().map_err(|error| error.to_string())?;
        runtime.block_on(async {
            let (mut offset, mut heard) = (0_u64, None::<Instant>);
            loop {
                match self.followed(job, &mut offset, said).await {
                    Ok(Some(End::Refused(answer))) if answer.status == 503 => heard = Some(Instant::now()),
                    Ok(Some(end)) => return Ok(end),
                    Ok(None) => heard = Some(Instant::now()),
                    // One that was never there is told at once.
                    Err(why) if heard.is_none_or(|heard| heard.elapsed() > AWAY) => return Err(why),
                    Err(_) => {}
                }
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    /// Follows over one connection; none where that ends before the job.
    async fn followed(&self, job: JobId, offset: &mut u64, said: Said<'_>) -> Result<Option<End>, String> {
        let path = format!("/jobs/{job}/events?from={offset}");
        let mut coming = in_time(self.sent(&path, None)).await?;
        let status = coming.response.status().as_u16();
        if status != 200 {
            let body = Limited::new(coming.response.body_mut(), LONGEST).collect().await;
            let body = body.map_err(|error| error.to_string())?.to_bytes();
            return Ok(Some(End::Refused(Answer { status, body })));
        }
        let mut events = Events::default();
        // A frame that does not come, or breaks off, is a service that ends: it is asked again.
        while let Ok(Some(Ok(frame))) =
            tokio::time::timeout(SILENCE, coming.response.body_mut().frame()).await
        {
            let Ok(data) = frame.into_data() else { continue };
            for event in events.push(&data)? {
                match event {
                    Event::Lines { text, up_to } => {
                        *offset = up_to.unwrap_or(*offset);
                        if !said(&text) {
                            return Ok(Some(End::Unread));
                        }
                    }
                    Event::Over(job) => return Ok(Some(End::Over(job))),
                }
            }
        }
        Ok(None)
    }

    async fn sent(&self, path: &str, form: Option<String>) -> Result<Coming, String> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(self.wire().await?)).await.map_err(|error| error.to_string())?;
        let connection = tokio::spawn(connection);
        let method = if form.is_some() { "POST" } else { "GET" };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.authority())
            .header("accept", "application/json")
            .header("authorization", format!("Bearer {}", self.token.shown()))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(form.unwrap_or_default())))
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| self.unreadable(&error))?;
        Ok(Coming { response, connection })
    }

    async fn wire(&self) -> Result<Box<dyn Wire>, String> {
        let place = (self.address.host.as_str(), self.address.port);
        let stream = TcpStream::connect(place).await.map_err(|error| error.to_string())?;
        match self.address.tls {
            false => Ok(Box::new(stream)),
            true => Ok(Box::new(trust::secured(&self.address, stream).await?)),
        }
    }

    fn unreadable(&self, error: &hyper::Error) -> String {
        match (error.is_parse() || error.is_incomplete_message(), self.address.tls) {
            (true, false) => format!("no answer in plain HTTP ({error}): it may speak TLS"),
            _ => error.to_string(),
        }
    }
}

/// The end of a log that was followed.
pub enum End {
    /// The job has ended; this is what the service tells of it.
    Over(Value),
    /// Nobody reads it any more.
    Unread,
    /// The service says no.
    Refused(Answer),
}

async fn in_time<V>(asked: impl Future<Output = Result<V, String>>) -> Result<V, String> {
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("it said nothing for {} s", PATIENCE.as_secs())),
    }
}
