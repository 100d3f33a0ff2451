//! Verbs about what is in force: publish a set at once, carry out a plan, look at what was published, go back.

pub mod apply;
pub mod auto;
pub mod ci;
pub mod occasion;
pub mod publish;
pub mod rollback;
pub mod tested;
