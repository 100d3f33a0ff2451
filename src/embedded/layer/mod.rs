//! Layers: read into indexes of their headers, seen above each other as one tree, written byte for byte.

pub(crate) mod compress;
pub(super) mod index;
pub(super) mod layers;
pub(crate) mod scan;
pub(crate) mod tarball;
pub(super) mod view;
pub(super) mod writer;
