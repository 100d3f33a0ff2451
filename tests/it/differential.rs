//! imk against a real engine, by the thousand: random trees, ignore files and Dockerfiles.
//!
//! For every case: (a) the files that reach the image when docker builds with
//! the whole context are the files imk counts, and what one refuses the other
//! refuses; (b) with imk's files alone the image is the same; (c) after a
//! random edit imk's key is new exactly when a warm BuildKit cache has to do
//! something. Many recipes share one tree and one build, which makes a case
//! cost some milliseconds.
//!
//! The seed stands still, so that a failure is somebody's change and not the
//! day's luck; `IMK_TEST_SEED=clock` takes another each time, `IMK_TEST_SEED=n`
//! plays one again, `IMK_TEST_CASES=n` makes a run longer.

mod client;
mod oracle;
pub mod random;
mod recipe;
mod subject;
mod tree;
mod world;

use std::time::Instant;

use oracle::Oracle;
use random::Random;
use recipe::Recipe;
use tree::Tree;
use world::{Disagreement, World};

/// Recipes that share a tree.
const RECIPES: usize = 40;
/// States of a tree: as made, and after edits.
const STATES: usize = 9;

/// The seed of a run that nobody chose.
const SEED: u64 = 79;

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
    let wanted = usize::try_from(number("IMK_TEST_CASES").unwrap_or(1000)).unwrap();
    eprintln!("differential: IMK_TEST_SEED={seed} IMK_TEST_CASES={wanted}");
    // Unlike any other run's, so that the engine's cache knows nothing of it.
    let stamp = format!("{:x}", clock.as_nanos() & 0xffff_ffff_ffff);
    let oracle = Oracle::new(&stamp);
    let (start, mut cases, mut told) = (Instant::now(), 0, String::new());
    for batch in 0.. {
        if cases >= wanted || told.len() > 20_000 {
            break;
        }
        let mut random = Random::new(seed.wrapping_mul(1_000_003).wrapping_add(batch));
        let (count, text) = run_batch(&oracle, &mut random, &format!("{stamp}-{batch}"));
        cases += count;
        told += &text;
    }
    eprintln!("differential: {cases} cases in {:.1?}", start.elapsed());
    assert!(told.is_empty(), "IMK_TEST_SEED={seed}\n{told}");
}

/// One tree through all its states. The text tells every disagreement.
fn run_batch(oracle: &Oracle, random: &mut Random, stamp: &str) -> (usize, String) {
    let mut tree = Tree::random(random, stamp);
    let mut recipes: Vec<Recipe> =
        (0..RECIPES).map(|number| Recipe::random(random, &tree, number, stamp)).collect();
    let numbers: Vec<usize> = (0..RECIPES).collect();
    let mut world = World::new(oracle, &numbers);
    let (mut cases, mut text, mut edits) = (0, String::new(), Vec::new());
    for state in 0..STATES {
        if state > 0 {
            edits = vec![tree.edit(random)];
            edits.iter().filter_map(|edit| edit.touched.as_deref()).for_each(|path| world.touch(path));
            for recipe in recipes.iter_mut() {
                if random.chance(5) {
                    recipe.edit(random);
                }
            }
        }
        let (count, found) = world.step(&tree, &recipes, random);
        cases += count;
        for disagreement in &found {
            let edits: Vec<&str> = edits.iter().map(|edit| edit.what.as_str()).collect();
            text += &describe(disagreement, &recipes, &tree, &edits);
        }
    }
    (cases, text)
}

fn describe(found: &Disagreement, recipes: &[Recipe], tree: &Tree, edits: &[&str]) -> String {
    let recipe = &recipes[found.recipe];
    format!("======== {found}\nafter {edits:?}\n{recipe}{tree}\n")
}
