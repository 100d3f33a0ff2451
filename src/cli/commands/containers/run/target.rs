//! Which image a word means, and the result of it that is run: built, found here, or pulled.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use crate::cli::args::Global;
use crate::cli::commands::make::build::{self, BuildArgs, Going};
use crate::cli::failure::{Exit, Failure};
use crate::cli::{engines, locate, open, out, registries, synced};
use crate::engine::{Cancel, Endpoint, EnginePool, Environment, NoEngine, Node};
use crate::model::name::declared;
use crate::plan::tags::newest;
use crate::session::open::Session;
use crate::session::platforms;
use crate::session::project::Project;
use crate::source::locate::Located;
use crate::state::folder::StateFolder;
use crate::syntax::container::Profile;
use crate::syntax::reference;
use crate::syntax::suggest::did_you_mean;

/// The result of an image that is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that its files lead to.
    UpToDate,
    /// The last one that was built here.
    Last,
    /// The newest by its time tag; of the registry too, or of the engine alone.
    Newest { registry: bool },
}

/// An image that is there to be run.
pub struct Target {
    /// Its name in the repository; empty for one that is run by its reference.
    pub name: String,
    /// The tag that runs.
    pub version: String,
    /// Its id on the engine.
    pub id: String,
    /// Relative paths of its profile start here.
    pub root: PathBuf,
    /// How it is run.
    pub profile: Profile,
    /// The repository's state; nothing of an image of no repository.
    pub state: Option<StateFolder>,
    /// The engine that has it.
    pub endpoint: Endpoint,
}

/// Finds the image, and has it on the engine.
pub fn find(global: &Global, word: &str, which: Which, cancel: &Cancel) -> Result<Target, Failure> {
    let located = locate::located(global)?;
    if !has_images(global, &located)? {
        return by_reference(word, located.root, &pool(global, &Project::default())?, cancel);
    }
    let exclusive = which == Which::UpToDate;
    let mut session = open::session(global, exclusive, cancel)?;
    let named = platforms::on_engine(&session, word);
    if named.is_none()
        && let Some(image) = platforms::declaration(&session.project, word)
    {
        let message =
            format!("`{word}` is not for the engine's platform: it is for {}", image.platforms.join(", "));
        let hint = format!("`imk run {word}@PLATFORM` runs one of them by emulation");
        return Err(Failure::with_hint(message, hint));
    }
    let Some(name) = named else {
        let pool = session.executor.pool();
        let is_here = || matches!(pool.default_node().engine.inspect(word), Ok(Some(_)));
        if !word.contains([':', '/', '@']) && !is_here() {
            let names = session.project.images.keys().map(|name| declared(name));
            let hint = did_you_mean(word, names);
            let hint = hint.unwrap_or_else(|| {
                "`imk list` shows those here; another is run by its whole reference".into()
            });
            return Err(Failure::with_hint(format!("there is no image `{word}`"), hint));
        }
        return by_reference(word, located.root, &pool, cancel);
    };
    match which {
        Which::UpToDate => up_to_date(global, &mut session, &name),
        Which::Last => last(&session, &name),
        Which::Newest { registry } => by_time(global, &mut session, &name, registry, cancel),
    }
}

/// Whether the repository has images at all: without any, every word is a reference.
fn has_images(global: &Global, located: &Located) -> Result<bool, Failure> {
    if located.imagefile.is_some() {
        return Ok(true);
    }
    let state = locate::state(global, located)?;
    // A folder that is no repository keeps nothing of the question.
    let state = if state.is_there() { state } else { StateFolder::nowhere("nothing is built here") };
    Ok(!crate::source::discover::discover(&located.root, &state)?.is_empty())
}

fn pool(global: &Global, project: &Project) -> Result<EnginePool, Failure> {
    let environment = Environment::from_lookup(|name| std::env::var(name).ok());
    let around = engines::Around { environment: &environment, patience: &registries::patience(global) };
    let makers = engines::Makers { embedded: &|| Arc::new(NoEngine), buildkitd: &|_| Arc::new(NoEngine) };
    engines::engine_pool(&global.engines, project, &around, &makers)
}

fn by_reference(word: &str, root: PathBuf, pool: &EnginePool, cancel: &Cancel) -> Result<Target, Failure> {
    let node = pool.default_node();
    let endpoint = engines::runner(node)?;
    let found = match node.engine.inspect(word).map_err(|error| Failure::engine(&error))? {
        Some(found) => found.id,
        None => pulled(node, word, cancel)?,
    };
    let version = reference::parse(word).ok().and_then(|it| it.tag.or(it.digest)).unwrap_or_default();
    let (name, profile) = (String::new(), Profile::default());
    Ok(Target { name, version, id: found.0, root, profile, state: None, endpoint })
}

