//! Types as a variable or `convert` names them, and what a value becomes under one.
//!
//! Follows HCL's type expressions and go-cty's conversions. Evaluates nothing.

use std::collections::BTreeMap;

use hcl::expr::{Expression, ObjectKey};

use super::json;
use super::value::{Kind, Value, unified};

/// Types within types.
const DEEPEST: usize = 16;

/// A type constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::syntax::import) enum Type {
    Any,
    Text,
    Number,
    Bool,
    Sequence(Kind, Box<Self>),
    Map(Box<Self>),
    Tuple(Vec<Self>),
    /// Attributes; true where one may be left out.
    Object(BTreeMap<String, (Self, bool)>),
}

impl Type {
    /// Reads a type expression, such as `list(string)`.
    ///
    /// # Errors
    /// The reason that it is none.
    pub fn read(expr: &Expression) -> Result<Self, String> {
        read(expr, 0)
    }

    /// True if a single text can stand for a value of it.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Text | Self::Number | Self::Bool)
    }

    /// A value as one of this type.
    ///
    /// # Errors
    /// The reason that it cannot be one.
    pub fn converted(&self, value: &Value) -> Result<Value, String> {
        let wanted = |noun: &str| format!("{noun} is wanted, and this is {}", value.noun());
        Ok(match (self, value) {
            (Self::Any, value) => value.clone(),
            (_, Value::Null) => Value::Null,
            (Self::Text, value) => Value::Text(value.as_text().ok_or_else(|| wanted("a text"))?),
            (Self::Number, value) => Value::Number(value.as_number().ok_or_else(|| wanted("a number"))?),
            (Self::Bool, value) => Value::Bool(value.as_truth().ok_or_else(|| wanted("true or false"))?),
            (Self::Sequence(kind, inner), Value::Sequence(_, items)) => {
                let items = items.iter().map(|item| inner.converted(item)).collect::<Result<Vec<_>, _>>()?;
                let items = if **inner == Self::Any { unified(items)? } else { items };
                let items = if *kind == Kind::Set { set(items) } else { items };
                Value::Sequence(*kind, items)
            }
            (Self::Map(inner), Value::Object(entries)) => {
                let (keys, values): (Vec<_>, Vec<_>) = entries.clone().into_iter().unzip();
                let values =
                    values.iter().map(|value| inner.converted(value)).collect::<Result<Vec<_>, _>>()?;
                let values = if **inner == Self::Any { unified(values)? } else { values };
                Value::Object(keys.into_iter().zip(values).collect())
            }
            (Self::Tuple(types), Value::Sequence(_, items)) if types.len() == items.len() => {
                let pairs = types.iter().zip(items);
                Value::Sequence(
                    Kind::Tuple,
                    pairs.map(|(one, item)| one.converted(item)).collect::<Result<_, _>>()?,
                )
            }
            (Self::Object(attributes), Value::Object(entries)) => {
                let attribute = |(name, (one, optional)): (&String, &(Self, bool))| {
                    let value = match entries.get(name) {
                        Some(value) => one.converted(value).map_err(|why| format!("its `{name}`: {why}"))?,
                        None if *optional => Value::Null,
                        None => return Err(format!("it has no `{name}`")),
                    };
                    Ok((name.clone(), value))
                };
                Value::Object(attributes.iter().map(attribute).collect::<Result<_, _>>()?)
            }
            (Self::Sequence(Kind::Set, _), _) => return Err(wanted("a set")),
            (Self::Sequence(..), _) => return Err(wanted("a list")),
            (Self::Tuple(types), _) => return Err(wanted(&format!("a list of {}", types.len()))),
            (Self::Map(_) | Self::Object(_), _) => return Err(wanted("a map")),
        })
    }
}

/// Items without repetition, the first of each kept.
pub(super) fn distinct(items: Vec<Value>) -> Vec<Value> {
    let mut seen = std::collections::BTreeSet::new();
    items.into_iter().filter(|item| seen.insert(json::encoded(item))).collect()
}

/// Items without repetition, in the order in which go-cty walks them.
pub(super) fn set(items: Vec<Value>) -> Vec<Value> {
    let mut kept = distinct(items);
    kept.sort_by(|one, two| match (one, two) {
        (Value::Text(one), Value::Text(two)) => one.cmp(two),
        (Value::Number(one), Value::Number(two)) => one.cmp(two),
        (Value::Bool(one), Value::Bool(two)) => one.cmp(two),
        _ => std::cmp::Ordering::Equal,
    });
    kept
}

fn read(expr: &Expression, depth: usize) -> Result<Type, String> {
    if depth > DEEPEST {
        return Err("the type is nested too deep".into());
    }
    match expr {
        Expression::Variable(name) => match name.as_str() {
            "any" => Ok(Type::Any),
            "string" => Ok(Type::Text),
            "number" => Ok(Type::Number),
            "bool" => Ok(Type::Bool),
            other => Err(format!("there is no type `{other}`")),
        },
        Expression::Parenthesis(inner) => read(inner, depth + 1),
        Expression::FuncCall(call) => {
            let name = call.name.name.as_str();
            let [inner] = call.args.as_slice() else {
                return Err(format!("the type `{name}` takes one argument"));
            };
            match (name, inner) {
                ("tuple", Expression::Array(items)) => {
                    Ok(Type::Tuple(items.iter().map(|item| read(item, depth + 1)).collect::<Result<_, _>>()?))
                }
                ("object", Expression::Object(object)) => {
                    let attribute = |(key, one): (&ObjectKey, &Expression)| {
                        let name = match key {
                            ObjectKey::Identifier(name) => name.as_str().to_owned(),
                            ObjectKey::Expression(Expression::String(name)) => name.clone(),
                            _ => return Err("an attribute of a type wants a plain name".to_owned()),
                        };
                        Ok((name, optional(one, depth)?))
                    };
                    Ok(Type::Object(object.iter().map(attribute).collect::<Result<_, _>>()?))
                }
                ("list", inner) => Ok(Type::Sequence(Kind::List, Box::new(read(inner, depth + 1)?))),
                ("set", inner) => Ok(Type::Sequence(Kind::Set, Box::new(read(inner, depth + 1)?))),
                ("map", inner) => Ok(Type::Map(Box::new(read(inner, depth + 1)?))),
                (other, _) => Err(format!("there is no type `{other}` of that form")),
            }
        }
        _ => Err("this is no type".into()),
    }
}

fn optional(expr: &Expression, depth: usize) -> Result<(Type, bool), String> {
    match expr {
        Expression::FuncCall(call) if call.name.name.as_str() == "optional" => {
            let inner = call.args.first().ok_or("`optional` takes a type")?;
            Ok((read(inner, depth + 1)?, true))
        }
        expr => Ok((read(expr, depth + 1)?, false)),
    }
}
