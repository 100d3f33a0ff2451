//! Every format as text in, text out; each Imagefile that is made is read back.

mod bake;
mod compose;
mod expressions;
mod hostile;
mod others;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;
use crate::syntax::imagefile;

/// The result of a source: the Imagefile, and below it a line for each note.
fn imported(source: &Source<'_>) -> String {
    let imported = match import(source) {
        Ok(imported) => imported,
        Err(errors) => {
            let told = errors.iter().map(|error| {
                let (line, column) = error.span.line_and_column(&source.whole());
                format!("{line}:{column}: {}\n", error.message)
            });
            return told.collect();
        }
    };
    let read = imagefile::read(&imported.imagefile, &BTreeMap::new());
    let read = read.unwrap_or_else(|errors| panic!("{errors:?} in\n{}", imported.imagefile));
    assert_eq!(read.images.len(), imported.images, "{}", imported.imagefile);
    let mut text = imported.imagefile;
    for note in &imported.notes {
        let (line, _) = note.span.line_and_column(&source.whole());
        let sign = if note.kind == NoteKind::Lost { '-' } else { '~' };
        let _ = writeln!(text, "{sign} {line}: {}", note.text);
    }
    text
}

/// As [`imported`], with these variables in the environment.
fn with_environment(path: &str, text: &str, environment: &[(&str, &str)]) -> String {
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let source = Source {
        path,
        current: "",
        text,
        overrides: &[],
        environment: &environment,
        dotenv: None,
        read: &|_| None,
        dockerfiles: &[],
        repository: "shop",
    };
    imported(&source)
}

/// As [`imported`], with nothing in the environment.
fn plainly(path: &str, text: &str) -> String {
    with_environment(path, text, &[])
}
