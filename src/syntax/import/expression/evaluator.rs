//! Evaluation of an expression, with the names that are in force.
//!
//! `try` and `can` look at errors, a choice at the side that counts and at the other's type. A function of the file
//! sees its parameters and the file's variables. Every step is counted. Knows no blocks.

use std::cell::Cell;
use std::collections::BTreeMap;

use hcl::expr::{
    BinaryOp, BinaryOperator, Conditional, Expression, ForExpr, FuncCall, ObjectKey, Operation, Traversal,
    TraversalOperator, UnaryOperator,
};
use hcl::template::{Directive, Element, Template};

use super::access::{element, field, number, pairs, truth};
use super::functions;
use super::kind::Type;
use super::number::Number;
use super::template::{Around, literal};
use super::value::{Kind, Value, unified};

/// Expressions within expressions, and calls within calls.
const DEEPEST: usize = 160;
/// Steps and bytes that all expressions of a file may take together.
const BUDGET: usize = 4_000_000;
/// Longer values are refused: each could stand in the next many times.
const LONGEST: usize = 256 * 1024;

/// A value, or the reason that there is none as half a sentence.
type Answer = Result<Value, String>;

/// Names that stand for something outside of an expression.
pub(in crate::syntax::import) trait Names {
    /// The value of a variable.
    ///
    /// # Errors
    /// The reason that there is none.
    fn variable(&self, name: &str) -> Answer;

    /// An attribute of a block: `target.web.tags`. Nothing where blocks of that kind cannot be named.
    fn attribute(&self, kind: &str, label: &str, attribute: &str) -> Option<Answer>;

    /// A function of the file: its parameters, the one that takes the rest, its result.
    fn function(&self, name: &str) -> Option<(&[String], Option<&str>, &Expression)>;

    /// A function of the file is called.
    ///
    /// # Errors
    /// A function that is called within itself.
    fn enter(&self, function: &str) -> Result<(), String>;

    /// The function that was entered last has answered.
    fn leave(&self);
}

/// Variables of a loop or of a call, over those outside.
pub(in crate::syntax::import) struct Locals<'l> {
    pub outside: Option<&'l Self>,
    pub names: Vec<(String, Value)>,
}

impl Locals<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        let own = self.names.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value);
        own.or_else(|| self.outside?.get(name))
    }
}

/// Evaluates expressions of one file.
pub(in crate::syntax::import) struct Evaluator<'e> {
    pub names: &'e dyn Names,
    /// Steps and bytes that were taken so far.
    pub spent: &'e Cell<usize>,
    /// Expressions within expressions that are being evaluated now.
    pub depth: &'e Cell<usize>,
}

