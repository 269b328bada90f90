//! How far a transfer is, at either end.

use super::manifest::Totals;
use super::missing::Outcome;

/// Figures for a progress line and for the summary of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that need not move any more.
    pub bytes: u64,
    /// Bytes on their way there: received and not durable yet, or handed to the link and not acknowledged by the receiver.
    pub moving_bytes: u64,
    /// Files that need not move any more.
    pub files: u64,
    /// All, as far as known.
    pub totals: Totals,
    /// Whether `totals` is final.
    pub is_complete: bool,
    /// Bytes of content that went over the wire in this run.
    pub wire_bytes: u64,
    /// Of those, bytes that had gone over the wire in this run before.
    pub resent_bytes: u64,
    /// Bytes that earlier runs had moved.
    pub kept_bytes: u64,
    /// What became of the entries so far; at the sender only once the receiver has said it.
    pub outcome: Outcome,
}
