//! OCI layouts: images in folders, as `skopeo copy … oci:DIR` and `imk -o type=oci,tar=false` leave them.
//!
//! A name in one leads to an image: its manifest, its configuration and its blobs. A layout may come from anybody: what
//! is named by a digest is compared with it, documents are short, and no name leads out of the folder. Knows
//! neither who builds on it nor keys.

mod choose;
mod image;
mod layout;

pub use image::Image;
pub use layout::{Layout, LayoutError};

#[cfg(test)]
mod tests;
