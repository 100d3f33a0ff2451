//! `imk import`: writes the Imagefile that another builder's file stands for.
//!
//! Finds the file and hands in the environment; what the file means is for `syntax/import`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args as Group;
use fs_err as fs;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, said};
use crate::cli::{locate, out};
use crate::model::name;
use crate::query::problem::Problem;
use crate::source::discover::named;
use crate::source::disk::DiskTree;
use crate::source::locate::{IMAGEFILE, Located};
use crate::source::tree::{ReadError, SourceTree};
use crate::syntax::error::SyntaxError;
use crate::syntax::import::{Imported, KNOWN_NAMES, Note, NoteKind, Source, import};

const EXAMPLES: &str = "\
imk import                       read the one of the known files that is there
imk import compose.yaml          read this one
imk import --print               show the Imagefile.ron, and write nothing";

const IMPORT_HELP: &str = "\
Reads docker-bake.hcl and .json, compose.yaml, .shipwright.json, dobi.yaml, skaffold.yaml, and a
builder's list, `images: {name: {path: folder}}`. What a file is shows in its keys, whatever its name is.
What could not be carried over is told line by line on standard error; the exit status is 0.
`imk graph --bake` goes the other way.";

/// Write the Imagefile.ron that a bake, compose, Shipwright, dobi or Skaffold file stands for
#[derive(Clone, Debug, Default, Group)]
#[command(after_help = IMPORT_HELP, after_long_help = EXAMPLES)]
pub struct ImportArgs {
    /// The file to read; the one of a known name when none is given
    #[arg(value_name = "FILE")]
    pub source: Option<PathBuf>,
    /// Write over an Imagefile.ron that is there
    #[arg(long)]
    pub force: bool,
    /// Print it instead of writing it
    #[arg(long)]
    pub print: bool,
}

pub fn run(global: &Global, args: &ImportArgs) -> Result<(), Failure> {
    let located = locate::located(global)?;
    let target = located.root.join(IMAGEFILE);
    if target.exists() && !args.force && !args.print {
        return Err(Failure::with_hint(
            format!("there is an {IMAGEFILE} in `{}` already", located.root.display()),
            "`imk import --print` shows what would be written, --force writes over it",
        ));
    }
    let tree = DiskTree::open(&located.root, &locate::state(global, &located)?)?;
    let current = current(global, &located);
    let path = match &args.source {
        Some(file) => named_source(global, &located, file)?,
        None => known_source(&located, &tree, &current)?,
    };
    let text = read(&tree, &path)?;
    // Those who name a file mean that one, to bake and compose as well.
    let mut overrides = overrides(&tree, &path)?;
    if args.source.is_some() {
        for (other, _) in overrides.drain(..) {
            out::note(format_args!(
                "not carried over: {other}: it would be merged into {path}; one file is imported"
            ));
        }
    }
    let imported = imported(&located, &tree, &current, (&path, &text), &overrides)?;
    for (path, line, note) in &imported.1 {
        let kind = match note.kind {
            NoteKind::Lost => "not carried over",
            NoteKind::Changed => "changed",
        };
        out::note(format_args!("{kind}: {path}:{line}: {}", note.text));
    }
    let imported = imported.0;
    if args.print {
        out::text(format_args!("{}", imported.imagefile));
        return Ok(());
    }
    fs::write(&target, &imported.imagefile).map_err(said)?;
    let images = if imported.images == 1 { "image" } else { "images" };
    out::line(format_args!("wrote {IMAGEFILE} with {} {images} of {path}", imported.images));
    Ok(())
}

/// A note with the file and the line that it is about.
type PlacedNote = (String, usize, Note);

/// The Imagefile, and its notes each with the file and the line that it is about.
fn imported(
    located: &Located,
    tree: &DiskTree,
    current: &str,
    (path, text): (&str, &str),
    overrides: &[(String, String)],
) -> Result<(Imported, Vec<PlacedNote>), Failure> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let dotenv = tree.read(&name::join(folder, ".env"))?.and_then(|bytes| String::from_utf8(bytes).ok());
    let variables = std::env::vars_os();
    let environment: BTreeMap<String, String> = variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let dockerfiles = if path.ends_with(".json") {
        named(&located.root, |name| name.starts_with("Dockerfile"))?
    } else {
        Vec::new()
    };
    let repository =
        located.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let source = Source {
        path,
        current,
        text,
        overrides,
        environment: &environment,
        dotenv: dotenv.as_deref(),
        read: &|path| String::from_utf8(tree.read(path).ok()??).ok(),
        dockerfiles: &dockerfiles,
        repository: &repository,
    };
    let imported = import(&source).map_err(|errors| {
        let problem = |error: SyntaxError| {
            let (path, _, span) = source.place(error.span);
            Problem::in_file(path, SyntaxError { span, ..error })
        };
        let problems: Vec<Problem> = errors.into_iter().map(problem).collect();
        let of =
            |wanted: &str| overrides.iter().find(|(path, _)| path == wanted).map_or(text, |(_, text)| text);
        Failure::problems(&problems, |path| Some(of(path).to_owned()))
    })?;
    let placed = imported.notes.iter().map(|note| {
        let (path, text, span) = source.place(note.span);
        (path.to_owned(), span.line_and_column(text).0, note.clone())
    });
    let placed = placed.collect();
    Ok((imported, placed))
}

