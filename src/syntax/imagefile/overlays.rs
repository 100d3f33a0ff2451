//! Overlays and contexts from git: paths cleaned, addresses read, mistakes told.
//!
//! Knows the form of an address; whether anything is there is for the rooms above.

use std::collections::BTreeMap;

use super::raw::{Pairs, RawGit, RawSource};
use super::scope::Scope;
use super::{DeclaredOverlay, OverlaySource, Word};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::git_source::{self, GitSource, Wanted};

impl Scope<'_> {
    /// Overlays in the order of their paths.
    pub(super) fn overlays(&mut self, pairs: &Pairs<RawSource>) -> Vec<DeclaredOverlay> {
        let mut found: BTreeMap<String, DeclaredOverlay> = BTreeMap::new();
        for (key, source) in pairs {
            let source = self.source(source);
            let at = match crate::model::name::clean_path(&key.text) {
                Some(at) if !at.is_empty() => at,
                Some(_) => {
                    let message = format!("an overlay at `{}` would be the whole context", key.text);
                    let hint = "say it with `context`, and put overlays at paths below it";
                    self.errors.push(SyntaxError::new(key.span, message).hint(hint));
                    continue;
                }
                None => {
                    let message = format!("the overlay `{}` leads out of the context", key.text);
                    let hint = "overlays stand at paths below the context";
                    self.errors.push(SyntaxError::new(key.span, message).hint(hint));
                    continue;
                }
            };
            let Some((_, from)) = source else { continue };
            let overlay = DeclaredOverlay { at: at.clone(), from, span: key.span };
            if found.insert(at.clone(), overlay).is_some() {
                let error = SyntaxError::new(key.span, format!("two overlays stand at `{at}`"));
                self.errors.push(error.hint("keep one of them; a deeper path may hide a part of the other"));
            }
        }
        found.into_values().collect()
    }

    /// Where files come from, with its place.
    pub(super) fn source(&mut self, source: &RawSource) -> Option<(Span, OverlaySource)> {
        let found = match source {
            RawSource::Git(git) => (git.span, OverlaySource::Git(self.git(git)?)),
            RawSource::Text(word) => {
                let word = self.fill(word);
                match git_source::is_remote(&word.text) {
                    true => (word.span, OverlaySource::Git(self.address(&word)?)),
                    false => self.path(word).map(|word| (word.span, OverlaySource::Path(word.text)))?,
                }
            }
        };
        Some(found)
    }

    fn address(&mut self, word: &Word) -> Option<GitSource> {
        self.told(git_source::parse(&word.text), word.span, "write Git(url: \"…\") for any other address")
    }

    fn git(&mut self, git: &RawGit) -> Option<GitSource> {
        let Some(url) = &git.url else {
            let error = SyntaxError::new(git.span, "Git(…) needs a `url`");
            self.errors.push(error.hint("Git(url: \"https://host/owner/repo.git\", branch: \"main\")"));
            return None;
        };
        let url = self.fill(url);
        let mut named = [("branch", &git.branch), ("tag", &git.tag), ("commit", &git.commit)]
            .into_iter()
            .filter_map(|(key, word)| Some((key, self.fill(word.as_ref()?))))
            .collect::<Vec<_>>();
        if let [(first, _), (second, word), ..] = named.as_slice() {
            let error =
                SyntaxError::new(word.span, format!("`{first}` and `{second}` both say which commit"));
            self.errors.push(error.hint("keep one of them"));
            return None;
        }
        let subdir = git.subdir.as_ref().map(|word| self.fill(word));
        if url.text.contains('#') {
            if named.is_empty() && subdir.is_none() {
                return self.address(&url);
            }
            let error = SyntaxError::new(url.span, "the address names a ref with `#`, and so does a key");
            self.errors.push(error.hint("keep one of them"));
            return None;
        }
        let wanted = match named.pop() {
            None => Wanted::Head,
            Some(("commit", word)) if git_source::is_commit(&word.text) => {
                Wanted::Commit(word.text.to_ascii_lowercase())
            }
            Some(("commit", word)) => {
                let error = SyntaxError::new(word.span, format!("`{}` is no whole commit id", word.text));
                self.errors.push(error.hint("write all its digits: servers do not find a commit by fewer"));
                return None;
            }
            Some((key, word)) => {
                let name = self.told(git_source::reference(&word.text), word.span, "")?;
                if key == "tag" { Wanted::Tag(name) } else { Wanted::Branch(name) }
            }
        };
        let subdir = match subdir {
            Some(word) => {
                let hint = "`subdir` is a path below the repository's root";
                self.told(git_source::folder(&word.text), word.span, hint)?
            }
            None => String::new(),
        };
        let url = self.told(git_source::url(&url.text), url.span, "")?;
        Some(GitSource { url, wanted, subdir })
    }

    fn told<T>(&mut self, read: Result<T, String>, span: Span, hint: &str) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(why) => {
                let mut error = SyntaxError::new(span, why);
                error.hint = (!hint.is_empty()).then(|| hint.to_owned());
                self.errors.push(error);
                None
            }
        }
    }
}
