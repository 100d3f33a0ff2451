//! `COPY` and `ADD`: their canonical form, and what they read or fetch.
//!
//! Follows `dispatchCopy`. What a source word is, `sources.rs` says.

use super::How;
use super::evaluate::{Here, Walk, json, list, shown};
use super::globals::cannot_expand;
use super::names::Source;
use super::sources::{self, Kind};
use crate::syntax::dockerfile::{Heredoc, Transfer, Word};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::expand::{Lexer, UNKNOWN, is_unknown};
use crate::syntax::glob;
use crate::syntax::reads::ReadSource;
use crate::syntax::text::quoted;

/// Whether every engine reads it, or those that know `u+x`. A value that is not known yet may be anything.
fn is_mode(value: &str) -> bool {
    let is_octal = u32::from_str_radix(value, 8).is_ok_and(|mode| mode <= 0o7777);
    is_octal || value.contains(['+', '-', '=']) || is_unknown(value)
}

impl Walk<'_> {
    pub fn transfer(
        &mut self,
        keyword: &str,
        transfer: &Transfer,
        here: &Here,
    ) -> Result<String, SyntaxError> {
        let mut text = keyword.to_owned();
        let mut source = None;
        if let Some(from) = &transfer.from {
            let found = self.heads.copy_source(from)?;
            text.push_str(&format!(" --from={}", self.used(found.clone(), How::Copy, from, here)?));
            source = Some(found);
        }
        let span = transfer.sources.first().map_or(Span::default(), |word| word.span);
        for (flag, value) in [("chown", &transfer.chown), ("chmod", &transfer.chmod)] {
            let value = self.expand(value.as_deref().unwrap_or_default(), span, here)?.text;
            if !value.is_empty() {
                text.push_str(&format!(" --{flag}={}", json(&[shown(&value)])));
                if flag == "chmod" && !is_mode(&value) {
                    let message = format!(
                        "`--chmod={value}` is no octal number up to 7777: engines of today refuse it, older ones ignore it"
                    );
                    self.recipe.warnings.push(SyntaxError::new(span, message).hint("such as --chmod=755"));
                }
            }
        }
        let checksum = self.expand(transfer.checksum.as_deref().unwrap_or_default(), span, here)?.text;
        if !checksum.is_empty() {
            text.push_str(&format!(" --checksum={}", json(&[shown(&checksum)])));
        }
        for (flag, set) in [("link", transfer.link), ("parents", transfer.parents)] {
            if set {
                text.push_str(&format!(" --{flag}"));
            }
        }
        for (flag, set) in [("keep-git-dir", transfer.keep_git_dir), ("unpack", transfer.unpack)] {
            if let Some(set) = set {
                text.push_str(&format!(" --{flag}={set}"));
            }
        }
        if !transfer.exclude.is_empty() {
            text.push_str(&format!(" --exclude={}", json(&transfer.exclude)));
        }
        let mut words = Vec::new();
        for word in &transfer.sources {
            let expanded = self.word(word, here)?;
            self.source(keyword, transfer, &expanded, word, &checksum, source.as_ref(), here)?;
            words.push(shown(&expanded));
        }
        for heredoc in &transfer.contents {
            words.push(format!("<<{}", heredoc.name));
            words.push(self.content(heredoc, span, here)?);
        }
        let destination = self.expand(&transfer.destination, span, here)?.text;
        words.push(shown(&destination));
        Ok(list(&text, words))
    }

    /// A heredoc of `COPY`: variables count unless its name is quoted; quotes in it mean nothing.
    fn content(&mut self, heredoc: &Heredoc, span: Span, here: &Here) -> Result<String, SyntaxError> {
        let content = heredoc.chomped();
        if !heredoc.expand {
            return Ok(shown(&content));
        }
        let lexer = Lexer { skip_quotes: true, ..Lexer::new('\\') };
        let expanded = lexer
            .expand(&content, &here.scope)
            .map_err(|error| cannot_expand(span, &heredoc.name, &error))?;
        self.spent += expanded.text.len();
        Ok(shown(&expanded.text))
    }

    #[expect(clippy::too_many_arguments, reason = "one source word needs all that its instruction says")]
    fn source(
        &mut self,
        keyword: &str,
        transfer: &Transfer,
        expanded: &str,
        word: &Word,
        checksum: &str,
        from: Option<&Source>,
        here: &Here,
    ) -> Result<(), SyntaxError> {
        let span = here.span(word.span);
        if is_unknown(expanded) {
            self.warn_unknown(&word.text, span);
            match from {
                None => self.recipe.reads.sources.push(sources::whole(span)),
                Some(Source::Context(name)) => self.context_read(name, sources::whole(span)),
                Some(_) => {}
            }
            return Ok(());
        }
        let kind = sources::kind(expanded);
        if kind != Kind::Path {
            if keyword == "COPY" {
                let error = SyntaxError::new(word.span, format!("COPY cannot fetch {}", quoted(expanded)));
                return Err(error.hint("use ADD for a URL or a git repository"));
            }
            let checksum = Some(checksum.to_owned()).filter(|sum| !sum.is_empty());
            let git = kind == Kind::Git;
            self.recipe.remotes.push(sources::remote(expanded, git, checksum, transfer.keep_git_dir, span));
            return Ok(());
        }
        if !checksum.is_empty() {
            let error = SyntaxError::new(word.span, "ADD --checksum is for a URL or a git repository");
            return Err(error.hint("leave the flag out for files of the context"));
        }
        let read = sources::read(expanded, &transfer.exclude, transfer.parents, span);
        if read.wildcard && glob::check(&read.pattern).is_err() {
            let error = SyntaxError::new(word.span, format!("{} is not a pattern", quoted(expanded)));
            return Err(error.hint("a `[` that stands for itself is written `[[]`"));
        }
        match from {
            None => {
                if expanded.is_empty() {
                    let message = format!("{} is empty, so the whole context is copied", quoted(&word.text));
                    self.recipe
                        .warnings
                        .push(SyntaxError::new(span, message).hint("give the variable a value"));
                }
                self.recipe.reads.sources.push(read);
            }
            Some(Source::Context(name)) => self.context_read(name, read),
            Some(_) => {}
        }
        Ok(())
    }

    pub fn context_read(&mut self, name: &str, read: ReadSource) {
        self.recipe.context_reads.entry(name.to_owned()).or_default().sources.push(read);
    }

    pub fn warn_unknown(&mut self, word: &str, span: Span) {
        self.recipe.guesses = true;
        let word: String = word.replace(UNKNOWN, "$");
        let message =
            format!("what {} means depends on the base image, so the whole context counts", quoted(&word));
        self.recipe.warnings.push(SyntaxError::new(span, message).hint("set the variable with ARG or ENV"));
    }
}