fn pulled(node: &Node, word: &str, cancel: &Cancel) -> Result<crate::engine::ImageId, Failure> {
    out::note(format_args!("pulling `{word}`"));
    let pulled = node.engine.pull(word, cancel).map_err(|error| Failure::engine(&error))?;
    pulled.ok_or_else(|| {
        let hint = "is the name right, and are you logged in to its registry (`docker login`)?";
        Failure::with_hint(format!("neither the engine nor a registry has `{word}`"), hint)
    })
}

fn up_to_date(global: &Global, session: &mut Session, name: &str) -> Result<Target, Failure> {
    let started = Instant::now();
    let synced = synced::brought_up(global, session, &[name.to_owned()])?;
    let args = BuildArgs { load: true, ..BuildArgs::default() };
    let going = Going { tells_summary: false, ..Going::new(global, &args) };
    let summary = build::carry_out(session, &synced, &going, started)?;
    let Some(built) = summary.results.get(name) else { return Err(Failure::silent(Exit::Error)) };
    let repository =
        &session.project.images.get(name).map(|image| image.repository.clone()).unwrap_or_default();
    // The newest time by name, else the first name it was given.
    let tags = summary.names.get(name).into_iter().flatten();
    let tags: Vec<&str> =
        tags.filter_map(|tag| tag.strip_prefix(repository.as_str())?.strip_prefix(':')).collect();
    let timed = tags.iter().filter(|tag| crate::syntax::tag::time_in(tag, ("", "")).is_some()).max();
    let version = timed.or(tags.first()).map(|tag| (*tag).to_owned()).unwrap_or_default();
    whole(session, name, version, built.id.0.clone())
}

/// The result with what the Imagefile says of its runs.
fn whole(session: &Session, name: &str, version: String, id: String) -> Result<Target, Failure> {
    let pool = session.executor.pool();
    Ok(Target {
        name: name.to_owned(),
        version,
        id,
        root: session.project.root.clone(),
        profile: session.project.images.get(name).map(|image| image.run.clone()).unwrap_or_default(),
        state: Some(session.state().clone()),
        endpoint: engines::runner(pool.default_node())?,
    })
}

fn last(session: &Session, name: &str) -> Result<Target, Failure> {
    let pool = session.executor.pool();
    let nothing = || {
        let hint = "`imk run` without --no-build builds it";
        Failure::with_hint(format!("`{name}` was not built yet, or its result is gone from the engine"), hint)
    };
    let record = session.executor.ledger.newest_of(name).ok_or_else(nothing)?;
    let found = pool.default_node().engine.inspect(&record.id).map_err(|error| Failure::engine(&error))?;
    let found = found.ok_or_else(nothing)?;
    let repository =
        session.project.images.get(name).map(|image| image.repository.clone()).unwrap_or_default();
    let tags = found.tags.iter().filter_map(|tag| crate::plan::tags::tagging::tag_of(tag, &repository));
    let version = tags.max().unwrap_or_default().to_owned();
    whole(session, name, version, found.id.0)
}

fn by_time(
    global: &Global,
    session: &mut Session,
    name: &str,
    registry: bool,
    cancel: &Cancel,
) -> Result<Target, Failure> {
    let synced = synced::synced(global, session, &[name.to_owned()])?;
    let told = newest::newest(session, &synced, name, registry);
    if let Some(error) = &told.engine {
        return Err(Failure::engine(error));
    }
    let pool = session.executor.pool();
    let node = pool.default_node();
    if let Some(error) = &told.registry {
        out::warning(format_args!("{error}; the newest here is run, and there may be a newer one"));
    }
    let nothing = || {
        let where_ = if registry { "neither the engine nor the registry has" } else { "the engine has not" };
        let hint = "give it such a tag: `tags: [\"{time}\"]`; docs/tags.md";
        Failure::with_hint(format!("{where_} a tag of `{name}` with a time in it"), hint)
    };
    let newest = told.newest.ok_or_else(nothing)?;
    let found = match node.engine.inspect(&newest.reference).map_err(|error| Failure::engine(&error))? {
        Some(found) => Ok(found.id),
        None => pulled(node, &newest.reference, cancel),
    };
    let (id, newest) = match (found, told.here) {
        (Ok(id), _) => (id, newest),
        (Err(_), Some(here)) if !cancel.is_cancelled() => {
            let message = format!(
                "`{}` could not be pulled; `{}` is run, the newest here",
                newest.reference, here.reference
            );
            out::warning(message);
            let found = node.engine.inspect(&here.reference).map_err(|error| Failure::engine(&error))?;
            (found.ok_or_else(nothing)?.id, here)
        }
        (Err(failure), _) => return Err(failure),
    };
    let version = newest.reference.rsplit_once(':').map(|(_, tag)| tag.to_owned()).unwrap_or_default();
    whole(session, name, version, id.0)
}
