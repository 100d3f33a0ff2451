//! The names of a bake file: its variables, settled when they are asked for, its functions and its targets' keys.
//!
//! Each text of a variable has a mark beside its value, so that `evaluate` can tell where the variable itself is carried
//! over. Knows no targets but by their attributes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use hcl::expr::Expression;

use super::blocks::{Attr, Block, File};
use super::draft::Drafts;
use super::expression::{self, Evaluator, Kind, Locals, Names, Number, Type, Value};
use crate::syntax::error::{Span, SyntaxError};

/// Around a variable's name where its value would stand.
pub(super) const MARKS: [char; 2] = ['\u{e000}', '\u{e001}'];

/// Every name of a file, and what its expressions have cost so far.
pub(super) struct Globals<'f> {
    variables: BTreeMap<String, Declared<'f>>,
    settled: RefCell<BTreeMap<String, Result<Settled, String>>>,
    functions: BTreeMap<String, Function<'f>>,
    /// Keys of targets and groups, by `target.NAME` and the key.
    keys: RefCell<BTreeMap<(String, String), Key>>,
    labels: RefCell<Vec<String>>,
    environment: &'f BTreeMap<String, String>,
    spent: Cell<usize>,
    depth: Cell<usize>,
    /// Names that are being settled or called now: whoever comes there again is in a circle.
    within: RefCell<Vec<String>>,
    circle: RefCell<Option<String>>,
}

/// A key of a target, with the names of its matrix.
#[derive(Clone)]
struct Key {
    attr: Attr,
    locals: Vec<(String, Value)>,
}

/// A variable as its block, or an attribute outside of all blocks, declares it.
struct Declared<'f> {
    default: Option<&'f Attr>,
    kind: Option<&'f Attr>,
    /// True if the environment may override it.
    open: bool,
}

#[derive(Clone)]
struct Settled {
    value: Value,
    /// A mark in place of a text that can be carried over as the variable.
    marked: Value,
    overridden: bool,
}

struct Function<'f> {
    params: Vec<String>,
    rest: Option<String>,
    result: &'f Expression,
}

/// A file's names with values, or with marks in their place.
struct View<'g, 'f> {
    globals: &'g Globals<'f>,
    marked: bool,
}

impl<'f> Globals<'f> {
    /// Settles every variable; texts that an Imagefile can keep go to `drafts`.
    ///
    /// # Errors
    /// Mistakes that bake refuses: variables and functions that are made of themselves, and rules of variables that do not hold.
    pub fn of(
        file: &'f File,
        environment: &'f BTreeMap<String, String>,
        drafts: &mut Drafts,
    ) -> Result<Self, Vec<SyntaxError>> {
        let mut globals = Self {
            variables: BTreeMap::new(),
            settled: RefCell::default(),
            functions: functions(file, drafts),
            keys: RefCell::default(),
            labels: RefCell::default(),
            environment,
            spent: Cell::default(),
            depth: Cell::default(),
            within: RefCell::default(),
            circle: RefCell::default(),
        };
        for attr in &file.globals {
            globals
                .variables
                .insert(attr.name.clone(), Declared { default: Some(attr), kind: None, open: false });
        }
        let blocks = || file.blocks.iter().filter(|block| block.kind == "variable");
        for block in blocks() {
            let declared = Declared { default: block.attr("default"), kind: block.attr("type"), open: true };
            globals.variables.insert(block.label.clone(), declared);
        }
        let outside = file.globals.iter().map(|attr| (attr.name.as_str(), attr.span));
        for (name, span) in blocks().map(|block| (block.label.as_str(), block.span)).chain(outside) {
            let settled = globals.settle(name);
            globals.no_circle(span)?;
            match settled {
                Err(why) => drafts.lost(span, format!("the variable `{name}`: {why}")),
                Ok(settled) => {
                    if settled.overridden {
                        let text =
                            format!("the variable `{name}` has the value that the environment gives it now");
                        drafts.changed(span, text);
                    }
                    if let (Value::Text(text), true) = (&settled.value, settled.marked != settled.value) {
                        drafts.vars.insert(name.to_owned(), text.clone());
                    }
                }
            }
        }
        for block in blocks() {
            globals.rules(block, drafts)?;
        }
        Ok(globals)
    }

    /// # Errors
    /// A name that led back to itself since the last time.
    pub fn no_circle(&self, span: Span) -> Result<(), Vec<SyntaxError>> {
        let Some(message) = self.circle.borrow_mut().take() else { return Ok(()) };
        Err(vec![SyntaxError::new(span, message).hint("bake refuses this file too")])
    }

    /// Makes a target's attributes known to expressions: `target.web.tags`.
    pub fn declare(&self, kind: &str, label: &str, attrs: &[Attr], locals: &[(String, Value)]) {
        let label = format!("{kind}.{label}");
        for attr in attrs {
            let key = Key { attr: attr.clone(), locals: locals.to_vec() };
            self.keys.borrow_mut().insert((label.clone(), attr.name.clone()), key);
        }
        self.labels.borrow_mut().push(label);
    }

