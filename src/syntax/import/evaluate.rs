//! Evaluation of a bake file's attributes, with the variables that an Imagefile can keep.
//!
//! Every expression is evaluated twice: with the variables' values, and with a
//! mark in place of each text. Where the second result with its marks filled in is the
//! first, the variable itself is carried over; elsewhere (`upper(TAG)`) its value is.
//! Knows no targets.

use std::collections::BTreeMap;

use hcl::expr::{Expression, ObjectKey};

use super::blocks::Attr;
use super::draft::{Drafts, fill, literal, names_in};
use super::expression::Value;
use super::variables::{Globals, MARKS};
use crate::syntax::error::Span;

/// Longer values are told: an Imagefile is for people.
const LONGEST: usize = 64 * 1024;

/// A value as it was carried over. The texts are written texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    Null,
    Text(String),
    List(Vec<Self>),
    Map(Vec<(String, Self)>),
}

/// The names that are in force somewhere: those of the file, and those of a matrix.
#[derive(Clone)]
pub(super) struct Scope<'g> {
    globals: &'g Globals<'g>,
    /// Carried over by their values.
    pub locals: Vec<(String, Value)>,
}

impl<'g> Scope<'g> {
    /// The names of a file.
    pub fn of(globals: &'g Globals<'g>) -> Self {
        Self { globals, locals: Vec::new() }
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// The reason that it has none.
    pub fn value(&self, expr: &Expression) -> Result<Value, String> {
        let value = self.globals.value(expr, &self.locals, false)?;
        if value.size() > LONGEST { Err("its value is too long".into()) } else { Ok(value) }
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
                let mut entries: Vec<(String, Carried)> = Vec::new();
                for (key, value) in object {
                    let key = match key {
                        ObjectKey::Identifier(name) => Some(name.as_str().to_owned()),
                        ObjectKey::Expression(expr) => self.value(expr).ok().and_then(|key| key.as_text()),
                        _ => None,
                    };
                    let Some(key) = key else {
                        drafts.lost(span, format!("{path}: a key of it comes to nothing"));
                        continue;
                    };
                    let below = format!("{path}.{key}");
                    entries.retain(|(other, _)| *other != key);
                    entries.extend(self.parts(&below, value, span, drafts).map(|carried| (key, carried)));
                }
                Some(Carried::Map(entries))
            }
            expr => match self.value(expr) {
                Ok(real) => {
                    let marked = self.globals.value(expr, &self.locals, true).ok();
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

fn carry(real: &Value, marked: Option<&Value>, vars: &BTreeMap<String, String>) -> Carried {
    match real {
        Value::Null => Carried::Null,
        Value::Sequence(_, items) => {
            let others = marked.and_then(Value::items).filter(|others| others.len() == items.len());
            let other = |at: usize| others.and_then(|others| others.get(at));
            Carried::List(items.iter().enumerate().map(|(at, item)| carry(item, other(at), vars)).collect())
        }
        Value::Object(map) => {
            let other = |key: &str| marked.and_then(Value::entries).and_then(|others| others.get(key));
            Carried::Map(
                map.iter().map(|(key, value)| (key.clone(), carry(value, other(key), vars))).collect(),
            )
        }
        scalar => {
            let real = scalar.as_text().unwrap_or_default();
            let written = marked
                .and_then(|value| if let Value::Text(text) = value { Some(unmarked(text)) } else { None });
            // A function may have cut a mark in two.
            let is_whole = |written: &String| {
                names_in(written).iter().all(|name| vars.contains_key(*name))
                    && written.matches('{').count() == written.matches('}').count()
            };
            let same = written.filter(is_whole).filter(|written| fill(written, vars) == real);
            Carried::Text(same.unwrap_or_else(|| literal(&real)))
        }
    }
}

/// A text with marks, as a written text.
fn unmarked(text: &str) -> String {
    literal(text).replace(MARKS[0], "{").replace(MARKS[1], "}")
}
