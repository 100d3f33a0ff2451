//! One tree, some recipes, and the comparison of imk with the engine after every edit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use fs_err as fs;

use super::client;
use super::oracle::{Built, Oracle};
use super::random::Random;
use super::recipe::Recipe;
use super::subject::{Hand, Subject, Verdict, counted, union};
use super::tree::Tree;

/// How imk and the engine differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// imk would build what the engine refuses.
    EngineRefuses,
    /// imk refuses what the engine builds.
    ImkRefuses,
    /// A file reached the image that imk does not count.
    NotCounted,
    /// imk counts a file that did not reach the image.
    NotReached,
    /// imk's key stayed and the engine's cache had something else: a stale image.
    Stale,
    /// imk's key changed and the engine's cache had all of it.
    Needless,
    /// Built with imk's files alone, it is another image.
    OtherImage,
}

/// One difference.
pub struct Disagreement {
    pub kind: Kind,
    pub recipe: usize,
    pub detail: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in recipe {}: {}", self.kind, self.recipe, self.detail)
    }
}

pub struct World<'a> {
    pub oracle: &'a Oracle,
    _folder: tempfile::TempDir,
    context: PathBuf,
    subject: Subject,
    hand: Hand,
    on_disk: Tree,
    /// Keys that the engine has built, by recipe.
    seen: BTreeMap<usize, BTreeSet<String>>,
    refused: BTreeMap<usize, String>,
    /// Recipes that the engine of 20.10 builds wrong: see [`Recipe::wildcard_behind_link`].
    exempt: BTreeSet<usize>,
}

impl<'a> World<'a> {
    pub fn new(oracle: &'a Oracle, numbers: &[usize]) -> Self {
        let folder = tempfile::Builder::new().prefix("imk-test-").tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let context = root.join("ctx");
        fs::create_dir(&context).unwrap();
        Self {
            oracle,
            subject: Subject::new(&root, numbers),
            hand: Hand::new(&context),
            context,
            _folder: folder,
            on_disk: Tree::default(),
            seen: BTreeMap::new(),
            refused: BTreeMap::new(),
            exempt: BTreeSet::new(),
        }
    }

    /// Gives a path a new time stamp and nothing else.
    pub fn touch(&self, path: &str) {
        let path = self.context.join(path);
        if let Ok(text) = fs::read(&path)
            && fs::symlink_metadata(&path).is_ok_and(|it| it.is_file())
            && fs::write(&path, text).is_err()
        {
            // Not writable: it stays as it is.
        }
    }

    /// Compares everything for one state of the tree. The number is of recipes compared: none where the
    /// client's ignore rules are not those of today.
    pub fn step(
        &mut self,
        tree: &Tree,
        recipes: &[Recipe],
        random: &mut Random,
    ) -> (usize, Vec<Disagreement>) {
        tree.write(&self.context, &self.on_disk);
        self.on_disk = tree.clone();
        if !client::sees_what_today_is_sent(tree) {
            return (0, Vec::new());
        }
        let behind = recipes.iter().filter(|recipe| recipe.wildcard_behind_link(tree));
        self.exempt.extend(behind.map(|recipe| recipe.number));
        let verdicts = self.subject.verdicts(recipes);
        let recipes: Vec<Recipe> =
            recipes.iter().filter(|recipe| !self.exempt.contains(&recipe.number)).cloned().collect();
        let mut found = Vec::new();
        let mut good: Vec<&Recipe> = Vec::new();
        for recipe in &recipes {
            match &verdicts[&recipe.number] {
                Verdict::Good { .. } => good.push(recipe),
                Verdict::Bad(why) => self.check_refusal(recipe, why, &mut found),
            }
        }
        if good.is_empty() {
            return (recipes.len(), found);
        }
        let files = |recipe: &Recipe| match &verdicts[&recipe.number] {
            Verdict::Good { files, .. } => files,
            Verdict::Bad(_) => unreachable!("good recipes only"),
        };
        let count = good.len();
        let Some((text, built)) = self.gather(&mut good, &mut found) else {
            return (recipes.len(), found);
        };
        // A first attempt that failed left steps in the cache, which says nothing then.
        let first_attempt = good.len() == count;
        let reached = self.oracle.reached(&built.id);
        for recipe in &good {
            let empty = BTreeMap::new();
            compare_files(
                tree,
                recipe,
                files(recipe),
                reached.get(&recipe.number).unwrap_or(&empty),
                &mut found,
            );
            if let Verdict::Good { key, .. } = &verdicts[&recipe.number] {
                let executed = first_attempt.then(|| built.executed(recipe));
                self.compare_key(recipe, key, executed, &mut found);
            }
        }
        self.compare_images(&text, &built, &good, &files, random, &mut found);
        self.oracle.clear();
        (recipes.len(), found)
    }

