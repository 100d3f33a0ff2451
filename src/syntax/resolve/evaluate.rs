//! Runs through the reached stages: variables get values, instructions their canonical form.
//!
//! Follows `dispatch` and its `dispatch…` functions, so far as they decide what
//! an instruction is and reads.

use std::collections::{BTreeMap, BTreeSet};

use super::globals::{self, Globals, cannot_expand};
use super::mounts;
use super::names::{Heads, Source};
use super::reach::{Reached, of_base, own_triggers};
use super::scope::Scope;
use super::sources::{self, Kind};
use super::{BaseUse, CanonicalInstruction, How, ReachedStage, Recipe, Request, StageBase, Target};
use crate::syntax::dockerfile::{
    Argument, Body, Command, Dockerfile, Frontend, Healthcheck, Heredoc, Instruction, Pair, Run, Transfer, Word,
    heredoc_of,
};
use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::expand::{Expansion, Lexer, UNKNOWN, is_unknown};
use crate::syntax::glob;
use crate::syntax::reads::{ReadSource, Reads};
use crate::syntax::text::quoted;

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
) -> Result<Recipe, Vec<SyntaxError>> {
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
        triggers: own_triggers(file, target.index).map(str::to_owned).collect(),
        warnings: file.warnings.clone(),
        target,
    };
    let places = reached.keys().enumerate().map(|(place, index)| (*index, place)).collect();
    let mut walk = Walk {
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
        if walk.errors.len() >= super::reach::MAX_ERRORS || walk.spent > MAX_EXPANDED {
            break;
        }
    }
    if walk.spent > MAX_EXPANDED {
        walk.errors.push(SyntaxError::new(Span::default(), "the values of the variables grow too long"));
    }
    walk.finish()
}

struct Walk<'a> {
    file: &'a Dockerfile,
    request: &'a Request,
    globals: Globals,
    heads: &'a Heads,
    /// From the number in the file to the place among the reached stages.
    places: BTreeMap<usize, usize>,
    recipe: Recipe,
    errors: Vec<SyntaxError>,
    scopes: BTreeMap<usize, Scope>,
    spent: usize,
    /// Arguments that triggers declare.
    declared: BTreeSet<String>,
}

/// The stage that is being walked through.
struct Here {
    index: usize,
    platform: String,
    scope: Scope,
    /// The `FROM` that brought a trigger: its words have no place in the file.
    brought_by: Option<Span>,
}

impl Here {
    fn span(&self, span: Span) -> Span {
        self.brought_by.unwrap_or(span)
    }
}

