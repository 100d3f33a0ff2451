//! Which engine is meant, and why that one.
//!
//! Reads values and docker's own configuration files; never connects, never
//! looks at the process environment (the caller hands over an [`Environment`]).

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::EngineError;

#[cfg(test)]
mod tests;

/// Where docker listens when nobody says otherwise.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Tells the address of a BuildKit of its own from that of a Docker engine.
const BUILDKITD: &str = "buildkit+";
/// The port of BuildKit's own examples.
const BUILDKITD_PORT: u16 = 1234;

/// The variables that choose an engine, as the user set them.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub docker_context: Option<String>,
    /// `DOCKER_CONFIG`, else `.docker` in the home folder.
    pub config_folder: Option<PathBuf>,
    /// `DOCKER_TLS_VERIFY` is set and not empty.
    pub tls_verify: bool,
    /// `DOCKER_CERT_PATH`.
    pub cert_path: Option<PathBuf>,
}

impl Environment {
    /// Takes the variables from `lookup`, such as `|name| std::env::var(name).ok()`.
    /// An empty value counts as unset, as it does for docker.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let value = |name: &str| lookup(name).filter(|value| !value.is_empty());
        let home_folder = || value("HOME").map(|home| Path::new(&home).join(".docker"));
        Self {
            docker_host: value("DOCKER_HOST"),
            docker_context: value("DOCKER_CONTEXT"),
            config_folder: value("DOCKER_CONFIG").map(PathBuf::from).or_else(home_folder),
            tls_verify: value("DOCKER_TLS_VERIFY").is_some(),
            cert_path: value("DOCKER_CERT_PATH").map(PathBuf::from),
        }
    }

    /// The text of docker's `config.json`, as far as there is one that can be read.
    pub(super) fn config(&self) -> Option<Vec<u8>> {
        fs_err::read(self.config_folder.as_ref()?.join("config.json")).ok()
    }
}

impl Environment {
    /// True if somebody has said which engine is meant, or one has its socket where docker's default is. One
    /// that is named and does not answer is still the one that is meant.
    pub fn names_an_engine(&self) -> bool {
        let named = |name: &str| !name.is_empty() && name != "default";
        self.docker_host.is_some()
            || self.docker_context.as_deref().is_some_and(named)
            // A configuration that cannot be read may name one.
            || current_context(self).map_or(true, |context| context.as_deref().is_some_and(named))
            || Path::new(DEFAULT_SOCKET).exists()
    }
}

/// An engine's address, and where the choice came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How it is reached.
    pub address: Address,
    /// `from DOCKER_HOST`, ``from docker context `x` `` and the like.
    pub origin: String,
    /// A BuildKit listens there, and no Docker engine.
    pub buildkitd: bool,
}

/// How an engine is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket on this machine.
    Unix(PathBuf),
    /// A port, behind TLS when there are certificates.
    Tcp { host: String, port: u16, tls: Option<Tls> },
    /// `ssh … docker system dial-stdio`; `socket` is the engine's own on that machine, docker's default when `None`.
    Ssh { user: Option<String>, host: String, port: Option<u16>, socket: Option<String> },
    /// A program whose standard streams lead there; `shown` is the address as typed.
    Program { shown: String, program: String, words: Vec<String> },
}

/// Files that prove who speaks. Each is optional: a server may ask for no client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Authority that signed the server's certificate; the system's authorities when `None`.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The name in the server's certificate; the host's when `None`.
    pub server_name: Option<String>,
}

impl Tls {
    /// The files docker looks for in a folder, those that exist.
    fn in_folder(folder: &Path) -> Self {
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        Self { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem"), server_name: None }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, tls } => {
                let brackets = host.contains(':');
                let (open, close) = if brackets { ("[", "]") } else { ("", "") };
                write!(f, "tcp://{open}{host}{close}:{port}")?;
                if tls.is_some() { f.write_str(" with TLS") } else { Ok(()) }
            }
            Self::Ssh { user, host, port, socket } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                f.write_str(host)?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                f.write_str(socket.as_deref().unwrap_or_default())
            }
            Self::Program { shown, .. } => f.write_str(shown),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.origin)
    }
}

impl Endpoint {
    /// The same with other proofs of who speaks.
    ///
    /// # Errors
    /// When it is not reached over TCP, where alone there are any.
    pub fn with_tls(mut self, proofs: Tls) -> Result<Self, EngineError> {
        match &mut self.address {
            Address::Tcp { tls, .. } => *tls = Some(proofs),
            _ => {
                let why = "cacert, cert, key and servername are for an address over TCP".to_owned();
                return Err(EngineError::Unreachable { tried: self.to_string(), why });
            }
        }
        Ok(self)
    }

    /// Chooses as docker does: `DOCKER_HOST`, else `DOCKER_CONTEXT`, else the
    /// current context of docker's configuration, else the default socket.
    pub fn resolve(environment: &Environment) -> Result<Self, EngineError> {
        if let Some(host) = &environment.docker_host {
            return Self::of_host(environment, host, "from DOCKER_HOST");
        }
        let (name, how) = match &environment.docker_context {
            Some(name) => (name.clone(), "named by DOCKER_CONTEXT"),
            None => (current_context(environment)?.unwrap_or_default(), "docker's current one"),
        };
        Self::of_context(environment, &name, how)
    }

