//! Functions of numbers.
//!
//! Follows go-cty's `number`.

use std::cmp::Ordering;

use super::args::{Answer, Args, Function, MANY};
use crate::syntax::import::expression::number::Number;
use crate::syntax::import::expression::value::Value;

pub(super) const TABLE: &[Function] = &[
    ("absolute", 1, 1, |a| Ok(Value::Number(a.number(0)?.absolute()))),
    ("negate", 1, 1, |a| Ok(Value::Number(a.number(0)?.negate()))),
    ("add", 2, 2, |a| a.number(0)?.add(&a.number(1)?).map(Value::Number)),
    ("subtract", 2, 2, |a| a.number(0)?.subtract(&a.number(1)?).map(Value::Number)),
    ("multiply", 2, 2, |a| a.number(0)?.multiply(&a.number(1)?).map(Value::Number)),
    ("divide", 2, 2, |a| a.number(0)?.divide(&a.number(1)?).map(Value::Number)),
    ("modulo", 2, 2, |a| a.number(0)?.modulo(&a.number(1)?).map(Value::Number)),
    ("int", 1, 1, |a| Ok(Value::Number(a.number(0)?.truncated(Ordering::Equal)))),
    ("ceil", 1, 1, |a| Ok(Value::Number(a.number(0)?.truncated(Ordering::Greater)))),
    ("floor", 1, 1, |a| Ok(Value::Number(a.number(0)?.truncated(Ordering::Less)))),
    ("max", 1, MANY, |a| a.numbers()?.into_iter().max().map(Value::Number).ok_or_else(String::new)),
    ("min", 1, MANY, |a| a.numbers()?.into_iter().min().map(Value::Number).ok_or_else(String::new)),
    ("greaterthan", 2, 2, |a| Ok((a.number(0)? > a.number(1)?).into())),
    ("greaterthanorequalto", 2, 2, |a| Ok((a.number(0)? >= a.number(1)?).into())),
    ("lessthan", 2, 2, |a| Ok((a.number(0)? < a.number(1)?).into())),
    ("lessthanorequalto", 2, 2, |a| Ok((a.number(0)? <= a.number(1)?).into())),
    ("signum", 1, 1, |a| Ok(a.whole(0)?.signum().into())),
    ("log", 2, 2, |a| float(a.number(0)?.as_float().ln() / a.number(1)?.as_float().ln())),
    ("pow", 2, 2, |a| float(a.number(0)?.as_float().powf(a.number(1)?.as_float()))),
    ("parseint", 2, 2, parseint),
];

fn float(number: f64) -> Answer {
    Number::of_float(number).map(Value::Number).ok_or_else(|| "the result is no number".into())
}

fn parseint(a: &Args<'_>) -> Answer {
    let (Value::Text(text), base) = (a.any(0), a.whole(1)?) else {
        return Err("a text is wanted, and a base".into());
    };
    let base = u32::try_from(base).ok().filter(|base| (2..=36).contains(base));
    let base = base.ok_or("a base is a number from 2 to 36")?;
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let read = num_bigint::BigUint::parse_bytes(digits.as_bytes(), base);
    let read = read.filter(|_| digits.len() <= 1024 && !digits.starts_with(['-', '+', '_']));
    let read = read.ok_or_else(|| format!("`{text}` is no number of base {base}"))?;
    let sign = if text.starts_with('-') { "-" } else { "" };
    let number = Number::parse(&format!("{sign}{read}"));
    number.map(Value::Number).ok_or_else(|| "the number is too large".into())
}
