//! `on_publish`: how it is written.

use ron2::ast::Expr;

use super::decode::Reader;
use super::raw::{Pairs, RawNotice, RawOnPublish};
use super::scope::Scope;
use super::{NOTICE_KEYS, ON_PUBLISH_KEYS, Word};
use crate::syntax::error::SyntaxError;
use crate::syntax::on_publish::{Notice, Occasion, OnPublish, PUBLICATION_FACTS, names};

impl Reader {
    pub(super) fn on_publish(&mut self, value: &Expr<'_>) -> RawOnPublish {
        let mut raw = RawOnPublish::default();
        self.fields(value, "`on_publish`", ON_PUBLISH_KEYS, |reader, key, value| match key {
            "before" => raw.before = reader.list(value),
            "after" => raw.after = reader.list(value),
            _ => raw.notify = reader.map(value, "notice", |r, v| Some(r.notice(v))),
        });
        raw
    }

    fn notice(&mut self, value: &Expr<'_>) -> RawNotice {
        let mut raw = RawNotice::default();
        if let Expr::Struct(_) = value {
            self.expected("a set of keys in parentheses, without a name", value);
            return raw;
        }
        self.fields(value, "a notice", NOTICE_KEYS, |reader, key, value| match key {
            "url" => raw.url = reader.text(value),
            "secrets" => raw.secrets = reader.one_or_more(value),
            "headers" => raw.headers = reader.map(value, "header", Self::text),
            "body" => raw.body = reader.text(value),
            "slack" => raw.slack = reader.flag(value),
            _ => raw.on = reader.text(value),
        });
        raw
    }
}

impl Scope<'_> {
    pub(super) fn on_publish(&mut self, raw: &RawOnPublish) -> OnPublish {
        let texts = |words: Vec<Word>| words.into_iter().map(|word| word.text).collect();
        OnPublish {
            before: texts(self.words(&raw.before)),
            after: texts(self.words(&raw.after)),
            notify: raw
                .notify
                .iter()
                .filter_map(|(name, notice)| Some((name.text.clone(), self.notice(name, notice)?)))
                .collect(),
        }
    }

    fn notice(&mut self, name: &Word, raw: &RawNotice) -> Option<Notice> {
        let mut wrong = |word: &Word, message: String, hint: &str| {
            self.errors.push(SyntaxError::new(word.span, message).hint(hint));
        };
        let Some(url) = &raw.url else {
            wrong(name, format!("where does the notice `{}` go?", name.text), "give it a `url`");
            return None;
        };
        let headers: &Pairs<Word> = &raw.headers;
        let texts = [url].into_iter().chain(&raw.body).chain(headers.iter().map(|(_, text)| text));
        for text in texts {
            for named in names(&text.text) {
                let is_fact = PUBLICATION_FACTS.iter().any(|(fact, _)| *fact == named);
                if !is_fact && !raw.secrets.iter().any(|secret| secret.text == named) {
                    let facts: Vec<&str> = PUBLICATION_FACTS.iter().map(|(fact, _)| *fact).collect();
                    let hint = format!(
                        "list it in `secrets` when it is a variable of the environment; facts are {}",
                        facts.join(", ")
                    );
                    wrong(text, format!("there is no fact `${named}`"), &hint);
                }
            }
        }
        let on = match raw.on.as_ref().map(|word| (word, word.text.as_str())) {
            None | Some((_, "success")) => Occasion::Success,
            Some((_, "failure")) => Occasion::Failure,
            Some((_, "always")) => Occasion::Always,
            Some((word, other)) => {
                wrong(word, format!("`{other}` is no occasion"), "\"success\", \"failure\" or \"always\"");
                return None;
            }
        };
        if let (Some(body), Some(true)) = (&raw.body, raw.slack) {
            wrong(body, "a notice for Slack has a body already".into(), "leave out either");
        }
        Some(Notice {
            url: url.text.clone(),
            secrets: raw.secrets.iter().map(|word| word.text.clone()).collect(),
            headers: headers.iter().map(|(name, text)| (name.text.clone(), text.text.clone())).collect(),
            body: raw.body.as_ref().map(|body| body.text.clone()),
            slack: raw.slack.unwrap_or_default(),
            on,
        })
    }
}
