//! A run of a session: the machines, and the one loop that joins them to host, link, disk and user.
//!
//! Pure: [`machine`], [`meeting`], [`recovery`], [`entropy`]. Everything else is an edge.

mod ending;
pub mod entropy;
#[cfg(not(target_family = "wasm"))]
mod host;
pub mod machine;
pub mod meeting;
#[cfg(not(target_family = "wasm"))]
mod news;
mod pace;
#[cfg(not(target_family = "wasm"))]
pub mod places;
#[cfg(not(target_family = "wasm"))]
mod receive;
pub mod recovery;
pub mod relay;
#[cfg(not(target_family = "wasm"))]
mod run;
#[cfg(not(target_family = "wasm"))]
mod send;
#[cfg(not(target_family = "wasm"))]
mod shell;
#[cfg(not(target_family = "wasm"))]
pub mod stored;
#[cfg(not(target_family = "wasm"))]
mod surroundings;
pub mod tally;
#[cfg(not(target_family = "wasm"))]
mod worker;

#[cfg(not(target_family = "wasm"))]
pub use host::host;
#[cfg(not(target_family = "wasm"))]
pub use receive::receive;
#[cfg(not(target_family = "wasm"))]
pub use send::send;
