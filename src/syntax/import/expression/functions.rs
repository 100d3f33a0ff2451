//! The functions that a bake file may call: all of bake's standard library that answers the same twice.
//!
//! The others are known by name, with the reason why an Imagefile cannot have what they say. `try`, `can` and
//! `convert`, which look at expressions and not at values, are in `evaluator`. Knows no variables.

mod args;
mod encode;
mod format;
mod list;
mod network;
mod number;
mod pattern;
mod set;
mod text;
mod time;
mod version;

use super::value::Value;
use args::{Answer, Args, Function, MANY};

/// The reason that a result cannot be carried over.
const DIFFERS: &str = "it differs from run to run, and would make the image stale each time";

/// True if bake has a function of that name.
pub(in crate::syntax::import) fn exists(name: &str) -> bool {
    find(name).is_some() || REFUSED.iter().any(|(other, _)| *other == name)
}

fn find(name: &str) -> Option<&'static Function> {
    TABLES.iter().copied().flatten().find(|(other, ..)| *other == name)
}

/// Calls one of bake's functions.
///
/// # Errors
/// The function's name with what it refuses.
pub(super) fn call(name: &str, args: &[Value]) -> Answer {
    if let Some((_, why)) = REFUSED.iter().find(|(other, _)| *other == name) {
        return Err(format!("{name}: {why}"));
    }
    let Some((_, least, most, function)) = find(name) else {
        return Err(format!("imk does not know the function `{name}`"));
    };
    if args.len() < *least || args.len() > *most {
        let wanted = if least == most { least.to_string() } else { format!("at least {least}") };
        return Err(format!("{name}: expected {wanted} arguments, and there are {}", args.len()));
    }
    function(&Args(args)).map_err(|why| format!("{name}: {why}"))
}

/// Functions whose answers are of the moment or of the machine.
const REFUSED: &[(&str, &str)] = &[
    ("timestamp", DIFFERS),
    ("uuidv4", DIFFERS),
    ("bcrypt", DIFFERS),
    ("rsadecrypt", "it wants a private key, which an Imagefile must not hold"),
    ("homedir", "it is of the machine, and an Imagefile is of the repository"),
    ("byteslen", "nothing in a bake file gives it the bytes that it wants"),
    ("bytesslice", "nothing in a bake file gives it the bytes that it wants"),
];

const TABLES: &[&[Function]] =
    &[text::TABLE, list::TABLE, set::TABLE, number::TABLE, encode::TABLE, time::TABLE, OTHERS];

const OTHERS: &[Function] = &[
    ("format", 1, MANY, format::format),
    ("formatlist", 1, MANY, format::formatlist),
    ("regex", 2, 2, pattern::regex),
    ("regexall", 2, 2, pattern::regexall),
    ("regex_replace", 3, 3, pattern::regex_replace),
    ("cidrhost", 2, 2, network::cidrhost),
    ("cidrnetmask", 1, 1, network::cidrnetmask),
    ("cidrsubnet", 3, 3, network::cidrsubnet),
    ("cidrsubnets", 1, MANY, network::cidrsubnets),
    ("semvercmp", 2, 2, version::semvercmp),
    ("equal", 2, 2, |a| Ok(a.any(0).same(a.any(1)).into())),
    ("notequal", 2, 2, |a| Ok((!a.any(0).same(a.any(1))).into())),
    ("and", 2, 2, |a| Ok((a.truth(0)? && a.truth(1)?).into())),
    ("or", 2, 2, |a| Ok((a.truth(0)? || a.truth(1)?).into())),
    ("not", 1, 1, |a| Ok((!a.truth(0)?).into())),
    ("coalesce", 0, MANY, |a| {
        let all = super::value::unified(a.0.to_vec())?;
        all.into_iter().find(|value| *value != Value::Null).ok_or_else(|| "every argument is null".into())
    }),
];
