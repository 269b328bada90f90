//! What a receiver's meeting starts from.

use crate::signal::capabilities::Capabilities;
use crate::signal::code::Code;
use crate::wire::{MemberId, SessionId, SessionSecret};
use std::time::Duration;

/// What a joining starts from.
#[derive(Debug)]
pub struct JoiningConfig {
    /// Who we are.
    pub member: MemberId,
    /// What we can do.
    pub capabilities: Capabilities,
    /// From which the tokens for hosts are made.
    pub token_key: [u8; 32],
    /// The name we give ourselves.
    pub name: String,
    /// How to prove that we belong.
    pub entrance: Entrance,
    /// Whether a code room that is not there yet is waited for.
    pub wait: bool,
    /// How long a lost connection is looked for.
    pub retry_for: Duration,
}

/// How a receiver gets in.
#[derive(Debug)]
pub enum Entrance {
    /// By the code, the first time.
    Code(Code),
    /// By what an earlier join left behind.
    Session {
        /// The session.
        session: SessionId,
        /// Its secret.
        secret: SessionSecret,
        /// Epoch of the last join.
        epoch: u64,
    },
}
