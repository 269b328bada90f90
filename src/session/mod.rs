//! A run of a session: the machines, and the one loop that joins them to host, link, disk and user.
//!
//! Pure: [`machine`], [`meeting`], [`recovery`], [`entropy`]. Everything else is an edge.

mod ending;
pub mod entropy;
mod host;
pub mod machine;
pub mod meeting;
mod news;
mod pace;
pub mod places;
mod receive;
pub mod recovery;
pub mod relay;
mod run;
mod send;
mod shell;
pub mod stored;
mod surroundings;
pub mod tally;
mod worker;

pub use host::host;
pub use receive::receive;
pub use send::send;
