//! imk: make for container images.
//!
//! In a repository with Dockerfiles, imk builds what is out of date, in order, in parallel, and
//! nothing else; and it says why. The program is `src/main.rs`; this crate is all of it, so that
//! tests, benches and other programs can use its parts. Its interface follows the program's needs
//! and may change with each version.
//!
//! # The trip of a build
//!
//! 1. The Imagefile is read, or Dockerfiles are discovered ([`syntax::imagefile`], [`source`]).
//! 2. Each Dockerfile becomes a recipe: the stages that its target reaches, the values of their
//!    arguments, the files they read ([`syntax::dockerfile`], [`syntax::resolve`]).
//! 3. Exactly those files are listed and hashed ([`source`]).
//! 4. Recipe, files and bases become the action key ([`query`]).
//! 5. A key with a result is fresh. For one without, an engine builds ([`engine`]), or a registry
//!    has what another machine built ([`registry`]).
//! 6. The result is in the ledger before the build counts as done.
//!
//! Step 2 alone, which opens no file and asks nobody:
//!
//! ```
//! use imk::syntax::dockerfile::parse;
//! use imk::syntax::resolve::{Request, resolve};
//!
//! let text = "
//! FROM alpine AS test
//! COPY tests /tests
//!
//! FROM alpine
//! ARG VERSION=1
//! COPY app /app
//! ";
//! let recipe = resolve(&parse(text).expect("no mistakes"), &Request::default()).expect("no mistakes");
//!
//! // The stage `test` is not reached, so `tests/` makes nothing stale.
//! assert_eq!(recipe.stages.len(), 1);
//! assert_eq!(recipe.args["VERSION"].as_deref(), Some("1"));
//! assert_eq!(recipe.bases.len(), 1);
//! ```
//!
//! # Words
//!
//! A *base* is what an image is built on; its *dependents* are the images built on it. The *used
//! files* of an image are those that its instructions read. The *action key* is the hash of all
//! that can change an image, and the *result* is the image it led to. An image is *fresh* when its
//! key has a result, else *stale*; it *waits* when that depends on a base. A *reason* says why it
//! is stale. The *ledger* remembers results, *evidence* what went into them. `docs/glossary.md` has
//! the rest, ARCHITECTURE.md what each room is and what it never does.

pub mod build;
pub mod cli;
pub mod containers;
pub mod credentials;
pub mod embedded;
pub mod engine;
pub mod exec;
pub mod explain;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gc;
pub mod model;
pub mod parallel;
pub mod patience;
pub mod plan;
pub mod query;
pub mod registry;
pub mod release;
pub mod replay;
pub mod runtime;
pub mod session;
pub mod source;
pub mod state;
pub mod syntax;
