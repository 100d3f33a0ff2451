//! YAML, and JSON which is YAML too, as a tree in which every key has its place.
//!
//! Anchors, aliases and merge keys are resolved; an aliased node is shared, never
//! copied, so that aliases of aliases cannot multiply. Knows no format's keys.

use std::collections::BTreeMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle};

use crate::syntax::error::{Span, SyntaxError};

/// Deeper trees are refused: they would be walked with recursion.
const DEEPEST: usize = 64;
/// Keys that merge keys may bring in altogether.
const MOST_MERGED: usize = 100_000;

/// A node that may stand in several places.
pub(super) type Shared = Rc<Node>;

/// A node of the tree.
#[derive(Debug)]
pub(super) struct Node {
    pub span: Span,
    pub value: Value,
    /// A tag of its own, such as compose's `!override`, without the mark; of YAML's own none.
    pub tag: Option<String>,
    depth: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    /// A text, a number, true or false; `quoted` when it can only be a text.
    Scalar {
        text: String,
        quoted: bool,
    },
    List(Vec<Shared>),
    Map(Vec<(Key, Shared)>),
}

/// A key with its place.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub text: String,
    pub span: Span,
}

impl Node {
    /// A text that stands in no file.
    pub fn text_at(text: &str, span: Span) -> Self {
        Self { span, value: Value::Scalar { text: text.to_owned(), quoted: true }, tag: None, depth: 1 }
    }

    /// The node at another place with another value of the same depth.
    pub fn changed(&self, span: Span, value: Value) -> Self {
        Self { span, value, tag: self.tag.clone(), depth: self.depth }
    }

    /// A map with one more entry.
    pub fn with(&self, key: Key, value: Shared) -> Self {
        let entries = self.entries().iter().cloned().chain([(key, value)]).collect();
        self.changed(self.span, Value::Map(entries))
    }

    /// Whether compose's `!reset` takes away what has this value.
    pub fn is_reset(&self) -> bool {
        self.tag.as_deref() == Some("reset")
    }

    /// The same value under compose's `!override`.
    fn overriding(&self) -> Self {
        let tag = Some(if self.is_reset() { "reset" } else { "override" }.to_owned());
        Self { tag, ..self.changed(self.span, self.value.clone()) }
    }

    /// How many nodes stand directly in it.
    fn len(&self) -> usize {
        match &self.value {
            Value::Map(entries) => entries.len(),
            Value::List(items) => items.len(),
            Value::Null | Value::Scalar { .. } => 0,
        }
    }

    /// The value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Shared> {
        self.entries().iter().find(|(other, _)| other.text == key).map(|(_, node)| node)
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[(Key, Shared)] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The text of a scalar.
    pub fn text(&self) -> Option<&str> {
        if let Value::Scalar { text, .. } = &self.value { Some(text) } else { None }
    }

    /// The items of a list; a scalar is a list of itself.
    pub fn items(self: &Rc<Self>) -> Vec<Shared> {
        match &self.value {
            Value::List(items) => items.clone(),
            Value::Scalar { .. } => vec![Rc::clone(self)],
            Value::Null | Value::Map(_) => Vec::new(),
        }
    }

    /// Nothing, or false, or no items: what says the same as leaving it out.
    pub fn is_nothing(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Scalar { text, .. } => text.is_empty() || text == "false",
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
        }
    }
}

/// The documents of a YAML or JSON text.
///
/// # Errors
/// The first thing that cannot be read.
pub(super) fn read(text: &str) -> Result<Vec<Shared>, SyntaxError> {
    let mut loader = Loader { anchors: BTreeMap::new(), open: Vec::new(), documents: Vec::new(), merged: 0 };
    for event in Parser::new_from_str(text) {
        let (event, place) = event.map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or_default().min(text.len());
            SyntaxError::new(Span::new(at, at), format!("cannot be read: {}", error.info()))
        })?;
        let range = place.byte_range().unwrap_or_default();
        loader.take(event, Span::new(range.start, range.end))?;
    }
    Ok(loader.documents)
}

struct Loader {
    anchors: BTreeMap<usize, Shared>,
    open: Vec<Open>,
    documents: Vec<Shared>,
    merged: usize,
}

/// A list or a map whose end has not come yet.
struct Open {
    span: Span,
    anchor: usize,
    items: Vec<Shared>,
    is_map: bool,
    tag: Option<String>,
}

