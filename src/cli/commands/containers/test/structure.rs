//! Files of container-structure-test, looked at before anything runs: mistakes with their places, and what is not read.

use std::collections::BTreeSet;
use std::path::Path;

use crate::cli::failure::{Failure, Finding, Kind, Place};
use crate::cli::out;
use crate::source::outside;
use crate::syntax::container::structure::read;
use crate::syntax::container::suite::{Step, Test};
use crate::syntax::error::SyntaxError;

/// Fails with all mistakes in the files of these tests.
pub fn mistakes<'t>(root: &Path, tests: impl IntoIterator<Item = &'t Test>) -> Result<(), Failure> {
    let mut findings = Vec::new();
    for file in files(tests) {
        let text = text(root, file)?;
        let errors = read(&text).err().into_iter().flatten();
        findings.extend(errors.map(|error| mistake(file, &text, error)));
    }
    Failure::unless_none(findings)
}

/// Tells what stands in the files of these tests and is not read.
pub fn tell_left_out<'t>(root: &Path, tests: impl IntoIterator<Item = &'t Test>) -> Result<(), Failure> {
    for file in files(tests) {
        let text = text(root, file)?;
        for (span, why) in read(&text).map(|structure| structure.left_out).unwrap_or_default() {
            let (line, column) = span.line_and_column(&text);
            out::warning(format_args!("{file}:{line}:{column}: {why}"));
        }
    }
    Ok(())
}

fn files<'t>(tests: impl IntoIterator<Item = &'t Test>) -> BTreeSet<&'t str> {
    let steps = tests.into_iter().flat_map(|test| &test.steps);
    let files = steps.filter_map(|step| match step {
        Step::Structure { file } => Some(file.as_str()),
        _ => None,
    });
    files.collect()
}

fn text(root: &Path, file: &str) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&outside::read(&root.join(file))?).into_owned())
}

fn mistake(file: &str, text: &str, error: SyntaxError) -> Finding {
    let place = Place { path: file.to_owned(), excerpt: Some((text.to_owned(), error.span)) };
    Finding { kind: Kind::Mistake, place: Some(place), hint: error.hint, ..Finding::new(error.message) }
}
