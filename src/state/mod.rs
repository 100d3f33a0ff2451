//! State: all that imk keeps below `.imk`, and who may touch it.
//!
//! Knows how files are kept safely and what was built. Knows no engine, no query and no file of the repository.

mod beneath;
pub mod clock;
pub mod evidence;
pub mod files;
pub mod folder;
pub mod ledger;
pub mod lock;
mod mark;
pub mod place;
pub mod receipts;
pub mod seal;
pub mod told;
mod top;
mod trust;
