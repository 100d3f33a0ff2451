//! Challenges of registries, and which login answers them.

