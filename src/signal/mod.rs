//! Signaling: how two members find each other, become sure of each other, and agree on a connection.
//!
//! A [`code`] leads to a room at a host. A [`join`] there proves the code (or, later, the session's secret) both ways
//! and yields a [`seal`]ed channel for [`message`]s. The host sees room names, member ids, sizes and times; nothing
//! else (H-08).
//!
//! Pure, without I/O and clock: everything except [`host`], [`client`], [`interfaces`] and [`local`].

mod account_buckets;
pub mod address;
pub mod capabilities;
#[cfg(not(target_family = "wasm"))]
pub mod client;
pub mod code;
mod codec;
mod first_message;
#[cfg(not(target_family = "wasm"))]
pub mod host;
#[cfg(not(target_family = "wasm"))]
pub mod interfaces;
pub mod join;
mod keys;
#[cfg(not(target_family = "wasm"))]
pub mod local;
pub mod message;
mod pake;
pub mod protocol;
mod retry;
pub mod room;
pub mod seal;
pub mod subscriber;
pub mod work;

pub use codec::CodecError;
pub use keys::{JoinId, MemberToken, RoomName, Seed, ShortAuthentication};
pub use pake::PakeError;
pub use retry::Pace;
