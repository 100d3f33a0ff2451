//! Where a tree of another repository comes from, as people and docker write it.
//!
//! Addresses are split so that a secret in one never meets a message, a key or
//! a command line: [`GitUrl::address`] is what git gets, [`GitUrl::shown`] what people
//! see, and what stood before the `@` of an http address is apart from both.

use std::fmt;

/// A repository's address.
#[derive(Clone, PartialEq, Eq)]
pub struct GitUrl {
    /// For git, without any secret. A local one may be relative to the Imagefile's folder.
    pub address: String,
    /// For people, and the name under which things are remembered.
    pub shown: String,
    /// How it is reached.
    pub scheme: Scheme,
    /// The host, without its port; empty for a local path.
    pub host: String,
    /// `host` or `host:port`, as git names a place that wants credentials.
    pub authority: String,
    /// User and password of an http address.
    pub user: Option<(String, String)>,
}

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// `https://`
    Https,
    /// `http://`
    Http,
    /// `git://`
    Git,
    /// `ssh://`, or `user@host:path`.
    Ssh,
    /// A path of this machine.
    Local,
}

impl fmt::Debug for GitUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Which commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// The commit that the repository's `HEAD` points to.
    Head,
    /// The head of a branch.
    Branch(String),
    /// The commit that a tag points to.
    Tag(String),
    /// This one: forty hexadecimal digits, or sixty-four.
    Commit(String),
    /// A ref as docker reads it: a full name, else a tag, else a branch.
    Any(String),
}

impl Wanted {
    /// For people: `main`, or the start of a commit's id.
    pub fn shown(&self) -> &str {
        match self {
            Self::Head => "HEAD",
            Self::Branch(name) | Self::Tag(name) | Self::Any(name) => name,
            Self::Commit(id) => &id[..12.min(id.len())],
        }
    }

    /// Full names of refs, in the order in which they are tried. None for a commit.
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Head => vec!["HEAD".into()],
            Self::Branch(name) => vec![format!("refs/heads/{name}")],
            Self::Tag(name) => vec![format!("refs/tags/{name}")],
            Self::Commit(_) => Vec::new(),
            // Git's own order; the first also finds `pull/1/head`.
            Self::Any(name) if name.starts_with("refs/") => vec![name.clone()],
            Self::Any(name) => ["refs/", "refs/tags/", "refs/heads/"].map(|at| format!("{at}{name}")).into(),
        }
    }
}

/// A tree: a folder of a commit of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    /// The repository.
    pub url: GitUrl,
    /// The commit.
    pub wanted: Wanted,
    /// The folder, `""` for all of it.
    pub subdir: String,
}

impl GitSource {
    /// Takes one part of an address behind its `?`, by BuildKit's words for it (`parseOpts` in `gitutil`).
    fn ask(&mut self, key: &str, value: &str) -> Result<(), String> {
        let named = self.wanted != Wanted::Head;
        let wanted = match key {
            "ref" if is_commit(value) => Wanted::Commit(value.to_ascii_lowercase()),
            "ref" => Wanted::Any(reference(value)?),
            "branch" => Wanted::Branch(reference(value)?),
            "tag" => Wanted::Tag(reference(value)?),
            "subdir" if self.subdir.is_empty() => {
                self.subdir = folder(value)?;
                return Ok(());
            }
            "subdir" => return Err("the folder is named twice, behind `?` and behind `#`".into()),
            // Of these the instruction is told.
            "checksum" | "commit" | "keep-git-dir" => return Ok(()),
            "submodules" if matches!(value, "" | "1" | "true") => return Ok(()),
            other => return Err(format!("an address of a repository has no `?{other}=`")),
        };
        if named && self.wanted != wanted {
            return Err("the ref is named twice, and not the same".into());
        }
        self.wanted = wanted;
        Ok(())
    }