    /// The value of an expression, with marks or without.
    ///
    /// # Errors
    /// The reason that it has none.
    pub fn value(
        &self,
        expr: &Expression,
        locals: &[(String, Value)],
        marked: bool,
    ) -> Result<Value, String> {
        let names = View { globals: self, marked };
        let locals = Locals { outside: None, names: locals.to_vec() };
        Evaluator { names: &names, spent: &self.spent, depth: &self.depth }.value(expr, &locals)
    }

    /// The rules of a variable: one that does not hold is an error, as in bake.
    fn rules(&self, block: &Block, drafts: &mut Drafts) -> Result<(), Vec<SyntaxError>> {
        let name = &block.label;
        for (kind, span, attrs) in &block.inner {
            let attr = |name: &str| attrs.iter().find(|attr| attr.name == name);
            let condition = attr("condition").filter(|_| kind == "validation");
            let holds = condition.map(|attr| self.value(&attr.expr, &[], false));
            if let Some(Ok(value)) = &holds
                && value.as_truth() == Some(false)
            {
                let told =
                    attr("error_message").and_then(|attr| self.value(&attr.expr, &[], false).ok()?.as_text());
                let told = told.unwrap_or_else(|| "its validation does not hold".to_owned());
                let message = format!("the variable `{name}`: {told}");
                return Err(vec![SyntaxError::new(*span, message).hint("bake refuses this value too")]);
            }
            let why = match holds {
                Some(Err(why)) => why,
                _ => "an Imagefile checks no values".to_owned(),
            };
            drafts.lost(*span, format!("{kind} of the variable `{name}`: {why}"));
        }
        Ok(())
    }

    fn enter(&self, name: &str, noun: &str) -> Result<(), String> {
        if self.within.borrow().iter().any(|other| other == name) {
            let message = format!("the {noun} `{}` is made of itself", name.trim_end_matches("()"));
            self.circle.borrow_mut().get_or_insert(message.clone());
            return Err(message);
        }
        if self.within.borrow().len() > 32 {
            return Err(format!("the {noun} `{name}` stands too deep in others"));
        }
        self.within.borrow_mut().push(name.to_owned());
        Ok(())
    }

    fn settle(&self, name: &str) -> Result<Settled, String> {
        if let Some(settled) = self.settled.borrow().get(name) {
            return settled.clone();
        }
        let Some(declared) = self.variables.get(name) else {
            return Err(match name {
                "BAKE_LOCAL_PLATFORM" => {
                    "it is of this machine, and an Imagefile is of the repository".to_owned()
                }
                _ => format!("there is no variable `{name}`"),
            });
        };
        self.enter(name, "variable")?;
        let settled = self.resolved(name, declared);
        self.within.borrow_mut().pop();
        self.settled.borrow_mut().insert(name.to_owned(), settled.clone());
        settled
    }

    fn resolved(&self, name: &str, declared: &Declared<'_>) -> Result<Settled, String> {
        let kind = declared.kind.filter(|attr| attr.expr != Expression::Null);
        let kind = kind.map(|attr| Type::read(&attr.expr)).transpose()?;
        let given = self.given(name, declared.open, kind.is_some());
        let default = match (declared.default, &kind) {
            (Some(attr), _) => self.value(&attr.expr, &[], false)?,
            (None, Some(_)) => Value::Null,
            (None, None) => Value::from(""),
        };
        let default = kind.as_ref().map_or(Ok(default.clone()), |kind| kind.converted(&default))?;
        let value = match (&given, &kind) {
            (None, _) => default,
            (Some((text, true)), kind) => {
                let value = expression::decoded(text)?;
                kind.as_ref().map_or(Ok(value.clone()), |kind| kind.converted(&value))?
            }
            (Some((text, false)), Some(kind)) => typed(text, kind)?,
            (Some((text, false)), None) => untyped(text, &default)?,
        };
        let mark = format!("{}{name}{}", MARKS[0], MARKS[1]);
        let is_text = matches!(value, Value::Text(_)) && declared.open;
        let marked = if is_text { Value::Text(mark) } else { value.clone() };
        Ok(Settled { value, marked, overridden: given.is_some() })
    }

    /// The environment's word for a variable, and whether it is JSON.
    fn given(&self, name: &str, open: bool, typed: bool) -> Option<(&'f str, bool)> {
        if !open {
            return None;
        }
        let plain = self.environment.get(name);
        let other = format!("{name}_JSON");
        let json = self.environment.get(&other).filter(|_| !self.variables.contains_key(&other));
        match (plain, json) {
            (Some(text), None) => Some((text, false)),
            (Some(text), Some(_)) if !typed => Some((text, false)),
            (_, Some(json)) => Some((json, typed)),
            (None, None) => None,
        }
    }
}

impl Names for View<'_, '_> {
    fn variable(&self, name: &str) -> Result<Value, String> {
        if name == "BAKE_CMD_CONTEXT" {
            return Ok(Value::from("cwd://"));
        }
        let settled = self.globals.settle(name)?;
        Ok(if self.marked { settled.marked } else { settled.value })
    }

