//! Getting a link back: the layers of reconnection as pure values, all owned by one [`super::machine::Session`].
//!
//! | layer | what comes back | schedule |
//! | --- | --- | --- |
//! | A [`IceRestart`] | the path of the same connection | 5 s grace, then at once, +5, +10 s; given up after 10 s in all |
//! | B [`crate::signal::client`] | the host's WebSocket | 1, 2, 4, 8, 10 s, then every 30 s; every 4 s while no link is up |
//! | C [`Schedule`] | a new connection, by a join with a newer epoch | 2, 4, 8, 16, 32 s, then every 60 s |
//!
//! What starts a layer, and what ends its wait, are facts: [`Presence`] (who is at the host), addresses of this machine,
//! and [`WakeWatch`] (the machine slept). A is tried only in a link that is up; whatever it cannot mend goes to C, which
//! ends the link first, so there is never more than one attempt. B runs beside both.

mod ice;
mod presence;
mod schedule;
mod wake;

pub use ice::{IceOutput, IceRestart};
pub use presence::Presence;
pub use schedule::{Plan, Schedule};
pub use wake::WakeWatch;

use std::time::Duration;

/// Longest planned delay between two tries of a layer (F-09, K-08).
const DELAY_MAX: Duration = Duration::from_secs(60);

/// How long a link must hold before the tries of a layer count from the start again (S-08).
const STABLE_AFTER: Duration = Duration::from_secs(10);
