//! HCL's expressions as bake evaluates them: its values, numbers, types and functions.
//!
//! The syntax is read by a crate; what it means follows `hcl` and `go-cty`, which bake is made of, and is compared with
//! bake in `tests/it/peers.rs`. Every step is counted, so that no file runs for ever. Knows no blocks of bake.

mod access;
mod decimal;
mod evaluator;
mod functions;
mod json;
mod kind;
mod number;
mod template;
mod value;

pub(super) use decimal::float_text;
pub(super) use evaluator::{Evaluator, Locals, Names};
pub(super) use functions::exists;
pub(super) use json::decoded;
pub(super) use kind::Type;
pub(super) use number::Number;
pub(super) use value::{Kind, Value};
