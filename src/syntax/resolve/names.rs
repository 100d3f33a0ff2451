//! Names: the base of every `FROM`, and the meaning of a name behind `--from`.
//!
//! Follows `buildDispatchStates`, `addState`, `toCommand` and `detectRunMount`.

use std::collections::{BTreeMap, BTreeSet};

use super::globals::{Globals, cannot_expand};
use super::{NamedContext, Request, platform};
use crate::syntax::dockerfile::{Body, Dockerfile, Instruction, Stage, Word};
use crate::syntax::error::SyntaxError;
use crate::syntax::expand::{Lexer, NoVariables};
use crate::syntax::reference;
use crate::syntax::suggest::did_you_mean;
use crate::syntax::text::quoted;

/// Nobody reads more, and a hint for each costs time.
pub const MAX_ERRORS: usize = 200;

/// All stages by name, and what each builds on.
pub struct Heads {
    pub stages: Vec<Head>,
    names: BTreeMap<String, usize>,
    contexts: BTreeMap<String, NamedContext>,
    lexer: Lexer,
}

/// One `FROM` after expansion.
pub struct Head {
    /// The word behind `FROM` after expansion; of a stage that a context stands for, its own name.
    pub word: String,
    pub source: Source,
    /// A context stands for the stage: its instructions are none.
    pub replaced: bool,
    /// `--platform`, if it is given; a base stage keeps its own.
    pub platform: Option<String>,
    /// Global arguments that it uses.
    pub used: BTreeSet<String>,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Scratch,
    /// By number in the file.
    Stage(usize),
    Image(String),
    /// An additional context.
    Context(String),
}

pub fn heads(
    file: &Dockerfile,
    request: &Request,
    globals: &Globals,
    errors: &mut Vec<SyntaxError>,
) -> Heads {
    let named =
        |(name, context): (&String, &NamedContext)| Some((reference::context_name(name)?, context.clone()));
    let contexts = request.contexts.iter().filter_map(named).collect();
    let mut heads = Heads { stages: Vec::new(), names: BTreeMap::new(), contexts, lexer: globals.lexer };
    for (index, stage) in file.stages.iter().enumerate() {
        if errors.len() >= MAX_ERRORS {
            return heads;
        }
        let mut used = BTreeSet::new();
        let (word, source) = base(stage, &heads, file, globals, &mut used).unwrap_or_else(|error| {
            errors.push(error);
            ("scratch".to_owned(), Source::Scratch)
        });
        let platform = stage.platform.as_ref().and_then(|word| {
            stage_platform(word, globals, &mut used).map_err(|error| errors.push(error)).ok()
        });
        let named = stage.name.as_ref().and_then(|name| Some((&name.text, heads.context(&name.text)?)));
        heads.stages.push(match named {
            Some((name, source)) => {
                Head { word: name.clone(), source, replaced: true, platform, used: BTreeSet::new() }
            }
            None => Head { word, source, replaced: false, platform, used },
        });
        if let Some(name) = &stage.name {
            heads.names.insert(name.text.clone(), index);
        }
    }
    heads
}

/// The expanded word and where it leads: an earlier stage of exactly this name (`statesByName`) goes
/// before a context, and that before an image.
fn base(
    stage: &Stage,
    heads: &Heads,
    file: &Dockerfile,
    globals: &Globals,
    used: &mut BTreeSet<String>,
) -> Result<(String, Source), SyntaxError> {
    let word = &stage.base;
    let expanded = globals
        .lexer
        .expand(&word.text, &globals.values)
        .map_err(|error| explain(cannot_expand(word.span, &word.text, &error), &word.text, file, globals))?;
    used.extend(expanded.matched);
    let name = expanded.text;
    if name.is_empty() {
        let error =
            SyntaxError::new(word.span, format!("{} is empty, and FROM needs an image", quoted(&word.text)));
        return Err(explain(error, &word.text, file, globals));
    }
    if let Some(index) = heads.names.get(&name) {
        return Ok((name, Source::Stage(*index)));
    }
    if name == "scratch" {
        return Ok((name, Source::Scratch));
    }
    match reference::parse(&name) {
        Ok(_) => {
            let source = heads.context(&name).unwrap_or_else(|| Source::Image(name.clone()));
            Ok((name, source))
        }
        Err(problem) => {
            let what = match name == word.text {
                true => quoted(&name),
                false => format!("{} becomes {}, and", quoted(&word.text), quoted(&name)),
            };
            let error = match name == word.text {
                true => SyntaxError::new(word.span, format!("cannot build on {what}: {problem}")),
                false => SyntaxError::new(word.span, format!("{what} {problem}")),
            };
            if heads.names.contains_key(&name.to_lowercase()) {
                return Err(
                    error.hint(format!("write the stage in small letters: `{}`", name.to_lowercase()))
                );
            }
            Err(explain(error, &word.text, file, globals))
        }
    }
}

