//! What was asked for and is not there: why, entry by entry, known to both ends (design §11).
//!
//! The sender tells what it left out before the manifest's end, the receiver what it could not take before it says that
//! it is complete; then both have the same list, and the same [`Outcome`] gives both the same exit code. Beyond
//! [`NAMED_MAX`] entries or [`NAMED_BYTES_MAX`] they are counted, not named.

use super::manifest::{EntryIndex, Totals};
use crate::event::FileStatus;
use bincode::{Decode, Encode};

/// Entries that are named at most, of those that one side finds missing.
pub const NAMED_MAX: usize = 65_536;

/// Bytes of names and reasons of all that one side names, at most.
pub const NAMED_BYTES_MAX: usize = 8 << 20;

/// Longest name of an entry that was left out, in bytes: more than any file system's 255 characters take.
pub const NAME_BYTES_MAX: usize = 1_024;

/// Why an entry is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum MissingKind {
    /// A FIFO, socket or device: nothing that could be sent. No failure.
    Special,
    /// A file of this program, such as its state: never content. No failure.
    Own,
    /// The source could not read it.
    Unreadable,
    /// A name or size that no manifest holds.
    Unnameable,
    /// A symlink that leads out of the tree.
    Escaping,
    /// It vanished at the source while it was being sent.
    Vanished,
    /// It changed at the source again and again while it was being sent.
    Changed,
    /// The receiver's user skips it, for what is there. No failure.
    Skipped,
    /// Another version is there, and nothing says what to do about it.
    Conflict,
    /// The receiver's check or disk refuses it.
    Refused,
    /// Its content could not be verified.
    Corrupt,
}

impl MissingKind {
    /// Whether the user lost something that they asked for.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        !matches!(self, Self::Special | Self::Own | Self::Skipped)
    }

    /// What a person is told of an entry that was offered.
    #[must_use]
    pub const fn status(self) -> FileStatus {
        match self {
            Self::Changed | Self::Vanished => FileStatus::Changed,
            Self::Skipped => FileStatus::Skipped,
            Self::Special
            | Self::Own
            | Self::Unreadable
            | Self::Unnameable
            | Self::Escaping
            | Self::Conflict
            | Self::Refused
            | Self::Corrupt => FileStatus::Failed,
        }
    }
}

/// An entry that the sender left out of the manifest.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LeftOut {
    /// The directory that it lies in; `None`: the root.
    pub parent: Option<EntryIndex>,
    /// Its name, as bytes.
    pub name: Vec<u8>,
    /// Why.
    pub kind: MissingKind,
    /// Why, for a person.
    pub reason: String,
}

/// An entry of the manifest that the receiver does not have.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Missing {
    /// Which.
    pub entry: EntryIndex,
    /// The directory that it lies in; `None`: the root.
    pub parent: Option<EntryIndex>,
    /// Its name, as bytes.
    pub name: Vec<u8>,
    /// Why.
    pub kind: MissingKind,
    /// Why, for a person.
    pub reason: String,
}

/// What became of everything that was asked for. Both ends have the receiver's at the end. Its figures may be a peer's, any
/// numbers: every sum of them saturates, and a sender takes only one that [fits](Self::fits) its manifest (S-08).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Outcome {
    /// Files and symlinks that are at the receiver, as promised.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of these, files that were there before.
    pub unchanged: u64,
    /// Of those, files taken for the same by size and time, never read.
    pub unread: u64,
    /// Entries left out without a failure: special files, our own, and what the receiver's user skips.
    pub skipped: u64,
    /// Entries that failed at either end.
    pub failed: u64,
    /// Entries left alone because another version is there.
    pub conflicts: u64,
    /// Entries whose content could not be verified.
    pub corrupt: u64,
}

impl Outcome {
    /// Counts an entry that is not there.
    pub const fn miss(&mut self, kind: MissingKind) {
        let count = self.count_of(kind);
        *count = count.saturating_add(1);
    }

    /// Takes one back that was counted.
    pub const fn unmiss(&mut self, kind: MissingKind) {
        let count = self.count_of(kind);
        *count = count.saturating_sub(1);
    }

    const fn count_of(&mut self, kind: MissingKind) -> &mut u64 {
        match kind {
            MissingKind::Special | MissingKind::Own | MissingKind::Skipped => &mut self.skipped,
            MissingKind::Conflict => &mut self.conflicts,
            MissingKind::Corrupt => &mut self.corrupt,
            MissingKind::Unreadable
            | MissingKind::Unnameable
            | MissingKind::Escaping
            | MissingKind::Vanished
            | MissingKind::Changed
            | MissingKind::Refused => &mut self.failed,
        }
    }

    /// The largest of the figures.
    #[must_use]
    pub fn most(&self) -> u64 {
        let Self { files, bytes, unchanged, unread, skipped, failed, conflicts, corrupt } = *self;
        [files, bytes, unchanged, unread, skipped, failed, conflicts, corrupt]
            .into_iter()
            .fold(0, u64::max)
    }

    /// Entries that the user asked for and does not have.
    #[must_use]
    pub const fn lost(&self) -> u64 {
        self.failed.saturating_add(self.conflicts).saturating_add(self.corrupt)
    }

    /// Whether all that was asked for is there.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.lost() == 0
    }

    /// What the sender left out counts, too.
    #[must_use]
    pub const fn with_left_out(mut self, failed: u64, skipped: u64) -> Self {
        self.failed = self.failed.saturating_add(failed);
        self.skipped = self.skipped.saturating_add(skipped);
        self
    }

    /// Whether it can be what became of a manifest with these totals, beside so many entries that were left out.
    #[must_use]
    pub const fn fits(&self, totals: &Totals, left_out: u64) -> bool {
        let all = self.files.saturating_add(self.skipped).saturating_add(self.lost());
        all <= totals.entries.saturating_add(left_out)
            && self.bytes <= totals.bytes
            && self.unchanged <= self.files
            && self.unread <= self.unchanged
    }
}

/// What the sender left out: the first [`NAMED_MAX`] by name, the rest by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOuts {
    named: Vec<LeftOut>,
    /// Bytes of their names and reasons.
    bytes: usize,
    /// All of them, by whether they are failures.
    failed: u64,
    skipped: u64,
}

impl LeftOuts {
    /// Adds one.
    pub fn add(&mut self, left_out: LeftOut) {
        if left_out.kind.is_failure() {
            self.failed += 1;
        } else {
            self.skipped += 1;
        }
        let bytes = left_out.name.len() + left_out.reason.len();
        if self.has_room(bytes) {
            self.bytes += bytes;
            self.named.push(left_out);
        }
    }

    /// Whether one more of so many bytes is named.
    #[must_use]
    pub const fn has_room(&self, bytes: usize) -> bool {
        self.named.len() < NAMED_MAX && self.bytes + bytes <= NAMED_BYTES_MAX
    }

    /// Those that are named.
    #[must_use]
    pub fn named(&self) -> &[LeftOut] {
        &self.named
    }

    /// How many are failures.
    #[must_use]
    pub const fn failed(&self) -> u64 {
        self.failed
    }

    /// How many are none.
    #[must_use]
    pub const fn skipped(&self) -> u64 {
        self.skipped
    }
}
