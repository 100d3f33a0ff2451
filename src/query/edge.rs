//! An edge of the graph: one image named in another's Dockerfile. Finds nothing.

use serde::{Deserialize, Serialize};

use crate::syntax::resolve::How;

/// An edge to another image of the repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Edge {
    /// The image that is used.
    pub base: String,
    /// The reference as the Dockerfile's words expand to.
    pub reference: String,
    /// `FROM`, `COPY --from` or `RUN --mount=from=`.
    pub how: How,
}
