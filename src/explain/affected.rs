//! Which images a change concerns: what is different between two of git's trees.
//!
//! Knows commits and states; builds nothing and asks nobody.

use crate::explain::tree_state::{Asked, Differing, TreeState};
use crate::session::project::ProjectError;
use crate::source::git::GitTree;

/// The images that a change concerns.
pub struct Affected {
    /// The images after it.
    pub after: TreeState,
    /// The images that are not what they were, in building order.
    pub images: Vec<Differing>,
    /// Why nothing is known of the images before, so that all are concerned: there were none, or with mistakes.
    pub nothing_before: Option<ProjectError>,
}

/// The images of `after` that `before` has not, or has as others.
///
/// # Errors
/// When those of `after` cannot be told. Where those of `before` cannot, every image is concerned.
pub fn affected(asked: &Asked<'_>, before: &GitTree, after: &GitTree) -> Result<Affected, ProjectError> {
    let after = TreeState::of_git(asked, after)?;
    let (images, nothing_before) = match TreeState::of_git(asked, before) {
        Ok(before) => (after.differing(Some(&before)), None),
        Err(ProjectError::Unreadable(error)) => {
            return Err(ProjectError::Unreadable(error));
        }
        Err(error) => (after.differing(None), Some(error)),
    };
    Ok(Affected { after, images, nothing_before })
}
