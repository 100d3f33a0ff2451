//! One tree, some recipes, and the comparison of imk with the engine after every edit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use fs_err as fs;

use super::oracle::{Built, Oracle, Text};
use super::recipe::Recipe;
use super::subject::{Hand, Subject, Verdict, counted, union};
use super::tree::Tree;
use super::{client, old_cache};

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

pub struct World {
    pub oracle: Oracle,
    _folder: tempfile::TempDir,
    context: PathBuf,
    subject: Subject,
    hand: Hand,
    on_disk: Tree,
    /// Keys that the engine has built, by recipe.
    seen: BTreeMap<usize, BTreeMap<String, Known>>,
    /// The key and image of the state before, by recipe.
    last: BTreeMap<usize, (String, Known)>,
    refused: BTreeMap<usize, String>,
    /// Recipes that the engine of 20.10 builds wrong: see `old_cache.rs`.
    exempt: BTreeSet<usize>,
    /// See `client.rs`.
    whole: Recipe,
}

/// What is known of an image.
#[derive(Clone, Default)]
struct Known {
    /// Its id, if it was built alone.
    id: Option<String>,
    told_today: BTreeSet<(usize, Option<String>)>,
    set_aside: String,
    spelled: Vec<String>,
    meant: Vec<String>,
    told_of_old: BTreeSet<(usize, Option<String>)>,
    below_wildcards: Vec<String>,
    flags: Vec<String>,
}

