//! The driver: finds the repository, tells the queries what is, demands images, saves.
//!
//! The only floor that sets salsa inputs. Never prints: it reports data, and
//! the face makes words of it.

pub mod hook;
pub mod lock;
pub mod others;
pub mod plan;
pub mod project;
pub mod publish;
pub mod replay;
pub mod run;
pub mod schedule;
pub mod select;
pub mod session;
pub mod sync;
pub mod tags;
pub mod update;
pub mod upstream;
pub mod warnings;
pub mod watch;
pub mod why;

#[cfg(test)]
mod tests;