    /// The engine at an address, behind TLS as docker's variables say; `origin` says who gave it.
    pub fn of_host(environment: &Environment, host: &str, origin: &str) -> Result<Self, EngineError> {
        let tls = environment.tls_verify.then(|| {
            let folder = environment.cert_path.as_ref().or(environment.config_folder.as_ref());
            folder.map(|folder| Tls::in_folder(folder)).unwrap_or_default()
        });
        Self::parse(host, tls, origin.to_owned())
    }

    /// The engine of a docker context; `how` says how the context was chosen.
    pub fn of_context(environment: &Environment, name: &str, how: &str) -> Result<Self, EngineError> {
        if name.is_empty() || name == "default" {
            // For docker, too, this is what DOCKER_HOST says.
            if let Some(host) = &environment.docker_host {
                return Self::of_host(environment, host, "from DOCKER_HOST");
            }
            let origin = "docker's default; neither DOCKER_HOST nor a docker context says otherwise";
            let address = Address::Unix(DEFAULT_SOCKET.into());
            return Ok(Self { address, origin: origin.into(), buildkitd: false });
        }
        let origin = format!("from docker context `{name}`, {how}");
        let folder = environment.config_folder.clone().unwrap_or_default();
        let context = find_context(&folder, name).ok_or_else(|| EngineError::Unreachable {
            tried: format!("docker context `{name}` ({how})"),
            why: format!(
                "there is no such context in `{}`; `docker context ls` shows those there are",
                folder.display()
            ),
        })?;
        Self::parse(&context.host, context.tls, origin)
    }

    /// An endpoint from an address as docker writes it.
    pub fn parse(host: &str, tls: Option<Tls>, origin: String) -> Result<Self, EngineError> {
        let own = host.strip_prefix(BUILDKITD);
        let address = match own {
            Some(own) => parse_buildkitd(own),
            None => parse_address(host, tls),
        };
        match address {
            Ok(address) => Ok(Self { address, origin, buildkitd: own.is_some() }),
            Err(why) => Err(EngineError::Unreachable { tried: format!("`{host}` ({origin})"), why }),
        }
    }
}

/// `unix://…`, `tcp://host:port`, `http(s)://…` or `ssh://user@host:port`.
fn parse_address(host: &str, tls: Option<Tls>) -> Result<Address, String> {
    // A path alone, which docker refuses, can only be a socket.
    let plain = if host.starts_with('/') { "unix" } else { "tcp" };
    let (scheme, rest) = host.split_once("://").unwrap_or((plain, host));
    if ["./", "../", "~"].iter().any(|start| host.starts_with(start)) {
        return Err("a socket is named by its whole path, as in /run/docker.sock".into());
    }
    match scheme {
        "unix" if rest.is_empty() => Ok(Address::Unix(DEFAULT_SOCKET.into())),
        "unix" => Ok(Address::Unix(rest.into())),
        // Whatever is wrong with it is not to be quoted: a password may be in it.
        "tcp" | "http" | "https" if rest.contains('@') => Err(
            "an engine's address over TCP has neither a user nor a password; TLS certificates say who asks"
                .into(),
        ),
        "tcp" | "http" | "https" => {
            let tls = if scheme == "https" { Some(tls.unwrap_or_default()) } else { tls };
            let (host, port) = split_port(rest.split('/').next().unwrap_or_default())?;
            let host = if host.is_empty() { "127.0.0.1".to_owned() } else { host };
            let port = port.unwrap_or(if tls.is_some() { 2376 } else { 2375 });
            Ok(Address::Tcp { host, port, tls })
        }
        "ssh" => {
            let (place, socket) = match rest.find('/') {
                Some(slash) => (&rest[..slash], Some(&rest[slash..])),
                None => (rest, None),
            };
            let (user, place) = match place.rsplit_once('@') {
                Some((user, place)) => (Some(user), place),
                None => (None, place),
            };
            if user.is_some_and(|user| user.contains(':')) {
                return Err("a password has no place in an ssh address; use a key or an agent".into());
            }
            let (host, port) = split_port(place)?;
            // `ssh` would take either for an option and could be made to run anything.
            if host.is_empty() || host.starts_with('-') || user.is_some_and(|user| user.starts_with('-')) {
                return Err("it names no host".into());
            }
            let socket = socket.filter(|socket| *socket != "/").map(str::to_owned);
            Ok(Address::Ssh { user: user.map(str::to_owned), host, port, socket })
        }
        other => Err(format!("imk cannot speak `{other}://`; it knows unix, tcp, https and ssh")),
    }
}

