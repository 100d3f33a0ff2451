//! The graph as a tree of lines: every image below the bases it is built on. It knows names and
//! edges, and no session.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::query::graph::Order;

/// Levels that are drawn one inside the other; a longer chain goes on at the left margin. Else the
/// spaces before the names would be most of the text: a chain of n images has n²/2 levels.
const MARGIN: usize = 32;

/// Leaves of one base that are folded, where that is asked for, and how many of them are shown then.
const MANY: usize = 8;
const FEW: usize = 3;

/// Every image below the bases it is built on; one with several bases stands below each, and what is
/// below it only the first time. With a `depth`, levels further down are counted and not shown. With `fold`, of many
/// images that are built on one base, and nothing on them, the first few are shown and the others counted.
pub fn draw(order: &Order, depth: Option<usize>, fold: bool) -> String {
    let graph = Dependents::of(order);
    let mut drawing =
        Drawing { graph: &graph, depth, fold, shown: vec![false; order.names.len()], text: String::new() };
    let mut margin: Vec<(usize, usize)> = graph.roots.iter().rev().map(|root| (*root, 0)).collect();
    while let Some((image, level)) = margin.pop() {
        let _ = writeln!(drawing.text, "{}", order.names[image]);
        let further = drawing.below(image, level);
        margin.extend(further.into_iter().rev());
    }
    drawing.text
}

/// For each image those that are built on it, by their places in the order.
struct Dependents<'a> {
    names: &'a [String],
    roots: Vec<usize>,
    of: Vec<Vec<usize>>,
}

impl<'a> Dependents<'a> {
    /// One step an edge.
    fn of(order: &'a Order) -> Self {
        let places: HashMap<&str, usize> =
            order.names.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
        let mut of = vec![Vec::new(); order.names.len()];
        let mut roots = Vec::new();
        for (place, name) in order.names.iter().enumerate() {
            let bases =
                order.bases.get(name).into_iter().flatten().filter_map(|base| places.get(base.as_str()));
            let mut is_root = true;
            for base in bases {
                of[*base].push(place);
                is_root = false;
            }
            if is_root {
                roots.push(place);
            }
        }
        Self { names: &order.names, roots, of }
    }
}

struct Drawing<'a> {
    graph: &'a Dependents<'a>,
    depth: Option<usize>,
    fold: bool,
    /// Images whose dependents stand in the text already, or will.
    shown: Vec<bool>,
    text: String,
}

/// A line to come.
struct Line {
    what: What,
    level: usize,
    before: String,
    last: bool,
}

/// The subject of a line.
#[derive(Clone, Copy)]
enum What {
    Image(usize),
    /// So many images that nothing is built on.
    More(usize),
}

