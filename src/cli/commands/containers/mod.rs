//! The verbs that run containers of results.

pub mod run;
