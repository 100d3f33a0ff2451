//! Dockerfiles of one to three stages that copy from a random tree, and what a user may say with them.
//!
//! Every destination is the run's own, so that no step is one of another run
//! or of another recipe: what the engine says of its cache is about this recipe.
//! Every argument bears the recipe's number, so that many recipes share a build.

mod newer;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use newer::Flags;

use super::abilities::Abilities;

/// One `COPY` or `ADD` of the context.
#[derive(Clone, Default, PartialEq)]
pub struct Step {
    add: bool,
    chown: bool,
    json: bool,
    /// The source is an argument's value, and the argument is given.
    given: bool,
    /// Stands in the destination: a variable, or nothing.
    within: String,
    pub flags: Flags,
    pub sources: Vec<String>,
}

/// An instruction. Texts may name variables.
#[derive(Clone, PartialEq)]
pub enum Body {
    Copy(Step),
    Arg(String, Option<String>),
    Env(String, String),
    Label(String, String),
    Workdir(String),
    User(String),
    Cmd(String),
    Run(String),
    /// Two texts, one of them with a value in it.
    Text(String),
    /// A file of the test's server.
    Fetched(usize),
    /// `RUN` with a text.
    Script(String),
}

/// An instruction that keeps its number through all edits.
#[derive(Clone, PartialEq)]
pub struct Line {
    pub id: usize,
    pub body: Body,
}

/// What the last stage begins with.
#[derive(Clone, Copy, PartialEq)]
pub enum Base {
    Scratch,
    /// An image with a program in it, so that `RUN` can run.
    Tools,
    /// The value of a global argument.
    Named,
    /// The recipe's other stage.
    Aux,
}

/// Which stage of the recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// No other stage needs it.
    Idle,
    /// The last one begins with it or copies from it.
    Aux,
    /// The one that is built.
    Main,
}

/// A Dockerfile with the arguments it is given.
#[derive(Clone)]
pub struct Recipe {
    pub number: usize,
    stamp: String,
    tools: String,
    can: Abilities,
    base: Base,
    /// `ARG`s before the first `FROM`.
    pub globals: Vec<(String, String)>,
    /// `--build-arg`
    pub given: BTreeMap<String, String>,
    pub stages: BTreeMap<Role, Vec<Line>>,
    /// What does not count: comments, case, joins.
    pub dress: usize,
    /// What does: a part of every destination.
    salt: usize,
    /// The number of the next line.
    next: usize,
}

impl Recipe {
    /// Copies the whole context. With it in a build, docker's client sends all: see `client.rs`.
    pub fn whole(number: usize, stamp: &str) -> Self {
        let step = Step { sources: vec![".".into()], ..Step::default() };
        let mut recipe = Self::empty(number, stamp, "", Abilities::default());
        recipe.stages.insert(Role::Main, vec![Line { id: 0, body: Body::Copy(step) }]);
        recipe
    }

    fn empty(number: usize, stamp: &str, tools: &str, can: Abilities) -> Self {
        Self {
            number,
            stamp: stamp.to_owned(),
            tools: tools.to_owned(),
            can,
            base: Base::Scratch,
            globals: Vec::new(),
            given: BTreeMap::new(),
            stages: BTreeMap::new(),
            dress: 0,
            salt: 0,
            next: 1,
        }
    }

    /// The stage that is built.
    pub fn stage(&self) -> String {
        self.name(Role::Main)
    }

    fn name(&self, role: Role) -> String {
        let letter = match role {
            Role::Idle => 'u',
            Role::Aux => 'a',
            Role::Main => 's',
        };
        format!("{letter}{}", self.number)
    }

    /// Does a stage of this name belong to the recipe?
    pub fn owns(&self, stage: &str) -> bool {
        [Role::Idle, Role::Aux, Role::Main].iter().any(|role| stage == self.name(*role))
    }

    /// The instructions that are reached.
    fn reached(&self) -> impl Iterator<Item = &Line> {
        self.stages.iter().filter(|(role, _)| **role != Role::Idle).flat_map(|(_, lines)| lines)
    }