/// An address of a BuildKit as `BUILDKIT_HOST` has it: `unix://…`, `tcp://host:port`, `ssh://user@host`,
/// `docker-container://name`, `podman-container://name`.
fn parse_buildkitd(host: &str) -> Result<Address, String> {
    let (scheme, rest) = host.split_once("://").unwrap_or(("", host));
    match scheme {
        "unix" if rest.is_empty() => Ok(Address::Unix("/run/buildkit/buildkitd.sock".into())),
        "unix" => Ok(Address::Unix(rest.into())),
        "tcp" if rest.contains('@') => {
            Err("an address over TCP has neither a user nor a password; TLS certificates say who asks".into())
        }
        "tcp" => {
            let (host, port) = split_port(rest.trim_end_matches('/'))?;
            let host = if host.is_empty() { "127.0.0.1".to_owned() } else { host };
            Ok(Address::Tcp { host, port: port.unwrap_or(BUILDKITD_PORT), tls: None })
        }
        "ssh" => {
            let Address::Ssh { user, host, port, socket } = parse_address(host, None)? else {
                return Err("it names no host".into());
            };
            let mut words = vec!["-o".to_owned(), "ConnectTimeout=30".to_owned(), "-T".to_owned()];
            words.extend(user.into_iter().flat_map(|user| ["-l".to_owned(), user]));
            words.extend(port.into_iter().flat_map(|port| ["-p".to_owned(), port.to_string()]));
            words.extend(["--".to_owned(), host, "buildctl".to_owned()]);
            // The other side's shell reads this line, so the path is quoted for it.
            let quoted = |path: String| format!("'unix://{}'", path.replace('\'', r"'\''"));
            words.extend(socket.into_iter().flat_map(|path| ["--addr".to_owned(), quoted(path)]));
            words.push("dial-stdio".to_owned());
            Ok(program(scheme, rest, "ssh", words))
        }
        "docker-container" | "podman-container" => {
            let name = rest.trim_end_matches('/');
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(plain) {
                return Err(format!("`{name}` is no container's name"));
            }
            let words = ["exec", "-i", name, "buildctl", "dial-stdio"].map(str::to_owned).into();
            Ok(program(scheme, rest, scheme.trim_end_matches("-container"), words))
        }
        _ => Err(format!(
            "imk cannot speak to a buildkitd at `{host}`; it knows unix, tcp, ssh, docker-container and podman-container"
        )),
    }
}

fn program(scheme: &str, rest: &str, program: &str, words: Vec<String>) -> Address {
    Address::Program { shown: format!("{BUILDKITD}{scheme}://{rest}"), program: program.to_owned(), words }
}

/// `host`, `host:port`, `[::1]:port`.
fn split_port(place: &str) -> Result<(String, Option<u16>), String> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no port"));
    if let Some((host, after)) = place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let port = after.strip_prefix(':').map(number).transpose()?;
        return Ok((host.to_owned(), port));
    }
    match place.split_once(':') {
        Some((host, port)) => Ok((host.to_owned(), Some(number(port)?))),
        None => Ok((place.to_owned(), None)),
    }
}

/// `currentContext` of docker's configuration; no file is no choice.
fn current_context(environment: &Environment) -> Result<Option<String>, EngineError> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "currentContext")]
        current: Option<String>,
    }
    let Some(file) = environment.config_folder.as_ref().map(|folder| folder.join("config.json")) else {
        return Ok(None);
    };
    let unknown = |why: String| EngineError::Refused {
        what: format!("reading the docker context chosen in `{}`", file.display()),
        why,
    };
    let text = match fs_err::read(&file) {
        Ok(text) if text.iter().all(u8::is_ascii_whitespace) => return Ok(None),
        Ok(text) => text,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(unknown(format!("{}; mend that or set DOCKER_HOST", error.kind()))),
    };
    let config: Config = serde_json::from_slice(&text).map_err(|error| {
        // serde's message quotes a value at most by its type, so no login can slip out.
        let place = format!("line {}, column {}", error.line(), error.column());
        unknown(format!("the file is no valid JSON ({place}); mend it or set DOCKER_HOST"))
    })?;
    Ok(config.current)
}

struct Context {
    host: String,
    tls: Option<Tls>,
}

/// A context by name. Docker files it under the SHA-256 of the name; its
/// `meta.json` holds the name as well, so we look for that and need no SHA-256.
fn find_context(config_folder: &Path, name: &str) -> Option<Context> {
    #[derive(Deserialize)]
    struct Meta {
        #[serde(rename = "Name")]
        name: String,
        #[serde(rename = "Endpoints")]
        endpoints: std::collections::BTreeMap<String, Docker>,
    }
    #[derive(Deserialize)]
    struct Docker {
        #[serde(rename = "Host")]
        host: String,
    }
    let contexts = config_folder.join("contexts");
    for entry in fs_err::read_dir(contexts.join("meta")).ok()?.flatten() {
        let Ok(text) = fs_err::read(entry.path().join("meta.json")) else { continue };
        let Ok(meta) = serde_json::from_slice::<Meta>(&text) else { continue };
        if meta.name == name {
            let folder = contexts.join("tls").join(entry.file_name()).join("docker");
            let tls = folder.is_dir().then(|| Tls::in_folder(&folder));
            return Some(Context { host: meta.endpoints.get("docker")?.host.clone(), tls });
        }
    }
    None
}
