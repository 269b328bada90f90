//! Which units a page has: the same arithmetic at both ends, so that only numbers travel.
//!
//! A file of more than [`UNIT_BYTES`] takes units of its own, one for each aligned [`UNIT_BYTES`] of it. Smaller files
//! share *packs*: the next file joins the open pack unless that would exceed [`UNIT_BYTES`] or [`PACK_FILES_MAX`]. A
//! unit's number is given when it opens; no pack spans a page, so numbers never change (design §5).

use super::UNIT_BYTES;
use super::manifest::{EntryIndex, EntryKind, Page, Verdict};

/// Most files of a pack: its head, about 45 bytes a file, must fit one frame.
pub const PACK_FILES_MAX: usize = 1_024;

/// Consecutive units of a page that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The units of one large file.
    File {
        /// The file.
        entry: EntryIndex,
        /// Its size in bytes, more than [`UNIT_BYTES`].
        bytes: u64,
        /// Its first unit.
        first_unit: u64,
    },
    /// One unit of small files.
    Pack {
        /// The unit.
        unit: u64,
        /// The files with their sizes, in entry order.
        files: Vec<(EntryIndex, u64)>,
    },
}

impl Segment {
    /// Its units.
    #[must_use]
    pub const fn units(&self) -> std::ops::Range<u64> {
        match self {
            Self::File { bytes, first_unit, .. } => {
                *first_unit..*first_unit + bytes.div_ceil(UNIT_BYTES)
            }
            Self::Pack { unit, .. } => *unit..*unit + 1,
        }
    }
}

/// The units of one page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// In order of their first units.
    pub segments: Vec<Segment>,
    /// First unit of the page.
    pub first_unit: u64,
    /// Unit after its last: the first of the next page.
    pub end_unit: u64,
}

impl Layout {
    /// Lays out `page`, whose first unit is `first_unit`; entries that were refused have no units at either end, which
    /// both know because both check alike.
    #[must_use]
    pub fn new(page: &Page, verdicts: &[Verdict], first_unit: u64) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        let mut end_unit = first_unit;
        let mut open: Option<(usize, u64)> = None;
        for ((entry, content), verdict) in page.iter().zip(verdicts) {
            let EntryKind::File { bytes } = content.kind else {
                continue;
            };
            if verdict.is_err() {
                continue;
            }
            if bytes > UNIT_BYTES {
                let segment = Segment::File { entry, bytes, first_unit: end_unit };
                end_unit = segment.units().end;
                segments.push(segment);
                continue;
            }
            if let Some((at, held)) = &mut open
                && let Some(Segment::Pack { files, .. }) = segments.get_mut(*at)
                && *held + bytes <= UNIT_BYTES
                && files.len() < PACK_FILES_MAX
            {
                *held += bytes;
                files.push((entry, bytes));
                continue;
            }
            open = Some((segments.len(), bytes));
            segments.push(Segment::Pack { unit: end_unit, files: vec![(entry, bytes)] });
            end_unit += 1;
        }
        Self { segments, first_unit, end_unit }
    }

    /// The segment that holds the file `entry`.
    #[must_use]
    pub fn segment_of(&self, entry: EntryIndex) -> Option<&Segment> {
        self.segments.iter().find(|segment| match segment {
            Segment::File { entry: of, .. } => *of == entry,
            Segment::Pack { files, .. } => files.iter().any(|(of, _)| *of == entry),
        })
    }

    /// The segment that holds `unit`.
    #[must_use]
    pub fn segment(&self, unit: u64) -> Option<&Segment> {
        let at = self.segments.partition_point(|segment| segment.units().end <= unit);
        self.segments.get(at).filter(|segment| segment.units().contains(&unit))
    }
}
