//! The commits that git is about to push, as it tells its hook.
//!
//! Knows the lines that a pre-push hook reads and which of them have files to
//! judge. Knows no images.

use git2::{ErrorCode, ObjectType};

use super::history::Commit;
use super::{GitStore, GitTree, object_id, unreadable};
use crate::source::tree::ReadError;

/// One ref that is pushed: a line of the hook's standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its name, as the person called it: a branch, a tag, a commit.
    pub local: String,
    /// The object that is pushed; `None` when the ref is deleted there.
    pub id: Option<String>,
    /// The ref on the other side.
    pub remote: String,
}

/// A tree that is pushed, once for all refs that bring it.
pub struct PushedTree {
    /// Its files.
    pub tree: GitTree,
    /// A commit that has it.
    pub commit: Commit,
    /// The refs on the other side.
    pub refs: Vec<String>,
}

/// Reads what git tells: `<local ref> <local id> <remote ref> <remote id>` a line.
///
/// # Errors
/// The first line that is none.
pub fn pushed(text: &str) -> Result<Vec<Pushed>, String> {
    let line = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [local, id, remote, _] => Ok(Pushed {
            local: local.to_owned(),
            // Zeros, as many as an id has digits, stand for nothing.
            id: id.contains(|digit| digit != '0').then(|| id.to_owned()),
            remote: remote.to_owned(),
        }),
        _ => Err(line.to_owned()),
    };
    text.lines().filter(|text| !text.trim().is_empty()).map(line).collect()
}

impl GitStore {
    /// The trees of what is pushed, each once, and the refs whose objects cannot be read, with the
    /// reason. Deletions have none, nor have tags of something else than a commit.
    pub fn pushed_trees(
        self: &std::sync::Arc<Self>,
        pushed: &[Pushed],
    ) -> (Vec<PushedTree>, Vec<(String, ReadError)>) {
        let mut trees: Vec<PushedTree> = Vec::new();
        let mut unread = Vec::new();
        for one in pushed {
            let Some(id) = &one.id else { continue };
            let tree = self
                .commit_in(id)
                .and_then(|commit| commit.map(|commit| Ok((self.tree(&commit)?, commit))).transpose());
            match tree {
                Ok(None) => {}
                Ok(Some((tree, commit))) => match trees.iter_mut().find(|known| known.tree == tree) {
                    Some(known) => known.refs.push(one.remote.clone()),
                    None => trees.push(PushedTree { tree, commit, refs: vec![one.remote.clone()] }),
                },
                Err(error) => unread.push((one.remote.clone(), error)),
            }
        }
        (trees, unread)
    }

    /// The commit that an object is, or is a tag of.
    fn commit_in(&self, id: &str) -> Result<Option<Commit>, ReadError> {
        let peeled = {
            let repository = self.repository.lock();
            let object = object_id::parse(id).and_then(|id| repository.find_object(id, None));
            let object = object.map_err(|error| unreadable(id, &error))?;
            match object.peel(ObjectType::Commit) {
                Ok(commit) => commit.id().to_string(),
                // It is there, and leads to a tree or a blob.
                Err(error) if error.code() != ErrorCode::NotFound => return Ok(None),
                Err(error) => return Err(unreadable(id, &error)),
            }
        };
        self.commit(&peeled).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_refs_and_zeros_are_deletions() {
        let text = "refs/heads/a 12ab refs/heads/b 0000\n(delete) 000000 refs/heads/c 34cd\n\n";
        let found = pushed(text).unwrap();
        assert_eq!(
            found[0],
            Pushed { local: "refs/heads/a".into(), id: Some("12ab".into()), remote: "refs/heads/b".into() }
        );
        assert_eq!((found.len(), &found[1].id), (2, &None));
        assert_eq!(pushed("one two"), Err("one two".into()));
    }
}
