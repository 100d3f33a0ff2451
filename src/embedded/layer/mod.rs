//! Layers: read into indexes of their headers, seen above each other as one tree, written byte for byte.

pub(super) mod compress;
pub(super) mod index;
pub(super) mod layers;
pub(super) mod scan;
pub(super) mod tarball;
pub(super) mod view;
pub(super) mod writer;