impl Evaluator<'_> {
    /// The value of an expression.
    ///
    /// # Errors
    /// The reason that it has none.
    pub fn value(&self, expr: &Expression, locals: &Locals<'_>) -> Answer {
        self.at(expr, locals)
    }

    fn spend(&self, cost: usize) -> Result<(), String> {
        self.spent.set(self.spent.get().saturating_add(cost));
        if self.spent.get() > BUDGET { Err("the file has too much to evaluate".into()) } else { Ok(()) }
    }

    fn at(&self, expr: &Expression, locals: &Locals<'_>) -> Answer {
        self.spend(1)?;
        let depth = self.depth.get();
        if depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        self.depth.set(depth + 1);
        let value = self.form(expr, locals);
        self.depth.set(depth);
        let value = value?;
        let size = value.size();
        self.spend(size)?;
        if size > LONGEST { Err("its value is too long".into()) } else { Ok(value) }
    }

    fn form(&self, expr: &Expression, locals: &Locals<'_>) -> Answer {
        Ok(match expr {
            Expression::Null => Value::Null,
            Expression::Bool(truth) => Value::Bool(*truth),
            Expression::Number(number) => {
                Value::Number(Number::parse(&number.to_string()).ok_or("the number is too large")?)
            }
            Expression::String(text) => Value::Text(text.clone()),
            Expression::Array(items) => {
                let items = items.iter().map(|item| self.at(item, locals)).collect::<Result<_, _>>()?;
                Value::Sequence(Kind::Tuple, items)
            }
            Expression::Object(object) => self.object(object.iter(), locals)?,
            Expression::TemplateExpr(template) => self.template_text(template, locals)?,
            Expression::Variable(name) => self.variable(name.as_str(), locals)?,
            Expression::Traversal(traversal) => self.traversal(traversal, locals)?,
            Expression::FuncCall(call) => self.call(call, locals)?,
            Expression::Parenthesis(inner) => self.at(inner, locals)?,
            Expression::Conditional(choice) => self.choice(choice, locals)?,
            Expression::Operation(operation) => match &**operation {
                Operation::Unary(unary) => {
                    let value = self.at(&unary.expr, locals)?;
                    match unary.operator {
                        UnaryOperator::Neg => Value::Number(number(&value)?.negate()),
                        UnaryOperator::Not => Value::Bool(!truth(&value)?),
                    }
                }
                Operation::Binary(binary) => self.binary(binary, locals)?,
            },
            Expression::ForExpr(each) => self.each(each, locals)?,
            _ => return Err("imk does not know an expression of this form".into()),
        })
    }

    fn variable(&self, name: &str, locals: &Locals<'_>) -> Answer {
        locals.get(name).map_or_else(|| self.names.variable(name), |value| Ok(value.clone()))
    }

    fn object<'o>(
        &self,
        entries: impl Iterator<Item = (&'o ObjectKey, &'o Expression)>,
        locals: &Locals<'_>,
    ) -> Answer {
        let mut object = BTreeMap::new();
        for (key, value) in entries {
            let key = match key {
                ObjectKey::Identifier(name) => name.as_str().to_owned(),
                ObjectKey::Expression(expr) => {
                    self.at(expr, locals)?.as_text().ok_or("a key of a map is no text")?
                }
                _ => return Err("a key of a map is no text".into()),
            };
            object.insert(key, self.at(value, locals)?);
        }
        Ok(Value::Object(object))
    }

    /// A template of one interpolation is that value; any other is a text.
    fn template_text(&self, template: &hcl::expr::TemplateExpr, locals: &Locals<'_>) -> Answer {
        let parsed = Template::from_expr(template).map_err(|error| first_line(&error.to_string()))?;
        let quoted = matches!(template, hcl::expr::TemplateExpr::QuotedString(_));
        if let ([Element::Interpolation(part)], true) = (parsed.elements(), quoted) {
            return self.at(&part.expr, locals);
        }
        let mut text = String::new();
        self.template(&parsed, Around { before: false, behind: false }, locals, &mut text)?;
        Ok(Value::Text(text))
    }

    fn template(
        &self,
        template: &Template,
        around: Around,
        locals: &Locals<'_>,
        out: &mut String,
    ) -> Result<(), String> {
        let depth = self.depth.get();
        if depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        self.depth.set(depth + 1);
        let filled = self.elements(template.elements(), around, locals, out);
        self.depth.set(depth);
        filled
    }

    fn elements(
        &self,
        elements: &[Element],
        around: Around,
        locals: &Locals<'_>,
        out: &mut String,
    ) -> Result<(), String> {
        for (at, element) in elements.iter().enumerate() {
            self.spend(1 + out.len() / 64)?;
            match element {
                Element::Literal(text) => out.push_str(literal(text, elements, at, around)),
                Element::Interpolation(part) => {
                    let value = self.at(&part.expr, locals)?;
                    let text = value.as_text();
                    out.push_str(&text.ok_or_else(|| format!("{} cannot stand in a text", value.noun()))?);
                }
                Element::Directive(directive) => self.directive(directive, locals, out)?,
            }
            if out.len() > LONGEST {
                return Err("its value is too long".into());
            }
        }
        Ok(())
    }

    fn directive(&self, directive: &Directive, locals: &Locals<'_>, out: &mut String) -> Result<(), String> {
        match directive {
            Directive::If(choice) => {
                let holds = truth(&self.at(&choice.cond_expr, locals)?)?;
                let last = choice.false_template.as_ref().map_or(choice.endif_strip, |_| choice.else_strip);
                let around = |start: hcl::template::Strip, end: hcl::template::Strip| Around {
                    before: start.strip_end(),
                    behind: end.strip_start(),
                };
                match (&choice.false_template, holds) {
                    (_, true) => {
                        self.template(&choice.true_template, around(choice.if_strip, last), locals, out)
                    }
                    (Some(other), false) => {
                        let around = around(choice.else_strip, choice.endif_strip);
                        self.template(other, around, locals, out)
                    }
                    (None, false) => Ok(()),
                }
            }
            Directive::For(each) => {
                let collection = self.at(&each.collection_expr, locals)?;
                let around =
                    Around { before: each.for_strip.strip_end(), behind: each.endfor_strip.strip_start() };
                for (key, value) in pairs(&collection)? {
                    let key = each.key_var.as_ref().map(|name| (name.as_str().to_owned(), key));
                    let names =
                        key.into_iter().chain([(each.value_var.as_str().to_owned(), value)]).collect();
                    let inside = Locals { outside: Some(locals), names };
                    self.template(&each.template, around, &inside, out)?;
                }
                Ok(())
            }
        }
    }

    fn traversal(&self, traversal: &Traversal, locals: &Locals<'_>) -> Answer {
        let mut operators = traversal.operators.as_slice();
        let mut value = match (&traversal.expr, operators) {
            (Expression::Variable(kind), [TraversalOperator::GetAttr(label), rest @ ..])
                if locals.get(kind.as_str()).is_none() && matches!(kind.as_str(), "target" | "group") =>
            {
                let kind = kind.as_str();
                let [TraversalOperator::GetAttr(attribute), rest @ ..] = rest else {
                    return Err(format!("`{kind}.{label}` is no value: name one of its keys"));
                };
                operators = rest;
                let found = self.names.attribute(kind, label.as_str(), attribute.as_str());
                found.unwrap_or_else(|| Err(format!("there is no {kind} `{label}` here")))?
            }
            (expr, _) => self.at(expr, locals)?,
        };
        while let [operator, rest @ ..] = operators {
            operators = rest;
            value = match operator {
                TraversalOperator::GetAttr(name) => field(&value, name.as_str())?,
                TraversalOperator::LegacyIndex(at) => element(&value, &Value::from(at.to_string()))?,
                TraversalOperator::Index(expr) => element(&value, &self.at(expr, locals)?)?,
                TraversalOperator::AttrSplat | TraversalOperator::FullSplat => {
                    let attributes = matches!(operator, TraversalOperator::AttrSplat);
                    let within = |op: &&TraversalOperator| {
                        !attributes
                            || matches!(op, TraversalOperator::GetAttr(_) | TraversalOperator::LegacyIndex(_))
                    };
                    let (inner, after) = rest.split_at(rest.iter().take_while(within).count());
                    operators = after;
                    self.splat(value, inner, locals)?
                }
            };
        }
        Ok(value)
    }

    fn splat(&self, value: Value, operators: &[TraversalOperator], locals: &Locals<'_>) -> Answer {
        let items = match value {
            Value::Null => Vec::new(),
            Value::Sequence(_, items) => items,
            other => vec![other],
        };
        let step = |value: Value, operator: &TraversalOperator| match operator {
            TraversalOperator::GetAttr(name) => field(&value, name.as_str()),
            TraversalOperator::LegacyIndex(at) => element(&value, &Value::from(at.to_string())),
            TraversalOperator::Index(expr) => element(&value, &self.at(expr, locals)?),
            TraversalOperator::AttrSplat | TraversalOperator::FullSplat => {
                Err("a splat within a splat is not known".into())
            }
        };
        let walk = |item| operators.iter().try_fold(item, step);
        Ok(Value::Sequence(Kind::Tuple, items.into_iter().map(walk).collect::<Result<_, _>>()?))
    }

    fn choice(&self, choice: &Conditional, locals: &Locals<'_>) -> Answer {
        let holds = truth(&self.at(&choice.cond_expr, locals)?)?;
        let sides = [&choice.true_expr, &choice.false_expr].map(|side| self.at(side, locals));
        let [yes, no] = sides;
        let (taken, other) = if holds { (yes?, no) } else { (no?, yes) };
        // A side that comes to nothing has no type either; null has any.
        match other {
            Ok(other) if other != Value::Null && taken != Value::Null => {
                let mut both = unified(vec![taken, other])
                    .map_err(|_| "the two sides of a choice have no type in common".to_owned())?;
                Ok(both.swap_remove(0))
            }
            _ => Ok(taken),
        }
    }

    fn binary(&self, binary: &BinaryOp, locals: &Locals<'_>) -> Answer {
        let left = self.at(&binary.lhs_expr, locals)?;
        let right = self.at(&binary.rhs_expr, locals)?;
        let numbers = || Ok::<_, String>((number(&left)?, number(&right)?));
        let truths = || Ok::<_, String>((truth(&left)?, truth(&right)?));
        Ok(match binary.operator {
            BinaryOperator::Eq => Value::Bool(left.same(&right)),
            BinaryOperator::NotEq => Value::Bool(!left.same(&right)),
            BinaryOperator::And => truths().map(|(one, two)| Value::Bool(one && two))?,
            BinaryOperator::Or => truths().map(|(one, two)| Value::Bool(one || two))?,
            BinaryOperator::Less => numbers().map(|(one, two)| Value::Bool(one < two))?,
            BinaryOperator::LessEq => numbers().map(|(one, two)| Value::Bool(one <= two))?,
            BinaryOperator::Greater => numbers().map(|(one, two)| Value::Bool(one > two))?,
            BinaryOperator::GreaterEq => numbers().map(|(one, two)| Value::Bool(one >= two))?,
            BinaryOperator::Plus => Value::Number(numbers().and_then(|(one, two)| one.add(&two))?),
            BinaryOperator::Minus => Value::Number(numbers().and_then(|(one, two)| one.subtract(&two))?),
            BinaryOperator::Mul => Value::Number(numbers().and_then(|(one, two)| one.multiply(&two))?),
            BinaryOperator::Div => Value::Number(numbers().and_then(|(one, two)| one.divide(&two))?),
            BinaryOperator::Mod => Value::Number(numbers().and_then(|(one, two)| one.modulo(&two))?),
        })
    }

    fn each(&self, each: &ForExpr, locals: &Locals<'_>) -> Answer {
        let collection = self.at(&each.collection_expr, locals)?;
        let (mut items, mut object) = (Vec::new(), BTreeMap::<String, Value>::new());
        for (key, value) in pairs(&collection)? {
            let key = each.key_var.as_ref().map(|name| (name.as_str().to_owned(), key));
            let names = key.into_iter().chain([(each.value_var.as_str().to_owned(), value)]).collect();
            let inside = Locals { outside: Some(locals), names };
            if let Some(condition) = &each.cond_expr
                && !truth(&self.at(condition, &inside)?)?
            {
                continue;
            }
            let value = self.at(&each.value_expr, &inside)?;
            let Some(key) = &each.key_expr else {
                items.push(value);
                continue;
            };
            let key = self.at(key, &inside)?.as_text().ok_or("a key of a map is no text")?;
            if each.grouping {
                let group = object.entry(key).or_insert_with(|| Value::Sequence(Kind::Tuple, Vec::new()));
                if let Value::Sequence(_, items) = group {
                    items.push(value);
                }
            } else if object.insert(key.clone(), value).is_some() {
                return Err(format!("two items of a loop have the key `{key}`"));
            }
        }
        let is_object = each.key_expr.is_some();
        Ok(if is_object { Value::Object(object) } else { Value::Sequence(Kind::Tuple, items) })
    }

    fn call(&self, call: &FuncCall, locals: &Locals<'_>) -> Answer {
        let name = call.name.to_string();
        match (name.as_str(), call.args.as_slice()) {
            ("can", [expr]) => return Ok(Value::Bool(self.at(expr, locals).is_ok())),
            ("can", _) => return Err("can: expected one argument".into()),
            ("try", exprs) => {
                let tried = exprs.iter().map(|expr| self.at(expr, locals)).find(Result::is_ok);
                return tried.unwrap_or_else(|| Err("try: no argument of it comes to anything".into()));
            }
            ("convert", [expr, kind]) => {
                let value = self.at(expr, locals)?;
                let converted = Type::read(kind).and_then(|kind| kind.converted(&value));
                return converted.map_err(|why| format!("convert: {why}"));
            }
            _ => {}
        }
        let mut args = Vec::new();
        for (at, expr) in call.args.iter().enumerate() {
            let value = self.at(expr, locals)?;
            match value {
                Value::Sequence(_, items) if call.expand_final && at + 1 == call.args.len() => {
                    args.extend(items)
                }
                value => args.push(value),
            }
        }
        if functions::exists(&name) {
            return functions::call(&name, &args);
        }
        let Some((params, rest, result)) = self.names.function(&name) else {
            return Err(format!("imk does not know the function `{name}`"));
        };
        if args.len() < params.len() || (rest.is_none() && args.len() > params.len()) {
            return Err(format!(
                "the function `{name}` takes {} arguments, not {}",
                params.len(),
                args.len()
            ));
        }
        let others = args.split_off(params.len());
        let mut names: Vec<(String, Value)> = params.iter().cloned().zip(args).collect();
        names.extend(rest.map(|rest| (rest.to_owned(), Value::Sequence(Kind::Tuple, others))));
        self.names.enter(&name)?;
        let answer = self.at(result, &Locals { outside: None, names });
        self.names.leave();
        answer
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
