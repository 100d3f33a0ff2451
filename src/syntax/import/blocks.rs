//! A bake file as blocks of attributes, from HCL or from the JSON that says the same.
//!
//! Knows the kinds of blocks that bake has and where each attribute stands.
//! Evaluates nothing.

use hcl::expr::{Expression, ObjectKey, TemplateExpr};
use hcl_edit::structure::{Body, Structure};

use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::yaml::{Key, Node, Shared, Value};

/// A bake file as written.
#[derive(Debug, Default)]
pub(super) struct File {
    pub blocks: Vec<Block>,
    /// Attributes outside of all blocks: variables that nobody can override.
    pub globals: Vec<Attr>,
}

/// A block, such as `target "web" {…}`.
#[derive(Debug)]
pub(super) struct Block {
    /// `target`, `group`, `variable`, `function`.
    pub kind: String,
    pub label: String,
    pub span: Span,
    pub attrs: Vec<Attr>,
    /// Blocks in it: their kind, place and attributes.
    pub inner: Vec<(String, Span, Vec<Attr>)>,
}

/// `name = expression`.
#[derive(Clone, Debug)]
pub(super) struct Attr {
    pub name: String,
    pub span: Span,
    pub expr: Expression,
}

impl Block {
    pub fn attr(&self, name: &str) -> Option<&Attr> {
        self.attrs.iter().find(|attr| attr.name == name)
    }
}

fn span_of(spanned: &impl hcl_edit::Span) -> Span {
    spanned.span().map(|range| Span::new(range.start, range.end)).unwrap_or_default()
}

/// Reads HCL.
///
/// # Errors
/// The first thing that is not HCL.
pub(super) fn read(text: &str) -> Result<File, Vec<SyntaxError>> {
    let body = hcl_edit::parser::parse_body(text).map_err(|error| {
        let at = error.location().offset().min(text.len());
        vec![SyntaxError::new(Span::new(at, at), format!("not valid HCL: {}", error.message()))]
    })?;
    let mut file = File::default();
    for structure in &body {
        match structure {
            Structure::Attribute(attribute) => file.globals.push(attr(attribute)),
            Structure::Block(block) => {
                let label = block.labels.first().map(|label| label.as_str().to_owned()).unwrap_or_default();
                file.blocks.push(Block {
                    kind: block.ident.as_str().to_owned(),
                    label,
                    span: span_of(&block.ident),
                    attrs: attributes(&block.body),
                    inner: block
                        .body
                        .blocks()
                        .map(|b| (b.ident.as_str().to_owned(), span_of(&b.ident), attributes(&b.body)))
                        .collect(),
                });
            }
        }
    }
    Ok(file)
}

fn attributes(body: &Body) -> Vec<Attr> {
    body.attributes().map(attr).collect()
}

fn attr(attribute: &hcl_edit::structure::Attribute) -> Attr {
    let name = attribute.key.as_str().to_owned();
    Attr { name, span: span_of(&attribute.key), expr: attribute.value.clone().into() }
}

/// Reads the JSON form: `{"target": {"web": {…}}}`. Its texts are templates, a list of blocks may stand
/// wherever a block can, and `//` is a comment (HCL's JSON syntax).
///
/// # Errors
/// Whatever does not have that form.
pub(super) fn from_tree(root: &Node) -> Result<File, Vec<SyntaxError>> {
    let mut file = File::default();
    for (kind, value) in properties(root) {
        if !matches!(kind.text.as_str(), "target" | "group" | "variable" | "function") {
            file.globals.push(Attr { name: kind.text.clone(), span: kind.span, expr: expression(value) });
            continue;
        }
        for named in blocks(value, &format!("expected `{}` to hold names", kind.text))? {
            for (label, body) in properties(&named) {
                let message = format!("expected `{}` to hold the keys of a {}", label.text, kind.text);
                for body in blocks(body, &message)? {
                    let is_rule = |key: &Key| kind.text == "variable" && key.text == "validation";
                    let attrs = properties(&body).filter(|(key, _)| !is_rule(key)).map(|(key, value)| {
                        let is_type = kind.text == "variable" && key.text == "type";
                        let expr = if is_type { code(value) } else { expression(value) };
                        Attr { name: key.text.clone(), span: key.span, expr }
                    });
                    let attrs = attrs.collect();
                    let mut inner = Vec::new();
                    for (key, value) in properties(&body).filter(|(key, _)| is_rule(key)) {
                        for rule in blocks(value, "expected `validation` to hold the keys of a rule")? {
                            let attrs = properties(&rule).map(|(key, value)| Attr {
                                name: key.text.clone(),
                                span: key.span,
                                expr: expression(value),
                            });
                            inner.push((key.text.clone(), key.span, attrs.collect()));
                        }
                    }
                    let (kind, label, span) = (kind.text.clone(), label.text.clone(), label.span);
                    file.blocks.push(Block { kind, label, span, attrs, inner });
                }
            }
        }
    }
    Ok(file)
}

/// The entries of a block, without comments.
fn properties(node: &Node) -> impl Iterator<Item = &(Key, Shared)> {
    node.entries().iter().filter(|(key, _)| key.text != "//")
}

/// One block, or each of a list of them.
fn blocks(node: &Shared, message: &str) -> Result<Vec<Shared>, Vec<SyntaxError>> {
    let all = if let Value::List(items) = &node.value { items.clone() } else { vec![Shared::clone(node)] };
    match all.iter().find(|block| !matches!(block.value, Value::Map(_))) {
        Some(other) => Err(vec![SyntaxError::new(other.span, message)]),
        None => Ok(all),
    }
}

/// A JSON value: a text with `${` or `%{` is a template.
fn expression(node: &Shared) -> Expression {
    match &node.value {
        Value::Null => Expression::Null,
        Value::Scalar { text, quoted: true } if text.contains("${") || text.contains("%{") => {
            Expression::TemplateExpr(Box::new(TemplateExpr::QuotedString(text.clone())))
        }
        Value::Scalar { text, quoted: true } => Expression::String(text.clone()),
        Value::Scalar { text, .. } => match text.as_str() {
            "true" => Expression::Bool(true),
            "false" => Expression::Bool(false),
            other => match (other.parse::<i64>(), other.parse::<f64>()) {
                (Ok(number), _) => Expression::from(number),
                (_, Ok(number)) if number.is_finite() => Expression::from(number),
                _ => Expression::String(text.clone()),
            },
        },
        Value::List(items) => Expression::Array(items.iter().map(expression).collect()),
        Value::Map(entries) => {
            let entries = entries.iter();
            let pairs = entries.map(|(key, value)| {
                (ObjectKey::Expression(Expression::String(key.text.clone())), expression(value))
            });
            Expression::Object(pairs.collect())
        }
    }
}

/// A variable's type in JSON: a text that holds an expression.
fn code(node: &Shared) -> Expression {
    node.text().and_then(|text| text.parse().ok()).unwrap_or_else(|| expression(node))
}
