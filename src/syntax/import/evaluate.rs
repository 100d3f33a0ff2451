//! Evaluation of a bake file's expressions, with the variables that an Imagefile can keep.
//!
//! Every expression is evaluated twice: with the variables' values, and with a
//! mark in place of each text. Where the second result with its marks filled in is the
//! first, the variable itself is carried over; elsewhere (`upper(TAG)`) its value is.
//! Knows no targets.

use std::collections::BTreeMap;

use hcl::eval::Context;
use hcl::expr::{Expression, ObjectKey};
use hcl::{Identifier, Value};

use super::blocks::{Attr, File};
use super::draft::{Drafts, fill, literal};
use super::functions::{self, LONGEST};
use super::inline::{self, Function, Functions};
use crate::syntax::error::{Span, SyntaxError};

/// Loops in one expression; more of them could run for ever.
const MOST_LOOPS: usize = 2;
/// The cost that all expressions of a file may have together, roughly in steps and in bytes.
const BUDGET: usize = 10_000_000;
/// The items that `range` can answer with, for loops over them.
const ITEMS: usize = 1000;

/// Around a variable's name where its value would stand.
const MARKS: [char; 2] = ['\u{e000}', '\u{e001}'];

/// A value as it was carried over. The texts are written texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    Null,
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// The variables and functions that are in force somewhere.
#[derive(Clone)]
pub(super) struct Scope<'f> {
    functions: &'f Functions,
    real: Context<'static>,
    marked: Context<'static>,
    /// The size of the largest value.
    widest: usize,
}

/// The functions a file defines; those that make no sense are told.
pub(super) fn functions(file: &File, drafts: &mut Drafts) -> Functions {
    let mut found = Functions::default();
    let names = |expr: &Expression| -> Vec<Identifier> {
        let Expression::Array(items) = expr else { return Vec::new() };
        let ident = |item: &Expression| match item {
            Expression::Variable(name) => Some(Identifier::sanitized(name.as_str())),
            Expression::String(name) => Some(Identifier::sanitized(name)),
            _ => None,
        };
        items.iter().filter_map(ident).collect()
    };
    for block in file.blocks.iter().filter(|block| block.kind == "function") {
        let Some(result) = block.attr("result") else {
            drafts.lost(block.span, format!("the function `{}`: it has no result", block.label));
            continue;
        };
        let params = block.attr("params").map(|attr| names(&attr.expr)).unwrap_or_default();
        let variadic = block.attr("variadic_params").and_then(|attr| match &attr.expr {
            Expression::Variable(name) => Some(Identifier::sanitized(name.as_str())),
            other => names(other).into_iter().next(),
        });
        let function = Function { params, variadic, result: result.expr.clone() };
        found.by_name.insert(block.label.clone(), function);
    }
    found
}

