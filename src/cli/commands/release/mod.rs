//! Verbs about what is in force: publish a set at once, look at what was published, go back.

pub mod publish;
pub mod rollback;