impl Drawing<'_> {
    /// Writes the images below one whose own line is written; returns those, with their levels, at
    /// which the tree goes on at the margin.
    fn below(&mut self, image: usize, level: usize) -> Vec<(usize, usize)> {
        let mut further = Vec::new();
        let mut lines = Vec::new();
        self.open(image, level, "", &mut lines);
        while let Some(Line { what, level: at, before, last }) = lines.pop() {
            let branch = if last { "└──" } else { "├──" };
            let image = match what {
                What::Image(image) => image,
                What::More(count) => {
                    let _ =
                        writeln!(self.text, "{before}{branch} … and {count} more that nothing is built on");
                    continue;
                }
            };
            let name = &self.graph.names[image];
            let has_more = !self.graph.of[image].is_empty();
            let note = match has_more {
                true if self.shown[image] => " (see above)".to_owned(),
                true if at - level == MARGIN => {
                    further.push((image, at));
                    // Said once: its other mentions will find it shown.
                    " (see below)".to_owned()
                }
                true if self.depth.is_some_and(|depth| at >= depth) => {
                    format!(" (+{})", self.graph.of[image].len())
                }
                _ => String::new(),
            };
            let _ = writeln!(self.text, "{before}{branch} {name}{note}");
            if note.is_empty() {
                let deeper = format!("{before}{}", if last { "    " } else { "│   " });
                self.open(image, at, &deeper, &mut lines);
            }
        }
        further
    }

    /// Puts the lines below an image, the first on top.
    fn open(&mut self, image: usize, level: usize, before: &str, lines: &mut Vec<Line>) {
        if self.shown[image] || self.depth.is_some_and(|depth| level >= depth) {
            return;
        }
        self.shown[image] = true;
        let users = self.folded(&self.graph.of[image]);
        let count = users.len();
        lines.extend(users.into_iter().enumerate().rev().map(|(at, what)| Line {
            what,
            level: level + 1,
            before: before.to_owned(),
            last: at + 1 == count,
        }));
    }

    /// The lines for the images that are built on one; where it is to be folded, many leaves are one line.
    fn folded(&self, users: &[usize]) -> Vec<What> {
        let is_leaf = |user: &&usize| self.graph.of[**user].is_empty();
        let leaves = users.iter().filter(is_leaf).count();
        if !self.fold || leaves <= MANY {
            return users.iter().copied().map(What::Image).collect();
        }
        let mut left = FEW;
        let mut lines: Vec<What> = Vec::new();
        for user in users {
            let is_leaf = is_leaf(&user);
            if !is_leaf || left > 0 {
                lines.push(What::Image(*user));
                left -= usize::from(is_leaf);
            }
        }
        lines.push(What::More(leaves - FEW));
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// `a<b c` is an image `a` that is built on `b` and `c`; bases come first.
    fn order(images: impl IntoIterator<Item = (String, Vec<String>)>) -> Order {
        let (mut names, mut bases) = (Vec::new(), BTreeMap::new());
        for (name, of) in images {
            bases.insert(name.clone(), of.into_iter().collect());
            names.push(name);
        }
        Order { names, bases, ..Order::default() }
    }

    fn of(text: &str) -> Order {
        order(text.split(", ").map(|image| {
            let (name, bases) = image.split_once('<').unwrap_or((image, ""));
            (name.to_owned(), bases.split_whitespace().map(str::to_owned).collect())
        }))
    }

    #[test]
    fn an_image_stands_below_each_of_its_bases_and_is_opened_once() {
        let text = draw(&of("a, b, mid<a b, top<mid, zoo<b"), None, false);
        assert_eq!(text, "a\n└── mid\n    └── top\nb\n├── mid (see above)\n└── zoo\n",);
    }

    #[test]
    fn many_leaves_of_one_base_are_folded_and_what_is_built_on_is_not() {
        let leaves = (0..20).map(|n| format!("leaf{n:02}<base"));
        let text: Vec<String> = ["base".into(), "mid<base".into()].into_iter().chain(leaves).collect();
        let text = text.join(", ") + ", top<mid";
        assert_eq!(
            draw(&of(&text), None, true),
            "base\n├── mid\n│   └── top\n├── leaf00\n├── leaf01\n├── leaf02\n└── … and 17 more that nothing is built on\n"
        );
        assert_eq!(draw(&of(&text), None, false).lines().count(), 23);
        assert_eq!(draw(&of("a, b<a, c<a"), None, true), "a\n├── b\n└── c\n", "few are shown");
    }

    #[test]
    fn deeper_levels_are_counted() {
        assert_eq!(draw(&of("a, b<a, c<b, d<b"), Some(1), false), "a\n└── b (+2)\n");
        assert_eq!(draw(&of("a, b<a"), Some(0), false), "a\n");
        assert_eq!(draw(&of("a, b<a"), Some(9), false), "a\n└── b\n");
    }

    #[test]
    fn a_chain_of_thousands_stays_near_the_margin() {
        let chain =
            (0..20_000).map(|n| (format!("i{n}"), if n == 0 { vec![] } else { vec![format!("i{}", n - 1)] }));
        let text = draw(&order(chain), None, false);
        let longest = text.lines().map(str::len).max();
        assert!(longest < Some(6 * MARGIN + 40), "{longest:?}");
        for n in [0, 1, 31, 32, 33, 19_999] {
            assert!(
                text.lines().any(|line| line.ends_with(&format!(" i{n}")) || line == format!("i{n}")),
                "i{n}"
            );
        }
    }

    #[test]
    fn a_hundred_thousand_on_one_base_are_a_line_each() {
        // With a step for each pair of images this would not end within the hour.
        let wide = (0..100_000)
            .map(|n| (format!("i{n:05}"), if n == 0 { vec![] } else { vec!["i00000".to_owned()] }));
        assert_eq!(draw(&order(wide), None, false).lines().count(), 100_000);
    }
}
