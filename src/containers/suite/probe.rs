//! Looks at ports from inside a container's network: no published port need be reachable from here.
//!
//! In the container itself where it has a shell; else in a helper beside it; else from here, where this machine has
//! the bridge of the container's network: an address alone says nothing, since another network may have it as well.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use super::captured::captured;
use crate::containers::api::{ContainerId, ContainerSpec, Containers, Exec, Limit, Output, Reach};
use crate::engine::EngineError;
use crate::source::outside;

/// How long a connection from here may take.
const CONNECT: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read.
const MOST: u64 = 4 << 20;

/// Shows the kernel's table of sockets, with nothing but a shell.
const SOCKETS: &str = r#"for f in /proc/net/tcp /proc/net/tcp6; do [ -r $f ] && while read -r line; do echo "$line"; done <$f; done; exit 0"#;

/// Passes bytes on to a port, with whichever tool there is.
const DIAL: &str = r#"if command -v nc >/dev/null 2>&1; then exec nc 127.0.0.1 "$0"; fi
if command -v busybox >/dev/null 2>&1; then exec busybox nc 127.0.0.1 "$0"; fi
if command -v bash >/dev/null 2>&1; then exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/$0; cat >&3 & cat <&3' "$0"; fi
if command -v python3 >/dev/null 2>&1; then exec python3 -c 'import os,socket,sys,threading
s=socket.create_connection(("127.0.0.1",int(sys.argv[1])))
def up():
    while True:
        b=os.read(0,65536)
        if not b: break
        s.sendall(b)
threading.Thread(target=up,daemon=True).start()
while True:
    b=s.recv(65536)
    if not b: break
    os.write(1,b)' "$0"; fi
exit 127"#;

/// The place from which ports are looked at.
pub(super) struct Beside<'a> {
    /// The engine's containers.
    pub containers: &'a dyn Containers,
    /// How long it may take.
    pub limit: &'a Limit,
    /// The image of a helper by the name that the test gives it, and a container of it.
    pub helper: Option<(&'a str, ContainerSpec)>,
}

/// An answer over HTTP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// The bytes behind the headers.
    pub body: Vec<u8>,
}

/// Whether something listens at a port of a container.
pub(super) fn listens(from: &Beside<'_>, container: &ContainerId, port: u16) -> Result<bool, EngineError> {
    match shell(from, container, SOCKETS, port, None)? {
        Some(output) => Ok(listening(&String::from_utf8_lossy(&output.out), port)),
        None => Ok(connect(from, container, port)?.is_some()),
    }
}

/// Asks a container for a path.
pub(super) fn http(
    from: &Beside<'_>,
    container: &ContainerId,
    port: u16,
    path: &str,
) -> Result<Answer, EngineError> {
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: localhost:{port}\r\nUser-Agent: imk\r\nConnection: close\r\n\r\n"
    );
    let bytes = match shell(from, container, DIAL, port, Some(request.clone().into_bytes()))? {
        Some(output) => output.out,
        None => {
            let Some(mut stream) = connect(from, container, port)? else {
                return Err(refused(
                    &format!("asking for {path}"),
                    &format!("nobody answers at port {port}"),
                ));
            };
            let mut bytes = Vec::new();
            let sent =
                stream.write_all(request.as_bytes()).and_then(|()| stream.take(MOST).read_to_end(&mut bytes));
            sent.map_err(|error| refused(&format!("asking for {path}"), &error.to_string()))?;
            bytes
        }
    };
    answer(&bytes).ok_or_else(|| {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        refused(
            &format!("asking port {port} for {path}"),
            &format!("what came is no answer over HTTP: `{shown}`"),
        )
    })
}

