//! Submodules whose commits are nowhere on this disk, fetched for whoever builds from a commit.
//!
//! Finds where a submodule stands in a commit, and what `.gitmodules` lies beside it. What was fetched is lent to the
//! repository as other submodules are. Knows neither addresses nor whether they may be asked.

use git2::{ObjectType, Oid, Repository};

use super::GitStore;
use super::fetcher::Fetcher;
use super::module_source::{Module, ModuleSource};
use crate::model::name::join;

impl GitStore {
    /// From now on, whoever builds from a commit of it has submodules fetched that are not here.
    pub fn fetch_own_modules(&self, fetcher: Fetcher, offline: bool) {
        let source = ModuleSource::of_own(fetcher, &self.repository.lock(), offline);
        self.fetch_modules(source);
    }

    pub(super) fn fetch_modules(&self, source: ModuleSource) {
        // Whoever came first knows as much.
        let _ = self.module_source.set(source);
    }

    /// The tree of a submodule's commit that is not here, at a path of the tree `root`. It is asked for once.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    pub(super) fn module(&self, root: Oid, path: &str, commit: Oid) -> Result<Oid, String> {
        // Others who want it wait for it.
        let mut fetched = self.fetched.lock();
        if let Some(known) = fetched.get(&commit) {
            return known.clone();
        }
        let found = self.fetch_module(root, path, commit);
        fetched.insert(commit, found.clone());
        found
    }

    fn fetch_module(&self, root: Oid, path: &str, commit: Oid) -> Result<Oid, String> {
        let told = |error: git2::Error| format!("git says: {}", error.message());
        let source = self.module_source.get().ok_or("`git submodule update --init` fetches it")?;
        let way = modules_on_the_way(&self.repository.lock(), root, path).map_err(told)?;
        let kept = source.fetch(&way)?;
        let repository = self.repository.lock();
        let odb = repository.odb().map_err(told)?;
        let objects = kept.join("objects");
        odb.add_disk_alternate(&objects.to_string_lossy()).map_err(told)?;
        repository.find_commit(commit).map(|commit| commit.tree_id()).map_err(told)
    }
}

/// The submodules on the way to a path of a tree, from the outermost to the innermost.
fn modules_on_the_way(repository: &Repository, root: Oid, path: &str) -> Result<Vec<Module>, git2::Error> {
    let mut found: Vec<Module> = Vec::new();
    let (mut top, mut inside) = (root, String::new());
    let mut tree = repository.find_tree(root)?;
    for name in path.split('/') {
        let entry = tree.get_name(name).map(|entry| (entry.kind(), entry.id()));
        let Some((kind, id)) = entry else { break };
        inside = join(&inside, name);
        match kind {
            Some(ObjectType::Tree) => tree = repository.find_tree(id)?,
            Some(ObjectType::Commit) => {
                let list = repository.find_tree(top)?.get_name(".gitmodules").map(|entry| entry.id());
                let list = list.and_then(|id| Some(repository.find_blob(id).ok()?.content().to_owned()));
                let (path, list) = (std::mem::take(&mut inside), list.unwrap_or_default());
                found.push(Module { path, list, commit: id.to_string() });
                let Ok(commit) = repository.find_commit(id) else { break };
                top = commit.tree_id();
                tree = commit.tree()?;
            }
            _ => break,
        }
    }
    Ok(found)
}
