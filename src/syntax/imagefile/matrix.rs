//! `matrix`: one image for each choice of values, named by a template; `exclude` leaves choices out.
//!
//! A choice is a set of variables more, which every text of the image can use. Knows no other key of an image.

use std::collections::{BTreeMap, BTreeSet};

use ron2::ast::Expr;

use super::Word;
use super::decode::Reader;
use super::raw::{Pairs, RawImage, RawValue};
use super::scope::Scope;
use crate::syntax::braces::{self, Piece};
use crate::syntax::error::SyntaxError;
use crate::syntax::suggest::did_you_mean;
use crate::syntax::tag;

/// Images that one matrix may make.
const MOST_IMAGES: usize = 1000;

/// Values by the names under which texts use them: `py`, or `go.version` of an axis whose values are maps.
pub(super) type Choice = BTreeMap<String, String>;

impl Reader {
    /// `{"py": ["3.12", "3.13"], "go": [{"version": "1.25", "os": "trixie"}]}`
    pub(super) fn matrix(&mut self, value: &Expr<'_>) -> Pairs<Vec<RawValue>> {
        self.map(value, "axis", |reader, axis| {
            let Expr::Seq(list) = axis else {
                reader.expected("a list of values: [\"…\"]", axis);
                return None;
            };
            Some(list.items.iter().filter_map(|item| reader.matrix_value(&item.expr)).collect())
        })
    }

    fn matrix_value(&mut self, value: &Expr<'_>) -> Option<RawValue> {
        match value {
            Expr::Map(_) => Some(RawValue::Set(self.map(value, "value", Self::text))),
            text => self.text(text).map(RawValue::Text),
        }
    }

    /// `[{"py": "3.12", "os": "alp"}]`
    pub(super) fn exclude(&mut self, value: &Expr<'_>) -> Option<Vec<Pairs<Word>>> {
        let Expr::Seq(list) = value else {
            self.expected("a list of choices: [{\"axis\": \"value\"}]", value);
            return None;
        };
        Some(list.items.iter().map(|item| self.map(&item.expr, "axis", Self::text)).collect())
    }
}

