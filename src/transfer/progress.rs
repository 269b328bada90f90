//! How far a transfer is, at either end.

use super::manifest::Totals;

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
    /// Files that were there already.
    pub unchanged_files: u64,
    /// Files that did not and will not arrive.
    pub failed_files: u64,
    /// Files left alone because another version is there.
    pub conflicts: u64,
}
