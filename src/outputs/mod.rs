//! Outputs: images written to files and folders, in the forms that docker build knows.
//!
//! Made of what an engine saves of the image itself, so every engine has all forms, nothing is built for one, and an
//! output holds what the image holds. Local layer caches are folders of the same form. Decides nothing about freshness of
//! images; never writes through a link.

mod digest;
mod folder;
mod layout;
pub mod place;
pub mod record;
mod saved;
pub mod store;
mod tarball;
mod tree;
pub mod write;