impl Walk<'_> {
    fn finish(mut self) -> Result<Recipe, Vec<SyntaxError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        for name in globals::undeclared(self.file, self.request, &self.declared) {
            let warning = SyntaxError::new(Span::default(), format!("the argument {} is given, and nothing declares it", quoted(&name)));
            self.recipe.warnings.push(warning.hint(format!("declare it with `ARG {name}`, or leave it out")));
        }
        for (name, value) in &self.request.args {
            if globals::steers_the_engine(name) {
                self.recipe.args.insert(name.clone(), Some(value.clone()));
            }
        }
        Ok(self.recipe)
    }

    fn stage(&mut self, index: usize, triggers: &[Instruction]) {
        let (stage, head) = (&self.file.stages[index], &self.heads.stages[index]);
        for name in &head.used {
            self.note_arg(name, self.globals.values.get(name).cloned());
        }
        let own_platform = head.platform.clone().unwrap_or_else(|| self.recipe.platform.clone());
        let (base, scope, platform) = match &head.source {
            Source::Scratch => (StageBase::Scratch, Scope::of_base(Some(&BTreeMap::new())), own_platform),
            Source::Stage(base) => {
                let place = self.places.get(base).copied().unwrap_or_default();
                let scope = self.scopes.get_mut(base).map_or_else(|| Scope::of_base(None), Scope::child);
                let platform = self.recipe.stages.get(place).map(|stage| stage.platform.clone());
                (StageBase::Stage(place), scope, platform.unwrap_or(own_platform))
            }
            Source::Image(name) | Source::Context(name) => {
                let context = matches!(head.source, Source::Context(_));
                let environment = of_base(&self.request.environments, name).filter(|_| !context);
                let place = self.recipe.bases.len();
                self.recipe.bases.push(BaseUse {
                    how: How::From,
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
            platform: platform.clone(),
            instructions: Vec::new(),
        });
        let mut here = Here { index, platform, scope, brought_by: Some(stage.base.span) };
        for trigger in triggers {
            if let Body::Arg(arguments) = &trigger.body {
                self.declared.extend(arguments.iter().map(|argument| argument.name.clone()));
            }
            self.instruction(trigger, &mut here);
        }
        here.brought_by = None;
        for instruction in &stage.instructions {
            self.instruction(instruction, &mut here);
        }
        self.scopes.insert(index, here.scope);
    }

    fn instruction(&mut self, instruction: &Instruction, here: &mut Here) {
        match self.canonical(instruction, here) {
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
                    ports.extend(self.expand(&word.text, word.span, here)?.words.iter().map(|port| shown(port)));
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

    fn expand(&mut self, text: &str, span: Span, here: &Here) -> Result<Expansion, SyntaxError> {
        let expanded =
            self.globals.lexer.expand(text, &here.scope).map_err(|error| cannot_expand(span, text, &error))?;
        self.spent += expanded.text.len();
        if self.spent > MAX_EXPANDED {
            return Err(SyntaxError::new(span, "the values of the variables grow too long"));
        }
        Ok(expanded)
    }

    fn word(&mut self, word: &Word, here: &Here) -> Result<String, SyntaxError> {
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
        self.note_arg(name, value.as_deref().map(shown_value));
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
                fields.push(format!("from={}", self.used(source, How::Mount, from, here)));
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

    fn transfer(&mut self, keyword: &str, transfer: &Transfer, here: &Here) -> Result<String, SyntaxError> {
        let mut text = keyword.to_owned();
        let mut source = None;
        if let Some(from) = &transfer.from {
            let found = self.heads.copy_source(from)?;
            text.push_str(&format!(" --from={}", self.used(found.clone(), How::Copy, from, here)));
            source = Some(found);
        }
        let span = transfer.sources.first().map_or(Span::default(), |word| word.span);
        for (flag, value) in [("chown", &transfer.chown), ("chmod", &transfer.chmod)] {
            let value = self.expand(value.as_deref().unwrap_or_default(), span, here)?.text;
            if !value.is_empty() {
                text.push_str(&format!(" --{flag}={}", json(&[shown(&value)])));
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
        let expanded =
            lexer.expand(&content, &here.scope).map_err(|error| cannot_expand(span, &heredoc.name, &error))?;
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
        if read.wildcard && !read.parents && glob::check(&read.pattern).is_err() {
            let error = SyntaxError::new(word.span, format!("{} is not a pattern", quoted(expanded)));
            return Err(error.hint("a `[` that stands for itself is written `[[]`"));
        }
        match from {
            None => {
                if expanded.is_empty() {
                    let message = format!("{} is empty, so the whole context is copied", quoted(&word.text));
                    self.recipe.warnings.push(SyntaxError::new(span, message).hint("give the variable a value"));
                }
                self.recipe.reads.sources.push(read);
            }
            Some(Source::Context(name)) => self.context_read(name, read),
            Some(_) => {}
        }
        Ok(())
    }

    fn context_read(&mut self, name: &str, read: ReadSource) {
        self.recipe.context_reads.entry(name.to_owned()).or_default().sources.push(read);
    }

    fn warn_unknown(&mut self, word: &str, span: Span) {
        let word: String = word.replace(UNKNOWN, "$");
        let message = format!("what {} means depends on the base image, so the whole context counts", quoted(&word));
        self.recipe.warnings.push(SyntaxError::new(span, message).hint("set the variable with ARG or ENV"));
    }

    /// Notes that a source is used; its canonical name does not depend on what it is called.
    fn used(&mut self, source: Source, how: How, word: &Word, here: &Here) -> String {
        let (reference, context) = match source {
            Source::Scratch => return "scratch".to_owned(),
            Source::Stage(index) => {
                return format!("stage:{}", self.places.get(&index).copied().unwrap_or(usize::MAX));
            }
            Source::Image(name) => (name, false),
            Source::Context(name) => (name, true),
        };
        let place = self.recipe.bases.len();
        let spans = if here.brought_by.is_none() { vec![word.span] } else { Vec::new() };
        // What is copied from is an image for the target, whatever the stage is built for.
        let platform = self.recipe.platform.clone();
        self.recipe.bases.push(BaseUse { how, reference, platform, spans, stage: here.index, context });
        format!("base:{place}")
    }
}

fn form(command: &Command) -> &'static str {
    if command.exec { "exec" } else { "shell" }
}

/// What the shell is given (`dispatchRun`): a lone heredoc is the script itself.
fn command_line(run: &Run) -> Vec<String> {
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
fn shown(text: &str) -> String {
    text.replace('$', "$$").replace(UNKNOWN, "$")
}

/// The same for a person to read.
fn shown_value(text: &str) -> String {
    text.replace(UNKNOWN, "$")
}

fn list(head: &str, words: Vec<String>) -> String {
    format!("{head} {}", json(&words))
}

fn json(words: &[String]) -> String {
    serde_json::Value::from(words.to_vec()).to_string()
}