impl Loader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = tag.as_ref().is_some_and(|tag| tag.suffix() == "str" && own(tag).is_none());
                let quoted = style != ScalarStyle::Plain || is_text;
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if !quoted => Value::Null,
                    text => Value::Scalar { text: text.to_owned(), quoted },
                };
                self.add(Node { span, value, tag: tag.and_then(|tag| own(&tag)), depth: 1 }, anchor)?;
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(SyntaxError::new(span, "this alias stands inside of what it names"));
                };
                self.place(node);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(span, anchor, false, tag.and_then(|tag| own(&tag)))?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(span, anchor, true, tag.and_then(|tag| own(&tag)))?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span)?,
            _ => {}
        }
        Ok(())
    }

    fn open(
        &mut self,
        span: Span,
        anchor: usize,
        is_map: bool,
        tag: Option<String>,
    ) -> Result<(), SyntaxError> {
        if self.open.len() >= DEEPEST {
            return Err(too_deep(span));
        }
        self.open.push(Open { span, anchor, items: Vec::new(), is_map, tag });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Result<(), SyntaxError> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = if open.is_map { self.map(&open.items)? } else { Value::List(open.items) };
        // Through aliases a tree can be deeper than its text.
        let below = match &value {
            Value::Map(entries) => entries.iter().map(|(_, node)| node.depth).max(),
            Value::List(items) => items.iter().map(|node| node.depth).max(),
            Value::Null | Value::Scalar { .. } => None,
        };
        let depth = 1 + below.unwrap_or_default();
        if depth > DEEPEST {
            return Err(too_deep(open.span));
        }
        let span = Span::new(open.span.start, end.end.max(open.span.end));
        self.add(Node { span, value, tag: open.tag, depth }, open.anchor)
    }

    /// Keys and values in turn; what `<<` brings comes after, and only for keys that are not there. A key that compose's
    /// `!reset` takes away is not there, and what is brought in its place overrides, as the key itself would have.
    fn map(&mut self, items: &[Shared]) -> Result<Value, SyntaxError> {
        let mut entries: Vec<(Key, Shared)> = Vec::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut reset = BTreeMap::new();
        let mut merges = Vec::new();
        for pair in items.chunks_exact(2) {
            let key = match &pair[0].value {
                Value::Scalar { text, .. } => text.clone(),
                Value::Null => "null".to_owned(),
                _ => return Err(SyntaxError::new(pair[0].span, "only a text can be a key here")),
            };
            if key == "<<" && matches!(pair[0].value, Value::Scalar { quoted: false, .. }) {
                merges.push(&pair[1]);
            } else if seen.insert(key.clone()) {
                if pair[1].is_reset() {
                    reset.insert(key.clone(), entries.len());
                }
                entries.push((Key { text: key, span: pair[0].span }, Rc::clone(&pair[1])));
            } else {
                return Err(SyntaxError::new(pair[0].span, format!("the key `{key}` stands here twice")));
            }
        }
        for merge in merges {
            let sources =
                if let Value::List(list) = &merge.value { list.clone() } else { vec![Rc::clone(merge)] };
            for source in &sources {
                let Value::Map(brought) = &source.value else {
                    return Err(SyntaxError::new(merge.span, "`<<` takes a map, or a list of maps"));
                };
                self.merged += brought.len();
                if self.merged > MOST_MERGED {
                    return Err(SyntaxError::new(
                        merge.span,
                        "the merge keys of this file bring in too much",
                    ));
                }
                for (key, value) in brought {
                    if let Some(place) = reset.remove(&key.text) {
                        self.merged += value.len();
                        entries[place] = (key.clone(), Rc::new(value.overriding()));
                    } else if seen.insert(key.text.clone()) {
                        entries.push((key.clone(), Rc::clone(value)));
                    }
                }
            }
        }
        Ok(Value::Map(entries))
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        let node = Rc::new(node);
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.place(node);
        Ok(())
    }

    fn place(&mut self, node: Shared) {
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.documents.push(node),
        }
    }
}

/// A tag that is none of YAML's own, which only say what a value is anyway.
fn own(tag: &granit_parser::Tag) -> Option<String> {
    (tag.handle() == "!").then(|| tag.suffix().to_string())
}

fn too_deep(span: Span) -> SyntaxError {
    SyntaxError::new(span, format!("nested more than {DEEPEST} deep"))
}
