//! What the two ends of a link say to each other: decoded; [`crate::wire::frame`] has their bytes on a channel.
//!
//! Append only: bincode writes an enum's variant by its position.

use super::completed::{BUCKET_ENTRIES, EXPAND_MAX};
use super::disk::PackedFile;
use super::manifest::{Chain, EntryIndex, PAGE_ENTRIES_MAX, Totals};
use super::merge::Value;
use super::missing::{LeftOut, Missing, MissingKind, NAME_BYTES_MAX, Outcome};
use super::ranges::Ranges;
use crate::wire::frame::{self, MESSAGE_BYTES_MAX};
use crate::wire::{CodecError, SessionId, codec};
use bincode::{Decode, Encode};
use bytes::Bytes;

/// Longest text that a peer may send for a person to read, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_024;

/// Pages that follow an [`EarlyAnswer`](Message::EarlyAnswer) before the request came, at most: 240 kB.
pub const EARLY_PAGES_MAX: u64 = 4;

/// Entries of one message that names what is missing, at most.
pub const MISSING_MAX: usize = 128;

/// Largest number of entries or bytes that a figure of a peer may say: sums of them stay far from where arithmetic wraps.
pub const FIGURE_MAX: u64 = 1 << 56;

/// Roots of one message that answers a comparison, at most: a page of them.
pub const ROOTS_MAX: usize = PAGE_ENTRIES_MAX;

/// A set of indices on the wire: gap and length of each range, in turn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct WireRanges(Vec<(u64, u64)>);

impl From<&Ranges> for WireRanges {
    fn from(ranges: &Ranges) -> Self {
        let mut at = 0;
        Self(
            ranges
                .as_slice()
                .iter()
                .map(|range| {
                    let gap = range.start - at;
                    at = range.end;
                    (gap, range.end - range.start)
                })
                .collect(),
        )
    }
}

impl WireRanges {
    /// The set; `None` where it is not one.
    #[must_use]
    pub fn to_ranges(&self) -> Option<Ranges> {
        let mut at = 0_u64;
        let mut ranges = Vec::with_capacity(self.0.len());
        for (gap, length) in &self.0 {
            let start = at.checked_add(*gap)?;
            at = start.checked_add(*length)?;
            ranges.push(start..at);
        }
        Ranges::from_sorted(ranges)
    }
}

/// What the receiver has, at the start of every link: an ordinary first run has nothing.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RecoveryRequest {
    /// The session, which both know from their join.
    pub session: SessionId,
    /// The link's epoch.
    pub epoch: u64,
    /// Manifest pages received.
    pub pages: u64,
    /// Chain value over them.
    pub chain: Chain,
    /// Of those, the pages for which a [`Message::Want`] is still to come.
    pub undecided: WireRanges,
    /// Entries of the other pages that shall not be sent.
    pub unwanted: WireRanges,
    /// Units that are verified and written.
    pub units: WireRanges,
    /// One digest over the (index, root) pairs of completed files for every 4,096 indices that have any.
    pub digests: Vec<(u64, Value)>,
}

impl RecoveryRequest {
    /// Whether it is that of a receiver that begins: only to this one an early answer is an answer.
    #[must_use]
    pub fn has_nothing(&self) -> bool {
        let nothing = WireRanges::default();
        self.pages == 0
            && self.chain == Chain::start(self.session)
            && [&self.undecided, &self.unwanted, &self.units].into_iter().all(|of| *of == nothing)
            && self.digests.is_empty()
    }
}

/// The head of a unit; its content follows in body frames.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum UnitHead {
    /// A unit of a large file.
    Part {
        /// The file.
        entry: EntryIndex,
        /// The unit's value.
        value: Value,
    },
    /// Small files, whole.
    Pack {
        /// Each with size and root, in entry order.
        files: Vec<(EntryIndex, PackedFile)>,
    },
}

