//! The service: triggers, a queue of jobs, workers, and what is seen of them. It keeps repositories fresh without anybody typing.
//!
//! It decides when a repository is looked at and by whom; the work itself is done by the verbs that people type, as processes
//! of their own. Knows nothing of keys, images or engines, and never prints.

pub mod address;
pub mod ask;
pub mod hooks;
pub mod http;
pub mod jobs;
pub mod logins;
pub mod logs;
pub mod model;
pub mod orphans;
pub mod page;
pub mod poll;
pub mod queue;
pub mod remote_logs;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod secrets;
pub mod shared;
pub mod steps;
pub mod tell;
pub mod teller;
pub mod token;
pub mod toolbox;
pub mod wishes;
pub mod worker;
