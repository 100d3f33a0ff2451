//! The driver: finds the repository, tells the queries what is, demands images, saves.
//!
//! The only floor that sets salsa inputs. Never prints: it reports data, and
//! the face makes words of it.

pub mod affected;
pub mod clean;
pub mod diff;
pub mod elsewhere;
pub mod gc;
pub mod gone;
pub mod holdings;
pub mod hook;
mod inventory;
pub mod jobserver;
pub mod needs;
pub mod origin;
pub mod others;
pub mod overview;
pub mod place;
pub mod plan;
pub mod project;
pub mod publish;
mod remotes;
pub mod replay;
pub mod run;
pub mod schedule;
pub mod select;
pub mod session;
pub mod states;
pub mod summary;
pub mod sync;
pub mod tags;
pub mod update;
pub mod upstream;
pub mod users;
pub mod warnings;
pub mod watch;
pub mod what_if;
pub mod why;
pub mod why_not;

#[cfg(test)]
mod tests;
