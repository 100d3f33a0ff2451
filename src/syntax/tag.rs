//! The tags that an Imagefile declares: templates, and rules for when they are given.
//!
//! `"{git.branch}-{build}"` is a template: text, variables of the Imagefile whose
//! values are known here, and facts whose values are not. `When(branch: "main",
//! tag: "latest")` gives a tag to builds of some branches or git tags alone. Knows
//! no git, no clock and no environment: values come from the caller.

pub mod spelling;

use globset::GlobBuilder;
use serde::{Deserialize, Serialize};

use super::braces::{self, Piece};
use super::error::Span;
use super::suggest::did_you_mean;

/// Every fact that a tag can name, with its meaning: what is accepted, what is
/// suggested and what `imk keys` explains come from this one table.
pub const FACTS: &[(&str, &str)] = &[
    ("git.sha", "the commit; {git.sha:12} is the first 12 digits of it"),
    ("git.branch", "the branch; a detached head is none, unless CI tells which it built"),
    ("git.tag", "the git tag at the commit, of several the highest version"),
    ("git.describe", "as `git describe --tags --always`"),
    ("git.time", "when the commit was made, as {time}"),
    ("time", "when imk was run, in UTC: 20180923T082316Z; given to what is new and not again to what has it"),
    ("key", "everything that counts for the image, as a hash; {key:16} is the first 16 digits of it"),
    ("build", "the build number: --build-number, or that of CI"),
    ("semver", "the version in the git tag: 1.2.3 of v1.2.3 or api/v1.2.3"),
    ("semver.major", "1; a pre-release has none of these three"),
    ("semver.minor", "1.2"),
    ("semver.patch", "1.2.3"),
    ("semver.pre", "rc.1 of v1.2.3-rc.1"),
    ("env.NAME", "a variable of the environment"),
    (OWN, "the tag in the image's name: alp of os:alp"),
];

/// The name between braces that stands for the tag in the image's own name: it is known where the
/// Imagefile is read, so it is a value and no fact.
pub const OWN: &str = "tag";

/// The keys of a rule, as [`FACTS`]. The last says what the rule gives; a rule that only admits has none.
pub const WHEN_KEYS: &[(&str, &str)] = &[
    ("branch", "globs of branches, one or a list; \"!dev/*\" takes out again; `*` goes across `/`"),
    ("git_tag", "globs of git tags at the commit, likewise"),
    ("tag", "the tag that is given then, or a list of them"),
];

/// A fact that is known when an image is tagged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Fact {
    /// The commit's id.
    Sha,
    /// The branch.
    Branch,
    /// A git tag at the commit.
    GitTag,
    /// The commit by the nearest git tag.
    Describe,
    /// When the commit was made.
    CommitTime,
    /// When imk was run.
    Time,
    /// The action key.
    Key,
    /// The build number.
    Build,
    /// The version in the git tag.
    Semver(Version),
    /// A variable of the environment.
    Env(String),
}

/// How much of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Version {
    /// All of it.
    Whole,
    /// `1`
    Major,
    /// `1.2`
    Minor,
    /// `1.2.3`
    Patch,
    /// The part behind the first dash.
    Pre,
}

impl Fact {
    /// The fact with this name.
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "git.sha" => Self::Sha,
            "git.branch" => Self::Branch,
            "git.tag" => Self::GitTag,
            "git.describe" => Self::Describe,
            "git.time" => Self::CommitTime,
            "time" => Self::Time,
            "key" => Self::Key,
            "build" => Self::Build,
            "semver" => Self::Semver(Version::Whole),
            "semver.major" => Self::Semver(Version::Major),
            "semver.minor" => Self::Semver(Version::Minor),
            "semver.patch" => Self::Semver(Version::Patch),
            "semver.pre" => Self::Semver(Version::Pre),
            _ => Self::Env(name.strip_prefix("env.").filter(|name| !name.is_empty())?.to_owned()),
        })
    }

    /// How many digits it has, if it can be cut.
    fn digits(&self) -> Option<usize> {
        match self {
            Self::Sha => Some(40),
            Self::Key => Some(64),
            _ => None,
        }
    }

    /// Whether it says which commit an image is of: an image with uncommitted changes is of none.
    pub fn names_commit(&self) -> bool {
        matches!(self, Self::Sha | Self::GitTag | Self::Describe | Self::CommitTime | Self::Semver(_))
    }
}

/// Whether a name between braces means a fact where a tag is written.
pub fn is_fact(name: &str) -> bool {
    let bare = name.split_once(':').map_or(name, |(bare, _)| bare);
    bare.contains('.') || Fact::named(bare).is_some()
}

/// Whether there is a fact of this name, cut or not.
pub fn names_fact(name: &str) -> bool {
    Fact::named(name.split_once(':').map_or(name, |(bare, _)| bare)).is_some()
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    /// Characters that can stand in a tag.
    Text(String),
    /// A variable's value: any characters.
    Value(String),
    /// A fact, cut to so many digits.
    Fact(Fact, Option<usize>),
}

/// A tag whose facts are not filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// As it was written.
    pub text: String,
    parts: Vec<Part>,
}

