//! Words that BuildKit has learned since docker 20.10: flags of `COPY` and `ADD`, texts and addresses in place of files.

use super::super::abilities::{Abilities, fetched};
use super::super::random::Random;
use super::super::tree::Tree;
use super::{Body, Recipe};

/// As numbers and as words.
const MODES: [&str; 7] = ["755", "0640", "u=rwX,go=rX", "go-w", "a+x", "u+s", "g=u"];

/// Flags of one `COPY` or `ADD`.
#[derive(Clone, Default, PartialEq)]
pub struct Flags {
    pub exclude: Vec<String>,
    pub parents: bool,
    link: bool,
    chmod: String,
    unpack: Option<bool>,
}

impl Flags {
    pub fn random(random: &mut Random, tree: &Tree, can: Abilities, add: bool) -> Self {
        let mut flags = Self::default();
        if !can.newer {
            return flags;
        }
        flags.parents = can.parents && !add && random.chance(30);
        flags.link = random.chance(10);
        if random.chance(15) {
            flags.chmod = random.pick(&MODES).to_owned();
        }
        if random.chance(25) {
            flags.exclude = (0..=random.below(2)).map(|_| exclude(random, tree)).collect();
        }
        if add && random.chance(40) {
            flags.unpack = Some(random.chance(50));
        }
        flags
    }

    /// Another flag, or one less.
    pub fn edit(&mut self, random: &mut Random, tree: &Tree, add: bool) {
        match random.below(5) {
            0 => self.link = !self.link,
            1 => self.chmod = random.pick(&MODES).to_owned(),
            2 if add => self.unpack = Some(self.unpack != Some(true)),
            _ if self.exclude.len() > 1 => self.exclude.truncate(1),
            _ => self.exclude.push(exclude(random, tree)),
        }
    }

    pub fn text(&self) -> String {
        let mut text = String::new();
        for (flag, is_set) in [("link", self.link), ("parents", self.parents)] {
            text += &if is_set { format!(" --{flag}") } else { String::new() };
        }
        if !self.chmod.is_empty() {
            text += &format!(" --chmod={}", self.chmod);
        }
        if let Some(unpack) = self.unpack {
            text += &format!(" --unpack={unpack}");
        }
        for pattern in &self.exclude {
            text += &format!(" --exclude=\"{}\"", pattern.replace('\\', "\\\\").replace('"', "\\\""));
        }
        text
    }

    /// Flags that imk counts although it may change nothing: layers of their own where the engine has no such thing,
    /// what is so by itself, and how a mode is written.
    pub fn spelled(&self) -> String {
        format!("{} {:?} {}", self.link, self.unpack, self.chmod)
    }
}

/// A pattern about something of the tree, or nearly.
fn exclude(random: &mut Random, tree: &Tree) -> String {
    let path = tree.any(random);
    // Excludes are read below the source, wherever that is.
    let parts: Vec<&str> = path.split('/').collect();
    let tail = parts[random.below(parts.len())..].join("/");
    let escaped: String =
        tail.chars().flat_map(|c| ["\\".repeat(usize::from("[]*?\\".contains(c))), c.into()]).collect();
    // Not `*` and `**`: they match nothing's name as well, by which the cache leaves out the file that a source names and
    // `copy` does not, so that docker's builds are no judge of that (`contenthash`, `shouldIncludePath`).
    let pattern = match random.below(12) {
        0 => "?*".into(),
        1 => format!("**/{}", parts[parts.len() - 1]),
        2 => format!("{tail}/*"),
        3 => "*.txt".into(),
        4 => "[a-f]*".into(),
        5 => format!("/{tail}"),
        6 => format!("./{tail}/"),
        7 => "**/?".into(),
        8 => tail,
        _ => escaped,
    };
    if random.chance(15) { format!("!{pattern}") } else { pattern }
}

/// A word for `--parents`, perhaps with a pivot.
pub fn source(random: &mut Random, tree: &Tree) -> String {
    let path = tree.any(random);
    let parts: Vec<&str> = path.split('/').collect();
    let at = random.below(parts.len());
    let (head, tail) = (parts[..at].join("/"), parts[at..].join("/"));
    match random.below(16) {
        0 => format!("**/{}", parts[parts.len() - 1]),
        1 => format!("{head}/*"),
        2 => format!("{head}/./*"),
        3 => format!("./{path}"),
        4 => format!("./{head}/./{tail}"),
        5 => format!("*/./{tail}"),
        6 => format!("../{head}/./../{tail}"),
        7 => ["nowhere", "d/./nowhere", "nowhere/./*", ".", "*", "**", "l", "d/./l"][random.below(8)].into(),
        8 => format!("{head}/./[a-f]*"),
        9..12 => path,
        _ if head.is_empty() => tail,
        _ => format!("{head}/./{tail}"),
    }
}

/// An instruction that copies no file of the tree.
pub fn body(random: &mut Random, value: String) -> Body {
    match random.below(3) {
        0 => Body::Fetched(random.below(9)),
        1 => Body::Script(value.replace('"', "")),
        _ => Body::Text(value),
    }
}

impl Recipe {
    /// A text in the Dockerfile, or a file of a server, or a script.
    pub(super) fn newer_line(&self, body: &Body, folder: &str) -> String {
        let (number, stamp) = (self.number, &self.stamp);
        match body {
            Body::Text(value) => {
                let copy = self.keyword("COPY");
                format!(
                    "{copy} <<one <<\"two\" {folder}\ntext {stamp} {value}\none\ntext {stamp} {number} $no\ntwo\n"
                )
            }
            Body::Fetched(which) => {
                let path = format!("/{stamp}/{number}/{which}");
                let sum = imk::registry::digest::of(fetched(&path).as_bytes());
                let (add, port) = (self.keyword("ADD"), self.can.port);
                format!("{add} --checksum={sum} http://127.0.0.1:{port}{path} {folder}\n")
            }
            Body::Script(value) => {
                let run = self.keyword("RUN");
                format!("SHELL [\"/busybox\", \"sh\", \"-c\"]\n{run} <<E\n/busybox echo {value}\nE\n")
            }
            _ => String::new(),
        }
    }
}