/// Says which argument is missing, and where to give it.
fn explain(error: SyntaxError, word: &str, file: &Dockerfile, globals: &Globals) -> SyntaxError {
    let keep = Lexer { keep_unset: true, ..globals.lexer };
    let names = keep.expand(word, &NoVariables).map(|found| found.unmatched).unwrap_or_default();
    let empty = |name: &&String| globals.values.get(*name).is_none_or(String::is_empty);
    let Some(name) = names.iter().find(empty) else { return error };
    let in_a_stage = file.stages.iter().flat_map(|stage| &stage.instructions).any(
        |instruction| matches!(&instruction.body, Body::Arg(all) if all.iter().any(|arg| arg.name == *name)),
    );
    if globals.declared.contains_key(name) {
        return error
            .hint(format!("give ARG {name} a default, `args` in the Imagefile or --build-arg {name}=…"));
    }
    if in_a_stage {
        return error
            .hint(format!("FROM sees only what is declared above the first FROM: put `ARG {name}` there"));
    }
    match did_you_mean(name, globals.values.keys().map(String::as_str)) {
        Some(near) => error.hint(format!("`{name}` is not declared; {near}")),
        None => error.hint(format!("write `ARG {name}=…` above the first FROM")),
    }
}

fn stage_platform(
    word: &Word,
    globals: &Globals,
    used: &mut BTreeSet<String>,
) -> Result<String, SyntaxError> {
    let expanded = globals
        .lexer
        .expand(&word.text, &globals.values)
        .map_err(|error| cannot_expand(word.span, &word.text, &error))?;
    used.extend(expanded.matched);
    let error = match (expanded.text.as_str(), platform::parse(&expanded.text)) {
        (_, Some(found)) => return Ok(found.to_string()),
        ("", None) => SyntaxError::new(word.span, format!("the platform {} is empty", quoted(&word.text))),
        (text, None) => SyntaxError::new(word.span, format!("{} is not a platform", quoted(text))),
    };
    let near = expanded
        .unmatched
        .iter()
        .find_map(|name| did_you_mean(name, globals.values.keys().map(String::as_str)));
    Err(error
        .hint(near.unwrap_or_else(|| "as in `--platform=$BUILDPLATFORM` or `--platform=linux/arm64`".into())))
}

impl Heads {
    /// The source that the named context of this name stands for, if there is one.
    fn context(&self, name: &str) -> Option<Source> {
        let name = reference::context_name(name)?;
        Some(match self.contexts.get(&name)? {
            NamedContext::Image(reference) if reference == "scratch" => Source::Scratch,
            NamedContext::Image(reference) => Source::Image(reference.clone()),
            NamedContext::Files => Source::Context(name),
        })
    }

    /// A stage, or the files that stand for it: those of them that are copied are all that is read.
    fn stage(&self, index: usize) -> Source {
        match self.stages.get(index).map(|head| &head.source) {
            Some(Source::Context(name)) if self.stages[index].replaced => Source::Context(name.clone()),
            _ => Source::Stage(index),
        }
    }

    /// The instructions of a stage: none where a context stands for it.
    pub fn instructions<'f>(&self, file: &'f Dockerfile, index: usize) -> &'f [Instruction] {
        match (self.stages.get(index), file.stages.get(index)) {
            (Some(head), Some(stage)) if !head.replaced => &stage.instructions,
            _ => &[],
        }
    }

    /// The named contexts that no word of the file means, stages that are not reached included.
    pub fn idle_contexts(&self, file: &Dockerfile) -> Vec<String> {
        let bodies = file.stages.iter().flat_map(|stage| &stage.instructions).map(|one| &one.body);
        let froms = bodies.flat_map(|body| match body {
            Body::Copy(copy) => copy.from.iter().collect(),
            Body::Run(run) => run.mounts.iter().filter_map(|mount| mount.from.as_ref()).collect(),
            _ => Vec::new(),
        });
        let words = froms.map(|word| &word.text).chain(self.stages.iter().map(|head| &head.word));
        let used: BTreeSet<String> = words.filter_map(|word| reference::context_name(word)).collect();
        self.contexts.keys().filter(|name| !used.contains(*name)).cloned().collect()
    }

    /// The source that `COPY --from` names: a number, a stage in any case, or an image. Reads no variables.
    pub fn copy_source(&self, from: &Word) -> Result<Source, SyntaxError> {
        let plain = self.lexer.expand(&from.text, &NoVariables).is_ok_and(|found| found.text == from.text);
        if !plain {
            let error = SyntaxError::new(from.span, "COPY --from does not read variables");
            return Err(error.hint("name a stage there: `FROM $IMAGE AS name` above, then `--from=name`"));
        }
        match from.text.parse::<i64>() {
            Ok(number) => match usize::try_from(number).ok().filter(|index| *index < self.stages.len()) {
                Some(index) => Ok(self.stage(index)),
                None => {
                    let error = SyntaxError::new(from.span, format!("there is no stage number {number}"));
                    Err(error.hint(format!("there are {}, counted from 0", self.stages.len())))
                }
            },
            Err(_) => self.named_source(from),
        }
    }

    /// The source that the `from` of a mount names: as above, but never a number.
    pub fn named_source(&self, from: &Word) -> Result<Source, SyntaxError> {
        if let Some(index) = self.names.get(&from.text.to_lowercase()) {
            return Ok(self.stage(*index));
        }
        if from.text == "scratch" {
            return Ok(Source::Scratch);
        }
        match reference::parse(&from.text) {
            Ok(_) => Ok(self.context(&from.text).unwrap_or_else(|| Source::Image(from.text.clone()))),
            Err(problem) => {
                let error = SyntaxError::new(
                    from.span,
                    format!("cannot copy from {}: {problem}", quoted(&from.text)),
                );
                Err(match did_you_mean(&from.text, self.names.keys().map(String::as_str)) {
                    Some(near) => error.hint(near),
                    None => error.hint("it is neither a stage nor an image"),
                })
            }
        }
    }
}
