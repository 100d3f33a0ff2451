//! Which image is built on which: edges, order, and the circles that must not be.
//!
//! The search for circles walks the edges without recursion and runs before any
//! recursive query does: a circle inside salsa could only be told without its path.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Db;
use super::circles::{self, Edges};
use super::edge::Edge;
use super::inputs::{Image, OutsideBase, Workspace};
use super::names::{Found, find};
use super::problem::Problem;
use super::recipe::{base_of, images, recipe};

/// Every base of an image, inside the repository and outside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bases {
    /// Images of the repository, in the order of the Dockerfile.
    pub inside: Vec<Edge>,
    /// Images that are not of the repository.
    pub outside: BTreeSet<OutsideBase>,
}

/// The bases of an image; empty while its Dockerfile has mistakes.
#[salsa::tracked(persist)]
pub fn bases(db: &dyn Db, image: Image) -> Bases {
    let mut bases = Bases::default();
    if let Ok(recipe) = recipe(db, image) {
        for base in images(recipe) {
            match find(db, image, &base.reference, &base.platform) {
                Found::Image(found) => {
                    let edge = Edge {
                        base: found.name(db).to_owned(),
                        word: base.word.clone(),
                        reference: base.reference.clone(),
                        platform: base.platform.clone(),
                        how: base.how,
                    };
                    if !bases.inside.contains(&edge) {
                        bases.inside.push(edge);
                    }
                }
                // The recipe has refused it.
                Found::OtherPlatform(_) => {}
                Found::Outside => {
                    bases.outside.insert(base_of(db, image, base));
                }
            }
        }
    }
    bases
}

/// The images of some targets and all they are built on, in an order in which
/// every image comes after its bases, ties by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Names, bases first.
    pub names: Vec<String>,
    /// The bases of each image of the repository, by name; of images on a circle those that are not on it.
    pub bases: Edges,
    /// The images that are built on each other in a circle, each with the way round.
    pub circles: BTreeMap<String, Problem>,
}

/// Orders `targets` and what they need. Images on a circle are no base of each other in it: each has a problem
/// instead, and what is not built on them goes on without them.
pub fn order(db: &dyn Db, targets: &BTreeSet<String>) -> Order {
    let images = Workspace::get(db).images(db);
    let mut edges: Edges = BTreeMap::new();
    let mut todo: Vec<String> = targets.iter().cloned().collect();
    while let Some(name) = todo.pop() {
        let Some(image) = images.get(&name) else { continue };
        if let Entry::Vacant(entry) = edges.entry(name) {
            let of_image: BTreeSet<String> =
                bases(db, *image).inside.iter().map(|edge| edge.base.clone()).collect();
            todo.extend(of_image.iter().cloned());
            entry.insert(of_image);
        }
    }
    let (names, rest) = topological(&edges);
    if rest.is_empty() {
        return Order { names, bases: edges, circles: BTreeMap::new() };
    }
    let mut circles = BTreeMap::new();
    for group in circles::groups(&edges, rest) {
        for circle in circles::in_group(&edges, &group) {
            let problem = circle_problem(db, &circle);
            for name in circle {
                circles.entry(name).or_insert_with(|| problem.clone());
            }
        }
        for name in &group {
            edges.entry(name.clone()).or_default().retain(|base| !group.contains(base));
        }
    }
    let (names, _) = topological(&edges);
    Order { names, bases: edges, circles }
}

/// Names in order, and those that cannot be ordered because a cycle is in the way.
fn topological(edges: &BTreeMap<String, BTreeSet<String>>) -> (Vec<String>, BTreeSet<String>) {
    let mut waiting: BTreeMap<&str, usize> = BTreeMap::new();
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, bases) in edges {
        waiting.insert(name, bases.len());
        for base in bases {
            users.entry(base).or_default().push(name);
        }
    }
    let mut ready: BTreeSet<&str> =
        waiting.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    let mut names = Vec::new();
    while let Some(name) = ready.pop_first() {
        names.push(name.to_owned());
        waiting.remove(name);
        for user in users.get(name).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(user);
                }
            }
        }
    }
    (names, waiting.into_keys().map(str::to_owned).collect())
}

fn circle_problem(db: &dyn Db, circle: &[String]) -> Problem {
    let images = Workspace::get(db).images(db);
    let mut path: Vec<&str> = circle.iter().map(String::as_str).collect();
    path.extend(circle.first().map(String::as_str));
    let path = path.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" -> ");
    let first = images[&circle[0]];
    let next = &circle[1 % circle.len()];
    let place = bases(db, first).inside.iter().find(|edge| edge.base == *next).and_then(|edge| {
        let recipe = recipe(db, first).as_ref().ok()?;
        let base = recipe.bases.iter().find(|base| base.reference == edge.reference)?;
        base.spans.first().copied()
    });
    Problem {
        path: first.paths(db).dockerfile.clone(),
        span: place,
        message: format!("images are built on each other in a circle: {path}"),
        hint: Some("one of these FROM, COPY --from or --mount=from must name something else".into()),
    }
}

/// See `snapshot.rs`.
pub(super) fn prime(db: &dyn Db, zalsa: &salsa::plumbing::Zalsa) {
    let _ = bases::fn_ingredient_(db, zalsa);
}