    /// What imk refuses, the engine must refuse too.
    fn check_refusal(&mut self, recipe: &Recipe, why: &str, found: &mut Vec<Disagreement>) {
        let now = format!("{recipe}{why}{}", self.on_disk.ignore.join("\n"));
        if self.refused.insert(recipe.number, now.clone()).as_ref() == Some(&now) {
            return;
        }
        // BuildKit takes a malformed pattern for one that matches nothing; imk says what is wrong.
        if why.contains("is not a pattern") {
            return;
        }
        if let Ok(built) = self.oracle.build(&self.context, &recipe.to_string())
            // `gone/*` that an earlier state had built comes out of the cache, and fails without one.
            && built.executed_anything()
        {
            let detail = format!("imk says: {why}");
            found.push(Disagreement { kind: Kind::ImkRefuses, recipe: recipe.number, detail });
        }
    }

    /// Builds all good recipes at once; those that the engine refuses are told and left out.
    fn gather(&self, good: &mut Vec<&Recipe>, found: &mut Vec<Disagreement>) -> Option<(String, Built)> {
        let text = self.oracle.gathered(good);
        if let Ok(built) = self.oracle.build(&self.context, &text) {
            return Some((text, built));
        }
        good.retain(|recipe| match self.oracle.build(&self.context, &recipe.to_string()) {
            Ok(_) => true,
            // The client of 20.10 takes `a?b/*` for a folder where a file of just that name stands.
            Err(said) if said.contains("readdirent") => false,
            Err(said) => {
                let lines: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
                let detail = lines.last().copied().unwrap_or(&said).to_owned();
                found.push(Disagreement { kind: Kind::EngineRefuses, recipe: recipe.number, detail });
                false
            }
        });
        if good.is_empty() {
            return None;
        }
        let text = self.oracle.gathered(good);
        let built = self.oracle.build(&self.context, &text).unwrap_or_else(|said| panic!("{said}"));
        Some((text, built))
    }

    fn compare_key(
        &mut self,
        recipe: &Recipe,
        key: &str,
        executed: Option<bool>,
        found: &mut Vec<Disagreement>,
    ) {
        let is_new = self.seen.entry(recipe.number).or_default().insert(key.to_owned());
        let Some(executed) = executed else { return };
        let kind = match (is_new, executed) {
            (false, true) => Kind::Stale,
            (true, false) => Kind::Needless,
            _ => return,
        };
        found.push(Disagreement { kind, recipe: recipe.number, detail: format!("key {}", &key[..8]) });
    }

    /// With imk's files alone the engine's cache must have every step.
    fn compare_images<'f>(
        &self,
        text: &str,
        built: &Built,
        good: &[&Recipe],
        files: &impl Fn(&Recipe) -> &'f imk::file::UsedFiles,
        random: &mut Random,
        found: &mut Vec<Disagreement>,
    ) {
        let all = union(good.iter().map(|recipe| files(recipe)));
        let whole = self.hand.build(text, all);
        if let Ok((id, _)) = &whole {
            self.oracle.keep(id);
        }
        let same = matches!(&whole, Ok((id, _)) if *id == built.id);
        // Together they could lend each other files, so some are built alone; all of them after a difference.
        let salt = random.below(97);
        let few = || good.iter().min_by_key(|recipe| (files(recipe).files.len(), recipe.number * salt % 97));
        let chosen: Vec<&&Recipe> = match same {
            true => few().into_iter().chain([&good[random.below(good.len())]]).collect(),
            false => good.iter().collect(),
        };
        for recipe in chosen {
            let detail = match self.hand.build(&recipe.to_string(), files(recipe).clone()) {
                Ok((id, executed)) => {
                    self.oracle.keep(&id);
                    if executed.is_empty() {
                        continue;
                    }
                    format!("not the same for {executed:?}")
                }
                Err(error) => error,
            };
            found.push(Disagreement { kind: Kind::OtherImage, recipe: recipe.number, detail });
        }
    }
}

fn compare_files(
    tree: &Tree,
    recipe: &Recipe,
    used: &imk::file::UsedFiles,
    reached: &BTreeMap<String, String>,
    found: &mut Vec<Disagreement>,
) {
    let mut tell = |kind, detail: String| found.push(Disagreement { kind, recipe: recipe.number, detail });
    let reads_link = used.files.iter().any(|file| file.kind == imk::file::FileKind::Link);
    let used: BTreeSet<&str> = counted(used).collect();
    let mut arrived = BTreeSet::new();
    for (place, content) in reached {
        match tree.path_of(content) {
            Some(path) => {
                arrived.insert(path);
                if !used.contains(path) {
                    tell(Kind::NotCounted, format!("{path:?} reached {place:?}"));
                }
            }
            None => tell(Kind::NotCounted, format!("{place:?} holds what no file holds: {content:?}")),
        }
    }
    for path in used.difference(&arrived) {
        // Another file may have been copied over it.
        let tail_reached = || {
            let tails = path.match_indices('/').map(|(at, _)| &path[at..]).map(str::to_owned);
            let mut tails = tails.chain([format!("/{path}")]);
            tails.any(|tail| reached.keys().any(|place| place.ends_with(&tail)))
        };
        // So may a file that a link among several sources leads to, under the link's name.
        let under_link = || recipe.steps.iter().any(|step| step.sources.len() > 1) && reads_link;
        if !(recipe.overlaps() && (tail_reached() || under_link())) {
            tell(Kind::NotReached, format!("{path:?}"));
        }
    }
}