    /// What copies from the context, in reached stages.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.reached().filter_map(|line| match &line.body {
            Body::Copy(step) => Some(step),
            _ => None,
        })
    }

    /// May one file overwrite another in the image?
    pub fn overlaps(&self) -> bool {
        self.steps().any(|step| step.sources.len() > 1 || step.sources[0].contains(['*', '?', '[']))
    }

    /// All arguments that a build is given.
    pub fn args(&self) -> BTreeMap<String, String> {
        let mut args = self.given.clone();
        for line in self.stages.values().flatten() {
            if let Body::Copy(step) = &line.body
                && step.given
            {
                args.insert(self.source_arg(line.id), step.sources[0].clone());
            }
        }
        args
    }

    /// The argument that holds a line's source.
    fn source_arg(&self, id: usize) -> String {
        format!("S{}x{id}", self.number)
    }

    /// Values that arguments of reached stages get from a build's caller or from a global argument. Since
    /// BuildKit 0.9 an image tells them in its history, used or not; that of 20.10 tells defaults only.
    pub fn told_today(&self) -> BTreeSet<(usize, Option<String>)> {
        let args = self.args();
        let told = self.reached().filter_map(|line| match &line.body {
            Body::Arg(name, default) => match args.get(name) {
                Some(given) => Some((line.id, Some(given.clone()))),
                None if default.is_none() => Some((line.id, self.global(name))),
                None => None,
            },
            Body::Copy(step) if step.given => Some((line.id, Some(step.sources[0].clone()))),
            _ => None,
        });
        told.collect()
    }

    /// What imk counts although no file depends on it: arguments, variables and users of a stage that is
    /// only copied from, as the table at the head of imk's `query/action_key.rs` has it.
    pub fn set_aside(&self) -> String {
        let lines = self.stages.get(&Role::Aux).filter(|_| self.base != Base::Aux);
        let counts = |line: &&Line| matches!(line.body, Body::Arg(..) | Body::Env(..) | Body::User(_));
        let lines = lines.into_iter().flatten().filter(counts).map(|line| self.line(line, Role::Aux));
        let text: String = lines.collect();
        let named = |name: &String| text.contains(name.as_str());
        let given: Vec<_> = self.given.iter().filter(|(name, _)| named(name)).collect();
        // A global argument's default may name another.
        let globals = self.globals.iter().any(|(name, _)| named(name)).then(|| self.globals_and_given());
        format!("{text}{given:?}{globals:?}")
    }

    /// How the sources of a stage that is only copied from are spelled, and what they mean. imk counts the
    /// spelling as well, which in other stages the image's history tells.
    pub fn spelling(&self) -> (Vec<&str>, Vec<String>) {
        let lines = self.stages.get(&Role::Aux).filter(|_| self.base != Base::Aux);
        let steps = lines.into_iter().flatten().filter_map(|line| match &line.body {
            Body::Copy(step) => Some(step),
            _ => None,
        });
        let spelled: Vec<&str> = steps.flat_map(|step| &step.sources).map(String::as_str).collect();
        let meant = spelled.iter().map(|source| clean(source)).collect();
        (spelled, meant)
    }

    /// Flags that may change nothing and are counted all the same.
    pub fn spelled_flags(&self) -> Vec<String> {
        self.steps().map(|step| step.flags.spelled()).collect()
    }

    /// How many folders at most stand before what a wildcard of a source means, where one of them is a
    /// wildcard too; zero where there is no such source.
    pub fn folders_before_wildcards(&self) -> usize {
        let steps = self.stages.values().flatten().filter_map(|line| match &line.body {
            Body::Copy(step) => Some(step),
            _ => None,
        });
        let depth = |source: &String| {
            let clean = clean(source);
            let (folders, _) = clean.rsplit_once('/')?;
            folders.contains(['*', '?', '[']).then(|| folders.split('/').count())
        };
        steps.flat_map(|step| &step.sources).filter_map(depth).max().unwrap_or_default()
    }

    /// Defaults that may be hidden by a value that is given, or be the same as a global argument's. An
    /// engine of 20.10 writes them into the image's history all the same.
    pub fn told_of_old(&self) -> BTreeSet<(usize, Option<String>)> {
        let told = self.reached().filter_map(|line| match &line.body {
            Body::Arg(name, default) if self.given.contains_key(name) || self.global(name).is_some() => {
                Some((line.id, default.clone()))
            }
            _ => None,
        });
        told.collect()
    }

    /// The text of a global argument, given or by default; what it expands to is the engine's business.
    fn global(&self, name: &str) -> Option<String> {
        self.globals.iter().find(|(global, _)| global == name)?;
        Some(self.given.get(name).cloned().unwrap_or_else(|| self.globals_and_given()))
    }

    fn globals_and_given(&self) -> String {
        format!("{:?} {:?}", self.globals, self.given)
    }

    /// Has every stage something to copy, and everything that it begins with?
    pub fn is_whole(&self) -> bool {
        let copies = |lines: &Vec<Line>| {
            lines.iter().any(|line| match &line.body {
                Body::Copy(step) => !step.sources.is_empty(),
                body => matches!(body, Body::Text(_) | Body::Fetched(_)),
            })
        };
        let begins = match self.base {
            Base::Aux => self.stages.contains_key(&Role::Aux),
            Base::Named => self.globals.iter().any(|(name, _)| name.starts_with('B')),
            Base::Scratch | Base::Tools => true,
        };
        begins
            && self
                .stages
                .iter()
                .all(|(role, lines)| *role == Role::Main && self.base == Base::Aux || copies(lines))
    }

    /// For a run that shares nothing with any other.
    pub fn restamped(&self, stamp: &str) -> Self {
        Self { stamp: stamp.to_owned(), ..self.clone() }
    }

    /// The arguments before the first `FROM`.
    pub fn head(&self) -> String {
        let keyword = self.keyword("ARG");
        self.globals.iter().map(|(name, default)| format!("{keyword} {name}={default}\n")).collect()
    }

    fn keyword(&self, word: &str) -> String {
        if self.dress & 2 == 2 { word.to_lowercase() } else { word.to_owned() }
    }

    /// The stages.
    pub fn body(&self) -> String {
        let (number, stamp) = (self.number, &self.stamp);
        let from = self.keyword("FROM");
        let mut text = String::new();
        if self.dress & 1 == 1 {
            text += &format!("# dress {}\n\n", self.dress);
        }
        for (role, lines) in &self.stages {
            let base = match (role, self.base) {
                (Role::Main, Base::Tools) => self.tools.clone(),
                (Role::Main, Base::Named) => format!("${{B{number}}}"),
                (Role::Main, Base::Aux) => self.name(Role::Aux),
                _ => "scratch".to_owned(),
            };
            text += &format!("{from} {base} AS {}\n", self.name(*role));
            for line in lines {
                text += &self.line(line, *role);
            }
            if *role == Role::Main && self.base != Base::Aux && self.stages.contains_key(&Role::Aux) {
                let aux = self.name(Role::Aux);
                text += &format!("COPY --from={aux} / /{stamp}-{number}-{}-from/\n", self.salt);
            }
        }
        text
    }

    fn line(&self, line: &Line, role: Role) -> String {
        let of = |word: &str, rest: &str| format!("{} {rest}\n", self.keyword(word));
        match &line.body {
            Body::Copy(step) => self.copy(line.id, step, role),
            Body::Arg(name, None) => of("ARG", name),
            Body::Arg(name, Some(default)) => of("ARG", &format!("{name}={default}")),
            Body::Env(name, value) => of("ENV", &format!("{name}={value}")),
            Body::Label(name, value) => of("LABEL", &format!("{name}={value}")),
            Body::Workdir(folder) => of("WORKDIR", folder),
            Body::User(user) => of("USER", user),
            Body::Cmd(command) => of("CMD", command),
            Body::Run(word) => of("RUN", &format!("[\"/busybox\", \"echo\", \"{word}\"]")),
            body => self.newer_line(body, &self.destination(line.id, role, "")),
        }
    }

    /// A folder for what one line copies.
    fn destination(&self, id: usize, role: Role, within: &str) -> String {
        format!("/{}-{}-{}-{role:?}/{id}{within}/", self.stamp, self.number, self.salt)
    }

    fn copy(&self, id: usize, step: &Step, role: Role) -> String {
        let keyword = self.keyword(if step.add { "ADD" } else { "COPY" });
        let chown = if step.chown { " --chown=3:4" } else { "" };
        let flags = step.flags.text();
        let mut words = step.sources.clone();
        words.push(self.destination(id, role, &step.within));
        let gap = if self.dress & 4 == 4 { " \\\n  # inside\n  " } else { " " };
        let mut text = String::new();
        if step.given {
            let name = self.source_arg(id);
            text += &format!("{} {name}\n", self.keyword("ARG"));
            words[0] = format!("${name}");
        }
        let plain = words.iter().all(|word| !word.is_empty() && !word.contains([' ', '\\']));
        // A line that begins with `[` would be read as a list.
        if step.json || !plain || words[0].starts_with('[') {
            let list: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            return text + &format!("{keyword}{chown}{flags}{gap}[{}]\n", list.join(&format!(",{gap}")));
        }
        text + &format!("{keyword}{chown}{flags} {}\n", words.join(gap))
    }
}

/// A source as engines read it: below the context, without dots.
pub fn clean(source: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in source.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head())?;
        f.write_str(&self.body())
    }
}
