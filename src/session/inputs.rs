//! Sets the inputs of the queries: images with their Dockerfiles, the engine, the bases outside.
//!
//! Compares before it sets, since salsa counts every setting as a change. Contexts
//! are `sync`'s, which knows what an order reads.

use std::collections::{BTreeMap, BTreeSet};

use salsa::Setter;

use crate::engine::EngineIdentity;
use crate::query::graph::{self, Order};
use crate::query::inputs::{Context, Exact, Image, Outside, OutsideBase, Text, Workspace};
use crate::session::open::Session;
use crate::session::overlays;
use crate::session::project::Declared;
use crate::source::tree::SourceTree;

/// One input for each declared image, with its options and its Dockerfile.
pub(crate) fn sync_images(session: &mut Session) {
    overlays::mount_contexts(session);
    let known = Workspace::try_get(&session.db);
    let old = known.map(|workspace| workspace.images(&session.db).clone()).unwrap_or_default();
    let mut images = BTreeMap::new();
    for (name, declared) in &session.project.images {
        let text = dockerfile(session, declared);
        let (options, paths) = (declared.options.clone(), declared.paths.clone());
        let answers = declared.answers();
        let image = match old.get(name) {
            None => {
                session.changed = true;
                Image::new(&session.db, name.clone(), options, paths, answers, text, Context::Unread, 0)
            }
            Some(image) => {
                if *image.options(&session.db) != options {
                    session.changed = true;
                    image.set_options(&mut session.db).to(options);
                }
                if *image.paths(&session.db) != paths {
                    session.changed = true;
                    image.set_paths(&mut session.db).to(paths);
                }
                if *image.answers(&session.db) != answers {
                    session.changed = true;
                    image.set_answers(&mut session.db).to(answers);
                }
                if *image.dockerfile(&session.db) != text {
                    session.changed = true;
                    image.set_dockerfile(&mut session.db).to(text);
                }
                *image
            }
        };
        images.insert(name.clone(), image);
    }
    let prefixes = session.project.prefixes.clone();
    match known {
        None => {
            session.changed = true;
            let platform = own_platform();
            let (engine, builder) = (String::new(), "unknown".to_owned());
            Workspace::new(
                &session.db,
                images,
                prefixes,
                engine,
                builder,
                platform,
                BTreeMap::new(),
                BTreeMap::new(),
            );
        }
        Some(workspace) => {
            if *workspace.images(&session.db) != images {
                session.changed = true;
                workspace.set_images(&mut session.db).to(images);
            }
            if *workspace.prefixes(&session.db) != prefixes {
                session.changed = true;
                workspace.set_prefixes(&mut session.db).to(prefixes);
            }
        }
    }
}

/// The text of an image's Dockerfile, wherever that is.
fn dockerfile(session: &Session, declared: &Declared) -> Text {
    let path = &declared.paths.dockerfile;
    match (overlays::not_mounted(session, declared), &declared.dockerfile_inline) {
        (Some(problem), _) => Text::Refused(problem),
        (None, Some(text)) => {
            session.git_sources.tree.show(path, text);
            Text::Is(text.clone())
        }
        (None, None) => read_text(&*session.executor.tree, path),
    }
}

pub(crate) fn set_engine(session: &mut Session, identity: &EngineIdentity) -> bool {
    let workspace = session.workspace();
    let same = workspace.engine(&session.db) == identity.id
        && workspace.builder_kind(&session.db) == identity.builder
        && workspace.platform(&session.db) == identity.platform;
    if !same {
        session.changed = true;
        workspace.set_engine(&mut session.db).to(identity.id.clone());
        workspace.set_builder_kind(&mut session.db).to(identity.builder.clone());
        workspace.set_platform(&mut session.db).to(identity.platform.clone());
    }
    !same
}

/// The bases outside that the images of an order are built on.
pub fn wanted(session: &Session, order: &Order) -> BTreeSet<OutsideBase> {
    let images = order.names.iter().filter_map(|name| session.image(name));
    images.flat_map(|image| graph::bases(&session.db, image).outside.iter().cloned()).collect()
}

/// Sets what is known of the bases outside, asking for those not in `answers`. True when something changed.
pub(crate) fn set_outside(
    session: &mut Session,
    order: &Order,
    answers: &mut BTreeMap<OutsideBase, Outside>,
) -> bool {
    let wanted = wanted(session, order);
    let new = wanted.iter().filter(|base| !answers.contains_key(*base)).cloned().collect();
    answers.extend(session.upstream.resolve(&*session.executor.default_engine(), &new));
    let mut outside = session.workspace().outside(&session.db).clone();
    for (base, answer) in answers.iter().filter(|(base, _)| wanted.contains(*base)) {
        // Nobody could say, perhaps for want of an engine: what was known is believed.
        if answer.exact != Exact::Unknown || !outside.contains_key(base) {
            outside.insert(base.clone(), answer.clone());
        }
    }
    let changed = outside != *session.workspace().outside(&session.db);
    if changed {
        session.changed = true;
        session.workspace().set_outside(&mut session.db).to(outside);
    }
    changed
}

/// Makes the query of an image run again though no other input changed.
pub(crate) fn invalidate(session: &mut Session, name: &str) {
    if let Some(image) = session.image(name) {
        session.changed = true;
        let attempt = image.attempt(&session.db);
        image.set_attempt(&mut session.db).to(attempt + 1);
    }
}

fn read_text(tree: &dyn SourceTree, path: &str) -> Text {
    match tree.read(path) {
        Ok(None) => Text::Absent,
        Err(error) => Text::Unreadable(error.why),
        Ok(Some(bytes)) => match String::from_utf8(bytes) {
            Ok(text) => Text::Is(text),
            Err(_) => Text::Unreadable("it is not UTF-8 text".into()),
        },
    }
}

/// The platform of this machine: that of an engine that did not say its own yet.
pub(crate) fn own_platform() -> String {
    format!("linux/{}", go_architecture(std::env::consts::ARCH))
}

/// Rust's name of an architecture as Go and Docker spell it.
fn go_architecture(arch: &str) -> &str {
    match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}
