//! imk against a real engine, by the thousand: random trees, ignore files and Dockerfiles.
//!
//! For every case: (a) the files that reach the image when docker builds with
//! the whole context are the files imk counts, and what one refuses the other
//! refuses; (b) with imk's files alone the image is the same; (c) after a
//! random edit, of files or of the recipe and its arguments, imk's key is new
//! exactly when a warm BuildKit cache has to do something or makes another image.
//! Many recipes share one tree and one build, and trees are built side by side,
//! which makes a case cost some milliseconds. A disagreement is made small before
//! it is shown: see `shrink.rs`.
//!
//! The seed stands still, so that a failure is somebody's change and not the
//! day's luck (its cases are of what the engine can do: see `abilities.rs`);
//! `IMK_TEST_SEED=clock` takes another each time, `IMK_TEST_SEED=n` plays one again,
//! `IMK_TEST_CASES=n` makes a run longer.

mod abilities;
mod builders;
mod client;
mod old_cache;
mod oracle;
pub mod random;
mod recipe;
mod shrink;
mod subject;
mod tree;
mod world;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use oracle::{Oracle, Tools};
use random::Random;
use recipe::Recipe;
use shrink::State;
use tree::{Edit, Tree};
use world::{Disagreement, World};

/// Recipes that share a tree.
const RECIPES: usize = 60;
/// States of a tree: as made, and after edits.
const STATES: usize = 9;
/// Trees at once. The engine does most of the work, and much of it is waiting.
const AT_ONCE: usize = 3;
/// Disagreements that are made small; the others are told as they are.
const SHRUNK: usize = 3;

/// The seed of a run that nobody chose, and its cases.
const SEED: u64 = 79;
const CASES: u64 = 3240;

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|_| panic!("{variable} is not a number")))
}

fn seed(clock: u64) -> u64 {
    let by_clock = std::env::var("IMK_TEST_SEED").is_ok_and(|seed| seed == "clock");
    if by_clock { clock % 1_000_000_000 } else { number("IMK_TEST_SEED").unwrap_or(SEED) }
}

#[test]
fn imk_and_the_engine_agree_on_random_repositories() {
    if crate::sandbox::engine_or_skip("differential").is_none() {
        return;
    }
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = seed(clock.as_secs());
    let wanted = usize::try_from(number("IMK_TEST_CASES").unwrap_or(CASES)).unwrap();
    eprintln!("differential: IMK_TEST_SEED={seed} IMK_TEST_CASES={wanted}");
    // Unlike any other run's, so that the engine's cache knows nothing of it.
    let stamp = format!("{:x}", clock.as_nanos() & 0xffff_ffff_ffff);
    let tools = Tools::new(&stamp);
    let start = Instant::now();
    // So many trees, however fast they are: a seed means the same cases on every machine.
    let trees = (wanted / (RECIPES * STATES)).max(1) as u64;
    let (batches, cases, told) = (AtomicU64::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while lock(&told).len() < 20 {
                    let batch = batches.fetch_add(1, Ordering::Relaxed);
                    if batch >= trees {
                        break;
                    }
                    let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(batch));
                    let (count, found) = run_batch(&tools, &mut random, &format!("{stamp}-{batch}"));
                    cases.fetch_add(count, Ordering::Relaxed);
                    lock(&told).extend(found);
                }
            });
        }
    });
    eprintln!("differential: {} cases in {:.1?}", cases.into_inner(), start.elapsed());
    let mut told = told.into_inner().unwrap_or_else(PoisonError::into_inner);
    if told.is_empty() {
        return;
    }
    // Those of one cause follow each other, so the small ones are taken from all over.
    let apart = told.len().div_ceil(SHRUNK);
    let texts = told.iter_mut().enumerate().map(|(at, case)| match at % apart {
        0 => case.small(&tools, &format!("{stamp}-small{at}")),
        _ => case.to_string(),
    });
    let texts: Vec<String> = texts.collect();
    panic!("IMK_TEST_SEED={seed}\n{}", texts.join("\n"));
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A disagreement with all that led to it.
struct Case {
    found: Disagreement,
    what: Vec<String>,
    states: Vec<State>,
}

impl Case {
    fn small(&mut self, tools: &Tools, stamp: &str) -> String {
        let (states, again) = shrink::shrink(tools, stamp, self.states.clone(), self.found.kind);
        if !again {
            return format!("{self}(another run of it alone did not show it)\n");
        }
        let shown: Vec<String> = states.iter().map(shown).collect();
        let (found, what) = (&self.found, self.what.join("; "));
        format!("======== {found}\nfound after: {what}\nmade small:\n{}", shown.join("-------- then\n"))
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let last = self.states.last().map_or(String::new(), shown);
        write!(f, "======== {}\nafter: {}\n{last}", self.found, self.what.join("; "))
    }
}

fn shown(State { tree, recipe, .. }: &State) -> String {
    let given: Vec<String> = recipe.args().iter().map(|(name, value)| format!(" {name}={value:?}")).collect();
    let given = if given.is_empty() { String::new() } else { format!("  given:{}\n", given.concat()) };
    format!("{recipe}{given}{tree}")
}

/// One tree through all its states.
fn run_batch(tools: &Tools, random: &mut Random, stamp: &str) -> (usize, Vec<Case>) {
    let mut tree = Tree::random(random, stamp);
    if tools.can.newer && random.chance(50) {
        tree.add_archive(random);
    }
    let whole = Recipe::whole(0, stamp);
    let mut recipes = vec![whole.clone()];
    recipes.extend(
        (1..RECIPES).map(|number| Recipe::random(random, &tree, number, stamp, (&tools.image, tools.can))),
    );
    let numbers: BTreeSet<usize> = (0..RECIPES).collect();
    let mut world = World::new(Oracle::new(tools, stamp), whole, &numbers);
    let (mut cases, mut all) = (0, Vec::new());
    let mut history: Vec<(Tree, Vec<Recipe>, Option<String>)> = Vec::new();
    let (mut due, mut what): (BTreeSet<usize>, Vec<String>) = Default::default();
    for state in 0..STATES {
        let mut touched = None;
        what.clear();
        let edited = std::mem::take(&mut due);
        if state > 0 {
            let Edit { what: done, touched: path } = tree.edit(random);
            touched = path;
            what.push(done);
            touched.iter().for_each(|path| world.touch(path));
            what.extend(edited.iter().map(|number| recipes[*number].edit(random, &tree)));
        }
        due.extend((1..RECIPES).filter(|_| random.chance(4)));
        history.push((tree.clone(), recipes.clone(), touched));
        let (count, found) = world.step(&tree, &recipes, &edited.union(&due).copied().collect());
        cases += count;
        for found in found {
            let state = |(tree, recipes, touched): &(Tree, Vec<Recipe>, Option<String>)| State {
                tree: tree.clone(),
                recipe: recipes[found.recipe].clone(),
                touched: touched.clone(),
            };
            let states = history.iter().map(state).collect();
            let mine = format!("recipe {}:", found.recipe);
            let what = what.iter().filter(|it| !it.starts_with("recipe ") || it.starts_with(&mine));
            all.push(Case { what: what.cloned().collect(), states, found });
        }
    }
    (cases, all)
}