impl World {
    /// `whole` is the recipe that copies everything; it must be among those of every step.
    pub fn new(oracle: Oracle, whole: Recipe, numbers: &BTreeSet<usize>) -> Self {
        let folder = tempfile::Builder::new().prefix("imk-test-").tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let context = root.join("ctx");
        fs::create_dir(&context).unwrap();
        Self {
            subject: Subject::new(&root, numbers),
            hand: Hand::new(&context, oracle.builder().syntax()),
            oracle,
            context,
            _folder: folder,
            on_disk: Tree::default(),
            seen: BTreeMap::new(),
            last: BTreeMap::new(),
            refused: BTreeMap::new(),
            exempt: BTreeSet::new(),
            whole,
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
    /// client's ignore rules are not those of today. Of recipes that were or will be edited the image's id
    /// is looked at, too.
    pub fn step(
        &mut self,
        tree: &Tree,
        recipes: &[Recipe],
        edited: &BTreeSet<usize>,
    ) -> (usize, Vec<Disagreement>) {
        tree.write(&self.context, &self.on_disk);
        self.on_disk = tree.clone();
        let is_old = !self.oracle.builder().is_newer();
        if is_old && !client::sees_what_today_is_sent(tree) {
            return (0, Vec::new());
        }
        let elsewhere = recipes.iter().filter(|recipe| is_old && old_cache::looks_elsewhere(recipe, tree));
        self.exempt.extend(elsewhere.map(|recipe| recipe.number));
        let recipes: Vec<Recipe> =
            recipes.iter().filter(|recipe| !self.exempt.contains(&recipe.number)).cloned().collect();
        let verdicts = self.subject.verdicts(&recipes);
        let mut found = Vec::new();
        let good = |recipe: &&Recipe| matches!(verdicts[&recipe.number], Verdict::Good { .. });
        self.check_good(tree, recipes.iter().filter(good).collect(), &verdicts, edited, &mut found);
        // Last, since these builds would leave steps of other recipes in the cache.
        for recipe in &recipes {
            if let Verdict::Bad(why) = &verdicts[&recipe.number] {
                self.last.remove(&recipe.number);
                self.check_refusal(recipe, why, &mut found);
            }
        }
        self.oracle.clear();
        (recipes.len(), found)
    }

    /// What imk would build, the engine must build the same.
    fn check_good(
        &mut self,
        tree: &Tree,
        mut good: Vec<&Recipe>,
        verdicts: &BTreeMap<usize, Verdict>,
        edited: &BTreeSet<usize>,
        found: &mut Vec<Disagreement>,
    ) {
        let count = good.len();
        let Some((text, built)) = self.gather(&mut good, found) else { return };
        // A first attempt that failed left steps in the cache, which says nothing then.
        let first_attempt = good.len() == count;
        let reached = self.oracle.reached(&built.id);
        let (files, keys): (BTreeMap<_, _>, BTreeMap<_, _>) = good
            .iter()
            .filter_map(|recipe| match &verdicts[&recipe.number] {
                Verdict::Good { key, files } => Some(((recipe.number, files), (recipe.number, key))),
                Verdict::Bad(_) => None,
            })
            .unzip();
        for recipe in &good {
            let empty = BTreeMap::new();
            let reached = reached.get(&recipe.number).unwrap_or(&empty);
            compare_files(tree, recipe, files[&recipe.number], reached, found);
        }
        let ids = self.compare_images(&text, &built, &good, &files, edited, found);
        for recipe in &good {
            let executed = first_attempt.then(|| built.executed(recipe));
            let id = ids.get(&recipe.number).cloned();
            let below = below_wildcards(recipe, files[&recipe.number]);
            self.compare_key(recipe, keys[&recipe.number], (executed, id, below), found);
        }
    }

    /// What imk refuses, the engine must refuse too.
    fn check_refusal(&mut self, recipe: &Recipe, why: &str, found: &mut Vec<Disagreement>) {
        let now = format!("{recipe}{:?}{why}{}", recipe.args(), self.on_disk.ignore.join("\n"));
        if self.refused.insert(recipe.number, now.clone()).as_ref() == Some(&now) {
            return;
        }
        // BuildKit takes a malformed pattern for one that matches nothing; imk says what is wrong.
        if why.contains("is not a pattern") {
            return;
        }
        // Its solver may be older than a frontend that was asked for, and a name that `--parents` does not find is
        // an error since BuildKit 0.26.
        let syntax = self.oracle.builder().syntax();
        if syntax.is_some() && recipe.steps().any(|step| step.flags.parents) && why.contains("there is no") {
            return;
        }
        // `gone/*` that an earlier state had built would come out of the cache, and fails without one.
        if !self.oracle.refuses(&self.context, &self.with_whole(recipe)) {
            let detail = format!("imk says: {why}");
            found.push(Disagreement { kind: Kind::ImkRefuses, recipe: recipe.number, detail });
        }
    }

    /// One recipe, in a build that the client sends everything for.
    fn with_whole(&self, recipe: &Recipe) -> Text {
        match recipe.number == self.whole.number {
            true => self.oracle.gathered(&[recipe]),
            false => self.oracle.gathered(&[&self.whole, recipe]),
        }
    }

    /// Builds all good recipes at once; those that the engine refuses are told and left out.
    fn gather(&self, good: &mut Vec<&Recipe>, found: &mut Vec<Disagreement>) -> Option<(Text, Built)> {
        if good.is_empty() {
            return None;
        }
        let text = self.oracle.gathered(good);
        if let Ok(built) = self.oracle.build(&self.context, &text) {
            return Some((text, built));
        }
        good.retain(|recipe| match self.oracle.build(&self.context, &self.with_whole(recipe)) {
            Ok(_) => true,
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

    /// imk's key is new exactly when the engine had something to do or made another image.
    fn compare_key(
        &mut self,
        recipe: &Recipe,
        key: &str,
        (executed, id, below_wildcards): (Option<bool>, Option<String>, Vec<String>),
        found: &mut Vec<Disagreement>,
    ) {
        let (spelled, meant) = recipe.spelling();
        let now = Known {
            id,
            spelled: spelled.into_iter().map(str::to_owned).collect(),
            meant,
            told_today: recipe.told_today(),
            set_aside: recipe.set_aside(),
            told_of_old: recipe.told_of_old(),
            below_wildcards,
            flags: recipe.spelled_flags(),
        };
        let before = self.last.insert(recipe.number, (key.to_owned(), now.clone()));
        let seen = self.seen.entry(recipe.number).or_default();
        let known = seen.get(key).cloned();
        let entry = seen.entry(key.to_owned()).or_insert_with(|| now.clone());
        entry.id = entry.id.take().or_else(|| now.id.clone());
        let Some(executed) = executed else { return };
        let kind = match known {
            Some(_) if executed => Kind::Stale,
            Some(known) => {
                let another = matches!((&known.id, &now.id), (Some(known), Some(now)) if known != now);
                if !another || known.told_of_old != now.told_of_old {
                    return;
                }
                Kind::Stale
            }
            None => {
                let Some((_, before)) = before else { return };
                let another = matches!((&before.id, &now.id), (Some(before), Some(now)) if before != now);
                let respelled = before.spelled != now.spelled && before.meant == now.meant;
                // A folder that only a wildcard names counts by its name, as the table in `query/action_key.rs` has it.
                let renamed =
                    !now.below_wildcards.is_empty() && before.below_wildcards == now.below_wildcards;
                let chosen = before.told_today != now.told_today
                    || before.set_aside != now.set_aside
                    || before.flags != now.flags
                    || respelled
                    || renamed;
                if executed || another || chosen {
                    return;
                }
                Kind::Needless
            }
        };
        found.push(Disagreement { kind, recipe: recipe.number, detail: format!("key {}", &key[..8]) });
    }

    /// With imk's files alone the engine's cache must have every step. The ids are of those built alone.
    fn compare_images(
        &self,
        text: &Text,
        built: &Built,
        good: &[&Recipe],
        files: &BTreeMap<usize, &imk::model::file::UsedFiles>,
        edited: &BTreeSet<usize>,
        found: &mut Vec<Disagreement>,
    ) -> BTreeMap<usize, String> {
        let all = union(files.values().copied());
        let whole = self.hand.build(&text.text, text.args.clone(), all);
        if let Ok((id, _)) = &whole {
            self.oracle.keep(id);
        }
        let same = matches!(&whole, Ok((id, _)) if *id == built.id);
        // Together they could lend each other files, so some are built alone; all of them after a difference.
        let fewest = good.iter().min_by_key(|recipe| files[&recipe.number].files.len());
        let fewest = fewest.map(|recipe| recipe.number);
        let chosen =
            |recipe: &&&Recipe| !same || edited.contains(&recipe.number) || fewest == Some(recipe.number);
        let mut ids = BTreeMap::new();
        for recipe in good.iter().filter(chosen) {
            let detail =
                match self.hand.build(&recipe.to_string(), recipe.args(), files[&recipe.number].clone()) {
                    Ok((id, executed)) => {
                        self.oracle.keep(&id);
                        ids.insert(recipe.number, id);
                        if executed.is_empty() {
                            continue;
                        }
                        format!("not the same for {executed:?}")
                    }
                    Err(error) => error,
                };
            found.push(Disagreement { kind: Kind::OtherImage, recipe: recipe.number, detail });
        }
        ids
    }
}

/// What counts below the folders that wildcards name; nothing where no wildcard names a folder.
fn below_wildcards(recipe: &Recipe, used: &imk::model::file::UsedFiles) -> Vec<String> {
    let depth = recipe.folders_before_wildcards();
    if depth == 0 {
        return Vec::new();
    }
    let counted = used.files.iter().filter(|file| file.counts);
    let mut below: Vec<String> = counted
        .map(|file| {
            let path: Vec<&str> = file.path.split('/').skip(depth).collect();
            format!("{} {:?} {:o} {} {}", path.join("/"), file.kind, file.mode, file.hash, file.target)
        })
        .collect();
    below.sort();
    below
}

fn compare_files(
    tree: &Tree,
    recipe: &Recipe,
    used: &imk::model::file::UsedFiles,
    reached: &BTreeMap<String, String>,
    found: &mut Vec<Disagreement>,
) {
    let mut tell = |kind, detail: String| found.push(Disagreement { kind, recipe: recipe.number, detail });
    let reads_link = used.files.iter().any(|file| file.kind == imk::model::file::FileKind::Link);
    let used: BTreeSet<&str> = counted(used).collect();
    let mut arrived = BTreeSet::new();
    for (place, content) in reached {
        // Of the Dockerfile, or of a server.
        if content.starts_with("text ") || content.starts_with("fetched ") {
            continue;
        }
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
        let under_link = || recipe.steps().any(|step| step.sources.len() > 1) && reads_link;
        if !(recipe.overlaps() && (tail_reached() || under_link())) {
            tell(Kind::NotReached, format!("{path:?}"));
        }
    }
}
