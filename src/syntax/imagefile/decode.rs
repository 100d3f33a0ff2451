//! From RON's syntax tree to what each key says, before anything is inherited.
//!
//! Goes on after a mistake, so that all mistakes of a file are told at once.
//! Knows the shape of the keys; knows nothing of what they mean together.

use std::collections::BTreeMap;

// Not public by the crate's own word, and its only list of tokens: a guess of ours at what
// is a bracket, and what is text or a comment, could be led astray.
use ron2::__internal::Lexer;
use ron2::ast::{Expr, StructBody, StructField, parse_document_lossy};

use super::keys::renamed;
use super::raw::{Pairs, RawFile, RawGit, RawImage, RawSource, RawTag, RawWhen};
use super::{GIT_KEYS, IMAGE_KEYS, RenamedKey, SecretSource, TOP_KEYS, Word};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::merge_marks;
use crate::syntax::suggest::did_you_mean;
use crate::syntax::tag::WHEN_KEYS;

/// An Imagefile needs five. Beyond 128 the parser (ron2 0.3) stops going forward and takes all memory.
const MOST_BRACKETS: usize = 64;

/// Reads what can be read and tells everything that can't.
pub(super) fn decode(text: &str) -> (RawFile, Vec<SyntaxError>) {
    let mut file = RawFile::default();
    let empty = "an Imagefile holds one value in parentheses: (images: {…})";
    let errors = read_value(text, Some(empty), |reader, value| {
        reader.file(value, &mut file);
        file.renamed_keys = std::mem::take(&mut reader.renamed_keys);
    });
    (file, errors)
}

