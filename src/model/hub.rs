//! Docker Hub's host and its other names.
//!
//! One registry answers to several names: a reference says `docker.io` or nothing, an address of requests
//! `registry-1.docker.io`, and `docker login` keeps its logins under a third. Knows no reference and asks nobody.

/// The host in full names of images.
pub const HUB: &str = "docker.io";
/// The host that `docker.io` was called before; docker still takes it in a reference.
pub const OLD_HUB: &str = "index.docker.io";
/// The host that requests go to.
pub const HUB_SERVER: &str = "registry-1.docker.io";
/// The key of docker's configuration under which logins are kept.
pub const HUB_LOGIN: &str = "https://index.docker.io/v1/";

/// Whether a host is Docker Hub, by whichever of its names.
pub fn is_hub(host: &str) -> bool {
    [HUB, OLD_HUB, HUB_SERVER].contains(&host)
}
