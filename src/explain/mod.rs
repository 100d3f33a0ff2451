//! Questions: why, why not, what if, who uses, what differs between two builds or two commits.
//!
//! Reads plans, records and git. Changes nothing, builds nothing, never prints.

pub mod affected;
pub mod diff;
pub mod line;
pub mod lint;
pub mod origin;
pub mod published_builds;
pub mod pushed;
pub mod tree_state;
pub mod what_if;
pub mod who_uses;
pub mod why;
pub mod why_not;
