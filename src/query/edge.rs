//! An edge of the graph: one image named in another's Dockerfile. Finds nothing.

use serde::{Deserialize, Serialize};

use crate::syntax::resolve::How;

/// An edge to another image of the repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// The image that is used.
    pub base: String,
    /// The word of the Dockerfile after expansion.
    pub word: String,
    /// The reference that it leads to: the word itself unless it names a context.
    pub reference: String,
    /// The platform that it is used for.
    pub platform: String,
    /// `FROM`, `COPY --from` or `RUN --mount=from=`.
    pub how: How,
}
