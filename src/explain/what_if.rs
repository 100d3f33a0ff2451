//! Builds that a change would cause, asked before it is made.
//!
//! Compares the repository as it is with the same under a supposition: files
//! of another content, new or gone, other arguments, another base. Time is guessed from
//! the ledger, bytes are counted. Nothing is changed and no engine is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::build::schedule::wall;
use crate::explain::tree_state::{Asked, Differing, TreeState};
use crate::model::part::Part;
use crate::model::reason::{Code, Reason};
use crate::query::graph::Order;
use crate::session::project::ProjectError;
use crate::source::disk::DiskTree;
use crate::source::supposed::{Supposed, Supposition};
use crate::source::tree::{ReadError, SourceTree};
use crate::state::ledger::Ledger;

/// The suppositions.
#[derive(Clone, Debug, Default)]
pub struct Suppositions {
    /// Of the files.
    pub files: Supposition,
    /// Of build arguments, of every image that declares them.
    pub args: BTreeMap<String, String>,
    /// References of bases that are other images: outside the repository or in it.
    pub bases: Vec<String>,
}

/// The builds that would follow.
pub struct Answer {
    /// The images in building order, each with the way to the cause.
    pub images: Vec<Differing>,
    /// The images of them that could not be built then, and why.
    pub mistakes: BTreeMap<String, String>,
    /// How long it would take.
    pub estimate: Estimate,
    /// Bytes of all files that these builds read: what is sent at the most.
    pub bytes: u64,
    /// References that no image is built on.
    pub unknown: Vec<String>,
}

/// How long builds take, by those that are remembered. Milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Each image's usual time; an image of which no build is remembered has the usual time of the others.
    pub images: BTreeMap<String, u64>,
    /// From the first to the last, with so many at once as was said.
    pub wall: u64,
    /// Images whose time is only guessed.
    pub guessed: BTreeSet<String>,
}

/// Answers for all images of the repository on `disk`.
///
/// # Errors
/// When the repository cannot be read.
pub fn what_if(
    asked: &Asked<'_>,
    disk: &Arc<DiskTree>,
    discover: impl Fn() -> Result<Vec<String>, ReadError>,
    what: &Suppositions,
    ledger: &Ledger,
    jobs: usize,
) -> Result<Answer, ProjectError> {
    let plain: Arc<dyn SourceTree> = Arc::<DiskTree>::clone(disk);
    let before = TreeState::of(asked, plain, &discover)?;
    let mut overrides = asked.overrides.clone();
    overrides.args.extend(what.args.clone());
    let supposed: Arc<dyn SourceTree> = Arc::new(Supposed::new(Arc::clone(disk), what.files.clone()));
    let asked = Asked { overrides: &overrides, ..asked.clone() };
    let mut after = TreeState::of(&asked, supposed, || discovered(&discover()?, &what.files))?;
    // A Dockerfile of another content may say anything: all who are built by it are.
    for (name, declared) in &after.session.project.images.clone() {
        let path = &declared.paths.dockerfile;
        if what.files.changed.contains(path) {
            after.suppose(name, &Part::new(Code::Dockerfile, path, "whatever it would say"));
        }
    }
    let mut unknown = Vec::new();
    let mut others: BTreeSet<String> = BTreeSet::new();
    for base in &what.bases {
        if after.images.contains_key(base) {
            after.suppose(base, &Part::new(Code::Forced, "supposed", "another result"));
            others.insert(base.clone());
        } else if !suppose_outside(&mut after, base) {
            unknown.push(base.clone());
        }
    }
    let mut images = after.differing(Some(&before));
    for differing in &mut images {
        for cause in differing
            .chain
            .causes
            .iter_mut()
            .filter(|it| it.code == Code::Dockerfile && !it.subject.is_empty())
        {
            *cause = becomes_another(Code::File, &cause.subject);
        }
        // A base that is supposed to be another is not built for that.
        if let Some(base) = differing.chain.images.last().filter(|base| others.contains(*base)).cloned() {
            differing.chain.images.pop();
            differing.chain.causes = vec![becomes_another(Code::Base, &base)];
        }
    }
    images.retain(|differing| !differing.chain.images.is_empty());
    let names: Vec<&str> = images.iter().map(|differing| differing.image.as_str()).collect();
    let states = || names.iter().filter_map(|name| Some((*name, after.images.get(*name)?)));
    let bytes = states().map(|(_, state)| state.bytes).sum();
    let mistakes =
        states().filter_map(|(name, state)| Some((name.to_owned(), state.mistake.clone()?))).collect();
    let estimate = estimate(ledger, &after.synced.order, &names, jobs);
    Ok(Answer { images, mistakes, estimate, bytes, unknown })
}

