//! One connection to an engine, whichever way it is reached, and one request over it.
//!
//! Knows HTTP as far as sending one request; knows nothing of what is asked.
//! Every request opens a connection of its own: on a local socket that costs
//! 0.03 ms. Over ssh it costs a login unless `ControlMaster` is configured.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::EngineError;
use super::endpoint::{Address, Endpoint};
use super::sending::Traffic;
use crate::model::error_chain::error_chain;
use crate::patience::{Patience, TICK};

mod tls;

/// How long a remote engine may take to answer the door.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an engine that has not answered yet is asked whether it is there.
const PING_PAUSE: Duration = Duration::from_secs(2);

/// How often an engine behind ssh is asked whether it is there, while something runs on it.
const SSH_PAUSE: Duration = Duration::from_secs(60);

/// Bytes in both directions.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, however it goes.
pub(super) type Wire = Box<dyn Io>;

/// An open connection.
struct Connection {
    io: Box<dyn Io>,
    /// Standard error of `ssh`, which tells more than "connection closed".
    complaint: Arc<Mutex<String>>,
}

/// An answer. The connection is closed when this is dropped, which is how a build is cancelled.
pub(super) struct Reply {
    pub response: Response<Incoming>,
    pub connection: Closing,
}

/// Where an engine is, and how long it may say nothing.
#[derive(Clone, Copy)]
pub(crate) struct Link<'a> {
    pub endpoint: &'a Endpoint,
    pub patience: &'a Patience,
}

/// Closes a connection, or ends any other task, when dropped.
pub(super) struct Closing(Option<JoinHandle<()>>);

impl Closing {
    pub fn new(task: JoinHandle<()>) -> Self {
        Self(Some(task))
    }

    /// Lets it go on until it ends by itself.
    pub fn detach(mut self) {
        self.0 = None;
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Sends one request on a connection of its own.
pub(super) async fn send<B>(endpoint: &Endpoint, mut request: Request<B>) -> Result<Reply, EngineError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let Connection { io, complaint } = connect(endpoint).await?;
    let failed = |error: hyper::Error| {
        let complaint = complaint.lock().trim().to_owned();
        let why = if complaint.is_empty() { error_chain(&error) } else { complaint };
        unreachable(endpoint, explain_text(&why))
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(io)).await.map_err(failed)?;
    let connection = Closing::new(tokio::spawn(async move {
        // Whoever waits for the answer sees the same failure, with more of its story.
        let _ = connection.with_upgrades().await;
    }));
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(|error| EngineError::Refused {
        what: format!("asking the engine for `{path}`"),
        why: error.to_string(),
    })?;
    request.headers_mut().insert(HOST, HeaderValue::from_static("docker"));
    match sender.send_request(request).await {
        Ok(response) => Ok(Reply { response, connection }),
        Err(error) => {
            // `ssh` may need a moment to say what hurts.
            if matches!(endpoint.address, Address::Ssh { .. }) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(failed(error))
        }
    }
}

/// Sends a small question. An engine that is busy may need long for it, and answers a ping meanwhile; one that
/// does not is away for all who share the patience.
pub(super) async fn ask<B>(
    endpoint: &Endpoint,
    patience: &Patience,
    request: Request<B>,
) -> Result<Reply, EngineError>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    let away = |why| unreachable(endpoint, why);
    let waiting = patience.begin_busy(&who(endpoint)).map_err(away)?;
    let pause = match endpoint.address {
        // A ping costs a login there.
        Address::Ssh { .. } => patience.limit() / 2,
        _ => PING_PAUSE.min(patience.limit() / 2),
    };
    let pinging = async {
        loop {
            tokio::time::sleep(pause).await;
            let ping = Request::get("/_ping").body(String::new());
            if let Ok(ping) = ping
                && send(endpoint, ping).await.is_ok()
            {
                waiting.heard();
            }
        }
    };
    tokio::select! {
        biased;
        reply = waiting.on(send(endpoint, request)) => {
            waiting.heard();
            reply.map_err(away)?
        }
        never = pinging => never,
    }
}

