//! `docker-bake.hcl` and `docker-bake.json`: targets, their inheritance and matrices, groups.
//!
//! Follows the bake file reference of docker buildx. A target that only serves
//! others becomes a template. Knows blocks and values; reads no text.

mod merge;
mod parents;
mod target;

use parents::Parents;
use target::Keys;
pub(super) use target::{file_of, platforms};

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::blocks::{Attr, Block, File};
use super::draft::{Draft, Drafts, Group};
use super::evaluate::{Carried, Scope};
use super::expression::Value;
use super::matrix::{AxisValue, Member};
use super::variables::Globals;
use crate::syntax::error::{Span, SyntaxError};

/// Targets that matrices may make.
const MOST_TARGETS: usize = 1000;

/// A target of the file, or one that a matrix made.
struct Target<'f> {
    name: String,
    span: Span,
    /// Its blocks, each with the variables that are in force there.
    blocks: Vec<(Vec<Attr>, Scope<'f>)>,
    inherits: Vec<String>,
    /// The matrix that made it, if nothing else has a part in it.
    matrix: Option<Member>,
}

impl<'f> Target<'f> {
    /// Its blocks' attributes with their names in force, and its name.
    fn named_blocks(&self) -> impl Iterator<Item = (&[Attr], &Scope<'f>, &str)> {
        self.blocks.iter().map(|(attrs, scope)| (attrs.as_slice(), scope, self.name.as_str()))
    }
}

/// Makes drafts of a bake file.
///
/// # Errors
/// What bake refuses: circles, values of a wrong type, names that are there twice; and a matrix without end.
pub(super) fn read(file: File, source: &Source<'_>) -> Result<Drafts, Vec<SyntaxError>> {
    let mut drafts = Drafts::default();
    let globals = Globals::of(&file, source.environment, &mut drafts)?;
    let scope = Scope::of(&globals);
    let targets = targets(&file, &scope, &mut drafts)?;
    for (attrs, scope, name) in targets.iter().flat_map(Target::named_blocks) {
        globals.declare("target", name, attrs, &scope.locals);
    }
    for block in file.blocks.iter().filter(|block| block.kind == "group") {
        globals.declare("group", &block.label, &block.attrs, &[]);
    }
    groups(&file, &scope, &mut drafts);
    let has = |drafts: &Drafts, name: &str| drafts.groups.iter().any(|group| group.name == name);
    if !has(&drafts, "default") && targets.iter().any(|target| target.name == "default") {
        drafts.default.push("default".into());
    }
    if let Some(at) = drafts.groups.iter().position(|group| group.name == "default") {
        let group = drafts.groups.remove(at);
        (drafts.default, drafts.default_span) = (group.members, group.span);
        // imk's default has no name: where a group has it as a member, its own stand.
        for group in &mut drafts.groups {
            if let Some(at) = group.members.iter().position(|member| member == "default") {
                group.members.splice(at..=at, drafts.default.iter().cloned());
            }
        }
    }

    let mut own: BTreeMap<&str, Keys> = BTreeMap::new();
    for target in &targets {
        own.insert(&target.name, keys(target, &mut drafts)?);
        globals.no_circle(target.span)?;
    }
    no_circle_of_contexts(&targets, &own)?;
    let inherits = targets.iter().map(|target| (target.name.as_str(), target.inherits.as_slice()));
    let mut parents = Parents::new(&own, inherits.collect());
    let serving = serving(&targets, &own, &drafts);
    for target in &targets {
        if own[target.name.as_str()].is_empty() && target.inherits.is_empty() {
            drafts.lost(
                target.span,
                format!("the target `{}`: it says nothing here; what other files or the command line add is not read", target.name),
            );
        }
        let flat = parents.flat(&target.name).map_err(|message| {
            let hint = "bake refuses this file by itself; a target of another file must be brought into it";
            vec![SyntaxError::new(target.span, message).hint(hint)]
        })?;
        let like = target.inherits.iter().filter(|parent| serving.contains(*parent)).cloned().collect();
        let is_template = serving.contains(&target.name);
        if is_template && !target.name.starts_with('_') && !(flat.is_empty() && target.inherits.is_empty()) {
            let why = "others inherit it, and no group names it";
            drafts.changed(target.span, format!("the target `{}` is a template: {why}", target.name));
        }
        if let Some(draft) =
            target::draft(&target.name, target.span, &flat, like, is_template, &mut drafts, source)
        {
            let draft = Draft { matrix: target.matrix.clone(), ..draft };
            if is_template { &mut drafts.templates } else { &mut drafts.images }.push(draft);
        }
    }
    Ok(drafts)
}