/// Runs a script in the container, or beside it in the test's helper. `None` when neither has the tools.
fn shell(
    from: &Beside<'_>,
    container: &ContainerId,
    script: &str,
    port: u16,
    input: Option<Vec<u8>>,
) -> Result<Option<Output>, EngineError> {
    let command: Vec<String> = ["sh", "-c", script, &port.to_string()].map(str::to_owned).to_vec();
    // A user of the image may not read what root may.
    let exec =
        Exec { command: command.clone(), input: input.clone(), user: Some("0".into()), ..Exec::default() };
    let has_no_tools = |status: i64| matches!(status, 126 | 127);
    match from.containers.exec(container, &exec, from.limit) {
        Ok(output) if !has_no_tools(output.status) => return Ok(Some(output)),
        Ok(_) => {}
        Err(EngineError::Refused { why, .. })
            if why.contains("executable file not found") || why.contains("no such file") => {}
        // The script is ours, and nobody's to read.
        Err(EngineError::Refused { why, .. }) => {
            return Err(refused(&format!("looking at port {port}"), &why));
        }
        Err(error) => return Err(error),
    }
    let Some((helper, spec)) = &from.helper else { return Ok(None) };
    let spec = ContainerSpec {
        entrypoint: Some(Vec::new()),
        command: Some(command),
        network: Some(format!("container:{container}")),
        stdin: input.is_some(),
        user: Some("0".into()),
        init: false,
        keeps_no_log: true,
        ..spec.clone()
    };
    let beside = from.containers.create(&spec)?;
    let output = captured(from.containers, &beside, input, from.limit);
    from.containers.remove(&beside)?;
    let output = output?;
    if has_no_tools(output.status) {
        return Err(refused(
            &format!("looking at port {port}"),
            &format!("the image `{helper}` of `probe` has no sh, or no nc"),
        ));
    }
    Ok(Some(output))
}

/// Connects from here, where that can be.
fn connect(from: &Beside<'_>, container: &ContainerId, port: u16) -> Result<Option<TcpStream>, EngineError> {
    let hint = "the image has no shell with nc, bash or python3; name one that has: `probe: \"IMAGE\"`";
    if from.containers.reach() != Reach::Here {
        return Err(refused(&format!("looking at port {port}"), hint));
    }
    let state = from.containers.state(container)?.unwrap_or_default();
    let has_bridge = state.networks.iter().any(|id| bridge(id).is_some_and(|path| outside::is_there(&path)));
    let address = state.address.filter(|_| has_bridge);
    let Some(address) = address.and_then(|it| (it, port).to_socket_addrs().ok()?.next()) else {
        return Err(refused(&format!("looking at port {port}"), hint));
    };
    Ok(TcpStream::connect_timeout(&address, CONNECT).ok())
}

/// The bridge of a network, as the engine names it in its own network namespace.
fn bridge(network: &str) -> Option<PathBuf> {
    let name = network.get(..12).filter(|id| id.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    Some(PathBuf::from("/sys/class/net").join(format!("br-{name}")))
}

pub(super) fn refused(what: &str, why: &str) -> EngineError {
    EngineError::Refused { what: what.to_owned(), why: why.trim_end().to_owned() }
}

/// Whether a port can be reached from this machine.
pub(super) fn from_here(address: &str, port: u16) -> bool {
    let found = (address, port).to_socket_addrs().ok().and_then(|mut all| all.next());
    found.is_some_and(|address| TcpStream::connect_timeout(&address, CONNECT).is_ok())
}

/// Whether the kernel's table has a listener (state 0A) at a port.
fn listening(table: &str, port: u16) -> bool {
    let wanted = format!("{port:04X}");
    table.lines().any(|line| {
        let mut words = line.split_whitespace();
        let local = words.nth(1).and_then(|address| address.rsplit_once(':')).map(|(_, port)| port);
        local == Some(&wanted) && words.nth(1) == Some("0A")
    })
}

/// Status and body of an answer of HTTP/1.
fn answer(bytes: &[u8]) -> Option<Answer> {
    let line = bytes.split(|byte| *byte == b'\n').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split_whitespace();
    words.next().filter(|version| version.starts_with("HTTP/1"))?;
    let status = words.next()?.parse().ok()?;
    let end =
        |mark: &[u8]| bytes.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len());
    let body = end(b"\r\n\r\n").or_else(|| end(b"\n\n")).unwrap_or(bytes.len());
    Some(Answer { status, body: bytes[body..].to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
             0: 00000000:1F90 00000000:0000 0A 00000000:00000000\n\
             1: 0100007F:1F91 0100007F:A1B2 01 00000000:00000000\n\
             0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0";
        assert!(listening(table, 8080) && listening(table, 80));
        assert!(!listening(table, 8081), "a connection is no listener");
    }

    #[test]
    fn an_answer_has_a_status_and_a_body() {
        let answered = answer(b"HTTP/1.0 404 Not Found\r\nA: b\r\n\r\nno\r\n\r\n").unwrap();
        assert_eq!((answered.status, answered.body.as_slice()), (404, b"no\r\n\r\n".as_slice()));
        assert_eq!(answer(b"SSH-2.0-x\r\n"), None);
        assert_eq!(answer(b""), None);
    }
}
