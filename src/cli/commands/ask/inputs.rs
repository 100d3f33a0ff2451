//! `imk inputs`: every part of an image's action key.

use clap::Args as Group;
use clap::builder::FalseyValueParser;
use serde::Serialize;

use crate::cli::args::Global;
use crate::cli::failure::Failure;
use crate::cli::ordered::Ordered;
use crate::cli::{open, out, synced};
use crate::engine::Cancel;
use crate::model::file::{FileKind, UsedFiles};
use crate::model::part::Part;
use crate::model::reason::Code;
use crate::query::action_key::known_parts;
use crate::query::graph::bases;
use crate::query::inputs::Context;
use crate::query::recipe::recipe;
use crate::session::open::Session;
use crate::session::overlays::{self, Origin};
use crate::session::sync::Synced;
use crate::source::context_path;
use crate::syntax::reads::ReadSource;

const EXAMPLES: &str = "\
imk inputs api                   files with hashes, instructions, arguments, bases
imk inputs api --json            the same for a script";

/// List everything that counts for an image: files, instructions, arguments, bases
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct InputsArgs {
    /// Which image
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// As JSON
    #[arg(long, env = "IMK_JSON", value_parser = FalseyValueParser::new())]
    pub json: bool,
}

/// The inputs of one image, as far as they are known.
struct Inputs {
    files: UsedFiles,
    parts: Vec<Part>,
    /// Name and content of each base of the repository; no content before it was built.
    bases: Vec<(String, Option<String>)>,
    missing: Vec<String>,
    /// Where parts of the context are from; what counts are the files.
    origins: Vec<Origin>,
}

pub fn run(global: &Global, args: &InputsArgs) -> Result<(), Failure> {
    let mut session = open::session(global, false, &Cancel::default())?;
    let words = [args.image.clone()];
    let synced = synced::synced(global, &mut session, &words)?;
    if let Err(error) = &synced.engine {
        out::warning(format_args!("{error}"));
        out::warning(format_args!(
            "bases outside the repository count by name, and the builder is not known"
        ));
    }
    for (number, name) in synced.targets.iter().enumerate() {
        let inputs = inputs(&session, &synced, name)?;
        if args.json {
            out::json(&Answer::of(name, &inputs));
            continue;
        }
        if number > 0 {
            out::line("");
        }
        show(name, &inputs);
    }
    Ok(())
}

fn inputs(session: &Session, synced: &Synced, name: &str) -> Result<Inputs, Failure> {
    let Some(image) = session.input(name) else {
        return Err(Failure::error(format!("there is no image `{name}`")));
    };
    let db = session.db();
    let told = |problems: &Vec<_>| Failure::problems(problems, |path| session.text(path));
    let recipe = recipe(db, image).as_ref().map_err(told)?;
    let missing = match image.context(db) {
        Context::Is(selected) => {
            let reads: Vec<_> = recipe.all_reads().collect();
            let sources = selected.missing.iter().filter_map(|index| reads.get(*index));
            let shown = |(context, source): &(Option<&str>, &ReadSource)| match context {
                Some(context) => format!("{context}{}{}", context_path::MARK, source.pattern),
                None => source.pattern.clone(),
            };
            sources.map(shown).collect()
        }
        Context::Unread => Vec::new(),
        Context::Absent | Context::Unreadable(_) | Context::Refused(_) => {
            return Err(told(&crate::query::action_key::input_hash(db, image).err().unwrap_or_default()));
        }
    };
    let files = match synced.selections.get(name) {
        Some(selection) => session.executor.tree.used_files(selection)?,
        None => UsedFiles::default(),
    };
    let mut on: Vec<(String, Option<String>)> = Vec::new();
    for edge in &bases(db, image).inside {
        if !on.iter().any(|(base, _)| *base == edge.base) {
            let built = {
                let default = synced.engine.as_ref().map_or("", |engine| engine.id.as_str());
                session.executor.last_build(&edge.base, default)
            };
            on.push((edge.base.clone(), built.map(|record| record.content.to_string())));
        }
    }
    Ok(Inputs {
        files,
        parts: known_parts(db, image, recipe),
        bases: on,
        missing,
        origins: overlays::origins(session, name),
    })
}

