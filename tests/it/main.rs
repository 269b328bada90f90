//! The one integration binary.

mod store_crash;
mod store_source;
mod store_state;
mod store_target;
mod support;