/// A template with everything filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filled {
    /// The tag.
    pub tag: String,
    /// The texts before and behind its `{time}`, if it has one.
    pub around_time: Option<(String, String)>,
}

/// One mistake of a template: what is wrong, and what to do about it.
pub type Mistake = (String, Option<String>);

impl Template {
    /// Reads a template. `variable` gives a variable's value; `known` are the names of all.
    ///
    /// # Errors
    /// Every mistake in it.
    ///
    /// # Examples
    ///
    /// ```
    /// use imk::syntax::tag::{Fact, Template};
    ///
    /// let template = Template::parse("{V}-{git.branch}", |name| (name == "V").then_some("1.2"), &["V"]).unwrap();
    /// // A branch may have characters that a tag cannot: they are respelled.
    /// let filled = template.fill(|fact| match fact {
    ///     Fact::Branch => Ok("feature/tags".to_owned()),
    ///     _ => Err("not needed here"),
    /// });
    /// assert!(filled.unwrap().tag.starts_with("1.2-feature-tags"));
    /// // A template of text and variables alone is the same tag on every branch, day and machine.
    /// assert_eq!(template.fixed(), None);
    /// assert_eq!(Template::plain("latest").fixed().as_deref(), Some("latest"));
    /// ```
    pub fn parse<'v>(
        text: &str,
        variable: impl Fn(&str) -> Option<&'v str>,
        known: &[&str],
    ) -> Result<Self, Vec<Mistake>> {
        let (mut parts, mut mistakes) = (Vec::new(), Vec::new());
        for piece in braces::split(text) {
            let part = match piece {
                Piece::Text(text) => Ok(Part::Text(text.to_owned())),
                // `{go.version}` of a matrix has a dot as facts have.
                Piece::Name(name) if is_fact(name) && (names_fact(name) || variable(name).is_none()) => {
                    fact(name, variable(name).is_some())
                }
                Piece::Name(name) => match variable(name) {
                    Some(value) => Ok(Part::Value(value.to_owned())),
                    None => Err(no_variable(name, known)),
                },
                Piece::Lone(brace) => {
                    Err((format!("a lone `{brace}`"), Some("a tag can have no braces".into())))
                }
            };
            match part {
                Ok(part) => parts.push(part),
                Err(mistake) => mistakes.push(mistake),
            }
        }
        let time = |part: &&Part| matches!(part, Part::Fact(Fact::Time, _));
        if parts.iter().filter(time).count() > 1 {
            mistakes.push(("`{time}` stands here twice".into(), None));
        }
        let template = Self { text: text.to_owned(), parts };
        if mistakes.is_empty() {
            mistakes.extend(template.misspelled());
        }
        if mistakes.is_empty() { Ok(template) } else { Err(mistakes) }
    }

    /// A tag without anything to fill in.
    pub fn plain(tag: &str) -> Self {
        Self { text: tag.to_owned(), parts: vec![Part::Text(tag.to_owned())] }
    }

    /// The mistake of a text that was written out: it must be sound by itself, since only values are respelled.
    fn misspelled(&self) -> Option<Mistake> {
        let sample = self.fill(|_| Ok::<_, ()>("x".into())).ok()?;
        let written: String = self
            .parts
            .iter()
            .map(|part| if let Part::Text(text) = part { text.as_str() } else { "x" })
            .collect();
        // A text that is long by itself stays a mistake; one that its values make long is cut.
        let checked = if written.len() > spelling::MOST { &written } else { &sample.tag };
        let why =
            crate::model::name::check_tag(checked).err().or(crate::model::name::check_tag(&written).err())?;
        Some((format!("`{}` cannot be a tag: {why}", self.text), None))
    }

    /// The facts it needs.
    pub fn facts(&self) -> impl Iterator<Item = &Fact> {
        self.parts.iter().filter_map(|part| if let Part::Fact(fact, _) = part { Some(fact) } else { None })
    }

    /// Whether it is the time and nothing else.
    pub fn is_time_alone(&self) -> bool {
        matches!(self.parts.as_slice(), [Part::Fact(Fact::Time, _)])
    }

    /// The tag, if it is the same on every branch, day and machine: no fact is in it.
    pub fn fixed(&self) -> Option<String> {
        self.fill(|_| Err(())).ok().map(|filled| filled.tag)
    }

    /// The tag with every fact filled in, spelled as a tag can be.
    ///
    /// # Errors
    /// The first fact that `value` cannot give.
    pub fn fill<E>(&self, value: impl Fn(&Fact) -> Result<String, E>) -> Result<Filled, E> {
        self.fill_with(value, "")
    }

    /// As [`Self::fill`], with something that a tag can have behind it.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn fill_with<E>(
        &self,
        value: impl Fn(&Fact) -> Result<String, E>,
        behind: &str,
    ) -> Result<Filled, E> {
        let (mut tag, mut time) = (String::new(), None);
        for part in &self.parts {
            let piece = match part {
                Part::Text(text) => text.clone(),
                Part::Value(text) => spelling::part(text, tag.is_empty()),
                Part::Fact(fact, digits) => {
                    let whole = value(fact)?;
                    let cut = digits.and_then(|digits| whole.get(..digits)).unwrap_or(&whole);
                    let piece = spelling::part(cut, tag.is_empty());
                    if *fact == Fact::Time {
                        time = Some((tag.len(), piece.len()));
                    }
                    piece
                }
            };
            tag.push_str(&piece);
        }
        tag.push_str(behind);
        let Some((at, length)) = time else {
            return Ok(Filled { tag: spelling::fit(&tag, spelling::MOST), around_time: None });
        };
        // The time must stay readable: what surrounds it is cut.
        let room = spelling::MOST.saturating_sub(length) / 2;
        let (mut before, mut after) = (tag[..at].to_owned(), tag[at + length..].to_owned());
        if tag.len() > spelling::MOST {
            (before, after) = (spelling::fit(&before, room), spelling::fit(&after, room));
        }
        let tag = format!("{before}{}{after}", &tag[at..at + length]);
        Ok(Filled { tag, around_time: Some((before, after)) })
    }
}