/// All targets, those of matrices included, in the order of the file.
fn targets<'f>(
    file: &File,
    scope: &Scope<'f>,
    drafts: &mut Drafts,
) -> Result<Vec<Target<'f>>, Vec<SyntaxError>> {
    let mut targets: Vec<Target<'f>> = Vec::new();
    for block in &file.blocks {
        match block.kind.as_str() {
            "target" => target_block(block, scope, &mut targets, drafts)?,
            "group" | "variable" | "function" => {}
            other => drafts.lost(block.span, format!("the block `{other}`: bake has none of that kind")),
        }
    }
    Ok(targets)
}

/// Adds a block to its target, or to each that its matrix makes.
fn target_block<'f>(
    block: &Block,
    scope: &Scope<'f>,
    targets: &mut Vec<Target<'f>>,
    drafts: &mut Drafts,
) -> Result<(), Vec<SyntaxError>> {
    let refused = |message: String, hint: &str| Err(vec![SyntaxError::new(block.span, message).hint(hint)]);
    // A name that could not be typed would not be found by `inherits` either.
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    let scopes = matrix(&block.attrs, scope)?;
    for (kind, span, _) in &block.inner {
        let why = "bake passes over a block in a target; write it with `=`";
        drafts.lost(*span, format!("the block `{kind}` of `{}`: {why}", block.label));
    }
    if targets.len() + scopes.len() > MOST_TARGETS {
        let message = format!("the matrices of this file make more than {MOST_TARGETS} targets");
        return Err(vec![SyntaxError::new(block.span, message)]);
    }
    let is_matrix = block.attr("matrix").is_some();
    if block.attr("name").is_some() && !is_matrix {
        return refused(format!("`{}` has a `name` and no `matrix`", block.label), "the label is its name");
    }
    let mut members: Vec<String> = Vec::new();
    for scope in scopes {
        let named = block.attr("name").map(|attr| scope.value(&attr.expr));
        let name = match named {
            None => block.label.clone(),
            Some(Ok(value)) => value.as_text().unwrap_or_default(),
            Some(Err(why)) => {
                return refused(
                    format!("the name of `{}`: {why}", block.label),
                    "bake refuses this file too",
                );
            }
        };
        if name.is_empty() || !plain(&name) {
            return refused(
                format!("`{name}` is no name of a target"),
                "it has letters, digits, `_` and `-`",
            );
        }
        if members.contains(&name) {
            let message = format!("the matrix of `{}` makes `{name}` twice", block.label);
            return refused(message, "give it a `name` with every variable of the matrix");
        }
        members.push(name.clone());
        let inherits = block.attr("inherits").and_then(|attr| scope.value(&attr.expr).ok());
        let inherits = inherits.map(|value| texts(&value)).unwrap_or_default();
        let matrix = if is_matrix { member(block, &scope) } else { None };
        let part = (block.attrs.clone(), scope);
        match targets.iter_mut().find(|target| target.name == name) {
            Some(target) => {
                target.blocks.push(part);
                target.inherits.extend(inherits);
                target.matrix = None;
            }
            None => targets.push(Target { name, span: block.span, blocks: vec![part], inherits, matrix }),
        }
    }
    if is_matrix {
        // As in bake, the block's label means all that its matrix makes.
        drafts.groups.push(Group { name: block.label.clone(), span: block.span, members });
    }
    Ok(())
}

/// One scope for each choice of values that the matrix offers; one without a matrix.
fn matrix<'f>(attrs: &[Attr], scope: &Scope<'f>) -> Result<Vec<Scope<'f>>, Vec<SyntaxError>> {
    let mut scopes = vec![scope.clone()];
    let Some(attr) = attrs.iter().find(|attr| attr.name == "matrix") else { return Ok(scopes) };
    let refused =
        |message: &str| vec![SyntaxError::new(attr.span, message).hint("bake refuses this file too")];
    let axes = match scope.value(&attr.expr) {
        Ok(Value::Object(axes)) => axes,
        Ok(_) => return Err(refused("`matrix` must be a map")),
        Err(why) => return Err(refused(&format!("the matrix: {why}"))),
    };
    for (name, values) in &axes {
        let values =
            values.items().ok_or_else(|| refused(&format!("`{name}` of the matrix must be a list")))?;
        let wider = scopes.iter().take(MOST_TARGETS + 1).flat_map(|scope| {
            values.iter().map(move |value| {
                let mut scope = scope.clone();
                scope.locals.push((name.clone(), value.clone()));
                scope
            })
        });
        scopes = wider.take(MOST_TARGETS + 1).collect();
    }
    Ok(scopes)
}

