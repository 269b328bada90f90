//! What the scenarios share.

pub(crate) mod env;