/// The time in a tag, if it is a time between `before` and `behind`. Of two, the later sorts last.
pub fn time_in<'t>(tag: &'t str, (before, behind): (&str, &str)) -> Option<&'t str> {
    let time = tag.strip_prefix(before)?.strip_suffix(behind)?;
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let bytes = time.as_bytes();
    let shaped = bytes.len() == 16 && bytes[8] == b'T' && bytes[15] == b'Z';
    (shaped && digits(time.get(..8)?) && digits(time.get(9..15)?)).then_some(time)
}

fn fact(text: &str, is_variable: bool) -> Result<Part, Mistake> {
    let (name, digits) = match text.split_once(':') {
        Some((name, digits)) => (name, Some(digits)),
        None => (text, None),
    };
    let Some(fact) = Fact::named(name) else {
        let names = || FACTS.iter().map(|(name, _)| *name);
        let hint = did_you_mean(name, names())
            .unwrap_or_else(|| format!("a tag knows {}", names().collect::<Vec<_>>().join(", ")));
        return Err((format!("there is no fact `{name}`"), Some(hint)));
    };
    if is_variable {
        let what = format!("`{{{name}}}` is a fact in a tag, and a variable is called so too");
        return Err((what, Some("call the variable something else".into())));
    }
    let Some(digits) = digits else { return Ok(Part::Fact(fact, None)) };
    let Some(most) = fact.digits() else {
        return Err((
            format!("`{{{name}}}` cannot be cut"),
            Some("`{git.sha:12}` and `{key:16}` can".into()),
        ));
    };
    match digits.parse() {
        Ok(count) if (4..=most).contains(&count) => Ok(Part::Fact(fact, Some(count))),
        _ => Err((format!("`{name}` has 4 to {most} digits, not `{digits}`"), None)),
    }
}

fn no_variable(name: &str, known: &[&str]) -> Mistake {
    if name == OWN {
        let hint = "`{tag}` is the tag in the name of an image such as `os:alp`";
        return ("the image's name has no tag".into(), Some(hint.into()));
    }
    let facts = FACTS.iter().map(|(fact, _)| *fact);
    let hint = did_you_mean(name, known.iter().copied().chain(facts));
    let hint = hint.unwrap_or_else(|| format!("declare it: vars: {{\"{name}\": \"…\"}}"));
    (format!("there is no variable `{name}`"), Some(hint))
}

/// Which builds a tag is given to: those that every list that is there lets in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct When {
    /// Globs of branches; a build without a branch is none of them.
    pub branch: Option<Vec<String>>,
    /// Globs of git tags at the commit; a commit without one is none of them.
    pub git_tag: Option<Vec<String>>,
}

/// One tag of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRule {
    /// When it is given; always without.
    pub when: Option<When>,
    /// The tag.
    pub template: Template,
    /// Its place in the Imagefile.
    pub span: Span,
}

/// Whether a list of globs lets a name in: one glob must, and no `!glob` may. Without any but such, all others are in.
///
/// ```
/// use imk::syntax::tag::lets_in;
///
/// let branches = ["release/*".to_owned(), "!release/old".to_owned()];
/// assert!(lets_in(&branches, "release/2.0"));
/// assert!(!lets_in(&branches, "release/old") && !lets_in(&branches, "main"));
/// ```
pub fn lets_in(globs: &[String], name: &str) -> bool {
    let hit = |text: &str| glob(text).is_ok_and(|glob| glob.compile_matcher().is_match(name));
    let (out, within): (Vec<&str>, Vec<&str>) =
        globs.iter().map(String::as_str).partition(|g| g.starts_with('!'));
    (within.is_empty() || within.iter().any(|text| hit(text))) && !out.iter().any(|text| hit(&text[1..]))
}

/// A glob of a rule, to know whether it is one.
///
/// # Errors
/// What is wrong with it.
pub fn glob(text: &str) -> Result<globset::Glob, String> {
    let glob = GlobBuilder::new(text).literal_separator(false).build();
    glob.map_err(|error| error.kind().to_string())
}

#[cfg(test)]
mod tests;