/// Why a side says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ByeReason {
    /// Stopped by its user; it may come back.
    Stopped,
    /// Its user, or a limit of its user's, refuses the transfer.
    Refused,
    /// The other side broke the protocol.
    Protocol,
    /// Its disk is full or fails.
    Disk,
    /// Content could not be verified.
    Integrity,
    /// The session is unknown, over, or of another manifest.
    NoSession,
    /// Ended by its system: a signal, or its terminal is gone; it may come back.
    Terminated,
    /// The time that its user gave it is over; it may come back.
    TimedOut,
    /// It failed, and the same command would fail again.
    Failed,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Message {
    /// Receiver, control: the first message of every link.
    RecoveryRequest(RecoveryRequest),
    /// Sender, data: accepts it; pages from here on follow.
    RecoveryAnswer {
        /// Pages that both have.
        pages: u64,
    },
    /// Sender, control: how much the scan has found.
    Estimate {
        /// So far.
        totals: Totals,
        /// Whether the scan is done.
        is_complete: bool,
    },
    /// Sender, data: the next manifest page.
    Page {
        /// Its bytes.
        encoded: Vec<u8>,
    },
    /// Sender, data: no more pages.
    End {
        /// Their number.
        pages: u64,
        /// What they hold.
        totals: Totals,
        /// Chain value over them.
        chain: Chain,
        /// Entries that the manifest lacks and that are failures, named in [`Message::LeftOut`] or not.
        failed: u64,
        /// Entries that it lacks and that are none.
        skipped: u64,
    },
    /// Receiver, control: what it wants of a page: all but these.
    Want {
        /// The page.
        page: u64,
        /// Entries not to be sent.
        unwanted: WireRanges,
        /// Units not to be sent.
        units: WireRanges,
    },
    /// Sender, data: a unit; its bodies follow.
    Unit {
        /// Its number.
        unit: u64,
        /// What it holds.
        head: UnitHead,
    },
    /// Sender, data: all units of a large file were sent; its root.
    FileRoot {
        /// The file.
        entry: EntryIndex,
        /// Its root.
        root: Value,
    },
    /// Sender, data: a file that cannot be sent after all.
    EntryFailed {
        /// The file.
        entry: EntryIndex,
        /// Why.
        kind: MissingKind,
        /// Why, for a person.
        reason: String,
    },
    /// Receiver, control: this unit did not verify, or rotted; send it again.
    Resend {
        /// The unit.
        unit: u64,
        /// Entries of it not to be sent.
        unwanted: WireRanges,
    },
    /// Receiver, pulse: these units are durable.
    Ack {
        /// The units.
        units: WireRanges,
    },
    /// Receiver, control: everything is resolved, verified and durable.
    Complete {
        /// What became of it, what the sender left out included.
        outcome: Outcome,
    },
    /// Sender, control: it knows; both may close.
    CompleteAck,
    /// Both, pulse: are you there?
    Ping {
        /// Numbered (X12).
        number: u64,
    },
    /// Both, pulse: yes.
    Pong {
        /// The ping's number.
        number: u64,
    },
    /// Both, control: this link ends on purpose.
    Bye {
        /// Why.
        reason: ByeReason,
        /// For a person; at most [`TEXT_BYTES_MAX`] bytes.
        text: String,
    },
    /// Sender, control: the digests of these buckets are not its own; which files are complete there?
    ExpandBuckets {
        /// In the request of this link; at most [`EXPAND_MAX`].
        buckets: Vec<u64>,
    },
    /// Receiver, control: the complete files of a bucket.
    BucketEntries {
        /// One that was asked for.
        bucket: u64,
        /// Each with its root, in order; at most [`BUCKET_ENTRIES`].
        files: Vec<(EntryIndex, Value)>,
    },
    /// Sender, data: files that the receiver has with other content than the sender; to be fetched again.
    Contradict {
        /// Their page, which both have.
        page: u64,
        /// Each with the sender's root, in order; at most [`BUCKET_ENTRIES`].
        files: Vec<(EntryIndex, Value)>,
    },
    /// Sender, data: the answer to a request that [`has_nothing`](RecoveryRequest::has_nothing), before it came. To any
    /// other it is none, and what follows it up to the [`RecoveryAnswer`](Self::RecoveryAnswer) says nothing.
    EarlyAnswer,
    /// Sender, data: entries that it left out of the manifest; on every link, before the end.
    LeftOut {
        /// Each with its directory, of a page before; at most [`MISSING_MAX`].
        entries: Vec<LeftOut>,
    },
    /// Receiver, control: what will not be there although it was offered; before it is complete.
    Missing {
        /// Each with its reason; at most [`MISSING_MAX`].
        entries: Vec<Missing>,
    },
    /// Receiver, control: files of a page that waits for its want are there with the same size. What are their roots?
    Compare {
        /// The page.
        page: u64,
        /// Regular files of it.
        entries: WireRanges,
    },
    /// Sender, data: answers a comparison, in parts; one without a root cannot be read as promised. An empty part says that
    /// it is being read.
    Roots {
        /// The page.
        page: u64,
        /// Each with its root; at most [`ROOTS_MAX`].
        files: Vec<(EntryIndex, Option<Value>)>,
    },
    /// Sender, control: its disk is at work on what is due; at most one in some seconds.
    Busy,
    /// Sender, data: entries of the page that it sends next of which nothing is left: later pages, which it has, say that they
    /// are gone or have another version. Nothing of them is looked at or made.
    Gone {
        /// Not empty.
        entries: WireRanges,
    },
}

impl Message {
    /// The message's frames, in order.
    ///
    /// # Errors
    /// Over [`MESSAGE_BYTES_MAX`], or a count over its limit.
    pub fn encode(&self) -> Result<Vec<Bytes>, CodecError> {
        self.check_counts()?;
        self.check_figures()?;
        Ok(frame::split(&codec::encode(self, "message", MESSAGE_BYTES_MAX)?))
    }

