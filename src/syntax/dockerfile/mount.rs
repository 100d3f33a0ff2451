//! `RUN --mount=…`: a line of comma-separated fields.
//!
//! Follows `parseMount` without an expander: only `from` is final here, the
//! other values wait for variables. `resolve` reads them.

use super::flags::Value;
use super::lines::Logical;
use super::{Mount, MountField, Word};
use crate::syntax::error::SyntaxError;
use crate::syntax::{suggest, text};

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

pub fn parse(value: &Value, line: &Logical<'_>, errors: &mut Vec<SyntaxError>) -> Option<Mount> {
    let whole = value.word(line);
    let Some(fields) = csv(&value.text) else {
        let error = SyntaxError::new(whole.span, "the mount is not a list of fields between commas");
        errors.push(error.hint("as in `--mount=type=bind,source=src,target=/src`"));
        return None;
    };
    let mut mount = Mount { fields: Vec::new(), from: None, whole };
    for (field, start, end) in fields {
        let (key, given) = match field.split_once('=') {
            Some((key, given)) => (key.to_lowercase(), Some(given)),
            None => (field.to_lowercase(), None),
        };
        let span = value.span(line, start, end);
        if !KEYS.contains(&key.as_str()) {
            let error = SyntaxError::new(span, format!("a mount has no field {}", text::quoted(&key)));
            errors.push(match suggest::did_you_mean(&key, KEYS) {
                Some(hint) => error.hint(hint),
                None => error.hint(format!("it has {}", KEYS.join(", "))),
            });
            continue;
        }
        if given.is_none() && !matches!(key.as_str(), "readonly" | "ro" | "readwrite" | "rw" | "required") {
            errors.push(SyntaxError::new(span, format!("the field `{key}` of a mount needs a value")));
            continue;
        }
        // The value is the end of the field, whether the field is quoted or not.
        let text = given.unwrap_or_default();
        let at = Word { text: text.to_owned(), span: value.span(line, end.saturating_sub(text.len()), end) };
        if key == "from" {
            if text.find('$').is_some_and(|dollar| dollar + 1 != text.len()) {
                let error = SyntaxError::new(at.span, "the `from` of a mount does not read variables");
                errors.push(error.hint("name a stage there: `FROM $IMAGE AS name` above, then `from=name`"));
            }
            mount.from = Some(at).filter(|word| !word.text.is_empty());
            continue;
        }
        let key = match key.as_str() {
            "src" => "source",
            "dst" | "destination" => "target",
            "ro" => "readonly",
            "rw" => "readwrite",
            key => key,
        };
        mount.fields.push(MountField { key: key.to_owned(), value: given.map(str::to_owned), at });
    }
    Some(mount)
}

/// The fields of a line of CSV with their places (`go-csvvalue`): quotes only around a whole field.
fn csv(line: &str) -> Option<Vec<(String, usize, usize)>> {
    if line.is_empty() {
        return None;
    }
    let (mut fields, mut at) = (Vec::new(), 0);
    loop {
        let rest = &line[at..];
        if let Some(quoted) = rest.strip_prefix('"') {
            let (mut field, mut length) = (String::new(), 0);
            loop {
                let end = length + quoted[length..].find('"')?;
                field.push_str(&quoted[length..end]);
                length = end + 1;
                if !quoted[length..].starts_with('"') {
                    break;
                }
                field.push('"');
                length += 1;
            }
            fields.push((field, at + 1, at + length));
            at += 1 + length;
        } else {
            let length = rest.find(',').unwrap_or(rest.len());
            if rest[..length].contains('"') {
                return None;
            }
            fields.push((rest[..length].to_owned(), at, at + length));
            at += length;
        }
        match line[at..].strip_prefix(',') {
            Some(_) => at += 1,
            None if at == line.len() => return Some(fields),
            None => return None,
        }
    }
}
