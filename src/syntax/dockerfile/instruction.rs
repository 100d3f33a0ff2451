//! One instruction: keyword, flags and rest become a [`Body`].
//!
//! Follows `instructions/parse.go`. Reports every mistake of the instruction
//! and goes on; expands nothing.

use super::flags::Takes;
use super::lines::{Lines, Logical, is_blank};
use super::parts::{Errors, Parts, split};
use super::words::{self, Json};
use super::{
    Argument, Body, Command, Instruction, KEYWORDS, Pair, Run, Stage, Word, healthcheck, heredoc, mount,
    transfer,
};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::merge_marks;
use crate::syntax::suggest;
use crate::syntax::text::quoted;

/// `FROM` opens a stage; everything else belongs to one.
pub enum Parsed {
    From(Stage),
    Instruction(Instruction),
}

/// Reads the instruction that begins at `at` in the line, and its heredocs from the lines behind.
pub fn parse(line: &Logical<'_>, at: usize, lines: &mut Lines<'_>, errors: &mut Errors) -> Option<Parsed> {
    let start = line.span(at, at).start;
    let mut parts = split(line, at);
    if parts.keyword == "ONBUILD" {
        let trigger = onbuild(&mut parts, lines, errors)?;
        let span = Span::new(start, end_of(line, lines, trigger.1));
        return Some(Parsed::Instruction(Instruction { span, body: Body::Onbuild(trigger.0) }));
    }
    if matches!(parts.keyword.as_str(), "RUN" | "COPY" | "ADD")
        && !matches!(words::json(parts.rest), Json::List(_))
    {
        parts.heredocs = heredoc::read(line, lines, errors);
    }
    let span = Span::new(start, end_of(line, lines, !parts.heredocs.is_empty()));
    if parts.keyword == "FROM" {
        return from(&mut parts, errors).map(|stage| Parsed::From(Stage { span, ..stage }));
    }
    let body = body(&mut parts, errors)?;
    Some(Parsed::Instruction(Instruction { span, body }))
}

fn end_of(line: &Logical<'_>, lines: &Lines<'_>, has_heredocs: bool) -> usize {
    if !has_heredocs {
        return line.whole().end;
    }
    let end = lines.place();
    line.file()[..end].trim_end_matches(['\r', '\n']).len()
}

/// The trigger as text: the rest of the line, and the heredocs behind it.
fn onbuild(parts: &mut Parts<'_>, lines: &mut Lines<'_>, errors: &mut Errors) -> Option<(String, bool)> {
    parts.flags(&[], errors);
    if parts.rest.text.is_empty() {
        parts.missing("an instruction, as in `ONBUILD COPY . /app`", errors);
        return None;
    }
    let (line, at) = (parts.line, parts.rest.at);
    let inner = split(line, at);
    if matches!(inner.keyword.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        let message = format!("{} is not allowed behind ONBUILD", inner.keyword);
        errors.push(SyntaxError::new(inner.keyword_span, message));
        return None;
    }
    let heredocs = match parse(line, at, lines, errors)? {
        Parsed::Instruction(Instruction { body: Body::Run(run), .. }) => run.heredocs,
        // BuildKit stores the texts in the order of the line, each once more under its name.
        Parsed::Instruction(Instruction { body: Body::Copy(copy) | Body::Add(copy), .. }) => copy.contents,
        _ => Vec::new(),
    };
    let mut trigger = line.text[at..].to_owned();
    for heredoc in &heredocs {
        trigger.push('\n');
        trigger.push_str(&heredoc.content);
        trigger.push_str(&heredoc.name);
    }
    Some((trigger, !heredocs.is_empty()))
}