    /// As docker writes it: `https://host/repo.git#main:folder`.
    pub fn shown(&self) -> String {
        let wanted = match &self.wanted {
            Wanted::Head => "",
            Wanted::Commit(id) => id,
            other => other.shown(),
        };
        match (wanted, self.subdir.as_str()) {
            ("", "") => self.url.shown.clone(),
            (wanted, "") => format!("{}#{wanted}", self.url.shown),
            (wanted, subdir) => format!("{}#{wanted}:{subdir}", self.url.shown),
        }
    }
}

/// Whether docker takes a text for the address of something that is fetched.
pub fn is_remote(text: &str) -> bool {
    let schemes = ["https://", "http://", "git://", "ssh://", "file://", "github.com/"];
    schemes.iter().any(|scheme| text.starts_with(scheme)) || scp(text).is_some()
}

/// Reads `ADDRESS[#REF[:FOLDER]]`, by docker's rules.
///
/// # Errors
/// What is wrong with it, as a sentence.
///
/// # Examples
///
/// ```
/// use imk::syntax::git_source::{Wanted, parse};
///
/// let source = parse("https://git.example/team/lib.git#v1.2:src").unwrap();
/// // docker says of a ref neither whether it is a tag nor a branch.
/// assert_eq!(source.wanted, Wanted::Any("v1.2".into()));
/// assert_eq!((source.url.shown.as_str(), source.subdir.as_str()), ("https://git.example/team/lib.git", "src"));
/// assert_eq!(parse("https://git.example/team/lib.git").unwrap().wanted, Wanted::Head);
/// ```
pub fn parse(text: &str) -> Result<GitSource, String> {
    let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (wanted, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
    let wanted = match wanted {
        "" => Wanted::Head,
        id if is_commit(id) => Wanted::Commit(id.to_ascii_lowercase()),
        name => Wanted::Any(reference(name)?),
    };
    let mut source = GitSource { url: url(without_query(address))?, wanted, subdir: folder(subdir)? };
    for (key, value) in queries(address) {
        source.ask(key, &decoded(value))?;
    }
    let GitSource { url, wanted, subdir } = source;
    if matches!(url.scheme, Scheme::Https | Scheme::Http)
        && !url.address.ends_with(".git")
        && !text.starts_with("github.com/")
    {
        return Err(format!(
            "`{}` does not end in `.git`: docker would take it for an archive, and imk reads repositories only",
            url.shown
        ));
    }
    Ok(GitSource { url, wanted, subdir })
}

/// Whether an address says, behind its `?`, that `.git` stays.
pub fn keeps_git_dir(text: &str) -> bool {
    let address = text.split('#').next().unwrap_or_default();
    queries(address).any(|(key, value)| key == "keep-git-dir" && matches!(value, "" | "1" | "true"))
}

/// The pairs behind the `?` of an address that has a scheme; a path may have such a letter in it.
fn queries(address: &str) -> impl Iterator<Item = (&str, &str)> {
    let query = address[without_query(address).len()..].strip_prefix('?');
    let pairs = query.into_iter().flat_map(|query| query.split('&')).filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn without_query(address: &str) -> &str {
    match address.contains("://") && !address.starts_with("file://") {
        true => address.split('?').next().unwrap_or(address),
        false => address,
    }
}

/// Reads an address alone. Anything that names no host is a path of this machine.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn url(text: &str) -> Result<GitUrl, String> {
    if text.is_empty() || text.starts_with('-') || text.chars().any(char::is_control) {
        return Err("that is no address of a repository".into());
    }
    if text.starts_with("github.com/") {
        return url(&format!("https://{text}"));
    }
    if let Some((user, host, path)) = scp(text) {
        let shown = format!("ssh://{user}@{host}/{}", path.trim_start_matches('/'));
        let (host, address) = (host.to_owned(), text.to_owned());
        return Ok(GitUrl { address, shown, scheme: Scheme::Ssh, authority: host.clone(), host, user: None });
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let shown = format!("file://{text}");
        return Ok(local(text, shown));
    };
    let scheme = match scheme {
        "https" => Scheme::Https,
        "http" => Scheme::Http,
        "git" => Scheme::Git,
        "ssh" => Scheme::Ssh,
        "file" => return Ok(local(rest, text.to_owned())),
        other => {
            return Err(format!(
                "imk does not fetch by `{other}://`; it knows https, http, ssh, git and file"
            ));
        }
    };
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, authority) = match place.rsplit_once('@') {
        Some((user, authority)) => (Some(user), authority),
        None => (None, place),
    };
    let host = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, _)) => host,
        None => authority.split(':').next().unwrap_or_default(),
    };
    if host.is_empty() || host.starts_with('-') || path.is_empty() {
        return Err("an address needs a host and a path: https://host/owner/repo.git".into());
    }
    let name = text.split("://").next().unwrap_or_default();
    let bare = format!("{name}://{authority}/{path}");
    let (user, address) = match (scheme, user) {
        (Scheme::Https | Scheme::Http, Some(user)) => {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            (Some((decoded(name), decoded(password))), bare)
        }
        (Scheme::Ssh, Some(user)) => {
            // ssh takes no password from an address.
            let user = user.split(':').next().unwrap_or_default();
            (None, format!("{name}://{user}@{authority}/{path}"))
        }
        _ => (None, bare),
    };
    let (host, authority) = (host.to_ascii_lowercase(), authority.to_owned());
    Ok(GitUrl { shown: address.clone(), address, scheme, host, authority, user })
}

