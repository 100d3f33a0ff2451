//! The user's own `config.ron`: whom this user trusts, beside what the commands of docker and git already know.
//!
//! As strict as an Imagefile: text in, values out, all mistakes with their places. Opens no
//! file, and does not know which repository is at hand.
//!
//! A line names a repository by **the path of its root and nothing else**. Whatever is inside a
//! checkout is its author's to choose: the Imagefile, the names of its images, and the addresses
//! of remotes in `.git/config` when it came as an archive. Where it lies on this machine is the one
//! thing about it that only the user chose.

use std::path::{Path, PathBuf};

use ron2::ast::Expr;

use super::error::{Span, SyntaxError};
use super::imagefile::decode::{Reader, read_value, span_of};
use super::imagefile::{EngineAddress, Word};

/// The keys of the file and what each is for.
pub const USER_KEYS: &[(&str, &str)] = &[
    ("engines", "engines that may get logins and secrets when the Imagefile of a repository names them"),
    (
        "fsmonitor",
        "repositories that are watched whenever imk runs in them: absolute paths, or `true` for all",
    ),
];

/// The keys of one entry of `engines`.
pub const TRUSTED_ENGINE_KEYS: &[(&str, &str)] = &[
    ("host", "the engine's address, as the Imagefile or DOCKER_HOST spells it"),
    ("context", "or a docker context by its name"),
    ("repository", "the folder of the Imagefile that may name it: an absolute path"),
];

/// The user's own file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserConfig {
    /// Engines that count as chosen by the user.
    pub engines: Vec<TrustedEngine>,
    /// Repositories for which a file system monitor is started.
    pub fsmonitor: Watched,
}

/// The repositories that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// Every one.
    All,
    /// Those with these roots.
    These(Vec<PathBuf>),
}

impl Default for Watched {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Watched {
    /// Whether it is the repository of which `is_it` holds that is watched.
    pub fn covers(&self, is_it: impl Fn(&Path) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::These(roots) => roots.iter().any(|root| is_it(root)),
        }
    }
}

/// An engine that may get logins and secrets although only an Imagefile names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedEngine {
    /// Where it is.
    pub address: EngineAddress,
    /// The root of the repository whose Imagefile may name it.
    pub repository: PathBuf,
    /// Where the address stands in the file.
    pub span: Span,
}

/// Reads the file.
///
/// # Errors
/// Every mistake in the text, in the order of their places.
pub fn read(text: &str) -> Result<UserConfig, Vec<SyntaxError>> {
    let mut config = UserConfig::default();
    // A file of comments alone is one that says nothing yet.
    let mut errors = read_value(text, None, |reader, value| {
        reader.fields(value, "config.ron", USER_KEYS, |reader, key, value| match key {
            "engines" => config.engines = trusted_engines(reader, value),
            _ => config.fsmonitor = watched(reader, value),
        });
    });
    if errors.is_empty() {
        return Ok(config);
    }
    errors.sort_by_key(|error| error.span);
    Err(errors)
}

fn watched(reader: &mut Reader, value: &Expr<'_>) -> Watched {
    let Expr::Seq(list) = value else {
        let all = reader.flag(value).unwrap_or_default();
        return if all { Watched::All } else { Watched::default() };
    };
    let roots = list.items.iter().filter_map(|item| reader.text(&item.expr)).collect::<Vec<Word>>();
    for root in roots.iter().filter(|root| !Path::new(&root.text).is_absolute()) {
        let error = SyntaxError::new(root.span, "the path of a repository is absolute here");
        reader.errors.push(error.hint("`imk doctor` shows it, as `Imagefile`"));
    }
    Watched::These(roots.into_iter().map(|root| root.text.into()).collect())
}

fn trusted_engines(reader: &mut Reader, value: &Expr<'_>) -> Vec<TrustedEngine> {
    let Expr::Seq(list) = value else {
        reader.expected("a list: [(host: \"tcp://…\", repository: \"/…\")]", value);
        return Vec::new();
    };
    list.items.iter().filter_map(|item| trusted_engine(reader, &item.expr)).collect()
}

