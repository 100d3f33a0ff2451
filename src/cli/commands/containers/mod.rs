//! The verbs that run containers of results.

pub mod run;
pub mod test;
