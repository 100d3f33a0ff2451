//! Runs through the reached stages: variables get values, instructions their canonical form.
//!
//! Follows `dispatch` and its `dispatch…` functions, so far as they decide what
//! an instruction is and reads.

use std::collections::{BTreeMap, BTreeSet};

use super::globals::{self, Globals, cannot_expand};
use super::names::{Heads, Source};
use super::reach::{Reached, inherited, of_base, only_describes, own_triggers};
use super::scope::Scope;
use super::{
    BaseUse, CanonicalInstruction, How, ReachedStage, Recipe, Request, StageBase, Target, mounts, sources,
};
use crate::syntax::dockerfile::{
    Argument, Body, Command, Dockerfile, Frontend, Healthcheck, Instruction, Pair, Run, Word, heredoc_of,
};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::expand::{Expansion, UNKNOWN, is_unknown};
use crate::syntax::reads::{ReadSource, Reads};

/// All values of one file together may not grow beyond this.
const MAX_EXPANDED: usize = 64 << 20;

pub fn evaluate(
    file: &Dockerfile,
    request: &Request,
    globals: Globals,
    heads: &Heads,
    reached: &Reached,
    target: Target,
    (frontend, syntax): (Frontend, Option<String>),
) -> Result<(Recipe, Option<Scope>), Vec<SyntaxError>> {
    let target_index = target.index;
    let recipe = Recipe {
        frontend,
        syntax,
        escape: file.escape,
        platform: globals.platform.to_string(),
        stages: Vec::new(),
        args: BTreeMap::new(),
        bases: Vec::new(),
        reads: Reads::default(),
        context_reads: BTreeMap::new(),
        remotes: Vec::new(),
        triggers: own_triggers(file, heads, target.index).map(str::to_owned).collect(),
        guesses: false,
        warnings: file.warnings.clone(),
        undeclared: Vec::new(),
        idle_contexts: heads.idle_contexts(file),
        rewrites: Vec::new(),
        target,
    };
    let places = reached.keys().enumerate().map(|(place, index)| (*index, place)).collect();
    let mut walk = Walk {
        described: inherited(heads, target_index),
        file,
        request,
        globals,
        heads,
        places,
        recipe,
        errors: Vec::new(),
        scopes: BTreeMap::new(),
        spent: 0,
        declared: BTreeSet::new(),
    };
    for (index, triggers) in reached {
        walk.stage(*index, triggers);
        if walk.errors.len() >= super::names::MAX_ERRORS || walk.spent > MAX_EXPANDED {
            break;
        }
    }
    if walk.spent > MAX_EXPANDED {
        walk.errors.push(SyntaxError::new(Span::default(), "the values of the variables grow too long"));
    }
    walk.finish()
}

pub struct Walk<'a> {
    pub file: &'a Dockerfile,
    request: &'a Request,
    pub globals: Globals,
    pub heads: &'a Heads,
    /// From the number in the file to the place among the reached stages.
    pub places: BTreeMap<usize, usize>,
    pub recipe: Recipe,
    errors: Vec<SyntaxError>,
    scopes: BTreeMap<usize, Scope>,
    pub spent: usize,
    /// Stages whose labels, commands and so on reach the image.
    described: BTreeSet<usize>,
    /// Arguments that triggers declare.
    declared: BTreeSet<String>,
}

/// The stage that is being walked through.
pub struct Here {
    pub index: usize,
    pub scope: Scope,
    /// The `FROM` that brought a trigger: its words have no place in the file.
    pub brought_by: Option<Span>,
}

impl Here {
    pub fn span(&self, span: Span) -> Span {
        self.brought_by.unwrap_or(span)
    }
}