/// The path below the root of a file that the person named.
fn named_source(global: &Global, located: &Located, file: &Path) -> Result<String, Failure> {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    let gone = |_| ReadError { path: file.display().to_string(), why: "it is not there".into() };
    let whole = fs::canonicalize(start.join(file)).map_err(gone)?;
    let below = whole.strip_prefix(&located.root).ok().and_then(Path::to_str);
    below.map(str::to_owned).ok_or_else(|| {
        Failure::with_hint(
            format!("`{}` is not in the repository `{}`", file.display(), located.root.display()),
            "the Imagefile's paths start at its folder: copy the file there, or name the repository with -C DIR",
        )
    })
}

/// The folder that imk was called in, below the root; the root itself where it is elsewhere.
fn current(global: &Global, located: &Located) -> String {
    let start = global.directory.as_deref().unwrap_or(Path::new("."));
    let whole = fs::canonicalize(start).ok();
    let below = whole.as_deref().and_then(|whole| whole.strip_prefix(&located.root).ok()?.to_str());
    below.unwrap_or_default().to_owned()
}

/// The one file of a known name in the current folder, else at the repository's root.
fn known_source(located: &Located, tree: &DiskTree, current: &str) -> Result<String, Failure> {
    let mut found: Vec<String> = Vec::new();
    for folder in if current.is_empty() { vec![""] } else { vec![current, ""] } {
        for path in KNOWN_NAMES.iter().map(|name| name::join(folder, name)) {
            if tree.read(&path)?.is_some() {
                found.push(path);
            }
        }
        if !found.is_empty() {
            break;
        }
    }
    let here = if current.is_empty() { String::new() } else { format!("`{current}` or ") };
    match found.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Failure::with_hint(
            format!("there is none of {} in {here}`{}`", KNOWN_NAMES.join(", "), located.root.display()),
            "name a file: `imk import FILE`; without one `imk init` writes what it finds",
        )),
        several => Err(Failure::with_hint(
            format!("there are several files to import: {}", several.join(", ")),
            format!("name one: `imk import {}`", relative(current, &several[0])),
        )),
    }
}

/// A path below the root as seen from the current folder, which it is in or above.
fn relative<'p>(current: &str, path: &'p str) -> &'p str {
    path.strip_prefix(current).and_then(|path| path.strip_prefix('/')).unwrap_or(path)
}

/// The files that bake and compose lay over this one when nobody names a file.
fn overrides(tree: &DiskTree, path: &str) -> Result<Vec<(String, String)>, Failure> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let names: &[&str] = match file {
        "docker-bake.hcl" | "docker-bake.json" => &["docker-bake.override.json", "docker-bake.override.hcl"],
        "compose.yaml" | "compose.yml" | "docker-compose.yaml" | "docker-compose.yml" => &[
            "compose.override.yml",
            "compose.override.yaml",
            "docker-compose.override.yml",
            "docker-compose.override.yaml",
        ],
        _ => &[],
    };
    let mut found = Vec::new();
    for path in names.iter().map(|name| name::join(folder, name)) {
        if tree.read(&path)?.is_some() {
            let text = read(tree, &path)?;
            found.push((path, text));
        }
    }
    if file.contains("compose") {
        // compose takes the first of them.
        found.truncate(1);
    }
    Ok(found)
}

fn read(tree: &DiskTree, path: &str) -> Result<String, Failure> {
    let gone = || ReadError { path: path.to_owned(), why: "it is not there".into() };
    let bytes = tree.read(path)?.ok_or_else(gone)?;
    String::from_utf8(bytes).map_err(|_| {
        Failure::with_hint(format!("cannot read `{path}`: it is not UTF-8 text"), "save it as UTF-8")
    })
}
