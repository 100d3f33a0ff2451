//! The same random repositories built by docker's own engine and by imk's own builder.
//!
//! All recipes of a tree are gathered in one image by both, and its files are compared one by one: path, kind,
//! mode, owner, content, link target, hard links. Some recipes are built alone as well, and their settings are
//! compared. Trees are edited and built again over what imk's store has by then, so that a layer it takes for
//! known is compared too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::abilities::Abilities;
use super::client::sees_what_today_is_sent;
use super::oracle::{Built, Oracle, Text, Tools, docker};
use super::random::Random;
use super::recipe::Recipe;
use super::tree::Tree;
use crate::embedded::image::{of_archive, of_store};
use crate::sandbox::{Sandbox, engine_or_skip};

/// Trees, states of each, and recipes that share one.
const TREES: u64 = 3;
const STATES: usize = 3;
const RECIPES: usize = 24;
/// Recipes of a state whose settings are compared.
const SETTINGS: usize = 4;

#[test]
fn random_repositories_come_to_the_same_image_by_dockers_builder_and_by_imks() {
    if engine_or_skip("differential builders").is_none() {
        return;
    }
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = super::seed(clock.as_secs());
    let trees = super::number("IMK_TEST_TREES").unwrap_or(TREES);
    eprintln!("builders: IMK_TEST_SEED={seed} IMK_TEST_TREES={trees}");
    let stamp = format!("{:x}", clock.as_nanos() & 0xffff_ffff_ffff);
    let tools = Tools::new(&stamp);
    let (mut compared, mut told) = (0, Vec::new());
    for number in 0..trees {
        let mut random = Random::new(seed.wrapping_mul(1_000_033).wrapping_add(number));
        compared += batch(&tools, &mut random, &format!("{stamp}-{number}"), &mut told);
    }
    eprintln!("builders: {compared} images");
    assert!(told.is_empty(), "IMK_TEST_SEED={seed}\n{}", told.join("\n"));
    assert!(compared > 0, "no case was one");
}

/// One tree through its states; answers how many images were compared.
fn batch(tools: &Tools, random: &mut Random, stamp: &str, told: &mut Vec<String>) -> usize {
    let sandbox = Sandbox::empty().embedded();
    let context = sandbox.path("context");
    fs_err::create_dir_all(&context).unwrap();
    let oracle = Oracle::new(tools, stamp);
    let whole = Recipe::whole(0, stamp);
    let (mut tree, mut old) = (Tree::random(random, stamp), Tree::default());
    let mut recipes: Vec<Recipe> = (1..=RECIPES)
        .map(|number| Recipe::random(random, &tree, number, stamp, ("tools", Abilities::default())))
        .collect();
    let mut compared = 0;
    for state in 0..STATES {
        if state > 0 {
            tree.edit(random);
            for recipe in &mut recipes {
                if random.chance(10) {
                    recipe.edit(random, &tree);
                }
            }
        }
        tree.write(&context, &old);
        old = tree.clone();
        if !sees_what_today_is_sent(&tree) {
            continue;
        }
        let fit: Vec<&Recipe> = recipes.iter().filter(|recipe| recipe.is_whole() && !runs(recipe)).collect();
        let (built, refused) = built_by_imk(&sandbox, &whole, &fit);
        let case = Case { sandbox: &sandbox, oracle: &oracle, whole: &whole, tree: &tree };
        compared += case.compare(&built, &refused, told);
        if told.len() > 3 {
            break;
        }
    }
    compared
}

/// A command wants a program, and the oracle's image with one is not in a registry.
fn runs(recipe: &Recipe) -> bool {
    recipe.body().contains("tools")
}

/// The Dockerfile of recipes, with a last stage that has what each made.
fn gathered(whole: &Recipe, recipes: &[&Recipe]) -> Text {
    let all = || std::iter::once(whole).chain(recipes.iter().copied());
    let mut text: String = all().map(Recipe::head).collect();
    text.extend(all().map(Recipe::body));
    text += "FROM scratch AS gathered\n";
    for recipe in all() {
        text += &format!("COPY --from={} / /r{}/\n", recipe.stage(), recipe.number);
    }
    Text { text, args: all().flat_map(Recipe::args).collect() }
}

/// Has imk build every recipe alone; those that it builds, and those that it refuses.
fn built_by_imk<'r>(
    sandbox: &Sandbox,
    whole: &Recipe,
    recipes: &[&'r Recipe],
) -> (Vec<&'r Recipe>, Vec<&'r Recipe>) {
    sandbox.edit("Dockerfile.all", &gathered(whole, recipes).text);
    let stages: Vec<String> = recipes.iter().map(|recipe| recipe.stage()).collect();
    let args = gathered(whole, recipes).args;
    imagefile(sandbox, stages.iter().map(|stage| (stage.as_str(), stage.as_str())), &args);
    sandbox.imk("-k --progress quiet");
    let has = ids(sandbox);
    recipes.iter().partition(|recipe| has.contains_key(&recipe.stage()))
}