impl<'f> Scope<'f> {
    /// Settles the variables of a file, whatever their order is, the
    /// environment's values before the file's.
    ///
    /// # Errors
    /// Variables that are made of each other.
    pub fn of(
        file: &File,
        functions: &'f Functions,
        environment: &BTreeMap<String, String>,
        drafts: &mut Drafts,
    ) -> Result<Self, Vec<SyntaxError>> {
        let mut real = Context::new();
        functions::declare(&mut real);
        let mut scope = Self { functions, marked: real.clone(), real, widest: 1 };
        scope.declare("BAKE_CMD_CONTEXT", &Value::from("."));
        let mut waiting: Vec<(&str, Span, Option<&Attr>, bool)> = Vec::new();
        let variables = file.blocks.iter().filter(|block| block.kind == "variable");
        for block in variables {
            for (inner, span) in &block.inner {
                drafts.lost(
                    *span,
                    format!("{inner} of the variable `{}`: an Imagefile checks no values", block.label),
                );
            }
            waiting.push((&block.label, block.span, block.attr("default"), true));
        }
        waiting.extend(file.globals.iter().map(|attr| (attr.name.as_str(), attr.span, Some(attr), false)));
        loop {
            let before = waiting.len();
            waiting.retain(|(name, span, attr, open)| {
                let default = match attr {
                    Some(attr) => scope.value(&attr.expr),
                    None => Ok(Value::from("")),
                };
                let given = environment.get(*name).filter(|_| *open);
                let value = match (given, default) {
                    (Some(given), default) => overridden(given, default.as_ref().unwrap_or(&Value::Null)),
                    (None, Ok(value)) => Some(value),
                    (None, Err(_)) => return true,
                };
                let Some(value) = value else {
                    drafts.lost(
                        *span,
                        format!("the variable `{name}` as the environment has it: it is no plain value"),
                    );
                    return false;
                };
                if given.is_some() {
                    drafts.changed(
                        *span,
                        format!("the variable `{name}` has the value that the environment gives it now"),
                    );
                }
                scope.variable(name, &value, *open, &mut drafts.vars);
                false
            });
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        let why =
            |attr: &Option<&Attr>| attr.and_then(|attr| scope.value(&attr.expr).err()).unwrap_or_default();
        let whys: Vec<(&str, Span, String)> =
            waiting.iter().map(|(name, span, attr, _)| (*name, *span, why(attr))).collect();
        // Each waits for one that is not there; whoever comes back to itself that way is in a circle.
        let missing = |name: &str| {
            let (.., why) = whys.iter().find(|(other, ..)| *other == name)?;
            whys.iter().map(|(other, ..)| *other).find(|other| *why == inline::no_variable(other))
        };
        for (name, span, why) in &whys {
            let mut steps = std::iter::successors(missing(name), |at| missing(at)).take(whys.len());
            if steps.any(|at| at == *name) {
                let message = format!("the variable `{name}` is made of itself");
                return Err(vec![
                    SyntaxError::new(*span, message).hint("bake allows no variable in a circle"),
                ]);
            }
            drafts.lost(*span, format!("the variable `{name}`: {why}"));
        }
        Ok(scope)
    }

    fn variable(&mut self, name: &str, value: &Value, open: bool, vars: &mut BTreeMap<String, String>) {
        self.declare(name, value);
        if let (Value::String(text), true) = (value, open) {
            vars.insert(name.to_owned(), text.clone());
            let mark = format!("{}{name}{}", MARKS[0], MARKS[1]);
            self.marked.declare_var(Identifier::sanitized(name), mark);
        }
    }

    /// Adds a variable that is carried over by its value.
    pub fn declare(&mut self, name: &str, value: &Value) {
        self.widest = self.widest.max(size(value));
        self.real.declare_var(Identifier::sanitized(name), value.clone());
        self.marked.declare_var(Identifier::sanitized(name), value.clone());
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// Why it comes to nothing.
    pub fn value(&self, expr: &Expression) -> Result<Value, String> {
        self.functions.spend(self.cost(expr)?, BUDGET)?;
        let value = self.functions.evaluate(expr, &self.real)?;
        self.functions.spend(size(&value), BUDGET)?;
        if size(&value) > LONGEST { Err("its value is too long".into()) } else { Ok(value) }
    }

    /// The most that an expression can cost: steps of its loops, and bytes of the texts it is made of.
    fn cost(&self, expr: &Expression) -> Result<usize, String> {
        let words = hcl::format::to_string(expr).unwrap_or_default();
        let opens = |at: usize| words[..at].trim_end().ends_with(['[', '{', '~']);
        let loops = words.match_indices("for ").filter(|(at, _)| opens(*at)).count();
        if loops > MOST_LOOPS {
            return Err(format!("more than {MOST_LOOPS} loops in one expression"));
        }
        let called = if words.contains("range(") { ITEMS } else { 0 };
        let items = self.widest.max(words.len()).max(called);
        let turns = (0..loops).fold(1, |turns: usize, _| turns.saturating_mul(items));
        let parts = words.matches("${").count();
        Ok(turns.max(words.len()).saturating_add(parts.saturating_mul(self.widest)))
    }

    /// The value of an attribute, as far as it can be carried over; each part that cannot is told by itself.
    pub fn carried(&self, attr: &Attr, drafts: &mut Drafts) -> Carried {
        self.parts(&attr.name, &attr.expr, attr.span, drafts).unwrap_or(Carried::Null)
    }

    fn parts(&self, path: &str, expr: &Expression, span: Span, drafts: &mut Drafts) -> Option<Carried> {
        match expr {
            Expression::Array(items) => {
                let items = items.iter().filter_map(|item| self.parts(path, item, span, drafts));
                Some(Carried::List(items.collect()))
            }
            Expression::Object(object) => {
                let mut entries = Vec::new();
                for (key, value) in object {
                    let key = match key {
                        ObjectKey::Identifier(name) => name.as_str().to_owned(),
                        ObjectKey::Expression(expr) => {
                            self.value(expr).ok().and_then(text).unwrap_or_default()
                        }
                        _ => String::new(),
                    };
                    let below = format!("{path}.{key}");
                    entries.extend(self.parts(&below, value, span, drafts).map(|carried| (key, carried)));
                }
                Some(Carried::Map(entries))
            }
            expr => match self.value(expr) {
                Ok(real) => {
                    let marked = self.functions.evaluate(expr, &self.marked).ok();
                    Some(carry(&real, marked.as_ref(), &drafts.vars))
                }
                Err(why) => {
                    drafts.lost(span, format!("{path}: {why}"));
                    None
                }
            },
        }
    }
}

impl Carried {
    pub fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The texts of a list; a text is a list of itself.
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::List(items) => items.iter().filter_map(|item| item.text().map(str::to_owned)).collect(),
            Self::Text(text) => vec![text.clone()],
            _ => Vec::new(),
        }
    }

