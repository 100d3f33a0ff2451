//! The pages of the service: what is fresh, what is not and why, what runs, what was done.
//!
//! Each view is a function from plain values to markup. Knows neither a queue nor HTTP: `service/http` gathers
//! what a page shows, and sends it. Everything that others wrote goes through `shown`.

pub mod assets;
pub mod frame;
pub mod image;
pub mod job;
pub mod jobs;
pub mod overview;
pub mod parts;
pub mod raw;
pub mod repository;
pub mod seen;
pub mod shown;
pub mod sign_in;
pub mod times;

#[cfg(test)]
mod tests;