fn imagefile<'a>(
    sandbox: &Sandbox,
    images: impl Iterator<Item = (&'a str, &'a str)>,
    args: &BTreeMap<String, String>,
) {
    let args: Vec<String> = args.iter().map(|(name, value)| format!("{name:?}: {value:?}")).collect();
    let args = args.join(", ");
    let images = images.map(|(name, target)| {
        format!(
            "{name:?}: (context: \"context\", dockerfile: \"Dockerfile.all\", target: {target:?}, args: {{{args}}}),\n"
        )
    });
    sandbox.edit("Imagefile.ron", &format!("(images: {{\n{}}})", images.collect::<String>()));
}

/// The images that imk has, by name.
fn ids(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let list: Value = serde_json::from_str(&sandbox.imk("list --json").stdout).unwrap();
    let mut found = BTreeMap::new();
    for image in list["images"].as_array().into_iter().flatten() {
        if let (Some(name), Some(id)) = (image["name"].as_str(), image["id"].as_str()) {
            found.insert(name.to_owned(), id.to_owned());
        }
    }
    found
}

/// One state of a tree.
struct Case<'a> {
    sandbox: &'a Sandbox,
    oracle: &'a Oracle,
    whole: &'a Recipe,
    tree: &'a Tree,
}

impl Case<'_> {
    fn compare(&self, built: &[&Recipe], refused: &[&Recipe], told: &mut Vec<String>) -> usize {
        for recipe in refused {
            // What an earlier state had built comes out of docker's cache, and fails without one.
            let built = self.docker(&[recipe], "gathered");
            if built.is_ok_and(|built| built.executed(recipe)) {
                told.push(format!("docker builds what imk refuses:\n{recipe}{}", self.tree));
            }
        }
        let there = match self.docker(built, "gathered") {
            Ok(built) => built.id,
            Err(why) => {
                let one = built.iter().find(|recipe| self.docker(&[recipe], "gathered").is_err());
                let one = one.map(|recipe| recipe.to_string()).unwrap_or_default();
                told.push(format!("imk builds what docker refuses:\n{one}{}{why}", self.tree));
                return 0;
            }
        };
        let text = gathered(self.whole, built);
        self.sandbox.edit("Dockerfile.all", &text.text);
        imagefile(self.sandbox, [("gathered", "gathered")].into_iter(), &text.args);
        self.sandbox.imk("--progress plain").code(0);
        let ours = of_store(&self.sandbox.store(), &ids(self.sandbox)["gathered"]);
        let differences = differing(&self.saved(&there).0, &ours.0);
        let numbers: BTreeSet<&str> = differences
            .iter()
            .filter_map(|line| line.split_once(": r")?.1.split(['/', ' ']).next())
            .collect();
        for number in numbers {
            let recipe = built.iter().find(|recipe| recipe.number.to_string() == number);
            let recipe = recipe.map(|recipe| recipe.to_string()).unwrap_or_default();
            let mine: Vec<&str> = differences
                .iter()
                .filter(|line| line.contains(&format!(": r{number}")))
                .map(String::as_str)
                .collect();
            told.push(format!("files differ:\n{recipe}{}{}", self.tree, mine.join("\n")));
        }
        1 + self.settings(&built[..built.len().min(SETTINGS)], told)
    }

    /// Builds recipes alone and compares their settings.
    fn settings(&self, recipes: &[&Recipe], told: &mut Vec<String>) -> usize {
        let text = gathered(self.whole, recipes);
        self.sandbox.edit("Dockerfile.all", &text.text);
        let stages: Vec<String> = recipes.iter().map(|recipe| recipe.stage()).collect();
        imagefile(self.sandbox, stages.iter().map(|stage| (stage.as_str(), stage.as_str())), &text.args);
        self.sandbox.imk("--progress quiet").code(0);
        let ids = ids(self.sandbox);
        let mut compared = 0;
        for (recipe, stage) in recipes.iter().zip(&stages) {
            // Docker's client may send too little of it alone.
            let Ok(Built { id, .. }) = self.docker(&[recipe], stage) else { continue };
            compared += 1;
            let (theirs, ours) = (self.saved(&id).1, of_store(&self.sandbox.store(), &ids[stage]).1);
            if theirs != ours {
                told.push(format!("settings differ:\n{recipe}docker: {theirs:?}\nimk:    {ours:?}"));
            }
        }
        compared
    }

    fn docker(&self, recipes: &[&Recipe], target: &str) -> Result<Built, String> {
        let Text { text, args } = gathered(self.whole, recipes);
        let target = format!("FROM {target} AS imk-target\n");
        let text = if target.contains("gathered") { text } else { text + &target };
        self.oracle.build(&self.sandbox.path("context"), &Text { text, args })
    }

    fn saved(&self, id: &str) -> (Vec<String>, serde_json::Map<String, Value>) {
        let file = self.sandbox.path("saved.tar");
        docker(&["save", "-o", file.to_str().unwrap(), id]).unwrap();
        let image = of_archive(&file);
        fs_err::remove_file(file).unwrap();
        image
    }
}

/// Lines that only one of two has.
fn differing(theirs: &[String], ours: &[String]) -> Vec<String> {
    let (left, right): (BTreeSet<_>, BTreeSet<_>) = (theirs.iter().collect(), ours.iter().collect());
    let docker = left.difference(&right).map(|line| format!("docker: {line}"));
    docker.chain(right.difference(&left).map(|line| format!("imk: {line}"))).collect()
}
