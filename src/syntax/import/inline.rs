//! Calls of functions that a bake file defines itself, replaced by what they answer.
//!
//! The evaluator calls functions written in Rust only, so a call of one written
//! in HCL is evaluated before: its arguments, then its result with the
//! parameters bound to them. Knows no blocks and no places.

use std::cell::Cell;
use std::collections::BTreeMap;

use hcl::eval::{Context, Evaluate};
use hcl::expr::{Expression, FuncCall, ObjectKey, Operation, TemplateExpr};
use hcl::template::{Directive, Element, Template};
use hcl::{Identifier, Value};

/// Calls that one import may make: functions that call each other twice would have no end.
const MOST_CALLS: usize = 10_000;
/// Calls within calls.
const DEEPEST: usize = 32;

/// `function "name" { params = [a, b]  result = … }`.
#[derive(Debug)]
pub(super) struct Function {
    pub params: Vec<Identifier>,
    pub variadic: Option<Identifier>,
    pub result: Expression,
}

/// The functions of a file, and how often they were called.
#[derive(Debug, Default)]
pub(super) struct Functions {
    pub by_name: BTreeMap<String, Function>,
    calls: Cell<usize>,
    spent: Cell<usize>,
}

impl Functions {
    /// Counts what an expression costs.
    ///
    /// # Errors
    /// When a file's expressions cost more than `budget` together.
    pub fn spend(&self, cost: usize, budget: usize) -> Result<(), String> {
        self.spent.set(self.spent.get().saturating_add(cost));
        if self.spent.get() > budget { Err("the file has too much to evaluate".to_owned()) } else { Ok(()) }
    }

    /// The value of an expression.
    ///
    /// # Errors
    /// Why it has none.
    pub fn evaluate(&self, expr: &Expression, context: &Context<'static>) -> Result<Value, String> {
        self.evaluate_at(expr, context, 0)
    }

    fn evaluate_at(
        &self,
        expr: &Expression,
        context: &Context<'static>,
        depth: usize,
    ) -> Result<Value, String> {
        if self.by_name.is_empty() {
            return expr.evaluate(context).map_err(|error| why(&error));
        }
        let mut expr = expr.clone();
        self.inline(&mut expr, context, depth)?;
        expr.evaluate(context).map_err(|error| why(&error))
    }

    fn inline(&self, expr: &mut Expression, context: &Context<'static>, depth: usize) -> Result<(), String> {
        match expr {
            Expression::Array(items) => {
                for item in items {
                    self.inline(item, context, depth)?;
                }
            }
            Expression::Object(object) => {
                for (key, value) in object.iter_mut() {
                    let _: &ObjectKey = key;
                    self.inline(value, context, depth)?;
                }
            }
            Expression::TemplateExpr(template) => {
                let mut parsed = Template::from_expr(template).map_err(|error| error.to_string())?;
                self.inline_template(&mut parsed, context, depth)?;
                **template = TemplateExpr::QuotedString(parsed.to_string());
            }
            Expression::Traversal(traversal) => self.inline(&mut traversal.expr, context, depth)?,
            Expression::Parenthesis(inner) => self.inline(inner, context, depth)?,
            Expression::Conditional(choice) => {
                // Only the side that counts may be called: functions end by such a choice.
                self.inline(&mut choice.cond_expr, context, depth)?;
                let holds = choice.cond_expr.evaluate(context).map_err(|error| why(&error))?;
                let holds = holds.as_bool().ok_or("a condition is neither true nor false")?;
                let side = if holds { &mut choice.true_expr } else { &mut choice.false_expr };
                let mut taken = std::mem::replace(side, Expression::Null);
                self.inline(&mut taken, context, depth)?;
                *expr = taken;
            }
            Expression::Operation(operation) => match &mut **operation {
                Operation::Unary(unary) => self.inline(&mut unary.expr, context, depth)?,
                Operation::Binary(binary) => {
                    self.inline(&mut binary.lhs_expr, context, depth)?;
                    self.inline(&mut binary.rhs_expr, context, depth)?;
                }
            },
            Expression::ForExpr(each) => {
                self.inline(&mut each.collection_expr, context, depth)?;
                self.inline(&mut each.value_expr, context, depth)?;
            }
            Expression::FuncCall(call) => {
                for arg in &mut call.args {
                    self.inline(arg, context, depth)?;
                }
                if let Some(function) = self.by_name.get(call.name.name.as_str()) {
                    *expr = self.call(function, call, context, depth)?.into();
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn inline_template(
        &self,
        template: &mut Template,
        context: &Context<'static>,
        depth: usize,
    ) -> Result<(), String> {
        for element in template.elements_mut() {
            match element {
                Element::Literal(_) => {}
                Element::Interpolation(part) => self.inline(&mut part.expr, context, depth)?,
                Element::Directive(directive) => match &mut **directive {
                    Directive::If(choice) => {
                        self.inline(&mut choice.cond_expr, context, depth)?;
                        self.inline_template(&mut choice.true_template, context, depth)?;
                        if let Some(other) = &mut choice.false_template {
                            self.inline_template(other, context, depth)?;
                        }
                    }
                    Directive::For(each) => {
                        self.inline(&mut each.collection_expr, context, depth)?;
                        self.inline_template(&mut each.template, context, depth)?;
                    }
                },
            }
        }
        Ok(())
    }

    fn call(
        &self,
        function: &Function,
        call: &FuncCall,
        context: &Context<'static>,
        depth: usize,
    ) -> Result<Value, String> {
        self.calls.set(self.calls.get() + 1);
        if depth >= DEEPEST || self.calls.get() > MOST_CALLS {
            return Err(format!("the function `{}` calls functions without end", call.name));
        }
        let args = call.args.iter().map(|arg| arg.evaluate(context).map_err(|error| why(&error)));
        let mut args = args.collect::<Result<Vec<_>, _>>()?;
        if args.len() < function.params.len() {
            return Err(format!("the function `{}` wants {} arguments", call.name, function.params.len()));
        }
        let rest = args.split_off(function.params.len());
        let mut inner = context.clone();
        for (param, arg) in function.params.iter().zip(args) {
            inner.declare_var(param.clone(), arg);
        }
        if let Some(variadic) = &function.variadic {
            inner.declare_var(variadic.clone(), Value::Array(rest));
        }
        self.evaluate_at(&function.result, &inner, depth + 1)
    }
}

/// Why an expression with a variable that is not there comes to nothing.
pub(super) fn no_variable(name: &str) -> String {
    format!("there is no variable `{name}`")
}

/// The reason without the expression: the note that tells it has its place.
fn why(error: &hcl::eval::Error) -> String {
    use hcl::eval::ErrorKind;
    match error.kind() {
        ErrorKind::UndefinedVar(name) => no_variable(name),
        ErrorKind::UndefinedFunc(name) => format!("imk does not know the function `{name}`"),
        ErrorKind::FuncCall(name, message) => format!("{name}: {message}"),
        other => other.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}
