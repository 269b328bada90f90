//! What the sender knows for as long as a link lives: pages in memory, jobs, reads in flight, units under way.

use super::compare::{Compare, Comparison};
use super::plan::{Plan, Recovery};
use super::steady::Steady;
use crate::transfer::disk::Stamp;
use crate::transfer::layout::Layout;
use crate::transfer::manifest::{EntryIndex, Page};
use crate::transfer::merge::Value;
use crate::transfer::ranges::Ranges;
use crate::transfer::unit_values::UnitValues;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Reads in flight: enough to keep disk and channel busy together.
pub(super) const READS_MAX: usize = 3;

/// Frames waiting for the channel before nothing more is read: two units of them.
pub(super) const FRAMES_AHEAD: usize = 36;

/// Pages sent whose units are not all read yet: the receiver surveys the next while the units of one arrive.
pub(super) const PAGES_AHEAD: usize = 8;

/// Bytes sent and not acknowledged at most: beyond, the receiver's disk is what is waited for.
pub(super) const UNACKED_BYTES_MAX: u64 = 256 << 20;

/// Values of a large file that are read at once, 33 bytes each.
pub(super) const VALUES_MAX: u64 = 65_536;

/// Ranges in the wants heard before their pages are loaded: one want for each page that an earlier run left undecided,
/// which may be all of them, in 16 MB.
pub(super) const EARLY_RANGES_MAX: usize = 1 << 20;

/// Units sent and not acknowledged at most.
pub(super) const UNACKED_UNITS_MAX: usize = 4_096;

/// A page in memory.
#[derive(Debug)]
pub(super) struct LoadedPage {
    pub(super) page: Page,
    pub(super) layout: Layout,
    pub(super) stamps: Vec<Option<Stamp>>,
}

/// Units to be read and sent, in order.
#[derive(Debug)]
pub(super) enum Job {
    /// Units of a large file.
    File { page: Arc<LoadedPage>, entry: EntryIndex, missing: Ranges },
    /// One unit of small files.
    Pack { page: Arc<LoadedPage>, unit: u64, files: Vec<EntryIndex> },
    /// Small files whose roots are asked for; not sent.
    Hash { page: Arc<LoadedPage>, files: Vec<EntryIndex> },
}

impl Job {
    pub(super) const fn page(&self) -> &Arc<LoadedPage> {
        match self {
            Self::File { page, .. } | Self::Pack { page, .. } | Self::Hash { page, .. } => page,
        }
    }
}

/// What a read in flight is for.
#[derive(Debug)]
pub(super) enum InFlight {
    /// A page to be sent, or to be continued.
    Page { number: u64 },
    /// A page of which one unit shall be sent again.
    Again { unit: u64, unwanted: Ranges },
    /// A unit of a large file; not sent where only its value is missing.
    Part { page: Arc<LoadedPage>, unit: u64, entry: EntryIndex, is_sent: bool },
    /// A unit of small files.
    Pack { page: Arc<LoadedPage>, unit: u64 },
    /// Small files of which only the roots are wanted.
    Hash { page: Arc<LoadedPage> },
    /// Values of some of a large file's units from earlier runs.
    Values { page: Arc<LoadedPage>, entry: EntryIndex },
    /// What the receiver says is complete is compared.
    Compared(Comparison),
    /// A root is being kept.
    Kept,
    /// A large file is looked at after its last unit was read.
    Look { page: Arc<LoadedPage>, entry: EntryIndex },
    /// Files that changed are looked at again.
    LookAgain,
}

/// A large file whose root is still to be sent.
#[derive(Debug)]
pub(super) struct FileRun {
    pub(super) entry: EntryIndex,
    pub(super) first_unit: u64,
    pub(super) values: UnitValues,
    /// Units whose value must be read from the source, because an earlier run that knew it is gone.
    pub(super) rehash: Ranges,
    pub(super) page: Arc<LoadedPage>,
    /// Whether the receiver asked for the root, to compare: nothing is sent.
    pub(super) is_compared: bool,
    pub(super) steady: Steady,
}

impl FileRun {
    pub(super) fn set(&mut self, unit: u64, value: Value) {
        if let Some(at) = unit.checked_sub(self.first_unit) {
            self.values.set(at, value);
        }
    }
}

/// What is known of a unit that is sent and not acknowledged.
#[derive(Debug)]
pub(super) struct Mark {
    pub(super) page: Arc<LoadedPage>,
    pub(super) bytes: u64,
    /// How many units went before it on this link.
    pub(super) order: u64,
    /// Whether it went on this run before.
    pub(super) is_again: bool,
    /// Files that are settled with it: those of a pack, or the large file whose last unit it is.
    pub(super) files: Vec<EntryIndex>,
}