impl Scope<'_> {
    /// The images that one entry of `images` stands for: itself without a matrix, else one for each choice.
    pub(super) fn members(&mut self, name: &Word, image: &RawImage) -> Vec<(Word, Choice)> {
        if image.matrix.is_empty() {
            if let Some(first) = image.exclude.iter().flatten().flatten().next() {
                let message = format!("`{}` excludes choices of a matrix and has none", name.text);
                self.errors.push(
                    SyntaxError::new(first.0.span, message).hint("give it `matrix`, or remove `exclude`"),
                );
            }
            return vec![(name.clone(), Choice::new())];
        }
        let Some(choices) = self.choices(name, &image.matrix) else { return Vec::new() };
        let kept = self.kept(choices, image.exclude.as_deref().unwrap_or_default());
        if kept.is_empty() {
            let message = format!("the matrix of `{}` makes no image", name.text);
            self.errors.push(
                SyntaxError::new(name.span, message)
                    .hint("give each of its axes a value that `exclude` leaves"),
            );
        }
        self.named(name, kept)
    }

    /// Every choice that a matrix offers, the last axis turning fastest.
    fn choices(&mut self, name: &Word, matrix: &Pairs<Vec<RawValue>>) -> Option<Vec<Choice>> {
        let mut choices = vec![Choice::new()];
        for (axis, values) in matrix {
            self.check_axis(axis);
            let values: Vec<Choice> = values.iter().map(|value| self.value(axis, value)).collect();
            if choices.len().saturating_mul(values.len()) > MOST_IMAGES {
                let message = format!("the matrix of `{}` makes more than {MOST_IMAGES} images", name.text);
                self.errors.push(SyntaxError::new(axis.span, message).hint("give it fewer values"));
                return None;
            }
            let with = |choice: &Choice| {
                let longer = |value: &Choice| {
                    choice.iter().chain(value).map(|(k, v)| (k.clone(), v.clone())).collect()
                };
                values.iter().map(longer).collect::<Vec<Choice>>()
            };
            choices = choices.iter().flat_map(with).collect();
        }
        Some(choices)
    }

    fn check_axis(&mut self, axis: &Word) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if axis.text.is_empty() || !axis.text.chars().all(plain) {
            let error =
                SyntaxError::new(axis.span, format!("`{}` cannot name an axis of a matrix", axis.text));
            self.errors.push(error.hint("use letters, digits, `_` and `-`"));
        } else if self.vars.contains_key(&axis.text) {
            let message = format!("the axis `{}` has the name of a variable", axis.text);
            self.errors.push(
                SyntaxError::new(axis.span, message).hint("rename one of them: texts could mean either"),
            );
        }
    }

    fn value(&mut self, axis: &Word, value: &RawValue) -> Choice {
        let pairs = match value {
            RawValue::Text(text) => vec![(axis.text.clone(), self.fill(text).text)],
            RawValue::Set(pairs) => {
                let named = |(key, value): &(Word, Word)| {
                    (format!("{}.{}", axis.text, key.text), self.fill(value).text)
                };
                pairs.iter().map(named).collect()
            }
        };
        for (name, _) in pairs.iter().filter(|(name, _)| tag::names_fact(name)) {
            let message = format!("`{name}` is a fact of tags, and no value of a matrix can be named so");
            self.errors.push(SyntaxError::new(axis.span, message).hint("rename the axis"));
        }
        pairs.into_iter().collect()
    }

    /// The choices that no exclusion covers. One that covers none is a mistake: it was meant to.
    fn kept(&mut self, choices: Vec<Choice>, exclude: &[Pairs<Word>]) -> Vec<Choice> {
        let exclude: Vec<Vec<(Word, String)>> = exclude
            .iter()
            .map(|pairs| pairs.iter().map(|(k, v)| (k.clone(), self.fill(v).text)).collect())
            .collect();
        let covers = |pairs: &Vec<(Word, String)>, choice: &Choice| {
            pairs.iter().all(|(axis, value)| choice.get(&axis.text) == Some(value))
        };
        for pairs in &exclude {
            let Some((axis, value)) = pairs
                .iter()
                .find(|(axis, value)| !choices.iter().any(|choice| choice.get(&axis.text) == Some(value)))
            else {
                continue;
            };
            let known: BTreeSet<&str> = choices.iter().flat_map(Choice::keys).map(String::as_str).collect();
            let error = if known.contains(axis.text.as_str()) {
                let values = choices.iter().filter_map(|choice| choice.get(&axis.text));
                let values: BTreeSet<&str> = values.map(String::as_str).collect();
                let hint = did_you_mean(value, values.iter().copied()).unwrap_or_else(|| {
                    format!("it has {}", values.iter().copied().collect::<Vec<_>>().join(", "))
                });
                SyntaxError::new(axis.span, format!("the axis `{}` has no value `{value}`", axis.text))
                    .hint(hint)
            } else {
                let hint = did_you_mean(&axis.text, known.iter().copied()).unwrap_or_else(|| {
                    format!("it has {}", known.iter().copied().collect::<Vec<_>>().join(", "))
                });
                SyntaxError::new(axis.span, format!("the matrix has no axis `{}`", axis.text)).hint(hint)
            };
            self.errors.push(error);
        }
        let is_kept =
            |choice: &Choice| !exclude.iter().any(|pairs| !pairs.is_empty() && covers(pairs, choice));
        choices.into_iter().filter(is_kept).collect()
    }

    /// The images by the template of their names.
    fn named(&mut self, name: &Word, choices: Vec<Choice>) -> Vec<(Word, Choice)> {
        let mut members: Vec<(Word, Choice)> = Vec::new();
        let told = self.errors.len();
        for choice in choices {
            let filled = self.with(&choice, |scope| scope.fill(name));
            if self.errors.len() > told {
                return Vec::new();
            }
            if members.iter().any(|(other, _)| other.text == filled.text) {
                let used: Vec<&str> = braces::split(&name.text)
                    .into_iter()
                    .filter_map(|piece| if let Piece::Name(name) = piece { Some(name) } else { None })
                    .collect();
                let lacking = choice.keys().find(|key| !used.contains(&key.as_str()));
                let message = format!("the matrix of `{}` makes `{}` twice", name.text, filled.text);
                let hint = match lacking {
                    Some(key) => {
                        format!("put {{{key}}} into the image's name, or exclude one of the choices")
                    }
                    None => "two of its values are the same".to_owned(),
                };
                self.errors.push(SyntaxError::new(name.span, message).hint(hint));
                break;
            }
            members.push((filled, choice));
        }
        members
    }

    /// The result of `read`, for which the values of a choice are variables too.
    pub(super) fn with<T>(&mut self, choice: &Choice, read: impl FnOnce(&mut Scope<'_>) -> T) -> T {
        let vars = self.vars.clone().into_iter().chain(choice.clone()).collect();
        read(&mut Scope { vars, errors: self.errors })
    }
}

#[cfg(test)]
#[path = "matrix_tests.rs"]
mod tests;
