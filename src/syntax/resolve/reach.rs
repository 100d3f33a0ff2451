//! Which stages a target needs, and the triggers that its bases bring along.
//!
//! Follows `resolveStages`, `initOnBuildTriggers` and `allReachableStages`.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::Request;
use super::names::{Heads, MAX_ERRORS, Source};
use crate::syntax::dockerfile::{Body, Dockerfile, Instruction, Word, parse_trigger};
use crate::syntax::error::SyntaxError;
use crate::syntax::reference;
use crate::syntax::text::quoted;

/// The reached stages by number, with the triggers that run first in each.
pub type Reached = BTreeMap<usize, Vec<Instruction>>;

/// Every child of a stage runs all its triggers: two long lists make a very long one.
const MAX_TRIGGERS: usize = 100_000;

pub fn reach(
    file: &Dockerfile,
    request: &Request,
    heads: &Heads,
    target: usize,
    errors: &mut Vec<SyntaxError>,
) -> Reached {
    // Mistakes are mistakes in stages that are not reached, too: BuildKit looks at all of them.
    let mut later: BTreeMap<usize, Vec<(usize, &Word)>> = BTreeMap::new();
    for index in 0..file.stages.len() {
        for instruction in heads.instructions(file, index) {
            for (stage, from) in sources(instruction, heads, errors) {
                match stage.cmp(&index) {
                    Ordering::Less => {}
                    Ordering::Equal => errors.push(from_itself(from)),
                    Ordering::Greater => later.entry(index).or_default().push((stage, from)),
                }
            }
        }
        if errors.len() >= MAX_ERRORS {
            return Reached::new();
        }
    }
    circles(file, heads, &later, errors);
    let mut brought = 0;
    let mut reached = Reached::new();
    let mut waiting = vec![target];
    while let Some(index) = waiting.pop() {
        if reached.contains_key(&index) {
            continue;
        }
        let triggers = triggers(file, request, heads, index, errors);
        brought += triggers.len();
        if brought > MAX_TRIGGERS {
            let message = format!("more than {MAX_TRIGGERS} ONBUILD triggers would run");
            errors.push(SyntaxError::new(file.stages[index].span, message));
        }
        if errors.len() >= MAX_ERRORS || brought > MAX_TRIGGERS {
            return reached;
        }
        // A stage that nobody needs may copy from a later one; for one that is needed that is not made yet.
        errors.extend(later.get(&index).into_iter().flatten().map(|(_, from)| from_later(from)));
        waiting.extend(needs(file, heads, index, &triggers));
        for trigger in &triggers {
            let mut problems = Vec::new();
            let brought = sources(trigger, heads, &mut problems);
            problems.extend(brought.into_iter().filter_map(|(stage, from)| match stage.cmp(&index) {
                Ordering::Less => None,
                Ordering::Equal => Some(from_itself(from)),
                Ordering::Greater => Some(from_later(from)),
            }));
            errors.extend(
                problems.into_iter().map(|error| SyntaxError { span: file.stages[index].base.span, ..error }),
            );
        }
        reached.insert(index, triggers);
    }
    reached
}

/// The stages that a stage with these triggers needs: the one it begins with, and those it takes files from.
pub fn needs(file: &Dockerfile, heads: &Heads, index: usize, triggers: &[Instruction]) -> BTreeSet<usize> {
    let base = match heads.stages[index].source {
        Source::Stage(base) => Some(base),
        _ => None,
    };
    let own = heads.instructions(file, index).iter();
    let taken = triggers.iter().chain(own).flat_map(|one| sources(one, heads, &mut Vec::new()));
    taken.map(|(stage, _)| stage).chain(base).filter(|stage| *stage < index).collect()
}

/// The stages whose configuration reaches the image: the target and what it begins with. Of one
/// that is only copied from, files are all that is taken.
pub fn inherited(heads: &Heads, target: usize) -> BTreeSet<usize> {
    let mut chain = BTreeSet::from([target]);
    let mut index = target;
    while let Some(Source::Stage(base)) = heads.stages.get(index).map(|head| &head.source)
        && chain.insert(*base)
    {
        index = *base;
    }
    chain
}

