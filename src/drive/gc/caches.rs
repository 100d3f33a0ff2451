//! Files of the state that nothing refers to any more: logs, evidence, documents, git repositories.
//!
//! All of it is disposable; at worst something is asked for again. Knows nothing of the engine.

use std::collections::{BTreeMap, BTreeSet};

use super::Unused;
use crate::drive::session::Session;
use crate::state::files::StateFile;

/// Seconds after which a registry's document is taken for unused: nothing says who reads it.
const DOCUMENT_AGE: i64 = 30 * 24 * 3600;

impl Session {
    pub(super) fn unused_files(&self, declared: &BTreeSet<String>) -> Vec<(StateFile, Unused)> {
        let mut unused = Vec::new();
        let mut take = |folder: &str, why: Unused, is_unused: &dyn Fn(&StateFile) -> bool| {
            let files = self.state().sub(folder).list().unwrap_or_default();
            for file in files.into_iter().filter(|file| is_unused(file)) {
                unused.push((StateFile { name: format!("{folder}/{}", file.name), ..file }, why));
            }
        };
        take("logs", Unused::Log, &|file| {
            file.name.strip_suffix(".log").is_some_and(|image| !declared.contains(image))
        });
        let keys: BTreeSet<String> =
            self.executor.ledger.records().iter().map(|record| record.key.to_string()).collect();
        take("evidence", Unused::Evidence, &|file| !keys.contains(&file.name));
        let now = i64::try_from(self.upstream.now()).unwrap_or(i64::MAX);
        take("registry", Unused::Document, &|file| now.saturating_sub(file.written) > DOCUMENT_AGE);
        // Another Imagefile of the folder may use what this one does not.
        if self.declared_now().len() == 1 {
            let used = self.git_commits();
            for (folder, commits) in used.iter().filter(|(_, commits)| !commits.is_empty()) {
                if self.unused_commits(folder, commits) > 0 {
                    let (name, size) = (format!("git/{folder}"), 0);
                    unused.push((StateFile { name, size, written: 0 }, Unused::Commits));
                }
            }
            let mut take = |folder: &str| {
                let files = self.state().sub(folder).list().unwrap_or_default();
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
    pub(super) fn remove_unused(&self, files: &mut Vec<(StateFile, Unused)>) -> std::io::Result<()> {
        let used: BTreeMap<String, BTreeSet<String>> = self.git_commits();
        for (file, why) in files {
            if *why == Unused::Commits {
                let before = self.state().size(&file.name);
                let folder = file.name.trim_start_matches("git/");
                self.drop_commits(folder, used.get(folder).unwrap_or(&BTreeSet::new()));
                file.size = before.saturating_sub(self.state().size(&file.name));
            } else {
                self.state().remove(&file.name)?;
            }
        }
        Ok(())
    }
}