impl Walk<'_> {
    fn finish(mut self) -> Result<(Recipe, Option<Scope>), Vec<SyntaxError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        self.recipe.undeclared = globals::undeclared(self.file, self.request, &self.declared);
        for (name, value) in &self.request.args {
            if globals::steers_the_engine(name) {
                self.recipe.args.insert(name.clone(), Some(value.clone()));
            }
        }
        let target = self.scopes.remove(&self.recipe.target.index);
        Ok((self.recipe, target))
    }

    fn stage(&mut self, index: usize, triggers: &[Instruction]) {
        let (stage, head) = (&self.file.stages[index], &self.heads.stages[index]);
        for name in &head.used {
            self.note_arg(name, self.globals.values.get(name).cloned());
        }
        let own_platform = head.platform.clone().unwrap_or_else(|| self.recipe.platform.clone());
        let (base, scope, platform) = match &head.source {
            Source::Scratch => {
                self.sent_as_scratch(&head.word, stage.base.span);
                (StageBase::Scratch, Scope::of_base(Some(&BTreeMap::new())), own_platform)
            }
            Source::Stage(base) => {
                let place = self.places.get(base).copied().unwrap_or_default();
                let scope = self.scopes.get_mut(base).map_or_else(|| Scope::of_base(None), Scope::child);
                let platform = self.recipe.stages.get(place).map(|stage| stage.platform.clone());
                (StageBase::Stage(place), scope, platform.unwrap_or(own_platform))
            }
            Source::Image(name) | Source::Context(name) => {
                let context = matches!(head.source, Source::Context(_));
                let nothing = BTreeMap::new();
                // Files have no configuration: such a stage begins as an empty one does.
                let environment = match context {
                    true => Some(&nothing),
                    false => of_base(&self.request.environments, name),
                };
                let place = self.recipe.bases.len();
                self.recipe.bases.push(BaseUse {
                    how: How::From,
                    word: head.word.clone(),
                    reference: name.clone(),
                    platform: own_platform.clone(),
                    spans: vec![stage.base.span],
                    stage: index,
                    context,
                });
                if context {
                    self.context_read(name, sources::whole(stage.base.span));
                }
                (StageBase::Base(place), Scope::of_base(environment), own_platform)
            }
        };
        self.recipe.stages.push(ReachedStage {
            index,
            name: stage.name.as_ref().map(|name| name.text.clone()),
            base,
            platform,
            instructions: Vec::new(),
        });
        let mut here = Here { index, scope, brought_by: Some(stage.base.span) };
        for trigger in triggers {
            if let Body::Arg(arguments) = &trigger.body {
                self.declared.extend(arguments.iter().map(|argument| argument.name.clone()));
            }
            self.instruction(trigger, &mut here);
        }
        here.brought_by = None;
        for instruction in self.heads.instructions(self.file, index) {
            self.instruction(instruction, &mut here);
        }
        if head.replaced {
            self.recipe
                .rewrites
                .extend(stage.instructions.iter().map(|instruction| (instruction.span, None)));
        }
        self.scopes.insert(index, here.scope);
    }

    fn instruction(&mut self, instruction: &Instruction, here: &mut Here) {
        match self.canonical(instruction, here) {
            Ok(_) if only_describes(&instruction.body) && !self.described.contains(&here.index) => {}
            Ok(text) => {
                let canonical = CanonicalInstruction { text, span: here.span(instruction.span) };
                if let Some(stage) = self.recipe.stages.last_mut() {
                    stage.instructions.push(canonical);
                }
            }
            Err(error) => self.errors.push(SyntaxError { span: here.span(error.span), ..error }),
        }
    }

    fn canonical(&mut self, instruction: &Instruction, here: &mut Here) -> Result<String, SyntaxError> {
        Ok(match &instruction.body {
            Body::Arg(arguments) => {
                let all = arguments.iter().map(|argument| self.argument(argument, here));
                list("ARG", all.collect::<Result<Vec<_>, _>>()?)
            }
            Body::Env(pairs) => {
                // All values are expanded before any of them is set.
                let pairs = self.pairs(pairs, here)?;
                let texts = pairs.iter().map(|(key, value)| shown(&format!("{key}={value}"))).collect();
                for (key, value) in pairs {
                    here.scope.set_env(&key, value);
                }
                list("ENV", texts)
            }
            Body::Label(pairs) => {
                let pairs = self.pairs(pairs, here)?;
                list("LABEL", pairs.iter().map(|(key, value)| shown(&format!("{key}={value}"))).collect())
            }
            Body::Run(run) => self.run(run, here)?,
            Body::Copy(copy) => self.transfer("COPY", copy, here)?,
            Body::Add(add) => self.transfer("ADD", add, here)?,
            Body::Workdir(word) => list("WORKDIR", vec![shown(&self.word(word, here)?)]),
            Body::User(word) => list("USER", vec![shown(&self.word(word, here)?)]),
            Body::StopSignal(word) => list("STOPSIGNAL", vec![shown(&self.word(word, here)?)]),
            Body::Volume(words) => list("VOLUME", self.words(words, here)?),
            Body::Expose(words) => {
                // BuildKit sorts the words, expands them, and splits what comes out.
                let mut sorted: Vec<&Word> = words.iter().collect();
                sorted.sort_by(|a, b| a.text.cmp(&b.text));
                let mut ports = Vec::new();
                for word in sorted {
                    ports.extend(
                        self.expand(&word.text, word.span, here)?.words.iter().map(|port| shown(port)),
                    );
                }
                list("EXPOSE", ports)
            }
            Body::Cmd(command) => list(&format!("CMD {}", form(command)), command.args.clone()),
            Body::Entrypoint(command) => list(&format!("ENTRYPOINT {}", form(command)), command.args.clone()),
            Body::Shell(args) => list("SHELL", args.clone()),
            Body::Maintainer(name) => list("MAINTAINER", vec![name.clone()]),
            Body::Onbuild(trigger) => list("ONBUILD", vec![trigger.clone()]),
            Body::Healthcheck(Healthcheck::None) => "HEALTHCHECK NONE".to_owned(),
            Body::Healthcheck(Healthcheck::Command { command, options }) => {
                let options: String = options.iter().map(|(key, value)| format!(" {key}={value}")).collect();
                list(&format!("HEALTHCHECK{options} CMD {}", form(command)), command.args.clone())
            }
        })
    }

    pub fn expand(&mut self, text: &str, span: Span, here: &Here) -> Result<Expansion, SyntaxError> {
        let expanded = self
            .globals
            .lexer
            .expand(text, &here.scope)
            .map_err(|error| cannot_expand(span, text, &error))?;
        self.spent += expanded.text.len();
        if self.spent > MAX_EXPANDED {
            return Err(SyntaxError::new(span, "the values of the variables grow too long"));
        }
        Ok(expanded)
    }

    pub fn word(&mut self, word: &Word, here: &Here) -> Result<String, SyntaxError> {
        self.expand(&word.text, word.span, here).map(|expanded| expanded.text)
    }

    fn words(&mut self, words: &[Word], here: &Here) -> Result<Vec<String>, SyntaxError> {
        words.iter().map(|word| Ok(shown(&self.word(word, here)?))).collect()
    }

    fn pairs(&mut self, pairs: &[Pair], here: &Here) -> Result<Vec<(String, String)>, SyntaxError> {
        let mut done = Vec::new();
        for pair in pairs {
            let key = self.expand(&pair.key, pair.span, here)?.text;
            done.push((key, self.expand(&pair.value, pair.span, here)?.text));
        }
        Ok(done)
    }

    /// `dispatchArg`: what was given, else the default, else the global value.
    fn argument(&mut self, argument: &Argument, here: &mut Here) -> Result<String, SyntaxError> {
        let name = &argument.name;
        let given = self.request.args.get(name).cloned();
        let value = match (&given, &argument.value) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(self.expand(default, argument.span, here)?.text),
            (None, None) => self.globals.values.get(name).cloned(),
        };
        if let Some(value) = &value {
            here.scope.set_arg(name, value.clone());
        }
        if globals::is_proxy(name) {
            // Where the machine finds its proxy must not make images stale.
            return Ok(match (&given, &argument.value) {
                (None, Some(_)) => shown(&format!("{name}={}", value.unwrap_or_default())),
                _ => name.clone(),
            });
        }
        self.note_arg(name, value.as_deref().map(|value| value.replace(UNKNOWN, "$")));
        Ok(value.map_or_else(|| name.clone(), |value| shown(&format!("{name}={value}"))))
    }

    fn note_arg(&mut self, name: &str, value: Option<String>) {
        if !globals::is_proxy(name) {
            self.recipe.args.insert(name.to_owned(), value);
        }
    }

    fn run(&mut self, run: &Run, here: &Here) -> Result<String, SyntaxError> {
        let mut text = format!("RUN {}", form(&run.command));
        for mount in &run.mounts {
            let ready = mounts::ready(mount, &self.globals.lexer, &here.scope)?;
            self.spent += ready.fields.values().map(String::len).sum::<usize>();
            let mut fields: Vec<String> =
                ready.fields.iter().map(|(key, value)| shown(&format!("{key}={value}"))).collect();
            if ready.reads_context() {
                let read = self.mount_read(&ready, here);
                self.recipe.reads.sources.push(read);
            } else if let Some(from) = &ready.from {
                let source = self.heads.named_source(from)?;
                if let Source::Context(name) = &source {
                    let read = self.mount_read(&ready, here);
                    self.context_read(name, read);
                }
                fields.push(format!("from={}", self.used(source, How::Mount, from, here)?));
            }
            text.push_str(" --mount=");
            text.push_str(&json(&fields));
        }
        for (flag, value) in [("network", &run.network), ("security", &run.security)] {
            if let Some(value) = value {
                text.push_str(&format!(" --{flag}={value}"));
            }
        }
        if !run.devices.is_empty() {
            text.push_str(&format!(" --device={}", json(&run.devices)));
        }
        Ok(list(&text, command_line(run)))
    }

    fn mount_read(&mut self, ready: &mounts::Ready, here: &Here) -> ReadSource {
        let span = here.span(ready.source_span);
        if is_unknown(&ready.source) || is_unknown(&ready.kind) {
            self.warn_unknown(&ready.source, span);
            return sources::whole(span);
        }
        let pattern = sources::normalize(&ready.source);
        ReadSource { required: !pattern.is_empty(), wildcard: false, pattern, ..sources::whole(span) }
    }
}

fn form(command: &Command) -> &'static str {
    if command.exec { "exec" } else { "shell" }
}

/// The shell's command line (`dispatchRun`): a lone heredoc is the script itself.
pub fn command_line(run: &Run) -> Vec<String> {
    let (Some(first), [line]) = (run.heredocs.first(), run.command.args.as_slice()) else {
        return run.command.args.clone();
    };
    if run.command.exec {
        return run.command.args.clone();
    }
    if matches!(heredoc_of(line), Ok(Some(_))) {
        let script = first.chomped();
        return match script.starts_with("#!") {
            true => vec![format!("<<{}", first.name), script],
            false => vec![script],
        };
    }
    let mut text = line.clone();
    for heredoc in &run.heredocs {
        text.push('\n');
        text.push_str(&heredoc.content);
        text.push_str(&heredoc.name);
    }
    vec![text]
}

/// A text after expansion: a literal `$` is doubled, so that what is still unknown stands out.
pub fn shown(text: &str) -> String {
    text.replace('$', "$$").replace(UNKNOWN, "$")
}

pub fn list(head: &str, words: Vec<String>) -> String {
    format!("{head} {}", json(&words))
}

pub fn json(words: &[String]) -> String {
    serde_json::Value::from(words.to_vec()).to_string()
}
