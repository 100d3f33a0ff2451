//! Files of the state that nothing refers to any more: logs, evidence, documents, git repositories.
//!
//! All of it is disposable; at worst something is asked for again. Knows nothing of the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::time::UnixSeconds;
use crate::session::open::Session;
use crate::session::{overlays, removed_images};
use crate::state::files::StateFile;

/// Why a file of the state goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unused {
    /// The log of an image that is no more declared.
    Log,
    /// It explains a build that is no more remembered.
    Evidence,
    /// A registry's document that was not fetched for long.
    Document,
    /// A git repository that no image uses.
    Repository,
    /// Commits that no image uses.
    Commits,
}

/// The age at which a registry's document is taken for unused: nothing says who reads it.
const DOCUMENT_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

pub(crate) fn unused_files(session: &Session, declared: &BTreeSet<String>) -> Vec<(StateFile, Unused)> {
    let mut unused = Vec::new();
    let mut take = |folder: &str, why: Unused, is_unused: &dyn Fn(&StateFile) -> bool| {
        let files = session.state().sub(folder).list().unwrap_or_default();
        for file in files.into_iter().filter(|file| is_unused(file)) {
            unused.push((StateFile { name: format!("{folder}/{}", file.name), ..file }, why));
        }
    };
    let logs: BTreeSet<String> = declared.iter().map(|image| removed_images::log_name(image)).collect();
    take("logs", Unused::Log, &|file| {
        file.name.ends_with(".log") && !logs.contains(&format!("logs/{}", file.name))
    });
    let keys: BTreeSet<String> =
        session.executor.ledger.records().iter().map(|record| record.key.to_string()).collect();
    take("evidence", Unused::Evidence, &|file| !keys.contains(&file.name));
    let now = session.upstream.now();
    take("registry", Unused::Document, &|file| now.since(file.written) > DOCUMENT_AGE);
    // Another Imagefile of the folder may use what this one does not.
    if removed_images::declared_now(session).len() == 1 {
        let used = overlays::git_commits(session);
        for (folder, commits) in used.iter().filter(|(_, commits)| !commits.is_empty()) {
            if overlays::unused_commits(session, folder, commits) > 0 {
                let (name, size_bytes) = (format!("git/{folder}"), 0);
                unused
                    .push((StateFile { name, size_bytes, written: UnixSeconds::default() }, Unused::Commits));
            }
        }
        let mut take = |folder: &str| {
            let files = session.state().sub(folder).list().unwrap_or_default();
            let repository = |file: &StateFile| file.name.len() == 32 && !used.contains_key(&file.name);
            for file in files.into_iter().filter(repository) {
                unused.push((
                    StateFile { name: format!("{folder}/{}", file.name), ..file },
                    Unused::Repository,
                ));
            }
        };
        take("git");
    }
    unused
}

/// Removes files, and notes of repositories what their commits took.
pub(crate) fn remove_unused(session: &Session, files: &mut Vec<(StateFile, Unused)>) -> std::io::Result<()> {
    let used: BTreeMap<String, BTreeSet<String>> = overlays::git_commits(session);
    for (file, why) in files {
        if *why == Unused::Commits {
            let before = session.state().size(&file.name);
            let folder = file.name.trim_start_matches("git/");
            overlays::drop_commits(session, folder, used.get(folder).unwrap_or(&BTreeSet::new()));
            file.size_bytes = before.saturating_sub(session.state().size(&file.name));
        } else {
            session.state().remove(&file.name)?;
        }
    }
    Ok(())
}
