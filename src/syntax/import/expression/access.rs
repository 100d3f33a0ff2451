//! Questions to a value in an expression: a number, a truth, an item, all items.
//!
//! Knows no expressions.

use super::number::Number;
use super::value::{Kind, Value};

type Answer = Result<Value, String>;

pub(super) fn number(value: &Value) -> Result<Number, String> {
    value.as_number().ok_or_else(|| format!("a number is wanted, and this is {}", value.noun()))
}

pub(super) fn truth(value: &Value) -> Result<bool, String> {
    value.as_truth().ok_or_else(|| format!("true or false is wanted, and this is {}", value.noun()))
}

pub(super) fn field(value: &Value, name: &str) -> Answer {
    let found = value.entries().ok_or_else(|| format!("{} has no `{name}`", value.noun()))?.get(name);
    found.cloned().ok_or_else(|| format!("there is no key `{name}`"))
}

/// `list[0]`, `map["key"]`.
pub(super) fn element(value: &Value, key: &Value) -> Answer {
    match value {
        Value::Object(entries) => {
            let key = key.as_text().ok_or("a key of a map is a text")?;
            entries.get(&key).cloned().ok_or_else(|| format!("there is no key `{key}`"))
        }
        Value::Sequence(Kind::Tuple | Kind::List, items) => {
            let at = key
                .as_number()
                .and_then(|number| number.as_whole())
                .ok_or("a list is asked by whole numbers")?;
            let found = usize::try_from(at).ok().and_then(|at| items.get(at));
            found.cloned().ok_or_else(|| format!("the list has {} items and none at {at}", items.len()))
        }
        other => Err(format!("{} has no items that can be asked for", other.noun())),
    }
}

/// Keys with their values: a map's in their order, a list's numbers, a set's items themselves.
pub(super) fn pairs(value: &Value) -> Result<Vec<(Value, Value)>, String> {
    match value {
        Value::Object(entries) => {
            Ok(entries.iter().map(|(key, value)| (Value::Text(key.clone()), value.clone())).collect())
        }
        Value::Sequence(Kind::Set, items) => {
            Ok(items.iter().map(|item| (item.clone(), item.clone())).collect())
        }
        Value::Sequence(_, items) => {
            Ok(items.iter().enumerate().map(|(at, item)| (Value::from(at), item.clone())).collect())
        }
        other => Err(format!("a loop cannot walk {}", other.noun())),
    }
}
