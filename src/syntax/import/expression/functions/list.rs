//! Functions of lists and maps.
//!
//! Follows go-cty's `collection` and `sequence`. Knows no sets but as lists.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::args::{Answer, Args, Function, MANY};
use crate::syntax::import::expression::kind::distinct;
use crate::syntax::import::expression::number::Number;
use crate::syntax::import::expression::value::{Kind, Value};

/// The most numbers that `range` makes, as in go-cty.
const MOST: usize = 1024;

pub(super) const TABLE: &[Function] = &[
    ("concat", 1, MANY, |a| {
        let all = (0..a.0.len()).map(|at| a.items(at)).collect::<Result<Vec<_>, _>>()?;
        let kind = if (0..a.0.len()).all(|at| a.kind(at) == Kind::List) { Kind::List } else { Kind::Tuple };
        Ok(Value::Sequence(kind, all.concat()))
    }),
    ("flatten", 1, 1, |a| {
        let mut flat = Vec::new();
        flatten(a.items(0)?, &mut flat);
        Ok(Value::Sequence(Kind::Tuple, flat))
    }),
    ("compact", 1, 1, |a| {
        Ok(Value::texts(a.texts(0)?.into_iter().flatten().filter(|text| !text.is_empty())))
    }),
    ("distinct", 1, 1, |a| Ok(Value::Sequence(Kind::List, distinct(a.list(0)?)))),
    ("chunklist", 2, 2, chunklist),
    ("reverselist", 1, 1, |a| Ok(Value::Sequence(a.kind(0), a.items(0)?.iter().rev().cloned().collect()))),
    ("length", 1, 1, |a| match a.any(0) {
        Value::Object(entries) => Ok(entries.len().into()),
        _ => Ok(a.items(0)?.len().into()),
    }),
    ("contains", 2, 2, |a| Ok(a.items(0)?.iter().any(|item| item.same(a.any(1))).into())),
    ("coalescelist", 1, MANY, |a| {
        let filled = a.0.iter().find(|list| list.items().is_some_and(|items| !items.is_empty()));
        filled.cloned().ok_or_else(|| "every list is empty".into())
    }),
    ("element", 2, 2, |a| {
        if a.is_set(0) {
            return Err("the items of a set have no numbers".into());
        }
        let (items, at) = (a.items(0)?, a.whole(1)?);
        let count = i64::try_from(items.len()).unwrap_or(i64::MAX);
        let at = if count == 0 { 0 } else { at.rem_euclid(count) };
        let found = usize::try_from(at).ok().and_then(|at| items.get(at));
        found.cloned().ok_or_else(|| "the list is empty".into())
    }),
    ("index", 2, 2, |a| look_up(a)?.ok_or_else(|| "there is no such item".into())),
    ("hasindex", 2, 2, |a| Ok(look_up(a)?.is_some().into())),
    ("indexof", 2, 2, |a| {
        let at = a.items(0)?.iter().position(|item| item.same(a.any(1)));
        at.map(Value::from).ok_or_else(|| "there is no such item".into())
    }),
    ("slice", 3, 3, slice),
    ("range", 1, 3, range),
    ("keys", 1, 1, |a| {
        Ok(Value::Sequence(Kind::Tuple, a.entries(0)?.keys().map(|key| key.as_str().into()).collect()))
    }),
    ("values", 1, 1, |a| Ok(Value::Sequence(Kind::Tuple, a.entries(0)?.values().cloned().collect()))),
    ("lookup", 3, 3, |a| {
        let found = a.entries(0)?.get(&a.text(1)?).cloned();
        Ok(found.unwrap_or_else(|| a.any(2).clone()))
    }),
    ("merge", 0, MANY, |a| {
        let mut merged = BTreeMap::new();
        for at in (0..a.0.len()).filter(|at| *a.any(*at) != Value::Null) {
            merged.extend(a.entries(at)?.clone());
        }
        Ok(Value::Object(merged))
    }),
    ("zipmap", 2, 2, |a| {
        let (keys, values) = (a.texts(0)?, a.items(1)?);
        if keys.len() != values.len() {
            return Err(format!("there are {} keys and {} values", keys.len(), values.len()));
        }
        let pairs = keys.into_iter().zip(values.iter().cloned());
        let pairs = pairs.map(|(key, value)| Some((key?, value))).collect::<Option<_>>();
        Ok(Value::Object(pairs.ok_or("null is no key")?))
    }),
    ("setproduct", 2, MANY, setproduct),
];