/// Hands the one value of a text to `take`. `empty` is what a text without one is told, where that is a mistake.
pub(in crate::syntax) fn read_value(
    text: &str,
    empty: Option<&str>,
    take: impl FnOnce(&mut Reader, &Expr<'_>),
) -> Vec<SyntaxError> {
    if let Some(span) = too_deep(text) {
        let message = format!("more than {MOST_BRACKETS} brackets stand open here");
        return vec![SyntaxError::new(span, message).hint("five are enough for anything; close them")];
    }
    let (document, broken) = parse_document_lossy(text);
    let mut reader = Reader { errors: Vec::new(), renamed_keys: Vec::new() };
    // What follows the first broken place is mostly its echo.
    for error in broken.iter().take(1) {
        let span = Span::new(error.span().start_offset, error.span().end_offset);
        let error = || SyntaxError::new(span, format!("not valid RON: {}", error.kind()));
        reader.errors.push(merge_marks::first(text).unwrap_or_else(error));
    }
    match &document.value {
        None => {
            if let Some(empty) = empty.filter(|_| reader.errors.is_empty()) {
                reader.wrong(Span::first_of(text), empty);
            }
        }
        Some(value) => take(&mut reader, value),
    }
    reader.errors
}

/// The bracket that is one too many. A bracket that closes another kind closes nothing, as in the parser.
fn too_deep(text: &str) -> Option<Span> {
    let mut open: Vec<&str> = Vec::new();
    for token in Lexer::new(text) {
        let closes = match token.text {
            "(" | "[" | "{" if open.len() == MOST_BRACKETS => {
                return Some(Span::new(token.span.start_offset, token.span.end_offset));
            }
            "(" | "[" | "{" => {
                open.push(token.text);
                continue;
            }
            ")" => "(",
            "]" => "[",
            "}" => "{",
            // The lexer goes on to say that the text is at its end.
            _ if token.span.start_offset >= text.len() => break,
            _ => continue,
        };
        if open.last() == Some(&closes) {
            open.pop();
        }
    }
    None
}

pub(in crate::syntax) struct Reader {
    pub(in crate::syntax) errors: Vec<SyntaxError>,
    renamed_keys: Vec<RenamedKey>,
}

pub(in crate::syntax) fn span_of(expr: &Expr<'_>) -> Span {
    Span::new(expr.span().start_offset, expr.span().end_offset)
}

/// The kind of a value, in a person's words.
fn kind_of(expr: &Expr<'_>) -> &'static str {
    match expr {
        Expr::Unit(_) => "an empty pair of parentheses",
        Expr::Bool(_) => "true or false",
        Expr::Char(_) => "a character",
        Expr::Byte(_) | Expr::Bytes(_) => "bytes",
        Expr::Number(_) => "a number",
        Expr::String(_) => "a text",
        Expr::Option(_) => "an option",
        Expr::Seq(_) => "a list",
        Expr::Map(_) => "a map",
        Expr::Tuple(_) => "a tuple",
        Expr::AnonStruct(_) | Expr::Struct(_) => "a set of keys in parentheses",
        Expr::Error(_) => "not valid RON",
    }
}

impl Reader {
    pub(in crate::syntax) fn wrong(&mut self, span: Span, message: impl Into<String>) {
        self.errors.push(SyntaxError::new(span, message));
    }

    pub(in crate::syntax) fn expected(&mut self, what: &str, expr: &Expr<'_>) {
        // The parser has told of this one already.
        if !matches!(expr, Expr::Error(_)) {
            self.wrong(span_of(expr), format!("expected {what}, found {}", kind_of(expr)));
        }
    }

    fn file(&mut self, value: &Expr<'_>, file: &mut RawFile) {
        self.fields(value, "an Imagefile", TOP_KEYS, |reader, key, value| match key {
            "prefix" => file.prefix = reader.text(value),
            "content_tag" => file.content_tag = reader.text(value),
            "releases" => file.releases = reader.text(value),
            "receipts" => file.receipts = reader.text(value),
            "on_publish" => file.on_publish = reader.on_publish(value),
            "vars" => file.vars = reader.map(value, "variable", Self::text),
            "default" => file.default = reader.list(value),
            "defaults" => file.defaults = reader.image(value),
            "templates" => file.templates = reader.map(value, "template", |r, v| Some(r.image(v))),
            "groups" => file.groups = reader.map(value, "group", |r, v| Some(r.list(v))),
            "engines" => file.engines = reader.map(value, "engine", |r, v| Some(r.engine(v))),
            _ => file.images = reader.map(value, "image", |r, v| Some(r.image(v))),
        });
    }

    pub(super) fn image(&mut self, value: &Expr<'_>) -> RawImage {
        let mut image = RawImage::default();
        self.fields(value, "an image", IMAGE_KEYS, |reader, key, value| match key {
            "like" => image.like = reader.one_or_more(value),
            "dockerfile" => image.dockerfile = reader.text(value),
            "dockerfile_inline" => image.dockerfile_inline = reader.text(value),
            "context" => image.context = reader.source(value),
            "overlays" => image.overlays = reader.map(value, "overlay", Self::source),
            "contexts" => image.contexts = reader.map(value, "context", Self::source),
            "target" => image.target = reader.text(value),
            "args" => image.args = reader.map(value, "argument", Self::text),
            "matrix" => image.matrix = reader.matrix(value),
            "exclude" => image.exclude = reader.exclude(value),
            "platform" => {
                let one = reader.text(value);
                reader.platforms(&mut image, one.map(|one| vec![one]), value);
            }
            "platforms" => {
                let several = reader.one_or_more(value);
                reader.platforms(&mut image, Some(several), value);
            }
            "labels" => image.labels = reader.map(value, "label", Self::text),
            "tags" => image.tags = Some(reader.tags(value)),
            "any_tag" => image.any_tag = reader.flag(value),
            "publish" => image.publish = reader.gates(value),
            "secrets" => image.secrets = reader.map(value, "secret", Self::secret),
            "network" => image.network = reader.text(value),
            "upstream" => image.upstream = reader.policy(value),
            "engine_labels" => image.engine_labels = Some(reader.one_or_more(value)),
            "cache_from" => image.cache_from = Some(reader.one_or_more(value)),
            "cache_to" => image.cache_to = Some(reader.one_or_more(value)),
            "output" => image.output = Some(reader.one_or_more(value)),
            "ssh" => image.ssh = Some(reader.one_or_more(value)),
            "no_cache_filter" => image.no_cache_filter = Some(reader.one_or_more(value)),
            "entitlements" => image.entitlements = Some(reader.one_or_more(value)),
            "annotations" => image.annotations = reader.map(value, "annotation", Self::text),
            "extra_hosts" => image.extra_hosts = reader.map(value, "host", Self::text),
            "shm_size" => image.shm_size = reader.text(value),
            "ulimits" => image.ulimits = Some(reader.one_or_more(value)),
            "tests" => image.tests = reader.map(value, "test", |r, v| Some(r.test(v))),
            "run" => image.run = vec![reader.run(value)],
            _ => image.description = reader.text(value),
        });
        if let (Some(_), Some(inline)) = (&image.dockerfile, &image.dockerfile_inline) {
            self.wrong(
                inline.span,
                "`dockerfile` and `dockerfile_inline` cannot both say what the Dockerfile is",
            );
        }
        image
    }

    /// The fields of a set in parentheses; unknown and repeated ones are told, the others handed on.
    pub(in crate::syntax) fn fields(
        &mut self,
        value: &Expr<'_>,
        owner: &str,
        known: &[(&str, &str)],
        mut take: impl FnMut(&mut Self, &str, &Expr<'_>),
    ) {
        let fields: &[StructField<'_>] = match value {
            Expr::Unit(_) => return,
            Expr::AnonStruct(set) => &set.fields,
            Expr::Struct(named) => match &named.body {
                Some(StructBody::Fields(body)) => &body.fields,
                _ => return self.expected("keys in parentheses", value),
            },
            other => return self.expected("keys in parentheses", other),
        };
        let mut seen: Vec<&str> = Vec::new();
        for field in fields {
            let name = field.name.name.as_ref();
            let span = Span::new(field.name.span.start_offset, field.name.span.end_offset);
            if name.is_empty() {
                // A key that the parser made up to go on; it has told why.
                continue;
            }
            let mut written_as = String::new();
            let name = match renamed(name, known) {
                Some((old, new)) => {
                    self.renamed_keys.push(RenamedKey { span, old, new });
                    written_as = format!(", here by its old name `{old}`");
                    new
                }
                None => name,
            };
            let keys = || known.iter().map(|(key, _)| *key);
            if !keys().any(|key| key == name) {
                let hint = did_you_mean(name, keys())
                    .unwrap_or_else(|| format!("{owner} knows {}", keys().collect::<Vec<_>>().join(", ")));
                self.errors.push(SyntaxError::new(span, format!("{owner} has no key `{name}`")).hint(hint));
            } else if seen.contains(&name) {
                self.wrong(span, format!("the key `{name}` stands here twice{written_as}"));
            } else {
                seen.push(name);
                take(self, name, &field.value);
            }
        }
    }

    pub(in crate::syntax) fn flag(&mut self, value: &Expr<'_>) -> Option<bool> {
        match value {
            Expr::Bool(flag) => Some(flag.value),
            other => {
                self.expected("`true` or `false`", other);
                None
            }
        }
    }

    pub(in crate::syntax) fn text(&mut self, value: &Expr<'_>) -> Option<Word> {
        match value {
            Expr::String(text) => Some(Word { text: text.value.clone(), span: span_of(value) }),
            Expr::Option(option) => match &option.value {
                Some(inner) => self.text(&inner.expr),
                None => None,
            },
            Expr::Number(number) => {
                let error = SyntaxError::new(span_of(value), "expected a text, found a number");
                self.errors.push(error.hint(format!("put it in quotes: \"{}\"", number.raw)));
                None
            }
            other => {
                self.expected("a text in quotes", other);
                None
            }
        }
    }

    pub(in crate::syntax) fn list(&mut self, value: &Expr<'_>) -> Vec<Word> {
        match value {
            Expr::Seq(list) => list.items.iter().filter_map(|item| self.text(&item.expr)).collect(),
            other => {
                self.expected("a list of texts: [\"…\"]", other);
                Vec::new()
            }
        }
    }

    pub(in crate::syntax) fn one_or_more(&mut self, value: &Expr<'_>) -> Vec<Word> {
        match value {
            Expr::Seq(_) => self.list(value),
            one => self.text(one).into_iter().collect(),
        }
    }

    pub(in crate::syntax) fn map<V>(
        &mut self,
        value: &Expr<'_>,
        noun: &str,
        read: impl Fn(&mut Self, &Expr<'_>) -> Option<V>,
    ) -> Pairs<V> {
        let Expr::Map(map) = value else {
            self.expected("a map in braces: {\"name\": …}", value);
            return Vec::new();
        };
        let mut first: BTreeMap<String, Span> = BTreeMap::new();
        let mut pairs = Pairs::new();
        for entry in &map.entries {
            let Some(key) = self.text(&entry.key) else { continue };
            let value = read(self, &entry.value);
            if first.contains_key(&key.text) {
                let error = SyntaxError::new(key.span, format!("two {noun}s are named `{}`", key.text));
                self.errors.push(error.hint("rename or remove one of them"));
                continue;
            }
            first.insert(key.text.clone(), key.span);
            if let Some(value) = value {
                pairs.push((key, value));
            }
        }
        pairs
    }

    fn tags(&mut self, value: &Expr<'_>) -> Vec<RawTag> {
        let Expr::Seq(list) = value else {
            self.expected("a list of tags: [\"…\", When(branch: \"…\", tag: \"…\")]", value);
            return Vec::new();
        };
        let mut tags = Vec::new();
        for item in &list.items {
            match &item.expr {
                Expr::Struct(named) if named.name.name == "When" => tags.extend(self.rule(&item.expr)),
                Expr::Struct(_) | Expr::AnonStruct(_) => {
                    self.expected("a text or When(branch: \"…\", tag: \"…\")", &item.expr);
                }
                plain => tags.extend(self.text(plain).map(|text| RawTag { text, when: None })),
            }
        }
        tags
    }

    fn gates(&mut self, value: &Expr<'_>) -> Option<Vec<RawWhen>> {
        let Expr::Seq(list) = value else {
            self.expected("a list of rules: [When(branch: \"…\"), When(git_tag: \"…\")]", value);
            return None;
        };
        let mut gates = Vec::new();
        for item in &list.items {
            match &item.expr {
                Expr::Struct(named) if named.name.name == "When" => gates.push(self.gate(&item.expr)),
                other => self.expected("When(branch: \"…\") or When(git_tag: \"…\")", other),
            }
        }
        Some(gates)
    }

    fn gate(&mut self, value: &Expr<'_>) -> RawWhen {
        let (mut when, told) = (RawWhen::default(), self.errors.len());
        let keys = &WHEN_KEYS[..WHEN_KEYS.len() - 1];
        self.fields(value, "When", keys, |reader, key, value| match key {
            "branch" => when.branch = Some(reader.one_or_more(value)),
            _ => when.git_tag = Some(reader.one_or_more(value)),
        });
        if self.errors.len() == told && when.branch.is_none() && when.git_tag.is_none() {
            self.wrong(span_of(value), "a rule needs `branch` or `git_tag`: when is it published?");
        }
        when
    }

    /// A rule stands for each of its tags.
    fn rule(&mut self, value: &Expr<'_>) -> Vec<RawTag> {
        let (mut when, mut tags) = (RawWhen::default(), None);
        let told = self.errors.len();
        self.fields(value, "When", WHEN_KEYS, |reader, key, value| match key {
            "branch" => when.branch = Some(reader.one_or_more(value)),
            "git_tag" => when.git_tag = Some(reader.one_or_more(value)),
            _ => tags = Some(reader.one_or_more(value)),
        });
        let whole = self.errors.len() == told;
        if whole && when.branch.is_none() && when.git_tag.is_none() {
            self.wrong(span_of(value), "a rule needs `branch` or `git_tag`: when is the tag given?");
        }
        if whole && tags.is_none() {
            self.wrong(span_of(value), "a rule needs `tag`: what is given then?");
        }
        let tags = tags.unwrap_or_default().into_iter();
        tags.map(|text| RawTag { text, when: Some(when.clone()) }).collect()
    }

    /// A text, `Git(url: "…", …)`, or `Git("…")`, which is the same as the text.
    fn source(&mut self, value: &Expr<'_>) -> Option<RawSource> {
        let Expr::Struct(named) = value else {
            return self.text(value).map(RawSource::Text);
        };
        match &named.body {
            Some(StructBody::Fields(_)) if named.name.name == "Git" => {
                let mut git = RawGit { span: span_of(value), ..RawGit::default() };
                self.fields(value, "Git", GIT_KEYS, |reader, key, value| match key {
                    "url" => git.url = reader.text(value),
                    "branch" => git.branch = reader.text(value),
                    "tag" => git.tag = reader.text(value),
                    "commit" => git.commit = reader.text(value),
                    _ => git.subdir = reader.text(value),
                });
                Some(RawSource::Git(git))
            }
            Some(StructBody::Tuple(body)) if named.name.name == "Git" && body.elements.len() == 1 => {
                let url = self.text(&body.elements.first()?.expr)?;
                Some(RawSource::Git(RawGit { span: span_of(value), url: Some(url), ..RawGit::default() }))
            }
            _ => {
                self.expected("a path in quotes or Git(url: \"…\")", value);
                None
            }
        }
    }

    pub(in crate::syntax) fn secret(&mut self, value: &Expr<'_>) -> Option<SecretSource> {
        if let Expr::Struct(named) = value
            && let Some(StructBody::Tuple(body)) = &named.body
            && let [element] = body.elements.as_slice()
            && let name @ ("Env" | "File") = named.name.name.as_ref()
        {
            let source = self.text(&element.expr)?.text;
            return Some(if name == "Env" { SecretSource::Env(source) } else { SecretSource::File(source) });
        }
        self.expected("Env(\"VARIABLE\") or File(\"path\")", value);
        None
    }
}