    fn attribute(&self, kind: &str, label: &str, attribute: &str) -> Option<Result<Value, String>> {
        let label = format!("{kind}.{label}");
        if !self.globals.labels.borrow().contains(&label) {
            return None;
        }
        let name = format!("{label}.{attribute}");
        let found = self.globals.keys.borrow().get(&(label, attribute.to_owned())).cloned();
        let Some(Key { attr, locals }) = found else { return Some(Ok(Value::Null)) };
        let value = self.globals.enter(&name, "key").and_then(|()| {
            let value = self.globals.value(&attr.expr, &locals, self.marked);
            self.globals.within.borrow_mut().pop();
            value
        });
        Some(value)
    }

    fn function(&self, name: &str) -> Option<(&[String], Option<&str>, &Expression)> {
        let function = self.globals.functions.get(name)?;
        Some((&function.params, function.rest.as_deref(), function.result))
    }

    fn enter(&self, function: &str) -> Result<(), String> {
        self.globals.enter(&format!("{function}()"), "function")
    }

    fn leave(&self) {
        self.globals.within.borrow_mut().pop();
    }
}

/// The functions a file defines; those that make no sense are told.
fn functions<'f>(file: &'f File, drafts: &mut Drafts) -> BTreeMap<String, Function<'f>> {
    let names = |expr: &Expression| -> Vec<String> {
        let items =
            if let Expression::Array(items) = expr { items.as_slice() } else { std::slice::from_ref(expr) };
        let name = |item: &Expression| match item {
            Expression::Variable(name) => Some(name.as_str().to_owned()),
            Expression::String(name) => Some(name.clone()),
            _ => None,
        };
        items.iter().filter_map(name).collect()
    };
    let mut found = BTreeMap::new();
    for block in file.blocks.iter().filter(|block| block.kind == "function") {
        if expression::exists(&block.label) {
            let text = format!("the function `{}`: bake's own of that name is meant", block.label);
            drafts.lost(block.span, text);
            continue;
        }
        let Some(result) = block.attr("result") else {
            drafts.lost(block.span, format!("the function `{}`: it has no result", block.label));
            continue;
        };
        let params = block.attr("params").map(|attr| names(&attr.expr)).unwrap_or_default();
        let rest = block.attr("variadic_params").and_then(|attr| names(&attr.expr).into_iter().next());
        found.insert(block.label.clone(), Function { params, rest, result: &result.expr });
    }
    found
}

/// The environment's text as a value of a type that the file names; a list's is CSV.
fn typed(text: &str, kind: &Type) -> Result<Value, String> {
    let fields = || {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
        let record = reader.records().next().and_then(Result::ok).unwrap_or_default();
        record.iter().map(str::to_owned).collect::<Vec<_>>()
    };
    match kind {
        Type::Any => Ok(Value::from(text)),
        kind if kind.is_plain() => plain(text, kind),
        Type::Sequence(_, inner) if inner.is_plain() => {
            let items = fields().iter().map(|field| plain(field, inner)).collect::<Result<_, _>>()?;
            kind.converted(&Value::Sequence(Kind::List, items))
        }
        Type::Tuple(types) => {
            let items = fields();
            if items.len() != types.len() {
                return Err(format!(
                    "the environment gives {} items, and {} are wanted",
                    items.len(),
                    types.len()
                ));
            }
            let items =
                items.iter().zip(types).map(|(field, kind)| plain(field, kind)).collect::<Result<_, _>>()?;
            Ok(Value::Sequence(Kind::Tuple, items))
        }
        Type::Map(inner) if inner.is_plain() => {
            let pair = |field: &String| {
                let (key, value) =
                    field.split_once(':').ok_or("the environment's text is no list of KEY:VALUE")?;
                Ok::<_, String>((key.to_owned(), plain(value, inner)?))
            };
            Ok(Value::Object(fields().iter().map(pair).collect::<Result<_, _>>()?))
        }
        _ => Err("a value of its type can come from the environment as JSON alone".into()),
    }
}

/// The environment's text, read as the kind of value that the file has.
fn untyped(text: &str, default: &Value) -> Result<Value, String> {
    match default {
        Value::Bool(_) => plain(text, &Type::Bool),
        Value::Number(_) => plain(text, &Type::Number),
        Value::Null | Value::Text(_) => Ok(Value::from(text)),
        Value::Sequence(..) | Value::Object(_) => {
            Err("the environment has a text for it, and it is a list or a map".into())
        }
    }
}

/// A text of the environment as Go's `strconv` reads it.
fn plain(text: &str, kind: &Type) -> Result<Value, String> {
    let wrong = |noun: &str| format!("the environment's `{text}` is not {noun}");
    match kind {
        Type::Bool => match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true.into()),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false.into()),
            _ => Err(wrong("true or false")),
        },
        Type::Number => {
            let number =
                text.parse().ok().filter(|number: &f64| number.is_finite()).and_then(Number::of_float);
            number.map(Value::Number).ok_or_else(|| wrong("a number"))
        }
        _ => Ok(Value::from(text)),
    }
}
