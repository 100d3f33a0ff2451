//! The verbs that run containers of results.

pub mod logs;
pub mod run;
pub mod test;