/// Name and value of the parts of one kind.
fn parts(inputs: &Inputs, code: Code) -> impl Iterator<Item = (&str, &str)> {
    let of_kind = inputs.parts.iter().filter(move |part| part.code == code);
    of_kind.map(|part| (part.name.as_str(), part.value.as_str()))
}

fn kind(kind: FileKind) -> &'static str {
    match kind {
        FileKind::File => "file",
        FileKind::Folder => "folder",
        FileKind::Link => "link",
        FileKind::Special => "special",
    }
}

/// The document of `--json` of an image.
#[derive(Serialize)]
struct Answer<'a> {
    image: &'a str,
    files: Vec<File<'a>>,
    instructions: Vec<&'a str>,
    args: Ordered<&'a str, &'a str>,
    bases: Vec<Base<'a>>,
    external: Ordered<&'a str, &'a str>,
    settings: Ordered<&'a str, &'a str>,
    missing: &'a [String],
    overlays: Vec<Overlay<'a>>,
}

/// A file that counts. The mode is octal, the hash of the content.
#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    kind: &'static str,
    mode: String,
    hash: String,
}

/// A base of the repository; no content before it was built.
#[derive(Serialize)]
struct Base<'a> {
    image: &'a str,
    content: Option<&'a str>,
}

/// A part of the context that is from elsewhere.
#[derive(Serialize)]
struct Overlay<'a> {
    path: &'a str,
    from: &'a str,
    commit: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn of(name: &'a str, inputs: &'a Inputs) -> Self {
        let files = inputs.files.files.iter().filter(|file| file.counts).map(|file| File {
            path: &file.path,
            kind: kind(file.kind),
            mode: format!("{:04o}", file.mode),
            hash: file.hash.to_string(),
        });
        let bases =
            inputs.bases.iter().map(|(base, content)| Base { image: base, content: content.as_deref() });
        let overlays = inputs.origins.iter().map(|Origin { at, from, commit }| Overlay {
            path: at,
            from,
            commit: commit.as_deref(),
        });
        Self {
            image: name,
            files: files.collect(),
            instructions: parts(inputs, Code::Dockerfile).map(|(_, line)| line).collect(),
            args: parts(inputs, Code::Arg).collect(),
            bases: bases.collect(),
            external: parts(inputs, Code::Upstream).collect(),
            settings: parts(inputs, Code::Builder).chain(parts(inputs, Code::Config)).collect(),
            missing: &inputs.missing,
            overlays: overlays.collect(),
        }
    }
}

fn show(name: &str, inputs: &Inputs) {
    out::line(format_args!("{name}"));
    for file in inputs.files.files.iter().filter(|file| file.counts) {
        let (mode, hash) = (file.mode, file.hash.short(12));
        let what = match file.kind {
            FileKind::File => format!("file    {mode:04o} {hash} {}", file.path),
            FileKind::Folder => format!("folder  {mode:04o} {:12} {}", "", file.path),
            FileKind::Link => format!("link         {hash} {} -> {}", file.path, file.target),
            FileKind::Special => format!("special {mode:04o} {:12} {}", "", file.path),
        };
        out::line(format_args!("  {what}"));
    }
    for Origin { at, from, commit } in &inputs.origins {
        let at = if at.is_empty() { "." } else { at };
        let commit = commit.as_deref().map(|commit| format!(" at {}", &commit[..12.min(commit.len())]));
        out::line(format_args!("  overlay {at} is {from}{}", commit.unwrap_or_default()));
    }
    for pattern in &inputs.missing {
        out::line(format_args!("  missing {pattern}"));
    }
    for (_, line) in parts(inputs, Code::Dockerfile) {
        // The lines of a heredoc stand below each other.
        let fronts = std::iter::once("  line    ").chain(std::iter::repeat("          "));
        out::lines(fronts.zip(line.split('\n')).map(|(front, line)| format!("{front}{line}")));
    }
    for (name, value) in parts(inputs, Code::Arg) {
        out::line(format_args!("  arg     {name}={value}"));
    }
    for (base, content) in &inputs.bases {
        let content = content.as_deref().map_or("not built yet", |content| &content[..12]);
        out::line(format_args!("  base    {base} {content}"));
    }
    for (reference, id) in parts(inputs, Code::Upstream) {
        out::line(format_args!("  outside {reference} {id}"));
    }
    for (name, value) in parts(inputs, Code::Builder).chain(parts(inputs, Code::Config)) {
        out::line(format_args!("  setting {name} {value}"));
    }
}