fn becomes_another(code: Code, subject: &str) -> Reason {
    let value = |text: &str| Some(text.to_owned());
    Reason { code, subject: subject.to_owned(), before: value("as it is"), after: value("another") }
}

/// Dockerfiles that would be discovered: those that are gone are not.
fn discovered(found: &[String], files: &Supposition) -> Result<Vec<String>, ReadError> {
    Ok(found.iter().filter(|path| !files.gone.contains(*path)).cloned().collect())
}

/// Supposes that a base outside is another image; false when nothing is built on it.
fn suppose_outside(state: &mut TreeState, wanted: &str) -> bool {
    let is_it = |part: &Part| {
        let reference = part.name.split(" for ").next().unwrap_or_default();
        let name = reference.rsplit_once('@').map_or(reference, |(name, _)| name);
        let slash = name.rfind('/').map_or(0, |slash| slash + 1);
        let untagged = name[slash..].find(':').map_or(name, |colon| &name[..slash + colon]);
        part.code == Code::Upstream && [reference, name, untagged].contains(&wanted)
    };
    let found: Vec<(String, Part)> = state
        .images
        .iter()
        .flat_map(|(image, state)| {
            state.parts.iter().filter(|part| is_it(part)).map(|part| (image.clone(), part.clone()))
        })
        .collect();
    for (image, part) in &found {
        state.suppose(image, &Part { value: "another image".into(), ..part.clone() });
    }
    !found.is_empty()
}

/// How long the builds of some images of an order take, `jobs` at once.
pub fn estimate(ledger: &Ledger, order: &Order, images: &[&str], jobs: usize) -> Estimate {
    let mut estimate = Estimate::default();
    let usual = ledger.usual_ms(None).unwrap_or(1_000);
    for name in images {
        let took = ledger.usual_ms(Some(name));
        if took.is_none() {
            estimate.guessed.insert((*name).to_owned());
        }
        estimate.images.insert((*name).to_owned(), took.unwrap_or(usual));
    }
    estimate.wall = wall(order, &estimate.images, jobs);
    estimate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::hash::ContentHash;
    use crate::model::time::UnixSeconds;
    use crate::state::ledger::Record;

    #[test]
    fn the_time_is_that_of_the_longest_way_with_so_many_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&crate::state::folder::StateFolder::at(folder.path())).unwrap();
        for (image, took_ms) in [("base", 50), ("base", 100), ("base", 900), ("left", 30), ("right", 40)] {
            let record = Record {
                key: ContentHash::of(image.as_bytes()),
                image: image.into(),
                engine: "e".into(),
                id: "sha256:1".into(),
                content: ContentHash::default(),
                at: UnixSeconds(1),
                took_ms,
                reasons: vec![Reason::forced()],
                published: None,
                same: false,
            };
            ledger.record(record).unwrap();
        }
        let set = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        let bases = [("base", ""), ("left", "base"), ("right", "base"), ("top", "left right")];
        let order = Order {
            names: bases.iter().map(|(name, _)| (*name).to_owned()).collect(),
            bases: bases.iter().map(|(name, bases)| ((*name).to_owned(), set(bases))).collect(),
            ..Order::default()
        };
        let wall = |images: &[&str], jobs| estimate(&ledger, &order, images, jobs).wall;
        assert_eq!(wall(&["base"], 2), 100, "the middle of three builds");
        assert_eq!(wall(&["base", "left", "right"], 2), 140);
        assert_eq!(wall(&["base", "left", "right"], 1), 170);
        // Of `top` nothing is known: it is taken for a usual one, of all five builds.
        let all = estimate(&ledger, &order, &["base", "left", "right", "top"], 2);
        assert_eq!((all.wall, all.guessed), (190, set("top")));
        assert_eq!(wall(&[], 2), 0);
    }
}
