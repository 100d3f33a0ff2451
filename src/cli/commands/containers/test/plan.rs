//! Which tests there are, of which results, and on what grounds a pass of each rests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Instant;

use crate::cli::args::Global;
use crate::cli::commands::make::build::{self, BuildArgs, Going};
use crate::cli::failure::Failure;
use crate::cli::{engines, open, out, synced};
use crate::containers::suite::queue::Job;
use crate::containers::suite::receipt::{Grounds, key};
use crate::engine::{Cancel, Endpoint};
use crate::model::hash::ContentHash;
use crate::session::open::Session;
use crate::source::outside;
use crate::state::folder::StateFolder;
use crate::syntax::container::suite::Test;
use crate::syntax::tag;

/// The tests that are asked for.
pub struct Asked<'a> {
    /// Words that mean images.
    pub words: &'a [String],
    /// A glob that means tests.
    pub filter: Option<&'a str>,
}

/// The tests of one run.
pub struct Plan {
    /// The tests, images in the order of their names.
    pub tests: Vec<Planned>,
    /// The images that each is built on, near and far.
    pub bases: BTreeMap<String, BTreeSet<String>>,
    /// Where scripts are.
    pub root: PathBuf,
    /// Where receipts are.
    pub state: StateFolder,
    /// The engine that has the images.
    pub endpoint: Endpoint,
}

/// One test of one image.
pub struct Planned {
    /// Its image and its name.
    pub job: Job,
    /// Its definition.
    pub test: Test,
    /// The image's id.
    pub id: String,
    /// Ids of the other images, by the names that it gives them.
    pub images: BTreeMap<String, String>,
    /// The key of its receipt; `None` when a pass leaves none.
    pub key: Option<ContentHash>,
}

/// Brings the images up to date and finds their tests.
pub fn plan(global: &Global, asked: &Asked<'_>, cancel: &Cancel) -> Result<Plan, Failure> {
    let started = Instant::now();
    let mut session = open::session(global, true, cancel)?;
    let mut synced = synced::synced(global, &mut session, asked.words)?;
    let mut wanted = chosen(&session, asked, &synced.targets)?;
    if asked.words.is_empty() {
        wanted.retain(|_, tests| !tests.is_empty());
    }
    let others = wanted.values().flatten().flat_map(|(_, test)| test.images());
    let others = others.filter(|name| session.project.images.contains_key(*name)).map(str::to_owned);
    let all: BTreeSet<String> = wanted.keys().cloned().chain(others).collect();
    if all.is_empty() {
        let hint = "give it some: `tests: {\"basics\": (steps: [Run(command: [\"true\"])])}`; docs/test.md";
        return Err(Failure::with_hint("no image has tests, or none that --filter means", hint));
    }
    if all != synced.targets {
        let words: Vec<String> = all.into_iter().collect();
        synced = synced::synced(global, &mut session, &words)?;
    }
    let build = BuildArgs { load: true, ..BuildArgs::default() };
    let going = Going { tells_summary: false, ..Going::new(global, &build) };
    let summary = build::carry_out(&mut session, &synced, &going, started)?;
    let results = summary
        .results
        .iter()
        .map(|(name, built)| (name.clone(), (built.id.0.clone(), built.content.to_string())));
    let results: BTreeMap<String, (String, String)> = results.collect();
    let pool = session.executor.pool();
    let node = pool.default_node();
    let endpoint = engines::runner(node)?;
    let refused = |error| Failure::engine(&error);
    let platform = node.engine.identity().map_err(refused)?.platform;
    let mut outside_images: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut tests = Vec::new();
    for (image, list) in wanted {
        let Some((id, content)) = results.get(&image) else { continue };
        for (name, test) in list {
            let mut grounds =
                Grounds { content: content.clone(), platform: platform.clone(), ..Grounds::default() };
            let mut images = BTreeMap::new();
            for other in test.images() {
                let (id, content) = match results.get(other).or_else(|| outside_images.get(other)) {
                    Some(known) => known.clone(),
                    None => {
                        let found = fetched(node, other, cancel)?;
                        outside_images.insert(other.to_owned(), found.clone());
                        found
                    }
                };
                images.insert(other.to_owned(), id);
                grounds.images.insert(other.to_owned(), content);
            }
            for path in test.used_files() {
                grounds.files.insert(path.to_owned(), outside::read(&session.project.root.join(path))?);
            }
            let key = key(&name, &test, &grounds);
            if key.is_none() {
                out::note(format_args!(
                    "{image} {name}: a script runs on this machine, so a pass leaves no receipt without `max_age`"
                ));
            }
            let job = Job { image: image.clone(), test: name };
            tests.push(Planned { job, test, id: id.clone(), images, key });
        }
    }
    let bases = all_bases(&synced.order.bases);
    let (root, state) = (session.project.root.clone(), session.state().clone());
    Ok(Plan { tests, bases, root, state, endpoint })
}

/// Id and content of an image of no repository.
fn fetched(node: &crate::engine::Node, name: &str, cancel: &Cancel) -> Result<(String, String), Failure> {
    let refused = |error| Failure::engine(&error);
    let found = match node.engine.inspect(name).map_err(refused)? {
        Some(found) => Some(found),
        None => {
            out::note(format_args!("pulling `{name}`"));
            node.engine.pull(name, cancel).map_err(refused)?;
            node.engine.inspect(name).map_err(refused)?
        }
    };
    let missing = || {
        Failure::with_hint(
            format!("a test needs the image `{name}`, and nobody has it"),
            "it is an image here, or a whole reference",
        )
    };
    let found = found.ok_or_else(missing)?;
    let content = ContentHash::of(found.content.as_bytes()).to_string();
    Ok((found.id.0, content))
}

type Wanted = BTreeMap<String, Vec<(String, Test)>>;

/// The tests of the targets that the filter means.
fn chosen(session: &Session, asked: &Asked<'_>, targets: &BTreeSet<String>) -> Result<Wanted, Failure> {
    let glob = asked.filter.map(tag::glob).transpose();
    let glob =
        glob.map_err(|why| Failure::error(format!("--filter: {why}")))?.map(|glob| glob.compile_matcher());
    let meant = |image: &str, test: &str| {
        glob.as_ref().is_none_or(|glob| glob.is_match(test) || glob.is_match(format!("{image}/{test}")))
    };
    let mut wanted = Wanted::new();
    for name in targets {
        let Some(image) = session.project.images.get(name) else { continue };
        let tests = image.tests.iter().filter(|(test, _)| meant(name, test));
        wanted.insert(name.clone(), tests.map(|(name, test)| (name.clone(), test.clone())).collect());
    }
    let none = wanted.values().all(Vec::is_empty);
    if none {
        wanted.clear();
    }
    Ok(wanted)
}

/// The bases of each image, and theirs.
fn all_bases(near: &BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    let mut all = BTreeMap::new();
    for name in near.keys() {
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut todo: Vec<&String> = near.get(name).into_iter().flatten().collect();
        while let Some(base) = todo.pop() {
            if found.insert(base.clone()) {
                todo.extend(near.get(base).into_iter().flatten());
            }
        }
        all.insert(name.clone(), found);
    }
    all
}
