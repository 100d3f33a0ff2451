//! Limits of what is sent here, which every route keeps.

/// A body has at most so many bytes: forges send up to 25 MB, and pushes that big are none.
pub const BODY: usize = 5 << 20;