/// Does an instruction say something of an image, and nothing that a file could depend on? `VOLUME` is
/// none of them: the classic builder forgets what `RUN` writes there.
pub fn only_describes(body: &Body) -> bool {
    matches!(
        body,
        Body::Cmd(_)
            | Body::Entrypoint(_)
            | Body::Expose(_)
            | Body::Healthcheck(_)
            | Body::Label(_)
            | Body::Maintainer(_)
            | Body::StopSignal(_)
    )
}

/// The stages that an instruction copies from, each with the word that names it.
fn sources<'i>(
    instruction: &'i Instruction,
    heads: &Heads,
    errors: &mut Vec<SyntaxError>,
) -> Vec<(usize, &'i Word)> {
    let mut stage = |from: &'i Word, source: Result<Source, SyntaxError>| match source {
        Ok(Source::Stage(index)) => Some((index, from)),
        Ok(_) => None,
        Err(error) => {
            errors.push(error);
            None
        }
    };
    match &instruction.body {
        Body::Copy(copy) => {
            copy.from.iter().filter_map(|from| stage(from, heads.copy_source(from))).collect()
        }
        Body::Run(run) => {
            let froms = run.mounts.iter().filter_map(|mount| mount.from.as_ref());
            froms.filter_map(|from| stage(from, heads.named_source(from))).collect()
        }
        _ => Vec::new(),
    }
}

fn from_itself(from: &Word) -> SyntaxError {
    let message = format!("a stage cannot copy from itself ({})", quoted(&from.text));
    SyntaxError::new(from.span, message).hint("only stages further up can be used")
}

fn from_later(from: &Word) -> SyntaxError {
    let message = format!("the stage {} comes later", quoted(&from.text));
    SyntaxError::new(from.span, message).hint("only stages further up can be used")
}

/// Stages that copy from each other in a circle, which BuildKit refuses wherever they stand
/// (`validateCircularDependency`). Only words that lead to a later stage can close one.
fn circles(
    file: &Dockerfile,
    heads: &Heads,
    later: &BTreeMap<usize, Vec<(usize, &Word)>>,
    errors: &mut Vec<SyntaxError>,
) {
    for (&index, words) in later {
        for (stage, from) in words {
            let (mut seen, mut waiting) = (BTreeSet::new(), vec![*stage]);
            while let Some(next) = waiting.pop() {
                if next == index {
                    let message = format!("copying from {} ends where it begins", quoted(&from.text));
                    errors.push(
                        SyntaxError::new(from.span, message).hint("stages cannot copy from each other"),
                    );
                    break;
                }
                if seen.insert(next) {
                    let instructions = heads.instructions(file, next).iter();
                    let found = instructions.flat_map(|one| sources(one, heads, &mut Vec::new()));
                    waiting.extend(found.map(|(stage, _)| stage));
                }
            }
            if errors.len() >= MAX_ERRORS {
                return;
            }
        }
    }
}

/// The triggers that run right behind `FROM`: those of an image, or of the stage that is built on.
fn triggers(
    file: &Dockerfile,
    request: &Request,
    heads: &Heads,
    index: usize,
    errors: &mut Vec<SyntaxError>,
) -> Vec<Instruction> {
    let head = &heads.stages[index];
    let texts: Vec<&str> = match &head.source {
        _ if head.replaced => Vec::new(),
        Source::Image(name) => {
            of_base(&request.triggers, name).into_iter().flatten().map(String::as_str).collect()
        }
        Source::Stage(base) => own_triggers(file, heads, *base).collect(),
        Source::Scratch | Source::Context(_) => Vec::new(),
    };
    let mut triggers = Vec::new();
    for text in texts {
        match parse_trigger(text) {
            Ok(found) => triggers.push(found),
            Err(error) => {
                let message = format!(
                    "the ONBUILD trigger {} of the base is not sound: {}",
                    quoted(text),
                    error.message
                );
                errors.push(SyntaxError::new(file.stages[index].base.span, message));
            }
        }
    }
    triggers
}

/// The triggers that a stage hands on.
pub fn own_triggers<'f>(file: &'f Dockerfile, heads: &Heads, index: usize) -> impl Iterator<Item = &'f str> {
    heads.instructions(file, index).iter().filter_map(|instruction| match &instruction.body {
        Body::Onbuild(trigger) => Some(trigger.as_str()),
        _ => None,
    })
}

/// Looks a base up as it is written, and in full.
pub fn of_base<'m, V>(map: &'m BTreeMap<String, V>, name: &str) -> Option<&'m V> {
    map.get(name).or_else(|| map.get(&reference::normalized(name)))
}
