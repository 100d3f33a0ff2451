//! `COPY` and `ADD`: flags, sources, heredocs and the destination.
//!
//! Follows `parseCopy`, `parseAdd` and `parseSourcesAndDest`.

use std::collections::BTreeMap;

use super::flags::Takes;
use super::parts::{Errors, Parts};
use super::{Heredoc, Transfer, heredoc};
use crate::syntax::error::SyntaxError;

const COPY_FLAGS: &[(&str, Takes)] = &[
    ("from", Takes::Text),
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Bool),
    ("parents", Takes::Bool),
    ("exclude", Takes::Texts),
];

const ADD_FLAGS: &[(&str, Takes)] = &[
    ("chown", Takes::Text),
    ("chmod", Takes::Text),
    ("link", Takes::Bool),
    ("keep-git-dir", Takes::Bool),
    ("checksum", Takes::Text),
    ("unpack", Takes::Bool),
    ("exclude", Takes::Texts),
];

pub fn copy(parts: &mut Parts<'_>, errors: &mut Errors) -> Option<Transfer> {
    transfer(parts, COPY_FLAGS, errors)
}

pub fn add(parts: &mut Parts<'_>, errors: &mut Errors) -> Option<Transfer> {
    transfer(parts, ADD_FLAGS, errors)
}

fn transfer(parts: &mut Parts<'_>, known: &[(&'static str, Takes)], errors: &mut Errors) -> Option<Transfer> {
    let flags = parts.flags(known, errors);
    let mut words = parts.list(errors)?;
    let destination = words.pop();
    let Some(destination) = destination.filter(|_| !words.is_empty()) else {
        parts.missing("at least two arguments: what to copy, and where to", errors);
        return None;
    };
    if let Ok(Some(_)) = heredoc::of_word(&destination.text) {
        let message = format!("{} cannot copy into a heredoc", parts.keyword);
        errors.push(SyntaxError::new(destination.span, message).hint("the destination comes last"));
        return None;
    }
    let from = flags.value("from").map(|value| value.word(parts.line)).filter(|word| !word.text.is_empty());
    let mut transfer = Transfer {
        destination: destination.text,
        from,
        chown: flags.text("chown"),
        chmod: flags.text("chmod"),
        checksum: flags.text("checksum"),
        link: flags.bool("link").unwrap_or(false),
        parents: flags.bool("parents").unwrap_or(false),
        keep_git_dir: flags.bool("keep-git-dir"),
        unpack: flags.bool("unpack"),
        exclude: flags.texts("exclude"),
        ..Transfer::default()
    };
    // Of two texts with one name the last counts for both (`heredocLookup`).
    let contents: BTreeMap<&str, &str> =
        parts.heredocs.iter().map(|found| (found.name.as_str(), found.content.as_str())).collect();
    for word in words {
        match heredoc::of_word(&word.text) {
            Ok(Some(found)) => {
                let content = contents.get(found.name.as_str()).copied().unwrap_or_default().to_owned();
                transfer.contents.push(Heredoc { content, ..found });
            }
            _ => transfer.sources.push(word),
        }
    }
    Some(transfer)
}
