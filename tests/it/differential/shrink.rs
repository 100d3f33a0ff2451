//! Makes a disagreement small before it is shown.
//!
//! The smaller case is run on the engine again, from an empty folder and with
//! names of its own, and is kept while the same kind of disagreement appears.
//! This is delta debugging by hand and no strategy of proptest's: a case is the
//! history of one tree and one recipe, made together with many others that share
//! its builds; proptest would shrink all of them, at a second each.

use std::collections::BTreeSet;

use super::oracle::{Oracle, Tools};
use super::recipe::{Body, Flags, Recipe, Role};
use super::tree::Tree;
use super::world::{Kind, World};

/// Runs of the engine that one disagreement may cost.
const ATTEMPTS: usize = 80;

/// A tree and a recipe at one time.
#[derive(Clone)]
pub struct State {
    pub tree: Tree,
    pub recipe: Recipe,
    pub touched: Option<String>,
}

/// What can be left out, everywhere at once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Item {
    State(usize),
    Stage(Role),
    Line(usize),
    Source(usize, String),
    Flags(usize),
    Global(String),
    Given(String),
    Dress,
    Path(String),
    Ignore(String),
}

/// The smallest history found that still shows this kind of disagreement. Comes back as it is, with
/// `false`, where a second run does not show it.
pub fn shrink(tools: &Tools, stamp: &str, states: Vec<State>, kind: Kind) -> (Vec<State>, bool) {
    let mut attempts = 0;
    let mut shows = |states: &[State]| {
        attempts += 1;
        attempts <= ATTEMPTS && replay(tools, &format!("{stamp}-{attempts}"), states, kind)
    };
    if !shows(&states) {
        return (states, false);
    }
    let mut best = states;
    loop {
        let before = items(&best).len();
        let mut chunk = before.div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            loop {
                let all: Vec<Item> = items(&best).into_iter().collect();
                if at >= all.len() {
                    break;
                }
                let gone: BTreeSet<&Item> = all[at..(at + chunk).min(all.len())].iter().collect();
                match without(&best, &gone) {
                    Some(smaller) if shows(&smaller) => best = smaller,
                    _ => at += chunk,
                }
            }
            chunk /= 2;
        }
        if items(&best).len() == before {
            return (best, true);
        }
    }
}

fn items(states: &[State]) -> BTreeSet<Item> {
    // The last state is the one that disagrees.
    let mut all: BTreeSet<Item> = (0..states.len() - 1).map(Item::State).collect();
    for State { tree, recipe, .. } in states {
        all.extend(tree.nodes.keys().cloned().map(Item::Path));
        all.extend(tree.ignore.iter().cloned().map(Item::Ignore));
        all.extend(recipe.given.keys().cloned().map(Item::Given));
        all.extend(recipe.globals.iter().map(|(name, _)| Item::Global(name.clone())));
        all.extend((recipe.dress != 0).then_some(Item::Dress));
        for (role, lines) in &recipe.stages {
            all.extend((*role != Role::Main).then_some(Item::Stage(*role)));
            for line in lines {
                all.insert(Item::Line(line.id));
                if let Body::Copy(step) = &line.body
                    && step.flags != Flags::default()
                {
                    all.insert(Item::Flags(line.id));
                }
                if let Body::Copy(step) = &line.body
                    && step.sources.len() > 1
                {
                    all.extend(step.sources.iter().map(|source| Item::Source(line.id, source.clone())));
                }
            }
        }
    }
    all
}

/// `None` where nothing would be left to build.
fn without(states: &[State], gone: &BTreeSet<&Item>) -> Option<Vec<State>> {
    let kept = states.iter().enumerate().filter(|(at, _)| !gone.contains(&Item::State(*at)));
    let mut smaller: Vec<State> = kept.map(|(_, state)| state.clone()).collect();
    for State { tree, recipe, .. } in &mut smaller {
        for item in gone {
            match item {
                Item::Path(path) => tree.remove(path),
                Item::Ignore(line) => tree.ignore.retain(|other| other != line),
                Item::Given(name) => drop(recipe.given.remove(name)),
                Item::Global(name) => recipe.globals.retain(|(other, _)| other != name),
                Item::Stage(role) => drop(recipe.stages.remove(role)),
                Item::Dress => recipe.dress = 0,
                Item::Line(id) => {
                    recipe.stages.values_mut().for_each(|lines| lines.retain(|line| line.id != *id));
                }
                Item::Source(id, source) => {
                    for line in recipe.stages.values_mut().flatten().filter(|line| line.id == *id) {
                        if let Body::Copy(step) = &mut line.body
                            && step.sources.len() > 1
                        {
                            step.sources.retain(|other| other != source);
                        }
                    }
                }
                Item::Flags(id) => {
                    for line in recipe.stages.values_mut().flatten().filter(|line| line.id == *id) {
                        if let Body::Copy(step) = &mut line.body {
                            step.flags = Flags::default();
                        }
                    }
                }
                Item::State(_) => {}
            }
        }
    }
    smaller.iter().all(|state| state.recipe.is_whole()).then_some(smaller)
}

/// Runs a history; does it end with this kind of disagreement?
fn replay(tools: &Tools, stamp: &str, states: &[State], kind: Kind) -> bool {
    let number = states[0].recipe.number;
    let whole = Recipe::whole(0, stamp);
    let numbers = BTreeSet::from([0, number]);
    let mut world = World::new(Oracle::new(tools, stamp), whole.clone(), &numbers);
    let mut found = Vec::new();
    for state in states {
        if let Some(path) = &state.touched {
            world.touch(path);
        }
        let mut recipes = vec![whole.clone()];
        recipes.extend((number != 0).then(|| state.recipe.restamped(stamp)));
        let tree = state.tree.restamped(stamp);
        found = world.step(&tree, &recipes, &BTreeSet::from([number])).1;
    }
    found.iter().any(|it| it.kind == kind && it.recipe == number)
}
