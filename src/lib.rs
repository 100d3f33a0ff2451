//! imk: make for container images.
//!
//! In a repository with Dockerfiles, imk builds what is out of date, in order, in parallel, and
//! nothing else; and it says why. The program is `src/main.rs`; this crate is all of it, so that
//! tests, benches and other programs can use its parts. Its interface follows the program's needs
//! and may change with each version.
//!
//! # The trip of a build
//!
//! 1. [`cli`] reads what was typed and has [`session`] open the repository: its Imagefile is read
//!    ([`syntax::imagefile`]), or Dockerfiles are discovered ([`source::discover`]).
//! 2. Each Dockerfile becomes a recipe: the stages that its target reaches, the values of their
//!    arguments, the files they read ([`syntax::dockerfile`], [`syntax::resolve`]).
//! 3. Exactly those files are listed and hashed ([`source::tree`]).
//! 4. Recipe, files and bases become the action key ([`query::action_key`]).
//! 5. A key with a result is fresh, and [`plan`] says so. For one without, [`exec`] has an engine
//!    build ([`engine`]) or finds what another machine built ([`registry`]); [`build`] keeps the order.
//! 6. The result is in the ledger ([`state::ledger`]) before the build counts as done.
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
//! # The rooms, in reading order
//!
//! A room uses those above it in this list, and no room below: read from the top to know what
//! everything rests on, or from the bottom to follow a verb down.
//!
//! | room | is about |
//! |---|---|
//! | [`model`] | the ground words: names, hashes, files, times, parts of a key, reasons |
//! | [`parallel`], [`patience`], [`runtime`] | many questions at once, how long an answer may take, tokio's threads |
//! | [`syntax`] | text in, values out: Imagefile, Dockerfile, ignore files, the formats of other builders |
//! | [`state`], [`credentials`] | everything below `.imk`, the ledger among it; logins |
//! | [`source`] | the repository's files: on the disk, in commits, in memory; what instructions read of them |
//! | [`engine`], [`embedded`], [`buildkitd`] | engines through Docker's API, imk's own builder, a BuildKit of its own |
//! | [`registry`], [`layouts`] | manifests, blobs and tags in OCI registries; OCI layouts in folders |
//! | [`query`] | the incremental computation from inputs to action key; pure |
//! | [`exec`], [`outputs`] | the one effect of a query: build or reuse, place bases, push; images written to files and folders |
//! | [`session`] | an opened repository, whose inputs are set here and nowhere else |
//! | [`plan`] | verdicts on images, tags that results lack, warnings |
//! | [`platforms`] | the index of the images that one name has for several platforms |
//! | [`build`], [`gc`] | a plan carried out; what nothing reaches, removed |
//! | [`explain`], [`containers`] | why, why not, what if, who uses; containers of results |
//! | [`replay`], [`release`] | what history would have cost; which published result is in force |
//! | [`service`] | triggers, a queue of jobs, workers, a status page: repositories kept fresh |
//! | [`cli`] | arguments, progress, failures: a file a verb, and the only room that prints |
//!
//! # Ten words
//!
//! - An **image** is a name with a Dockerfile, a stage of it, a context and options.
//! - Its **bases** are the images that it is built on, its **dependents** those built on it.
//! - Its **context** is the folder that it can copy from, with **overlays** put over paths of it.
//! - Its **used files** are those of the context that instructions of reached stages read.
//! - Its **recipe** is its Dockerfile made out.
//! - An **input** is what salsa is told; a change of one has only the queries run again that read it.
//! - A **part** is one line of what a key is made of; a **reason** is a difference of two lists of parts.
//! - The **action key** is the hash of everything that can change an image. An image is **fresh** when
//!   its key has a **result**, else **stale**; it **waits** when that depends on a base.
//! - The **content** of a result is its layers and settings without dates: dependents are keyed on it.
//! - The **ledger** says which result a key led to, **evidence** what went into it.
//!
//! `docs/glossary.md` has the rest, ARCHITECTURE.md what each room never does.

pub mod build;
pub mod buildkitd;
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
pub mod layouts;
pub mod model;
pub mod outputs;
pub mod parallel;
pub mod patience;
pub mod plan;
pub mod platforms;
pub mod query;
pub mod registry;
pub mod release;
pub mod replay;
pub mod runtime;
pub mod service;
pub mod session;
pub mod source;
pub mod state;
pub mod syntax;