fn trusted_engine(reader: &mut Reader, value: &Expr<'_>) -> Option<TrustedEngine> {
    let (mut host, mut context, mut repository) = (None, None, None);
    let told = reader.errors.len();
    reader.fields(value, "an engine", TRUSTED_ENGINE_KEYS, |reader, key, value| match key {
        "host" => host = reader.text(value),
        "context" => context = reader.text(value),
        _ => repository = reader.text(value),
    });
    if reader.errors.len() > told {
        return None;
    }
    let span = span_of(value);
    let (address, span) = match (host, context) {
        (Some(Word { text, span }), None) => (EngineAddress::Host(text), span),
        (None, Some(Word { text, span })) => (EngineAddress::Context(text), span),
        _ => {
            let error = SyntaxError::new(span, "which engine is meant?");
            reader.errors.push(error.hint("give it either `host` or `context`"));
            return None;
        }
    };
    let Some(repository) = repository else {
        let error = SyntaxError::new(span_of(value), "whose Imagefile may name this engine?");
        reader.errors.push(error.hint("`repository` is the path of its folder; --engine is for all others"));
        return None;
    };
    if !Path::new(&repository.text).is_absolute() {
        let error = SyntaxError::new(repository.span, "the path of a repository is absolute here");
        reader.errors.push(error.hint("`imk doctor` shows it, as `Imagefile`"));
        return None;
    }
    Some(TrustedEngine { address, repository: repository.text.into(), span })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_trusted_in_one_repository() {
        let text = r#"(engines: [(host: "tcp://h:1", repository: "/src/a"), (context: "big", repository: "/src/b")])"#;
        let config = read(text).unwrap();
        let host = EngineAddress::Host("tcp://h:1".into());
        assert_eq!(
            (&config.engines[0].address, config.engines[0].repository.as_path()),
            (&host, Path::new("/src/a"))
        );
        assert_eq!(config.engines[1].address, EngineAddress::Context("big".into()));
        for nothing in ["()", "", "// engines: none yet\n"] {
            assert_eq!(read(nothing).unwrap(), UserConfig::default());
        }
    }

    #[test]
    fn repositories_are_watched_by_their_paths() {
        let is = |text: &str, root: &str| {
            read(text).unwrap().fsmonitor.covers(|repository| repository == Path::new(root))
        };
        assert!(is("(fsmonitor: true)", "/a") && is("(fsmonitor: [\"/a\"])", "/a"));
        assert!(!is("()", "/a") && !is("(fsmonitor: false)", "/a") && !is("(fsmonitor: [\"/a\"])", "/b"));
        refused("(fsmonitor: [\"a\"])", "\"a\"", "absolute");
        refused("(fsmonitor: 7)", "7", "`true`");
    }

    #[track_caller]
    fn refused(text: &str, at: &str, message: &str) {
        let errors = read(text).unwrap_err();
        let said: Vec<_> = errors
            .iter()
            .map(|it| {
                (
                    &text[it.span.start..it.span.end],
                    format!("{} {}", it.message, it.hint.clone().unwrap_or_default()),
                )
            })
            .collect();
        assert!(said.len() == 1 && said[0].0 == at && said[0].1.contains(message), "{said:?}");
    }

    #[test]
    fn a_mistake_has_its_place_and_the_nearest_word() {
        refused(r"(engine: [])", "engine", "did you mean `engines`");
        refused(r#"(engines: [(hots: "tcp://h:1", repository: "/a")])"#, "hots", "did you mean `host`");
        refused(r#"(engines: {"a": ()})"#, r#"{"a": ()}"#, "expected a list");
        let one = r#"(host: "tcp://h:1")"#;
        refused(&format!("(engines: [{one}])"), one, "whose Imagefile");
        let both = r#"(host: "tcp://h:1", context: "b", repository: "/a")"#;
        refused(&format!("(engines: [{both}])"), both, "either `host` or `context`");
        refused(r#"(engines: [(host: "tcp://h:1", repository: "a/b")])"#, "\"a/b\"", "absolute");
        assert!(read("(").unwrap_err().iter().any(|it| it.message.contains("not valid RON")));
        refused("(engines: [(host: 7, repository: \"/a\")])", "7", "put it in quotes");
    }
}