/// Waits until the engine is silent, while work on another connection goes on that may take as long as it likes: a
/// step that sleeps says nothing for hours, and the engine answers pings meanwhile. It is asked for one only when
/// nothing passed on the other connection, which `traffic` counts. What is under way is dear, so the engine has
/// three times as long as for a question.
///
/// A BuildKit of its own answers no pings; its connection has a sign of life of its own.
pub(super) async fn silence(Link { endpoint, patience }: Link<'_>, traffic: &Traffic) -> EngineError {
    if endpoint.buildkitd {
        return std::future::pending().await;
    }
    let pause = match endpoint.address {
        // A ping costs a login there.
        Address::Ssh { .. } => patience.limit().max(SSH_PAUSE),
        _ => patience.limit() / 2,
    };
    let who = who(endpoint);
    loop {
        let before = traffic.pulse();
        tokio::time::sleep(pause).await;
        let Ok(ping) = Request::get("/_ping").body(String::new()) else { continue };
        if traffic.pulse() != before {
            continue;
        }
        let silent = |why| unreachable(endpoint, format!("{why}, to a ping neither"));
        let waiting = match patience.begin_long(&who, patience.limit() * 3) {
            Ok(waiting) => waiting,
            Err(why) => return silent(why),
        };
        let passed = async {
            while traffic.pulse() == before {
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::select! {
            biased;
            () = passed => waiting.heard(),
            answer = waiting.on(send(endpoint, ping)) => match answer {
                // A refusal is an answer; what it means for the work, the work's own connection says.
                Ok(_) => waiting.heard(),
                Err(why) => return silent(why),
            },
        }
    }
}

fn who(endpoint: &Endpoint) -> String {
    format!("the engine at {}", endpoint.address)
}

/// A connection of its own, on which nothing was said yet.
pub(super) async fn wire(endpoint: &Endpoint) -> Result<Wire, EngineError> {
    connect(endpoint).await.map(|connection| connection.io)
}

async fn connect(endpoint: &Endpoint) -> Result<Connection, EngineError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, open(&endpoint.address)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(unreachable(endpoint, explain(&endpoint.address, &error))),
        Err(_) => {
            Err(unreachable(endpoint, format!("no answer within {} seconds", CONNECT_TIMEOUT.as_secs())))
        }
    }
}

async fn open(address: &Address) -> io::Result<Connection> {
    let mut complaint = Arc::default();
    let io: Box<dyn Io> = match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp { host, port, tls } => {
            let tcp = TcpStream::connect((host.as_str(), *port)).await?;
            tcp.set_nodelay(true)?;
            match tls {
                None => Box::new(tcp),
                Some(tls) => {
                    let name = tls.server_name.as_ref().unwrap_or(host).clone();
                    let name = ServerName::try_from(name).map_err(io::Error::other)?;
                    Box::new(TlsConnector::from(Arc::new(tls::config(tls)?)).connect(name, tcp).await?)
                }
            }
        }
        Address::Ssh { .. } => {
            let (io, said) = dial_program("ssh", &ssh_arguments(address))?;
            complaint = said;
            Box::new(io)
        }
        Address::Program { program, words, .. } => {
            let (io, said) = dial_program(program, words)?;
            complaint = said;
            Box::new(io)
        }
    };
    Ok(Connection { io, complaint })
}

/// `ssh`'s arguments, as docker itself would give them. bollard 0.21 gets `host:port` wrong, so this is ours.
fn ssh_arguments(address: &Address) -> Vec<String> {
    let Address::Ssh { user, host, port, socket } = address else { return Vec::new() };
    let mut arguments = vec!["-o".to_owned(), "ConnectTimeout=30".to_owned(), "-T".to_owned()];
    if let Some(user) = user {
        arguments.extend(["-l".to_owned(), user.clone()]);
    }
    if let Some(port) = port {
        arguments.extend(["-p".to_owned(), port.to_string()]);
    }
    arguments.extend(["--".to_owned(), host.clone(), "docker".to_owned()]);
    if let Some(socket) = socket {
        // The other side's shell reads this line, so the path is quoted for it.
        arguments.extend(["--host".to_owned(), format!("'unix://{}'", socket.replace('\'', r"'\''"))]);
    }
    arguments.extend(["system".to_owned(), "dial-stdio".to_owned()]);
    arguments
}

