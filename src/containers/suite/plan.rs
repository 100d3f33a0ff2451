//! Tests of a repository's images: which are wanted, of which results, and on what grounds a pass of each rests.
//!
//! Knows the results that somebody built, and asks the engine for images of no repository. Builds nothing,
//! runs nothing and prints nothing.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobMatcher;

use crate::containers::suite::queue::Job;
use crate::containers::suite::receipt::{Grounds, key};
use crate::engine::{Cancel, EngineError, Node};
use crate::model::hash::ContentHash;
use crate::model::name::declared;
use crate::query::effect::Built;
use crate::session::open::Session;
use crate::session::platforms;
use crate::session::project::Project;
use crate::source::outside;
use crate::source::tree::ReadError;
use crate::syntax::container::suite::Test;

/// Tests by the image that they are of, each with its name.
pub type Wanted = BTreeMap<String, Vec<(String, Test)>>;

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

/// Why it is not known on what grounds a test rests.
#[derive(Debug)]
pub enum PlanError {
    /// The engine does not answer, or does not pull an image.
    Engine(EngineError),
    /// This image is neither one of the repository nor one that a registry has.
    NoImage(String),
    /// A file that a test uses cannot be read.
    Read(ReadError),
}

impl From<EngineError> for PlanError {
    fn from(error: EngineError) -> Self {
        Self::Engine(error)
    }
}

impl From<ReadError> for PlanError {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// The tests of some images that `filter` means: by `IMAGE/TEST`, or by the test's name. Images
/// without any have an empty list.
pub fn wanted<'n>(
    project: &Project,
    names: impl IntoIterator<Item = &'n String>,
    filter: Option<&GlobMatcher>,
) -> Wanted {
    let meant = |image: &str, test: &str| {
        filter.is_none_or(|glob| {
            let names = [image, declared(image)];
            glob.is_match(test) || names.iter().any(|image| glob.is_match(format!("{image}/{test}")))
        })
    };
    let of = |name: &'n String| {
        let tests = project.images.get(name)?.tests.iter().filter(|(test, _)| meant(name, test));
        Some((name.clone(), tests.map(|(test, definition)| (test.clone(), definition.clone())).collect()))
    };
    names.into_iter().filter_map(of).collect()
}

/// The images of the repository that tests are of or use: those that must be built first.
pub fn images_of(session: &Session, wanted: &Wanted) -> BTreeSet<String> {
    let others = wanted.values().flatten().flat_map(|(_, test)| test.images());
    let others = others.filter_map(|name| platforms::on_engine(session, name));
    wanted.keys().cloned().chain(others).collect()
}

/// The tests with the grounds that each rests on, images in the order of their names. One whose image
/// has no result is left out. `pulling` is told of an image before it is fetched.
///
/// # Errors
/// See [`PlanError`].
pub fn planned(
    session: &Session,
    wanted: &Wanted,
    results: &BTreeMap<String, Built>,
    cancel: &Cancel,
    pulling: &dyn Fn(&str),
) -> Result<Vec<Planned>, PlanError> {
    let pool = session.executor.pool();
    let node = pool.default_node();
    let platform = match wanted.values().all(Vec::is_empty) {
        true => String::new(),
        false => node.engine.identity()?.platform,
    };
    let mut outside_images: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut tests = Vec::new();
    for (image, list) in wanted {
        let Some(built) = results.get(image) else { continue };
        for (name, test) in list {
            let mut grounds = Grounds {
                content: built.content.to_string(),
                platform: platform.clone(),
                ..Grounds::default()
            };
            let mut images = BTreeMap::new();
            for other in test.images() {
                let named = platforms::on_engine(session, other);
                let here = named
                    .and_then(|name| results.get(&name))
                    .map(|built| (built.id.0.clone(), built.content.to_string()));
                let (id, content) = match here.or_else(|| outside_images.get(other).cloned()) {
                    Some(known) => known,
                    None => {
                        let found = fetched(node, other, cancel, pulling)?;
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
            let key = key(name, test, &grounds);
            let job = Job { image: image.clone(), test: name.clone() };
            tests.push(Planned { job, test: test.clone(), id: built.id.0.clone(), images, key });
        }
    }
    Ok(tests)
}

/// Id and content of an image of no repository.
fn fetched(
    node: &Node,
    name: &str,
    cancel: &Cancel,
    pulling: &dyn Fn(&str),
) -> Result<(String, String), PlanError> {
    let found = match node.engine.inspect(name)? {
        Some(found) => Some(found),
        None => {
            pulling(name);
            node.engine.pull(name, cancel)?;
            node.engine.inspect(name)?
        }
    };
    let found = found.ok_or_else(|| PlanError::NoImage(name.to_owned()))?;
    let content = ContentHash::of(found.content.as_bytes()).to_string();
    Ok((found.id.0, content))
}

/// The bases of each image, and theirs.
pub fn all_bases(near: &BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
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