    /// Says the same as leaving it out.
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty() || text == "false",
            Self::List(items) => items.is_empty(),
            Self::Map(entries) => entries.is_empty(),
        }
    }
}

/// The environment's text, read as the kind of value that the file has.
fn overridden(given: &str, default: &Value) -> Option<Value> {
    match default {
        Value::Bool(_) => given.parse::<bool>().ok().map(Value::from),
        Value::Number(_) => {
            given.parse::<i64>().map(Value::from).or_else(|_| given.parse::<f64>().map(Value::from)).ok()
        }
        Value::Array(_) | Value::Object(_) => None,
        Value::Null | Value::String(_) => Some(Value::from(given)),
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum::<usize>() + items.len(),
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + size(value)).sum(),
        _ => 1,
    }
}

/// A value where a text is wanted.
pub(super) fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

fn carry(real: &Value, marked: Option<&Value>, vars: &BTreeMap<String, String>) -> Carried {
    match real {
        Value::Null => Carried::Null,
        Value::Array(items) => {
            let others = marked.and_then(Value::as_array).filter(|others| others.len() == items.len());
            let other = |at: usize| others.and_then(|others| others.get(at));
            Carried::List(items.iter().enumerate().map(|(at, item)| carry(item, other(at), vars)).collect())
        }
        Value::Object(map) => {
            let other = |key: &str| marked.and_then(Value::as_object).and_then(|others| others.get(key));
            Carried::Map(
                map.iter().map(|(key, value)| (key.clone(), carry(value, other(key), vars))).collect(),
            )
        }
        scalar => {
            let real = text(scalar.clone()).unwrap_or_default();
            let written = marked.and_then(Value::as_str).map(unmarked);
            let same = written.filter(|written| fill(written, vars) == real);
            Carried::Text(same.unwrap_or_else(|| literal(&real)))
        }
    }
}

/// A text with marks, as a written text.
fn unmarked(text: &str) -> String {
    literal(text).replace(MARKS[0], "{").replace(MARKS[1], "}")
}
