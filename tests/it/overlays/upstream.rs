//! Another team's repository: bare, with commits made on purpose, and served over http.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine;
use git2::{FileMode, Repository, Signature, Time};

/// A bare repository in a folder of its own.
pub struct Upstream {
    folder: tempfile::TempDir,
    git: Repository,
}

impl Upstream {
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("imk-upstream-").tempdir().unwrap();
        let mut options = git2::RepositoryInitOptions::new();
        options.bare(true).initial_head("main");
        let git = Repository::init_opts(folder.path().join("lib.git"), &options).unwrap();
        Self { folder, git }
    }

    /// The folder that holds `lib.git`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self) -> String {
        self.folder.path().join("lib.git").to_str().unwrap().to_owned()
    }

    /// Adds a commit to `main` in which these files are as given and all others as before.
    pub fn commit(&self, files: &[(&str, &str)]) -> String {
        let blobs: Vec<_> = files
            .iter()
            .map(|(path, text)| (*path, self.git.blob(text.as_bytes()).unwrap(), FileMode::Blob))
            .collect();
        self.commit_entries(&blobs)
    }

    /// Adds a commit with another repository's commit at a path.
    pub fn commit_submodule(&self, path: &str, commit: &str) {
        let id = git2::Oid::from_str(commit).unwrap();
        self.commit_entries(&[(path, id, FileMode::Commit)]);
    }

    fn commit_entries(&self, entries: &[(&str, git2::Oid, FileMode)]) -> String {
        let parent = self.git.find_reference("refs/heads/main").ok();
        let parent = parent.map(|head| head.peel_to_commit().unwrap());
        let base = match &parent {
            Some(commit) => commit.tree().unwrap(),
            None => self.git.find_tree(self.git.treebuilder(None).unwrap().write().unwrap()).unwrap(),
        };
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (path, id, mode) in entries {
            update.upsert(*path, *id, *mode);
        }
        let tree = self.git.find_tree(update.create_updated(&self.git, &base).unwrap()).unwrap();
        let who = Signature::new("imk", "imk@invalid", &Time::new(1_700_000_000, 0)).unwrap();
        let parents: Vec<_> = parent.iter().collect();
        let head = Some("refs/heads/main");
        self.git.commit(head, &who, &who, "change", &tree, &parents).unwrap().to_string()
    }

    /// Names a commit with a tag object, which has an id of its own.
    pub fn tag(&self, name: &str) {
        let head = self.git.revparse_single("refs/heads/main").unwrap();
        let who = Signature::new("imk", "imk@invalid", &Time::new(1_700_000_000, 0)).unwrap();
        self.git.tag(name, &head, &who, "a tag", true).unwrap();
    }

    /// Serves the folder at `http://127.0.0.1:PORT/lib.git`, to everybody or to who has this password.
    pub fn serve(&self, password: Option<&str>) -> Server {
        Server::start(self.folder.path().to_owned(), password.map(str::to_owned), "127.0.0.1:0")
    }
}

/// A web server that is git's own `http-backend` and nothing more.
pub struct Server {
    pub port: u16,
    stop: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(root: PathBuf, password: Option<String>, address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        let stop = Arc::new(AtomicBool::new(false));
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let (stopped, told) = (Arc::clone(&stop), Arc::clone(&requests));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                answer(&stream.unwrap(), &root, password.as_deref(), &told);
            }
        });
        Self { port, stop, requests, thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/lib.git", self.port)
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: &TcpStream, root: &Path, password: Option<&str>, told: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let mut lines: Vec<String> = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let found = lines.iter().skip(1).filter_map(|line| line.split_once(": "));
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    told.lock().unwrap().push(lines[0].clone());
    let mut out = stream;
    if let Some(password) = password {
        let offered = header("Authorization").unwrap_or_default();
        let offered = base64::prelude::BASE64_STANDARD.decode(offered.trim_start_matches("Basic "));
        let offered = String::from_utf8(offered.unwrap_or_default()).unwrap();
        if offered.split_once(':').is_none_or(|(_, secret)| secret != password) {
            let _ = out.write_all(
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"git\"\r\n\
                  Content-Length: 0\r\nConnection: close\r\n\r\n",
            );
            return;
        }
    }
    let length: usize = header("Content-Length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut words = lines[0].split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("Content-Type").unwrap_or_default())
        .env("CONTENT_LENGTH", length.to_string())
        .env("HTTP_CONTENT_ENCODING", header("Content-Encoding").unwrap_or_default())
        .env("GIT_PROTOCOL", header("Git-Protocol").unwrap_or_default())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    backend.stdin.take().unwrap().write_all(&body).unwrap();
    let output = backend.wait_with_output().unwrap().stdout;
    let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let _ = write!(out, "HTTP/1.1 {status}\r\n{head}\r\nConnection: close\r\n\r\n");
    let _ = out.write_all(&output[end + 4..]);
}
