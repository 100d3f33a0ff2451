//! Circles in a graph: which names lie on them, and a way round for each.
//!
//! Knows names and edges, and no image. Nothing here recurses: a circle may be as long as a repository is large.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// For each name those that it is built on.
pub type Edges = BTreeMap<String, BTreeSet<String>>;

/// Names that all reach each other, a set for each such group, out of those that no order was found for.
pub(super) fn groups(edges: &Edges, unordered: BTreeSet<String>) -> Vec<BTreeSet<String>> {
    let mut core = unordered;
    let mut users: Edges = BTreeMap::new();
    for (name, base) in pairs(edges, &core) {
        users.entry(base.to_owned()).or_default().insert(name.to_owned());
    }
    // What is built on a circle, and used by nothing that is on one, goes first.
    let mut todo: Vec<String> = core.iter().filter(|name| !users.contains_key(*name)).cloned().collect();
    while let Some(name) = todo.pop() {
        core.remove(&name);
        for base in edges.get(&name).into_iter().flatten() {
            let Some(of_base) = users.get_mut(base) else { continue };
            of_base.remove(&name);
            if of_base.is_empty() && core.contains(base) {
                todo.push(base.clone());
            }
        }
    }
    let mut groups = Vec::new();
    while let Some(name) = core.first().cloned() {
        let below = reached(&name, edges, &core);
        let above = reached(&name, &users, &core);
        let group: BTreeSet<String> = below.intersection(&above).cloned().collect();
        core.remove(&name);
        core.retain(|name| !group.contains(name));
        // One that is between two circles is on none.
        if !group.is_empty() {
            groups.push(group);
        }
    }
    groups
}

/// Ways round in a group, such that each of its names is on one of them; each begins with its smallest name.
pub(super) fn in_group(edges: &Edges, group: &BTreeSet<String>) -> Vec<Vec<String>> {
    let mut circles: Vec<Vec<String>> = Vec::new();
    let mut covered: BTreeSet<String> = BTreeSet::new();
    for name in group {
        if !covered.contains(name)
            && let Some(circle) = way_round(name, edges, group)
        {
            covered.extend(circle.iter().cloned());
            circles.push(from_smallest(circle));
        }
    }
    circles
}

fn pairs<'a>(edges: &'a Edges, among: &'a BTreeSet<String>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let of = |name: &'a String| {
        edges.get(name).into_iter().flatten().map(move |base| (name.as_str(), base.as_str()))
    };
    among.iter().flat_map(of).filter(|(_, base)| among.contains(*base))
}

/// All that a step or more lead to, the beginning only if they lead back to it.
fn reached(from: &str, edges: &Edges, among: &BTreeSet<String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(name) = todo.pop() {
        for next in edges.get(name).into_iter().flatten().filter(|next| among.contains(*next)) {
            if found.insert(next.clone()) {
                todo.push(next);
            }
        }
    }
    found
}

/// The shortest way from a name back to it, within a group.
fn way_round(from: &str, edges: &Edges, group: &BTreeSet<String>) -> Option<Vec<String>> {
    let mut before: BTreeMap<&str, &str> = BTreeMap::new();
    let mut todo: VecDeque<&str> = VecDeque::from([from]);
    while let Some(name) = todo.pop_front() {
        for next in edges.get(name).into_iter().flatten().filter(|next| group.contains(*next)) {
            if next == from {
                let mut way = vec![name.to_owned()];
                let mut at = name;
                while let Some(earlier) = before.get(at) {
                    way.push((*earlier).to_owned());
                    at = earlier;
                }
                way.reverse();
                return Some(way);
            }
            if !before.contains_key(next.as_str()) {
                before.insert(next, name);
                todo.push_back(next);
            }
        }
    }
    None
}

fn from_smallest(mut circle: Vec<String>) -> Vec<String> {
    let smallest = (0..circle.len()).min_by_key(|at| &circle[*at]).unwrap_or(0);
    circle.rotate_left(smallest);
    circle
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a:b,c d:a`, an image and its bases.
    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let mut edges = Edges::new();
        for line in text.split_whitespace() {
            let (name, bases) = line.split_once(':').unwrap();
            let bases = bases.split(',').filter(|base| !base.is_empty()).map(str::to_owned);
            edges.insert(name.to_owned(), bases.collect());
        }
        let groups = groups(&edges, edges.keys().cloned().collect());
        let circles = groups.iter().flat_map(|group| in_group(&edges, group));
        let found: Vec<String> = circles.map(|circle| circle.join(" ")).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn names_on_a_circle_are_found_and_those_beside_it_are_not() {
        check("a:b b:a", &["a b"]);
        check("c:a a:b b:c", &["a b c"]);
        check("a:b b:a user:a below: a2:below", &["a b"]);
        check("a:a", &["a"]);
        // Between two circles, and on top of both.
        check("a:b b:a between:b c:d,between d:c top:c", &["a b", "c d"]);
        // Two ways round that share a name.
        check("a:b b:a,c c:b", &["a b", "b c"]);
    }

    #[test]
    fn a_circle_may_be_long() {
        let number = 20_000;
        let edge = |at: usize| (format!("{at:05}"), BTreeSet::from([format!("{:05}", (at + 1) % number)]));
        let edges: Edges = (0..number).map(edge).collect();
        let groups = groups(&edges, edges.keys().cloned().collect());
        assert_eq!(groups.len(), 1);
        assert_eq!(in_group(&edges, &groups[0]).len(), 1);
    }
}
