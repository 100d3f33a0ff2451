//! Random Dockerfiles that copy from a random tree.
//!
//! Every destination is the run's own, so that no step is one of another run
//! or of another recipe: what the engine says of its cache is about this recipe.

use std::fmt;

use super::random::Random;
use super::tree::{Node, Tree};

/// One `COPY` or `ADD` of the context.
#[derive(Clone)]
pub struct Step {
    add: bool,
    chown: bool,
    json: bool,
    /// In a stage of its own that the last one copies from.
    aux: bool,
    pub sources: Vec<String>,
}

/// A Dockerfile of one or two stages.
#[derive(Clone)]
pub struct Recipe {
    pub number: usize,
    pub steps: Vec<Step>,
    stamp: String,
    /// What does not count: comments, case, joins.
    dress: usize,
    /// What does: a part of every destination.
    salt: usize,
}

impl Recipe {
    pub fn random(random: &mut Random, tree: &Tree, number: usize, stamp: &str) -> Self {
        let mut steps = Vec::new();
        for _ in 0..[1, 1, 1, 1, 1, 2, 2, 3][random.below(8)] {
            let count = [1, 1, 1, 1, 2, 3][random.below(6)];
            steps.push(Step {
                add: random.chance(15),
                chown: random.chance(10),
                json: random.chance(30),
                aux: random.chance(15),
                sources: (0..count).map(|_| source(random, tree)).collect(),
            });
        }
        Self { number, steps, stamp: stamp.to_owned(), dress: random.below(8), salt: 0 }
    }

    /// Changes the text; true if the change counts.
    pub fn edit(&mut self, random: &mut Random) -> bool {
        if random.chance(25) {
            self.salt += 1;
            return true;
        }
        self.dress = random.below(8);
        false
    }

    /// The stage that is built.
    pub fn stage(&self) -> String {
        format!("s{}", self.number)
    }

    /// Does a stage of this name belong to the recipe?
    pub fn owns(&self, stage: &str) -> bool {
        stage == self.stage() || stage == format!("a{}", self.number)
    }

    /// Is there a wildcard behind a link, as in `link/*`? The cache of 20.10 looks for its matches without
    /// following the link, finds none, and takes every state of the folder for the same. Later BuildKits
    /// resolve what stands before the wildcard, and imk does as they do.
    pub fn wildcard_behind_link(&self, tree: &Tree) -> bool {
        let behind = |source: &String| {
            let path = source.trim_start_matches(['.', '/']).trim_start_matches("x/../");
            let folder = |at: usize| matches!(tree.nodes.get(&path[..at]), Some(Node::Link(_)));
            path.contains(['*', '?', '[']) && path.match_indices('/').any(|(at, _)| folder(at))
        };
        self.steps.iter().any(|step| step.sources.iter().any(behind))
    }

    /// May one file overwrite another in the image?
    pub fn overlaps(&self) -> bool {
        self.steps.iter().any(|step| step.sources.len() > 1 || step.sources[0].contains(['*', '?', '[']))
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, stamp) = (self.number, &self.stamp);
        if self.dress & 1 == 1 {
            writeln!(f, "# dress {}\n", self.dress)?;
        }
        let from = if self.dress & 2 == 2 { "from" } else { "FROM" };
        let line = |f: &mut fmt::Formatter<'_>, at: usize, step: &Step, folder: &str| {
            let keyword = if step.add { "ADD" } else { "COPY" };
            let keyword = if self.dress & 2 == 2 { keyword.to_lowercase() } else { keyword.to_owned() };
            let chown = if step.chown { " --chown=3:4" } else { "" };
            let mut words = step.sources.clone();
            words.push(format!("/{stamp}-{number}-{}{folder}/{at}/", self.salt));
            let gap = if self.dress & 4 == 4 { " \\\n  # inside\n  " } else { " " };
            let plain = words.iter().all(|word| !word.is_empty() && !word.contains([' ', '\\']));
            // A line that begins with `[` would be read as a list.
            if step.json || !plain || words[0].starts_with('[') {
                let list: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
                return writeln!(f, "{keyword}{chown}{gap}[{}]", list.join(&format!(",{gap}")));
            }
            writeln!(f, "{keyword}{chown} {}", words.join(gap))
        };
        let aux = || self.steps.iter().enumerate().filter(|(_, step)| step.aux);
        if aux().next().is_some() {
            writeln!(f, "{from} scratch AS a{number}")?;
            for (at, step) in aux() {
                line(f, at, step, "-aux")?;
            }
        }
        writeln!(f, "{from} scratch AS {}", self.stage())?;
        for (at, step) in self.steps.iter().enumerate().filter(|(_, step)| !step.aux) {
            line(f, at, step, "")?;
        }
        if aux().next().is_some() {
            writeln!(f, "COPY --from=a{number} / /{stamp}-{number}-{}-from/", self.salt)?;
        }
        Ok(())
    }
}

/// A word that names something of the tree, or nearly.
fn source(random: &mut Random, tree: &Tree) -> String {
    let path = tree.any(random);
    let escaped: String =
        path.chars().flat_map(|c| ["\\".repeat(usize::from("[]*?\\".contains(c))), c.into()]).collect();
    let mut parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let at = random.below(parts.len());
    match random.below(24) {
        0 | 1 => ".".into(),
        2 => format!("{path}/"),
        3 => format!("/{path}"),
        4 => format!("./x/../{path}"),
        5 => format!("../../{path}"),
        6 | 7 => with(&mut parts, at, "*".into()),
        8 => {
            let first: String = parts[at].chars().take(1).collect();
            with(&mut parts, at, format!("{first}*"))
        }
        9 => {
            let shape = "?".repeat(parts[at].chars().count());
            with(&mut parts, at, shape)
        }
        10 => with(&mut parts, at, "[a-z]*".into()),
        11 => with(&mut parts, at, "[^a-f]*".into()),
        12 => "*".into(),
        13 => "*/*".into(),
        14 => format!("{path}/*"),
        15 => ["nowhere", "l/nowhere", "d/nowhere/f", "*.none", "/", ""][random.below(6)].into(),
        16 => format!("{}/{path}", ["l", "m", "d/l", "e/.l"][random.below(4)]),
        17 => ["l", "m", "d/l", ".l", "l.txt", "l/", "l*", "*l/*"][random.below(8)].into(),
        // Read as a pattern where the name has wildcards, and as itself where it has none.
        18 => path,
        _ => escaped,
    }
}

fn with(parts: &mut [String], at: usize, part: String) -> String {
    parts[at] = part;
    parts.join("/")
}
