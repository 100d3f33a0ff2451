//! Arguments of a function, asked for as what the function wants.
//!
//! Conversions are those of `value`. Knows no function.

use std::collections::BTreeMap;

use crate::syntax::import::expression::number::Number;
use crate::syntax::import::expression::value::{Kind, Value, unified};

/// A function's result, or the reason that it has none.
pub(super) type Answer = Result<Value, String>;

/// A function: its name, how many arguments it takes at least and at most, and what it does.
pub(super) type Function = (&'static str, usize, usize, fn(&Args<'_>) -> Answer);

/// As many arguments as there are.
pub(super) const MANY: usize = usize::MAX;

/// The arguments of one call; there are at least as many as the function's table says.
pub(super) struct Args<'a>(pub &'a [Value]);

impl<'a> Args<'a> {
    /// An argument of any kind.
    pub fn any(&self, at: usize) -> &'a Value {
        self.0.get(at).unwrap_or(&Value::Null)
    }

    fn wrong(&self, at: usize, wanted: &str) -> String {
        format!("argument {} is {}, and {wanted} is wanted", at + 1, self.any(at).noun())
    }

    pub fn text(&self, at: usize) -> Result<String, String> {
        self.any(at).as_text().ok_or_else(|| self.wrong(at, "a text"))
    }

    pub fn number(&self, at: usize) -> Result<Number, String> {
        self.any(at).as_number().ok_or_else(|| self.wrong(at, "a number"))
    }

    /// All arguments as numbers.
    pub fn numbers(&self) -> Result<Vec<Number>, String> {
        (0..self.0.len()).map(|at| self.number(at)).collect()
    }

    pub fn whole(&self, at: usize) -> Result<i64, String> {
        self.number(at)?.as_whole().ok_or_else(|| self.wrong(at, "a whole number"))
    }

    pub fn truth(&self, at: usize) -> Result<bool, String> {
        self.any(at).as_truth().ok_or_else(|| self.wrong(at, "true or false"))
    }

    /// The items of a list, a tuple or a set, as they are.
    pub fn items(&self, at: usize) -> Result<&'a [Value], String> {
        self.any(at).items().ok_or_else(|| self.wrong(at, "a list"))
    }

    /// The items of a list whose items have one type.
    pub fn list(&self, at: usize) -> Result<Vec<Value>, String> {
        unified(self.items(at)?.to_vec())
    }

    /// The items of a list of texts; null stays null.
    pub fn texts(&self, at: usize) -> Result<Vec<Option<String>>, String> {
        let text = |item: &Value| match item {
            Value::Null => Ok(None),
            item => item
                .as_text()
                .map(Some)
                .ok_or_else(|| format!("an item of argument {} is {}", at + 1, item.noun())),
        };
        self.items(at)?.iter().map(text).collect()
    }

    pub fn entries(&self, at: usize) -> Result<&'a BTreeMap<String, Value>, String> {
        self.any(at).entries().ok_or_else(|| self.wrong(at, "a map"))
    }

    /// True if an argument is a set.
    pub fn is_set(&self, at: usize) -> bool {
        matches!(self.any(at), Value::Sequence(Kind::Set, _))
    }

    /// The kind of a sequence; a list otherwise.
    pub fn kind(&self, at: usize) -> Kind {
        if let Value::Sequence(kind, _) = self.any(at) { *kind } else { Kind::List }
    }
}
