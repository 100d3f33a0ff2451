//! `engines`: where images can be built, and what each place is good for.
//!
//! Knows the shape of an entry. Whether an address leads anywhere is for the rooms above.

use ron2::ast::Expr;

use super::decode::{Reader, span_of};
use super::raw::RawEngine;
use super::scope::Scope;
use super::{DeclaredEngine, ENGINE_KEYS, EngineAddress, Word};
use crate::syntax::error::SyntaxError;

impl Reader {
    pub(super) fn engine(&mut self, value: &Expr<'_>) -> RawEngine {
        let mut engine = RawEngine { span: span_of(value), ..RawEngine::default() };
        self.fields(value, "an engine", ENGINE_KEYS, |reader, key, value| match key {
            "host" => engine.host = reader.text(value),
            "context" => engine.context = reader.text(value),
            "labels" => engine.labels = reader.one_or_more(value),
            "platforms" => engine.platforms = reader.one_or_more(value),
            _ => engine.jobs = reader.count(value, "jobs"),
        });
        engine
    }

    /// A number of at least one.
    pub(super) fn count(&mut self, value: &Expr<'_>, of: &str) -> Option<usize> {
        match value {
            Expr::Number(number) => match number.raw.parse().ok().filter(|count: &usize| *count > 0) {
                Some(count) => return Some(count),
                None => self.wrong(span_of(value), format!("`{}` is not a number of {of}", number.raw)),
            },
            other => self.expected("a number", other),
        }
        None
    }
}

impl Scope<'_> {
    /// The engine that an entry declares; none when it says not, or twice, where the engine is.
    pub(super) fn engine(&mut self, name: &Word, raw: &RawEngine) -> Option<DeclaredEngine> {
        if name.text.is_empty() || name.text.contains(|c: char| c.is_whitespace() || ",=/".contains(c)) {
            let error = SyntaxError::new(name.span, format!("`{}` cannot name an engine", name.text));
            self.errors.push(error.hint("--engine must be able to say it: no spaces, commas, slashes, `=`"));
        }
        let address = match (&raw.host, &raw.context) {
            (Some(host), None) => EngineAddress::Host(self.fill(host).text),
            (None, Some(context)) => EngineAddress::Context(self.fill(context).text),
            _ => {
                let error = SyntaxError::new(raw.span, format!("where is the engine `{}`?", name.text));
                self.errors.push(error.hint("give it either `host` or `context`"));
                return None;
            }
        };
        let platforms = raw.platforms.iter().filter_map(|word| self.platform(word)).collect();
        let labels = self.words(&raw.labels).into_iter().map(|word| word.text).collect();
        Some(DeclaredEngine { address, labels, platforms, jobs: raw.jobs })
    }
}