fn local(path: &str, shown: String) -> GitUrl {
    let (host, authority) = (String::new(), String::new());
    GitUrl { address: path.to_owned(), shown, scheme: Scheme::Local, host, authority, user: None }
}

/// `user@host:path`, as ssh's own `scp` writes it.
fn scp(text: &str) -> Option<(&str, &str, &str)> {
    let (user, rest) = text.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    let word = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        !text.is_empty() && !text.starts_with('-') && text.chars().all(plain)
    };
    (word(user) && word(host) && !path.is_empty() && !path.starts_with("//")).then_some((user, host, path))
}

/// Whether this is the whole id of a commit.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The name of a branch or tag, if it can be one: git's `check-ref-format` in short.
///
/// # Errors
/// What is wrong with it.
pub fn reference(name: &str) -> Result<String, String> {
    let forbidden = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    let bad = name.is_empty()
        || name.starts_with(['-', '/', '.'])
        || name.ends_with(['/', '.'])
        || name.contains("..")
        || name.contains("@{")
        || name.contains(forbidden);
    if bad { Err(format!("`{name}` cannot name a branch or a tag")) } else { Ok(name.to_owned()) }
}

/// A text with what stands before the `@` of its http addresses struck out, and the password of
/// any other address; every byte at its place.
///
/// ```
/// use imk::syntax::git_source::masked;
///
/// let shown = masked("ADD https://me:hunter2@host/x /");
/// assert!(!shown.contains("hunter2") && shown.ends_with("@host/x /"));
/// ```
pub fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "/\"'`#".contains(c)).unwrap_or(after.len());
        let scheme = before.trim_end_matches("://").to_ascii_lowercase();
        let (shown, secret) = match after[..end].rfind('@') {
            Some(secret) if scheme.ends_with("http") || scheme.ends_with("https") => (0, secret),
            Some(secret) => (after[..secret].find(':').map_or(secret, |colon| colon + 1), secret),
            None => (0, 0),
        };
        out.push_str(&after[..shown]);
        out.push_str(&"*".repeat(secret - shown));
        rest = &after[secret..];
    }
    out + rest
}

/// A folder below a repository's root, cleaned.
///
/// # Errors
/// When it leads out of the repository.
pub fn folder(path: &str) -> Result<String, String> {
    // Docker takes `#main:/sub` for `sub`.
    let below = path.trim_start_matches('/');
    crate::model::name::clean_path(below)
        .ok_or_else(|| format!("the folder `{path}` leads out of the repository"))
}

/// Takes `%40` for `@`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
#[path = "git_source_tests.rs"]
mod tests;