fn dial_program(program: &str, words: &[String]) -> io::Result<(SshIo, Arc<Mutex<String>>)> {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| io::Error::other(format!("cannot run `{program}`: {error}")))?;
    let missing = || io::Error::other(format!("`{program}` has no standard streams"));
    let stdin = child.stdin.take().ok_or_else(missing)?;
    let stdout = child.stdout.take().ok_or_else(missing)?;
    let mut stderr = child.stderr.take().ok_or_else(missing)?;
    let complaint = Arc::new(Mutex::new(String::new()));
    let said = Arc::clone(&complaint);
    tokio::spawn(async move {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
            let mut said = said.lock();
            if said.len() < 4096 {
                said.push_str(&String::from_utf8_lossy(&buffer[..count]));
            }
        }
    });
    Ok((SshIo { stdin, stdout, _child: child }, complaint))
}

/// The two pipes of a running program, such as `ssh`, which is killed with it.
struct SshIo {
    stdin: ChildStdin,
    stdout: ChildStdout,
    _child: Child,
}

impl AsyncRead for SshIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdout).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SshIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stdin).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stdin).poll_shutdown(cx)
    }
}

pub(super) fn unreachable(endpoint: &Endpoint, why: String) -> EngineError {
    EngineError::Unreachable { tried: endpoint.to_string(), why }
}

/// The meaning of a failed connection, and the remedy.
fn explain(address: &Address, error: &io::Error) -> String {
    let socket = match address {
        Address::Unix(path) => format!("the socket `{}`", path.display()),
        _ => "that address".to_owned(),
    };
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!(
                "{socket} does not exist; is the engine running? Start it, or set DOCKER_HOST or a docker context"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("you may not use {socket}; add yourself to the `docker` group, then log in again")
        }
        io::ErrorKind::ConnectionRefused => {
            format!("nobody listens at {socket}; is the engine running?")
        }
        _ => explain_text(&error.to_string()),
    }
}

/// Adds what to do to messages that do not say so themselves.
pub(super) fn explain_text(why: &str) -> String {
    if why.contains("HTTP request to an HTTPS server") {
        "the port wants TLS; set DOCKER_TLS_VERIFY=1, and DOCKER_CERT_PATH to the folder of the certificates"
            .to_owned()
    } else if why.contains("InvalidContentType") || why.contains("corrupt message") {
        format!("the port does not speak TLS ({why}); unset DOCKER_TLS_VERIFY, or use the engine's TLS port")
    } else {
        why.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str) -> Endpoint {
        Endpoint::parse(host, None, "from DOCKER_HOST".into()).unwrap()
    }

    #[test]
    fn ssh_gets_port_and_user_as_options() {
        let line = ssh_arguments(&endpoint("ssh://me@box:2222").address).join(" ");
        assert_eq!(line, "-o ConnectTimeout=30 -T -l me -p 2222 -- box docker system dial-stdio");
    }

    #[test]
    fn ssh_can_name_the_socket_of_the_other_side() {
        let line = ssh_arguments(&endpoint("ssh://box/run/user/1/docker.sock").address).join(" ");
        assert!(
            line.ends_with("box docker --host 'unix:///run/user/1/docker.sock' system dial-stdio"),
            "{line}"
        );
    }

    #[test]
    fn a_missing_socket_says_what_was_tried_and_what_to_do() {
        let endpoint = endpoint("unix:///nowhere/docker.sock");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = runtime.block_on(connect(&endpoint)).err().unwrap().to_string();
        assert!(text.contains("unix:///nowhere/docker.sock (from DOCKER_HOST)"), "{text}");
        assert!(text.contains("does not exist") && text.contains("is the engine running?"), "{text}");
    }

    #[test]
    fn a_refused_port_says_so() {
        let endpoint = endpoint("tcp://127.0.0.1:1");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let text = runtime.block_on(connect(&endpoint)).err().unwrap().to_string();
        assert!(text.contains("nobody listens"), "{text}");
    }
}