fn flatten(items: &[Value], into: &mut Vec<Value>) {
    for item in items {
        match item {
            Value::Sequence(_, inner) => flatten(inner, into),
            other => into.push(other.clone()),
        }
    }
}

fn chunklist(a: &Args<'_>) -> Answer {
    let (items, size) = (a.list(0)?, a.whole(1)?);
    let size = usize::try_from(size).map_err(|_| "a size cannot be below zero".to_owned())?;
    let list = |items: &[Value]| Value::Sequence(Kind::List, items.to_vec());
    let chunks = match size {
        _ if items.is_empty() => Vec::new(),
        0 => vec![list(&items)],
        size => items.chunks(size).map(list).collect(),
    };
    Ok(Value::Sequence(Kind::List, chunks))
}

/// An item of a list or a map.
fn look_up(a: &Args<'_>) -> Result<Option<Value>, String> {
    match a.any(0) {
        Value::Object(entries) => Ok(a.any(1).as_text().and_then(|key| entries.get(&key)).cloned()),
        Value::Sequence(Kind::Set, _) => Err("the items of a set have no numbers".into()),
        _ => {
            let at = a.any(1).as_number().and_then(|number| number.as_whole());
            Ok(at.and_then(|at| a.items(0).ok()?.get(usize::try_from(at).ok()?)).cloned())
        }
    }
}

fn slice(a: &Args<'_>) -> Answer {
    if a.is_set(0) {
        return Err("the items of a set have no order".into());
    }
    let (items, from, to) = (a.items(0)?, usize::try_from(a.whole(1)?), usize::try_from(a.whole(2)?));
    let part = match (from, to) {
        (Ok(from), Ok(to)) => items.get(from..to),
        _ => None,
    };
    let part = part.ok_or_else(|| format!("the list has {} items, and no such part", items.len()))?;
    Ok(Value::Sequence(a.kind(0), part.to_vec()))
}

fn range(a: &Args<'_>) -> Answer {
    let zero = Number::from(0);
    let numbers = a.numbers()?;
    let step = |from: &Number, to: &Number| Number::from(if to < from { -1 } else { 1 });
    let (from, to, step) = match numbers.as_slice() {
        [to] => (zero.clone(), to.clone(), step(&zero, to)),
        [from, to] => (from.clone(), to.clone(), step(from, to)),
        [from, to, step, ..] => (from.clone(), to.clone(), step.clone()),
        [] => return Err("expected one to three numbers".into()),
    };
    let towards = if step.is_negative() { Ordering::Greater } else { Ordering::Less };
    if step.is_zero() || from.cmp(&to) == towards.reverse() {
        return Err("the step does not lead there".into());
    }
    let (mut items, mut at) = (Vec::new(), from);
    while at.cmp(&to) == towards {
        if items.len() >= MOST {
            return Err(format!("more than {MOST} numbers"));
        }
        items.push(Value::Number(at.clone()));
        at = at.add(&step)?;
    }
    Ok(Value::Sequence(Kind::List, items))
}

fn setproduct(a: &Args<'_>) -> Answer {
    let mut product: Vec<Vec<Value>> = vec![Vec::new()];
    for at in 0..a.0.len() {
        let items = a.list(at)?;
        if product.len().saturating_mul(items.len()) > 100_000 {
            return Err("the product is too large".into());
        }
        let longer = |row: &Vec<Value>, item: &Value| row.iter().cloned().chain([item.clone()]).collect();
        product = product.iter().flat_map(|row| items.iter().map(move |item| longer(row, item))).collect();
    }
    let rows = product.into_iter().map(|row| Value::Sequence(Kind::Tuple, row)).collect();
    let kind = if (0..a.0.len()).any(|at| a.is_set(at)) { Kind::Set } else { Kind::List };
    Ok(Value::Sequence(kind, rows))
}