/// State that lives as long as a link.
#[derive(Debug, Default)]
pub(super) struct LinkRun {
    pub(super) recovery: Option<Recovery>,
    /// Whether the request that is answered is still to come.
    pub(super) is_early: bool,
    /// The next page to load.
    pub(super) next_page: u64,
    pub(super) in_flight: VecDeque<InFlight>,
    /// Pages sent, their want not yet heard.
    pub(super) waiting: BTreeMap<u64, Arc<LoadedPage>>,
    pub(super) early_wants: BTreeMap<u64, Plan>,
    /// Units asked for once more, and what of them is not wanted: one of each, however often it is asked for.
    pub(super) again: BTreeMap<u64, Ranges>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) files: Vec<FileRun>,
    pub(super) frames: VecDeque<Bytes>,
    pub(super) unacked: BTreeMap<u64, Mark>,
    pub(super) unacked_bytes: u64,
    /// Units queued on this link.
    pub(super) units_queued: u64,
    /// Bytes that the link took and did not send, as last told.
    pub(super) unsent_bytes: u64,
    /// Units of large files that are not acknowledged, by file: at zero the file is sent.
    pub(super) open_units: BTreeMap<EntryIndex, u64>,
    /// Files that are not settled at the receiver, with the bytes that are.
    pub(super) open: BTreeMap<EntryIndex, u64>,
    /// How many of what was left out were sent.
    pub(super) left_outs_sent: usize,
    /// Pages that were compared on this link: once each, so that a receiver cannot have them read for ever.
    pub(super) compared: BTreeSet<u64>,
    /// Comparisons asked for before their pages are loaded.
    pub(super) early_compares: BTreeMap<u64, Ranges>,
    /// Units read for comparisons since the receiver heard of it.
    pub(super) units_hashed: u32,
    pub(super) end_sent: bool,
    pub(super) compare: Compare,
}

impl LinkRun {
    pub(super) fn may_read(&self) -> bool {
        self.in_flight.len() < READS_MAX
            && self.frames.len() < FRAMES_AHEAD
            && self.unacked_bytes < UNACKED_BYTES_MAX
            && self.unacked.len() < UNACKED_UNITS_MAX
    }

    /// Bytes that the receiver has not acknowledged, and how many of these the link has not taken.
    pub(super) fn unacked_and_waiting_bytes(&self) -> (u64, u64) {
        let waiting: usize = self.frames.iter().map(Bytes::len).sum();
        (self.unacked_bytes, waiting as u64)
    }

    /// Units of which nothing went over the wire, and bytes that did not: in all, and of units that went before. What was
    /// queued last goes last, and is what did not go.
    pub(super) fn never_sent(&self) -> (Vec<u64>, u64, u64) {
        let (_, waiting) = self.unacked_and_waiting_bytes();
        let mut left = waiting + self.unsent_bytes;
        if left == 0 {
            return Default::default();
        }
        let mut newest: Vec<(&u64, &Mark)> = self.unacked.iter().collect();
        newest.sort_unstable_by_key(|(_, mark)| std::cmp::Reverse(mark.order));
        let (mut units, mut bytes, mut again) = (Vec::new(), 0, 0);
        for (unit, mark) in newest {
            let unsent = mark.bytes.min(left);
            left -= unsent;
            bytes += unsent;
            if mark.is_again {
                again += unsent;
            } else if unsent == mark.bytes {
                units.push(*unit);
            }
            if left == 0 {
                break;
            }
        }
        (units, bytes, again)
    }

    /// Pages in memory, or on their way there.
    pub(super) fn pages_ahead(&self) -> usize {
        let loading =
            self.in_flight.iter().filter(|read| matches!(read, InFlight::Page { .. })).count();
        let mut numbers: Vec<u64> = self.jobs.iter().map(|job| job.page().page.number).collect();
        numbers.dedup();
        loading + self.waiting.len() + numbers.len()
    }
}

impl InFlight {
    pub(super) const fn unit(&self) -> Option<u64> {
        match self {
            Self::Part { unit, .. } | Self::Pack { unit, .. } | Self::Again { unit, .. } => {
                Some(*unit)
            }
            Self::Page { .. }
            | Self::Hash { .. }
            | Self::Values { .. }
            | Self::Compared(_)
            | Self::Kept
            | Self::Look { .. }
            | Self::LookAgain => None,
        }
    }
}