    /// A message from bytes; texts and counts are within our limits afterwards.
    ///
    /// # Errors
    /// Anything that is not exactly one message within the limits.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let message: Self = codec::decode(bytes, "message", MESSAGE_BYTES_MAX)?;
        message.check_texts()?;
        message.check_counts()?;
        message.check_figures()?;
        Ok(message)
    }

    /// What is only shown or compared is within our limits, too.
    fn check_figures(&self) -> Result<(), CodecError> {
        let most = if let Self::End { failed, skipped, .. } = self {
            (*failed).max(*skipped)
        } else if let Self::Complete { outcome } = self {
            outcome.most()
        } else {
            0
        };
        let bytes = usize::try_from(most).unwrap_or(usize::MAX);
        let limit = usize::try_from(FIGURE_MAX).unwrap_or(usize::MAX);
        if most > FIGURE_MAX {
            return Err(CodecError::TooLarge { what: "figure", bytes, limit });
        }
        Ok(())
    }

    /// Texts for a person and names are within our limits.
    fn check_texts(&self) -> Result<(), CodecError> {
        let check = |what: &'static str, bytes: usize, limit: usize| {
            if bytes > limit { Err(CodecError::TooLarge { what, bytes, limit }) } else { Ok(()) }
        };
        let text = |text: &str| check("text", text.len(), TEXT_BYTES_MAX);
        match self {
            Self::Bye { text: said, .. } | Self::EntryFailed { reason: said, .. } => text(said),
            Self::LeftOut { entries } => entries.iter().try_for_each(|entry| {
                check("name", entry.name.len(), NAME_BYTES_MAX)?;
                text(&entry.reason)
            }),
            Self::Missing { entries } => entries.iter().try_for_each(|entry| {
                check("name", entry.name.len(), NAME_BYTES_MAX)?;
                text(&entry.reason)
            }),
            Self::RecoveryRequest(_)
            | Self::RecoveryAnswer { .. }
            | Self::Estimate { .. }
            | Self::Page { .. }
            | Self::End { .. }
            | Self::Want { .. }
            | Self::Unit { .. }
            | Self::FileRoot { .. }
            | Self::Resend { .. }
            | Self::Ack { .. }
            | Self::Complete { .. }
            | Self::CompleteAck
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::ExpandBuckets { .. }
            | Self::BucketEntries { .. }
            | Self::Contradict { .. }
            | Self::Compare { .. }
            | Self::Roots { .. }
            | Self::Busy
            | Self::Gone { .. }
            | Self::EarlyAnswer => Ok(()),
        }
    }

    fn check_counts(&self) -> Result<(), CodecError> {
        let files_max = usize::try_from(BUCKET_ENTRIES).unwrap_or(usize::MAX);
        let (what, bytes, limit) = match self {
            Self::ExpandBuckets { buckets } => ("number of buckets", buckets.len(), EXPAND_MAX),
            Self::BucketEntries { files, .. } | Self::Contradict { files, .. } => {
                ("number of files of a bucket", files.len(), files_max)
            }
            Self::LeftOut { entries } => ("number of missing entries", entries.len(), MISSING_MAX),
            Self::Missing { entries } => ("number of missing entries", entries.len(), MISSING_MAX),
            Self::Roots { files, .. } => ("number of roots", files.len(), ROOTS_MAX),
            Self::RecoveryRequest(_)
            | Self::RecoveryAnswer { .. }
            | Self::Estimate { .. }
            | Self::Page { .. }
            | Self::End { .. }
            | Self::Want { .. }
            | Self::Unit { .. }
            | Self::FileRoot { .. }
            | Self::EntryFailed { .. }
            | Self::Resend { .. }
            | Self::Ack { .. }
            | Self::Complete { .. }
            | Self::CompleteAck
            | Self::Ping { .. }
            | Self::Pong { .. }
            | Self::Bye { .. }
            | Self::Compare { .. }
            | Self::Busy
            | Self::Gone { .. }
            | Self::EarlyAnswer => return Ok(()),
        };
        if bytes > limit { Err(CodecError::TooLarge { what, bytes, limit }) } else { Ok(()) }
    }
}

/// Cuts a text for a person to what a message may carry, at a character boundary.
#[must_use]
pub fn bounded_text(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// X7: a million files of which every other one is there already must not end every later run.
    #[test]
    fn the_most_scattered_request_of_a_million_files_is_understood() {
        let scattered: Ranges = (0..500_000).map(|entry| entry * 2).collect();
        let message = Message::RecoveryRequest(RecoveryRequest {
            session: SessionId([1; 16]),
            epoch: 1,
            pages: 1_000,
            chain: Chain::start(SessionId([1; 16])),
            undecided: WireRanges::default(),
            unwanted: WireRanges::from(&scattered),
            units: WireRanges::default(),
            digests: Vec::new(),
        });
        let bytes = codec::encode(&message, "message", MESSAGE_BYTES_MAX).unwrap();
        assert!(Message::decode(&bytes) == Ok(message), "not what was encoded");
    }
}