fn body(parts: &mut Parts<'_>, errors: &mut Errors) -> Option<Body> {
    match parts.keyword.as_str() {
        "RUN" => run(parts, errors),
        "COPY" => transfer::copy(parts, errors).map(Body::Copy),
        "ADD" => transfer::add(parts, errors).map(Body::Add),
        "ARG" => arg(parts, errors),
        "ENV" => pairs(parts, errors).map(Body::Env),
        "LABEL" => pairs(parts, errors).map(Body::Label),
        "WORKDIR" => parts.single("a path", errors).map(Body::Workdir),
        "USER" => parts.single("a user", errors).map(Body::User),
        "STOPSIGNAL" => parts.single("a signal", errors).map(Body::StopSignal),
        "MAINTAINER" => parts.single("a name", errors).map(|word| Body::Maintainer(word.text)),
        "CMD" => parts.plain_command(errors).map(Body::Cmd),
        "ENTRYPOINT" => parts.plain_command(errors).map(Body::Entrypoint),
        "EXPOSE" => {
            parts.flags(&[], errors);
            let ports: Vec<_> =
                words::blank_delimited(parts.rest).iter().map(|port| port.word(parts.line)).collect();
            if ports.is_empty() {
                parts.missing("a port, as in `EXPOSE 8080`", errors);
                return None;
            }
            Some(Body::Expose(ports))
        }
        "VOLUME" => volume(parts, errors),
        "HEALTHCHECK" => healthcheck::parse(parts, errors).map(Body::Healthcheck),
        "SHELL" => {
            parts.flags(&[], errors);
            match parts.command(errors)? {
                Command { exec: true, args } if !args.is_empty() => Some(Body::Shell(args)),
                _ => {
                    parts.missing("a list, as in `SHELL [\"/bin/bash\", \"-c\"]`", errors);
                    None
                }
            }
        }
        mark if merge_marks::is_mark(mark) => {
            let mistake = merge_marks::mistake(parts.keyword_span);
            // The other marks of the merge say nothing more.
            if !errors.iter().any(|error| error.message == mistake.message) {
                errors.push(mistake);
            }
            None
        }
        unknown => {
            let error =
                SyntaxError::new(parts.keyword_span, format!("unknown instruction {}", quoted(unknown)));
            errors.push(match suggest::did_you_mean(unknown, KEYWORDS) {
                Some(hint) => error.hint(hint),
                None => error.hint("a line that continues the one above needs a `\\` at the end of that one"),
            });
            None
        }
    }
}

/// `FROM [--platform=P] IMAGE [AS NAME]`
fn from(parts: &mut Parts<'_>, errors: &mut Errors) -> Option<Stage> {
    let platform = parts.flags(&[("platform", Takes::Text)], errors);
    let platform =
        platform.value("platform").map(|value| value.word(parts.line)).filter(|word| !word.text.is_empty());
    let words: Vec<_> = words::blank_delimited(parts.rest).iter().map(|word| word.word(parts.line)).collect();
    let (base, name) = match words.as_slice() {
        [] => {
            parts.missing("an image, as in `FROM alpine:3.20`", errors);
            return None;
        }
        [base] => (base.clone(), None),
        [base, keyword, name] if keyword.text.eq_ignore_ascii_case("AS") => {
            let lower = name.text.to_lowercase();
            let sound = lower.starts_with(|c: char| c.is_ascii_lowercase())
                && lower.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b));
            if !sound {
                let message = format!("{} cannot be the name of a stage", quoted(&name.text));
                let error = SyntaxError::new(name.span, message);
                errors.push(
                    error.hint(
                        "a name begins with a letter and goes on with letters, digits, `-`, `_` and `.`",
                    ),
                );
                return None;
            }
            (base.clone(), Some(Word { text: lower, span: name.span }))
        }
        [_, second, ..] => {
            let error = SyntaxError::new(second.span, "FROM takes an image, or an image, AS and a name");
            errors.push(error.hint("as in `FROM golang:1.24 AS build`"));
            return None;
        }
    };
    Some(Stage { span: Span::default(), base, name, platform, instructions: Vec::new() })
}

