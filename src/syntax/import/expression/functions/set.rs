//! Functions of sets: what they are given becomes a set, without repetition, in the order of its items.
//!
//! Follows go-cty's `set`.

use std::collections::BTreeSet;

use super::args::{Answer, Args, Function, MANY};
use crate::syntax::import::expression::json;
use crate::syntax::import::expression::kind::set;
use crate::syntax::import::expression::value::{Kind, Value, unified};

pub(super) const TABLE: &[Function] = &[
    ("setunion", 1, MANY, |a| folded(a, |one, other| one.iter().chain(other).cloned().collect())),
    ("setintersection", 1, MANY, |a| {
        folded(a, |one, other| one.iter().filter(among(other)).cloned().collect())
    }),
    ("setsubtract", 2, 2, |a| folded(a, without)),
    ("setsymmetricdifference", 1, MANY, |a| {
        folded(a, |one, other| without(one, other).into_iter().chain(without(other, one)).collect())
    }),
    ("sethaselement", 2, 2, |a| Ok(a.list(0)?.iter().any(|item| item.same(a.any(1))).into())),
];

/// True for items that stand among the others.
fn among(others: &[Value]) -> impl FnMut(&&Value) -> bool {
    let others: BTreeSet<String> = others.iter().map(json::encoded).collect();
    move |item| others.contains(&json::encoded(item))
}

fn without(one: &[Value], other: &[Value]) -> Vec<Value> {
    let mut among = among(other);
    one.iter().filter(|item| !among(item)).cloned().collect()
}

/// All arguments as sets of one type, one after the other.
fn folded(a: &Args<'_>, step: fn(&[Value], &[Value]) -> Vec<Value>) -> Answer {
    let sizes = (0..a.0.len()).map(|at| Ok(a.items(at)?.len())).collect::<Result<Vec<_>, String>>()?;
    let all = (0..a.0.len()).map(|at| a.items(at)).collect::<Result<Vec<_>, _>>()?.concat();
    let all = unified(all)?;
    let mut rest = all.as_slice();
    let mut result: Option<Vec<Value>> = None;
    for size in sizes {
        let (items, after) = rest.split_at(size);
        rest = after;
        let items = set(items.to_vec());
        result = Some(match result {
            None => items,
            Some(before) => set(step(&before, &items)),
        });
    }
    Ok(Value::Sequence(Kind::Set, result.unwrap_or_default()))
}
