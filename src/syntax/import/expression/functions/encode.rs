//! Functions that write a value in another way: JSON, CSV, base64, addresses, digests, UUIDs.
//!
//! Knows no expressions.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{self, Algorithm};

use super::args::{Answer, Args, Function};
use crate::syntax::import::expression::json;
use crate::syntax::import::expression::value::{Kind, Value};

pub(super) const TABLE: &[Function] = &[
    ("base64encode", 1, 1, |a| Ok(STANDARD.encode(a.text(0)?).into())),
    ("base64decode", 1, 1, |a| {
        // Go passes over line breaks.
        let text = a.text(0)?.replace(['\n', '\r'], "");
        let bytes = STANDARD.decode(text).map_err(|_| "it is no base64".to_owned())?;
        String::from_utf8(bytes).map(Value::Text).map_err(|_| "what it holds is no text".into())
    }),
    ("urlencode", 1, 1, |a| Ok(url(&a.text(0)?).into())),
    ("md5", 1, 1, |a| Ok(format!("{:x}", md5::compute(a.text(0)?)).into())),
    ("sha1", 1, 1, |a| Ok(hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, &a.text(0)?).into())),
    ("sha256", 1, 1, |a| Ok(hash(&digest::SHA256, &a.text(0)?).into())),
    ("sha512", 1, 1, |a| Ok(hash(&digest::SHA512, &a.text(0)?).into())),
    ("uuidv5", 2, 2, uuidv5),
    ("jsonencode", 1, 1, |a| match is_finite(a.any(0)) {
        true => Ok(json::encoded(a.any(0)).into()),
        false => Err("JSON has no infinity".into()),
    }),
    ("jsondecode", 1, 1, |a| json::decoded(&a.text(0)?)),
    ("csvdecode", 1, 1, csvdecode),
];

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.infinite,
        Value::Sequence(_, items) => items.iter().all(is_finite),
        Value::Object(entries) => entries.values().all(is_finite),
        Value::Null | Value::Bool(_) | Value::Text(_) => true,
    }
}

fn hash(algorithm: &'static Algorithm, text: &str) -> String {
    hex::encode(digest::digest(algorithm, text.as_bytes()))
}

/// As a query's value: a space is a plus.
fn url(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// RFC 4122, 4.3, with SHA-1.
fn uuidv5(a: &Args<'_>) -> Answer {
    let (space, name) = (a.text(0)?, a.text(1)?);
    let space = match space.as_str() {
        "dns" => "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "url" => "6ba7b811-9dad-11d1-80b4-00c04fd430c8",
        "oid" => "6ba7b812-9dad-11d1-80b4-00c04fd430c8",
        "x500" => "6ba7b814-9dad-11d1-80b4-00c04fd430c8",
        other => other.trim_start_matches("urn:uuid:").trim_matches(['{', '}']),
    };
    let digits = space.replace('-', "");
    let byte = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = (0..16).map(|at| byte(at * 2)).collect();
    let bytes = bytes.filter(|_| digits.len() == 32).ok_or_else(|| format!("`{space}` is no namespace"))?;
    let whole = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &[&bytes, name.as_bytes()].concat());
    let mut id = whole.as_ref()[..16].to_vec();
    id[6] = (id[6] & 0x0f) | 0x50;
    id[8] = (id[8] & 0x3f) | 0x80;
    let id = hex::encode(id);
    Ok(format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..]).into())
}

/// A map for each line, by the names in the first.
fn csvdecode(a: &Args<'_>) -> Answer {
    let text = a.text(0)?;
    let mut reader = csv::ReaderBuilder::new().flexible(false).from_reader(text.as_bytes());
    let wrong = |error: csv::Error| format!("it is no CSV: {error}");
    let names: Vec<String> = reader.headers().map_err(wrong)?.iter().map(str::to_owned).collect();
    if names.is_empty() {
        return Err("the line with the names is missing".into());
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(wrong)?;
        let row: BTreeMap<String, Value> =
            names.iter().cloned().zip(record.iter().map(Value::from)).collect();
        if row.len() < names.len() {
            return Err("two columns have one name".into());
        }
        rows.push(Value::Object(row));
    }
    Ok(Value::Sequence(Kind::List, rows))
}
