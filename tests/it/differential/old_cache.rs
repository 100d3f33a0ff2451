//! Where the judge is old: how the cache of BuildKit 0.8, which is in docker 20.10, follows links.
//!
//! imk resolves a path as `copy` does, and as the cache does since BuildKit 0.14
//! (moby/buildkit, `cache/contenthash`: "implement proper Linux symlink semantics
//! for getFollowLinks"). The older cache read a relative link from where it was
//! named, not from where it stands; did not find anything behind a link to the
//! context itself; and looked for the matches of `link/*` without following the
//! link. It then refuses what can be copied, or takes another file's word for
//! this one's. A recipe that ever meets such a path is no case.

use imk::syntax::glob;

use super::recipe::{Recipe, clean};
use super::tree::{Node, Tree};

/// More links than this lead round in a circle.
const MOST_LINKS: usize = 255;

/// Does the older cache look elsewhere than today's for something that the recipe copies?
pub fn looks_elsewhere(recipe: &Recipe, tree: &Tree) -> bool {
    recipe.steps().flat_map(|step| &step.sources).any(|source| {
        let path = clean(source);
        if !glob::has_wildcards(&path) {
            return differs(tree, &path);
        }
        let folder = |at: usize| matches!(tree.nodes.get(&path[..at]), Some(Node::Link(_)));
        path.match_indices('/').any(|(at, _)| folder(at))
            || matched_links(tree, &path).any(|at| differs(tree, at))
    })
}

fn matched_links<'t>(tree: &'t Tree, pattern: &'t str) -> impl Iterator<Item = &'t str> {
    tree.nodes.iter().filter_map(move |(path, node)| {
        let matched = matches!(node, Node::Link(_)) && glob::matches(pattern, path) == Ok(true);
        matched.then_some(path.as_str())
    })
}

fn differs(tree: &Tree, path: &str) -> bool {
    let today = today(tree, path);
    let old = of_old(tree, path);
    // Both find nothing, wherever they looked: then nothing is copied.
    old != today && (exists(tree, &old) || exists(tree, &today))
}

fn exists(tree: &Tree, path: &Option<String>) -> bool {
    path.as_ref().is_some_and(|path| path.is_empty() || tree.nodes.contains_key(path))
}

/// Where a path leads, links and all; `None` where it leads round in a circle.
fn today(tree: &Tree, path: &str) -> Option<String> {
    let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let mut way: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(part) = rest.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                way.pop();
                continue;
            }
            _ => way.push(part),
        }
        if let Some(Node::Link(target)) = tree.nodes.get(&way.join("/")) {
            links += 1;
            if links > MOST_LINKS {
                return None;
            }
            way.pop();
            if target.starts_with('/') {
                way.clear();
            }
            rest.extend(target.split('/').rev().map(str::to_owned));
        }
    }
    Some(way.join("/"))
}

/// `checksumFollow`: the last link is read from the path that was asked for.
fn of_old(tree: &Tree, path: &str) -> Option<String> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let found = looked_up(tree, &path, &mut 0)?;
        match tree.nodes.get(&found) {
            Some(Node::Link(target)) => path = joined(&path, target),
            _ => return Some(found),
        }
    }
    None
}

/// `getFollowLinks`: links on the way are followed, the last name is not.
fn looked_up(tree: &Tree, path: &str, links: &mut usize) -> Option<String> {
    if path.is_empty() || tree.nodes.contains_key(path) {
        return Some(path.to_owned());
    }
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent = looked_up(tree, folder, links)?;
    if let Some(Node::Link(target)) = tree.nodes.get(&parent) {
        *links += 1;
        if *links > MOST_LINKS {
            return None;
        }
        // The link is read from the folder's name, not from where that led.
        let target = joined(folder, target);
        // Below the context itself, keys are written in another way than they are read.
        return if target.is_empty() { None } else { looked_up(tree, &format!("{target}/{name}"), links) };
    }
    Some(if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") })
}

/// A link's target as a path below the context, by words alone.
fn joined(link: &str, target: &str) -> String {
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
    if target.starts_with('/') { clean(target) } else { clean(&format!("{folder}/{target}")) }
}

#[test]
fn the_model_knows_what_was_seen() {
    let mut tree = Tree::default();
    for (path, target) in
        [("e/root", ".."), ("e/d", "../d"), ("d/far", "../../../../e/x"), ("d/near", "../e/x")]
    {
        tree.nodes.insert(path.into(), Node::Link(target.into()));
    }
    for path in ["d", "e", "e/x"] {
        tree.nodes.insert(path.into(), Node::Folder { mode: 0o755 });
    }
    tree.nodes.insert("top".into(), Node::File { text: String::new(), mode: 0o644 });
    tree.nodes.insert("e/x/f".into(), Node::File { text: String::new(), mode: 0o644 });
    for (path, is_found) in [
        ("e/root/top", false),
        ("e/root/e/x/f", false),
        ("e/root/d/far", false),
        // Found by luck: so many dots end at the context from anywhere.
        ("e/d/far", true),
        ("e/d/near", false),
        ("d/near/f", true),
        ("d/far", true),
        ("e/root", true),
    ] {
        assert!(exists(&tree, &today(&tree, path)), "{path}");
        assert_eq!(!differs(&tree, path), is_found, "{path}: {:?}", of_old(&tree, path));
    }
}
