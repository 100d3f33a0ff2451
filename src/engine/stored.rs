//! An image as it lies on this machine: its configuration, and files that its layers are in.

use std::os::fd::OwnedFd;

/// An image that need not be copied to be read. Nothing of it is checked against its digests.
#[derive(Debug)]
pub struct StoredImage {
    /// Its configuration, as the image's id is the digest of.
    pub config: Vec<u8>,
    /// Its layers, lowest first: the digest of each, and the plain archive of which it is the digest.
    pub layers: Vec<(String, OwnedFd)>,
}