fn run(parts: &mut Parts<'_>, errors: &mut Errors) -> Option<Body> {
    let known = [
        ("mount", Takes::Texts),
        ("network", Takes::Text),
        ("security", Takes::Text),
        ("device", Takes::Texts),
    ];
    let flags = parts.flags(&known, errors);
    let mut choice = |name: &str, allowed: &[&str]| {
        let value = flags.value(name)?;
        if !allowed.contains(&value.text.as_str()) {
            let message =
                format!("the flag `--{name}` is {}, not {}", allowed.join(" or "), quoted(&value.text));
            errors.push(SyntaxError::new(value.word(parts.line).span, message));
        }
        Some(value.text.clone()).filter(|value| value != allowed[0])
    };
    let network = choice("network", &["default", "none", "host"]);
    let security = choice("security", &["sandbox", "insecure"]);
    let mounts =
        flags.values("mount").iter().filter_map(|value| mount::parse(value, parts.line, errors)).collect();
    let command = parts.command(errors)?;
    if command.args.is_empty() {
        parts.missing("a command", errors);
        return None;
    }
    let heredocs = std::mem::take(&mut parts.heredocs);
    Some(Body::Run(Run { command, heredocs, mounts, network, security, devices: flags.texts("device") }))
}

fn arg(parts: &mut Parts<'_>, errors: &mut Errors) -> Option<Body> {
    parts.flags(&[], errors);
    let mut arguments = Vec::new();
    for (word, start, end) in words::quoted_words(parts.rest, parts.line.escape) {
        let span = parts.line.span(start, end);
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (word, None),
        };
        if name.is_empty() {
            errors.push(SyntaxError::new(span, "the name of an ARG is empty"));
            continue;
        }
        arguments.push(Argument { name, value, span });
    }
    if arguments.is_empty() {
        parts.missing("a name, as in `ARG VERSION=1.0`", errors);
        return None;
    }
    Some(Body::Arg(arguments))
}

/// `KEY=value …`, or the old form `KEY value` (`parseNameVal`).
fn pairs(parts: &mut Parts<'_>, errors: &mut Errors) -> Option<Vec<Pair>> {
    parts.flags(&[], errors);
    let (keyword, rest) = (&parts.keyword, parts.rest);
    let words = words::quoted_words(rest, parts.line.escape);
    let Some((first, _, _)) = words.first() else {
        parts.missing(&format!("a pair, as in `{keyword} key=value`"), errors);
        return None;
    };
    let whole = parts.line.span(rest.at, rest.at + rest.text.len());
    if !first.contains('=') {
        let Some((key, value)) = rest.text.split_once(is_blank) else {
            parts.missing(&format!("a value: `{keyword} {}=…`", rest.text), errors);
            return None;
        };
        let (key, value) = (key.to_owned(), value.trim_start_matches(is_blank).to_owned());
        return Some(vec![Pair { key, value, span: whole }]);
    }
    let mut pairs = Vec::new();
    for (word, start, end) in words {
        let span = parts.line.span(start, end);
        match word.split_once('=') {
            Some(("", _)) => {
                errors.push(SyntaxError::new(span, format!("the name of an {keyword} is empty")));
            }
            Some((key, value)) => pairs.push(Pair { key: key.to_owned(), value: value.to_owned(), span }),
            None => {
                let error = SyntaxError::new(span, format!("there is no `=` in {}", quoted(&word)));
                errors.push(error.hint("put quotes around a value with blanks in it"));
            }
        }
    }
    Some(pairs)
}

fn volume(parts: &mut Parts<'_>, errors: &mut Errors) -> Option<Body> {
    parts.flags(&[], errors);
    let mut volumes = parts.list(errors)?;
    for volume in &mut volumes {
        volume.text = volume.text.trim().to_owned();
    }
    if volumes.is_empty() || volumes.iter().any(|volume| volume.text.is_empty()) {
        parts.missing("a path, as in `VOLUME /data`", errors);
        return None;
    }
    Some(Body::Volume(volumes))
}
