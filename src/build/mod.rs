//! Build: carries a plan out, schedules images, demands their results, tags, publishes and sums up.
//!
//! Decides nothing about staleness: the `image` query does. Never prints: it reports events.

pub mod ahead;
mod granted;
pub mod indexes;
pub mod jobserver;
mod loads;
pub mod local_names;
mod options;
pub mod outputs;
pub mod publish;
mod reports;
pub mod room;
mod rounds;
pub mod run;
pub mod schedule;
pub mod summary;
mod worker;
