//! What the disk keeps of what it is given: it says so after a file was published, and that is journalled.
//!
//! Steps of time differ (1 ns to 2 s), so what was asked for says little about what is there. A complete file is compared
//! with what the disk said of it; what has another time and the same size is read before it counts as changed. A file that
//! another session left is the same if it has the time that this disk makes of the time asked for.

use super::TargetStore;
use super::compare::Stamp;
use crate::fs::{Access, Directory, File, FileKind, Metadata, remove_if_present};
use crate::store::journal::Complete;
use crate::transfer::completed::BUCKET_ENTRIES;
use crate::transfer::manifest::{EntryIndex, ModifiedTime};
use crate::transfer::ranges::Ranges;
use std::collections::BTreeMap;
use std::io;

/// The file that times are tried with.
pub(super) const CLOCK: &[u8] = b"clock";

/// The coarsest step of time of any file system, in seconds.
const STEP_MAX: u64 = 2;

/// Complete entries with what the disk keeps of them.
pub(super) struct Kept<F> {
    /// Those that are complete.
    pub(super) complete: Ranges,
    /// Of those, the ones that have other names than their own: what has their own is not ours.
    pub(super) renamed: Ranges,
    /// Of the bucket that was looked at last: a survey goes through them in order.
    bucket: Option<(u64, BTreeMap<EntryIndex, Complete>)>,
    /// An open file whose time is set and looked at.
    clock: Option<F>,
}

impl<F> Kept<F> {
    pub(super) const fn new(complete: Ranges, renamed: Ranges) -> Self {
        Self { complete, renamed, bucket: None, clock: None }
    }

    /// An entry has its final name.
    pub(super) fn publish(&mut self, entry: EntryIndex) {
        self.complete.insert(entry);
        self.renamed.remove(entry);
        self.bucket = None;
    }
}

impl<D: Directory> TargetStore<D> {
    /// What the journal says of a complete file.
    pub(super) fn complete(&mut self, entry: EntryIndex) -> io::Result<Option<&Complete>> {
        if !self.kept.complete.contains(entry) {
            return Ok(None);
        }
        let bucket = entry / BUCKET_ENTRIES;
        if self.kept.bucket.as_ref().is_none_or(|(of, _)| *of != bucket) {
            self.kept.bucket = Some((bucket, self.journal.published(bucket)?));
        }
        Ok(self.kept.bucket.as_ref().and_then(|(_, entries)| entries.get(&entry)))
    }

    /// Whether what is there is the complete file `entry`, as it was published; `None` if that is no complete file. Its time
    /// tells, unless `by_content`.
    pub(super) fn is_as_published(
        &mut self,
        entry: EntryIndex,
        metadata: &Metadata,
        (parent, name): (&D, &[u8]),
        by_content: bool,
    ) -> io::Result<Option<bool>> {
        let Some(&Complete { bytes, root: Some(root), kept, .. }) = self.complete(entry)? else {
            return Ok(None);
        };
        if metadata.kind != FileKind::File || metadata.bytes != bytes {
            return Ok(Some(false));
        }
        if metadata.modified == kept && !by_content {
            return Ok(Some(true));
        }
        // Mounted in another way, or touched: content decides.
        let file = parent.open_file(name, Access::Read)?;
        let is_same = super::compare::hash(&file)? == root;
        // Nobody changed it, or put another one there, while it was read.
        Ok(Some(is_same && Stamp::of(&parent.metadata(name)?) == Stamp::of(metadata)))
    }

    /// Whether a file with the time `found` has the time `asked` as far as this disk keeps it.
    pub(super) fn is_same_time(
        &mut self,
        device: u64,
        asked: ModifiedTime,
        found: ModifiedTime,
    ) -> io::Result<bool> {
        if asked == found {
            return Ok(true);
        }
        // A time that the disk cannot hold at all may become any other.
        let is_near = asked.seconds.abs_diff(found.seconds) <= STEP_MAX
            || !(0..1 << 31).contains(&asked.seconds);
        if !is_near || device != self.device {
            return Ok(false);
        }
        if self.time_as_kept(asked)? == Some(found) {
            return Ok(true);
        }
        // FAT and exFAT keep every other second, and some drivers show that only once they have forgotten the file.
        let is_of_fat = found.nanoseconds == 0 && found.seconds.rem_euclid(2) == 0;
        let odd = ModifiedTime { nanoseconds: 123_456_789, ..asked };
        Ok(is_of_fat
            && asked.seconds.abs_diff(found.seconds) <= 1
            && self.time_as_kept(odd)?.is_some_and(|kept| kept.nanoseconds == 0))
    }

    /// What this disk makes of a time; `None` where it takes none.
    fn time_as_kept(&mut self, asked: ModifiedTime) -> io::Result<Option<ModifiedTime>> {
        let clock = match self.kept.clock.take() {
            Some(clock) => clock,
            None => {
                remove_if_present(&self.partials, CLOCK)?;
                self.partials.create_file(CLOCK, 0o600)?
            }
        };
        let outcome = clock.set_modified(asked).and_then(|()| clock.metadata());
        self.kept.clock = Some(clock);
        match outcome {
            Err(error) if crate::store::error::is_not_taken(&error) => Ok(None),
            outcome => Ok(Some(outcome?.modified)),
        }
    }

    /// Gives a file that is there the time that it was to have, and says which it has then.
    pub(super) fn give_time(
        &mut self,
        parent: &D,
        name: &[u8],
        modified: ModifiedTime,
    ) -> io::Result<ModifiedTime> {
        let metadata = parent.metadata(name)?;
        if self.is_same_time(metadata.device, modified, metadata.modified)? {
            return Ok(metadata.modified);
        }
        let outcome =
            parent.open_file(name, Access::Read).and_then(|file| file.set_modified(modified));
        if self.taken(super::warnings::Kind::Times, metadata.device, name, outcome)? {
            return Ok(parent.metadata(name)?.modified);
        }
        Ok(metadata.modified)
    }

    /// Nothing of an entry is complete any more.
    pub(super) fn forget_complete(&mut self, entry: EntryIndex) {
        self.kept.complete.remove(entry);
    }
}