/// The place of a target in its matrix. Nothing where a value is no text, or holds others that are none.
fn member(block: &Block, scope: &Scope<'_>) -> Option<Member> {
    let mut choice = Vec::new();
    for (axis, value) in &scope.locals {
        let value = match value {
            Value::Object(pairs) => {
                let pairs = pairs.iter().map(|(key, value)| Some((key.clone(), value.as_text()?)));
                AxisValue::Set(pairs.collect::<Option<_>>()?)
            }
            text => AxisValue::Text(text.as_text()?),
        };
        choice.push((axis.clone(), value));
    }
    Some(Member { block: block.span.start, choice })
}

fn groups(file: &File, scope: &Scope<'_>, drafts: &mut Drafts) {
    for block in file.blocks.iter().filter(|block| block.kind == "group") {
        let members = block.attr("targets").map(|attr| scope.value(&attr.expr));
        let members = match members {
            Some(Err(why)) => {
                drafts.lost(block.span, format!("the group `{}`: {why}", block.label));
                continue;
            }
            Some(Ok(value)) => texts(&value),
            None => Vec::new(),
        };
        if members.is_empty() {
            drafts.lost(block.span, format!("the group `{}`: it has no targets", block.label));
        }
        // Of two blocks the later one stands.
        drafts.groups.retain(|group| group.name != block.label);
        drafts.groups.push(Group { name: block.label.clone(), span: block.span, members });
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.items().unwrap_or(std::slice::from_ref(value)).iter().filter_map(Value::as_text).collect()
}

/// The attributes of a target itself, its blocks laid over each other.
fn keys(target: &Target<'_>, drafts: &mut Drafts) -> Result<Keys, Vec<SyntaxError>> {
    let mut keys = Keys::new();
    for (attrs, scope) in &target.blocks {
        let mut block = Keys::new();
        for attr in attrs.iter().filter(|attr| attr.name != "matrix") {
            let value = scope.carried(attr, drafts);
            merge::check(&attr.name, &value, attr.span)?;
            if !matches!(attr.name.as_str(), "name" | "inherits") {
                block.insert(attr.name.clone(), (value, attr.span));
            }
        }
        merge::lay(&mut keys, &block);
    }
    Ok(keys)
}

/// Targets that are each other's bases.
fn no_circle_of_contexts(targets: &[Target<'_>], own: &BTreeMap<&str, Keys>) -> Result<(), Vec<SyntaxError>> {
    let bases = |name: &str| -> Vec<String> {
        let Some((Carried::Map(entries), _)) = own.get(name).and_then(|keys| keys.get("contexts")) else {
            return Vec::new();
        };
        let base = |value: &Carried| value.text()?.strip_prefix("target:").map(str::to_owned);
        entries.iter().filter_map(|(_, value)| base(value)).collect()
    };
    for target in targets {
        let (mut todo, mut seen) = (bases(&target.name), BTreeSet::new());
        while let Some(name) = todo.pop() {
            if name == target.name {
                let message = format!("the contexts of `{name}` lead back to it");
                let hint = "one of these `target:` must go: bake refuses this file too";
                return Err(vec![SyntaxError::new(target.span, message).hint(hint)]);
            }
            if seen.insert(name.clone()) {
                todo.extend(bases(&name));
            }
        }
    }
    Ok(())
}

/// Targets that are there for others to inherit: those named with `_` as bake's
/// custom is, those that say nothing, and those that are inherited, in no group,
/// nobody's base, and no whole image.
fn serving(targets: &[Target<'_>], own: &BTreeMap<&str, Keys>, drafts: &Drafts) -> BTreeSet<String> {
    let inherited: BTreeSet<&String> = targets.iter().flat_map(|target| &target.inherits).collect();
    let grouped = |name: &String| {
        drafts.default.contains(name) || drafts.groups.iter().any(|group| group.members.contains(name))
    };
    let is_base = |name: &str| {
        let word = format!("target:{name}");
        let holds = |keys: &Keys| match keys.get("contexts") {
            Some((Carried::Map(entries), _)) => {
                entries.iter().any(|(_, value)| value.text() == Some(word.as_str()))
            }
            _ => false,
        };
        own.values().any(holds)
    };
    let says = |name: &str, key: &str| {
        own.get(name).and_then(|keys| keys.get(key)).is_some_and(|(value, _)| !value.is_nothing())
    };
    // What has both a name and something to build it from is built.
    let whole = |name: &str| {
        says(name, "tags") && ["context", "dockerfile", "target"].iter().any(|key| says(name, key))
    };
    let serves = |target: &&Target<'_>| {
        let name = &target.name;
        let helps = inherited.contains(name) && !whole(name) && !drafts.default.is_empty();
        let unused = !grouped(name) && !is_base(name);
        unused && (name.starts_with('_') || target.blocks.iter().all(|(attrs, _)| attrs.is_empty()) || helps)
    };
    targets.iter().filter(serves).map(|target| target.name.clone()).collect()
}
