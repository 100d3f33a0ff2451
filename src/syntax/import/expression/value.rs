//! Values of expressions, and what one kind of them becomes where another is wanted.
//!
//! Follows go-cty's conversions. Knows no expressions.

use std::collections::BTreeMap;

use super::number::Number;

/// A value. Objects and maps are one kind: both are walked in the order of their keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::syntax::import) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    Sequence(Kind, Vec<Self>),
    Object(BTreeMap<String, Self>),
}

/// Sequences that are told apart by `==` and by what may be asked of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::syntax::import) enum Kind {
    /// As it is written: each item has a type of its own.
    Tuple,
    /// All items have one type.
    List,
    /// Without order and repetition; no item has a number.
    Set,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::from(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl Value {
    /// A list of texts.
    pub fn texts<T: Into<Self>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::Sequence(Kind::List, items.into_iter().map(Into::into).collect())
    }

    /// Its kind in words.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Sequence(Kind::Set, _) => "a set",
            Self::Sequence(..) => "a list",
            Self::Object(_) => "a map",
        }
    }

    /// As a text: numbers and truths are written out.
    pub fn as_text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Number(number) => Some(number.to_string()),
            Self::Bool(truth) => Some(truth.to_string()),
            _ => None,
        }
    }

    /// As a number: a text that is one counts.
    pub fn as_number(&self) -> Option<Number> {
        match self {
            Self::Number(number) => Some(number.clone()),
            Self::Text(text) => Number::parse(text),
            _ => None,
        }
    }

    /// As true or false: a text that says so counts.
    pub fn as_truth(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            Self::Text(text) => match text.as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The items of a list, a tuple or a set.
    pub fn items(&self) -> Option<&[Self]> {
        if let Self::Sequence(_, items) = self { Some(items) } else { None }
    }

    /// The entries of a map.
    pub fn entries(&self) -> Option<&BTreeMap<String, Self>> {
        if let Self::Object(entries) = self { Some(entries) } else { None }
    }

    /// Roughly the bytes that it takes.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + 1,
            Self::Number(number) => 1 + usize::try_from(number.mantissa.bits() / 8).unwrap_or_default(),
            Self::Sequence(_, items) => items.iter().map(Self::size).sum::<usize>() + 1,
            Self::Object(entries) => {
                entries.iter().map(|(key, value)| key.len() + value.size()).sum::<usize>() + 1
            }
            Self::Null | Self::Bool(_) => 1,
        }
    }

    /// True if `==` holds. Values of two types are never the same.
    pub fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(two)) => one == two || one.cmp(two).is_eq(),
            (Self::Sequence(kind, one), Self::Sequence(other, two)) => {
                kind == other && one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.same(two))
            }
            (Self::Object(one), Self::Object(two)) => {
                let pair = |((key, one), (other, two)): ((&String, &Self), (&String, &Self))| {
                    key == other && one.same(two)
                };
                one.len() == two.len() && one.iter().zip(two).all(pair)
            }
            (one, two) => one == two,
        }
    }
}

/// Items that have one type, as those of a list: texts, where one of them is one.
///
/// # Errors
/// Items that have none in common.
pub(super) fn unified(items: Vec<Value>) -> Result<Vec<Value>, String> {
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    let is_plain =
        |value: &Value| matches!(value, Value::Text(_) | Value::Number(_) | Value::Bool(_) | Value::Null);
    if items.iter().any(is_text) && items.iter().all(is_plain) {
        let text = |value: Value| value.as_text().map_or(Value::Null, Value::Text);
        return Ok(items.into_iter().map(text).collect());
    }
    let noun = |value: &Value| std::mem::discriminant(value);
    let mut others = items.iter().filter(|value| **value != Value::Null);
    let first = others.next().map(noun);
    if others.all(|value| Some(noun(value)) == first) {
        Ok(items)
    } else {
        Err("its items have no type in common".into())
    }
}
