//! What a receiver has on disk, as an append-only log in its target: the claims that a restart trusts.
//!
//! `Part` and `Pack` claims count if they were made in the boot that reads them, or a barrier follows them (design §6).
//! What only takes trust away, and what was durable before it was written down, counts always.
//!
//! All of it counts only as far as the session's record vouches for it: the log is sealed with a secret of that
//! (`log`).

mod replay;

use super::log::{self, Identity, Log, Opened, Place};
use super::made::{Known, MadeDirectories, MadeDirectory};
use super::target::TargetOptions;
use crate::fs::{Directory, SyncPoint};
use crate::transfer::UNIT_BYTES;
use crate::transfer::buckets::Buckets;
use crate::transfer::completed::{BUCKET_ENTRIES, Completed};
use crate::transfer::disk::{PackedFile, TargetState};
use crate::transfer::manifest::{EntryIndex, ModifiedTime};
use crate::transfer::merge::{self, Value};
use crate::transfer::ranges::Ranges;
use crate::wire::{CodecError, codec};
use bincode::{Decode, Encode};
use replay::Replay;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

/// Its name in the session's directory of the target.
pub(super) const NAME: &[u8] = b"journal";
/// A compacted journal before it takes that name.
pub(super) const NEW_NAME: &[u8] = b"journal.new";

const MAGIC: [u8; 8] = *b"RJNJRNL\n";

/// Entries in one record, so that a record stays far below the log's limit.
const BATCH: usize = 4_096;

/// What a claim takes in a compacted journal, roughly, in bytes.
const CLAIM_BYTES: u64 = 64;

/// A record. Append only: the order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) enum Record {
    /// A process of this boot writes from here on.
    Run { boot: [u8; 16] },
    /// What a user decided of a page: files that are skipped.
    Decide { page: u64, skipped: Vec<(u64, u64)> },
    /// A unit of a large file is written.
    Part { unit: u64, entry: EntryIndex, offset: u64, file_bytes: u64, value: Value },
    /// A unit of small files is written.
    Pack { unit: u64, files: Vec<(EntryIndex, PackedFile)> },
    /// Everything claimed before it is durable.
    Barrier,
    /// These are about to get their final names: their partials may be gone.
    Publishing { entries: Vec<EntryIndex> },
    /// These have their final names, durably.
    Published { entries: Vec<Complete> },
    /// An entry's partial is dropped, and these units are forgotten.
    Discard { entry: EntryIndex, units: (u64, u64) },
    /// The units at these offsets of an entry are not what was claimed.
    Rotten { entry: EntryIndex, offsets: Vec<u64> },
    /// A sync failed: what was claimed since the last barrier may be gone, in this boot, too.
    SyncFailed,
    /// Units of complete files, when the journal was compacted; `end_entry` bounds the entries they belong to.
    Units { units: Vec<(u64, u64)>, end_entry: EntryIndex },
    /// All is there.
    Finished,
    /// On the file system at this path below the target there may be a directory of ours.
    Place { path: Vec<u8> },
    /// This directory, at this path, is about to be opened; with its own mode.
    Opened { path: Vec<u8>, known: Known },
    /// These get final names that are not the ones they were to have; their completion follows.
    Renamed { entries: Vec<EntryIndex> },
    /// These directories were seen not to be there, and are about to be made.
    Made { entries: Vec<(u64, u64)> },
    /// These directories were not made, or are removed.
    Unmade { entries: Vec<(u64, u64)> },
    /// This directory has, or is about to get, another name.
    Respelled { entry: EntryIndex, name: Vec<u8> },
    /// This one did not get its final name: what has it is not ours.
    Unpublished { entry: EntryIndex },
    /// Of those that were about to be made, these are what they became.
    MadeAs { directories: Vec<MadeDirectory> },
}

/// A file or symlink that has its final name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Complete {
    pub(super) entry: EntryIndex,
    pub(super) bytes: u64,
    /// None for a symlink.
    pub(super) root: Option<Value>,
    /// The time of modification that the disk said it has.
    pub(super) kept: ModifiedTime,
}

/// A unit of a large file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartClaim {
    pub(super) unit: u64,
    pub(super) file_bytes: u64,
    pub(super) value: Value,
}

/// What the journal's records amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// By entry and offset, of files that are not complete.
    pub(super) parts: BTreeMap<(EntryIndex, u64), PartClaim>,
    /// Small files that are not complete, with their unit.
    pub(super) small: BTreeMap<EntryIndex, (u64, PackedFile)>,
    /// Entries that may have their final names already.
    pub(super) publishing: BTreeSet<EntryIndex>,
    /// Complete entries with their bytes: their roots, three times that, are read from the journal where they are needed.
    pub(super) complete: Buckets<u64>,
    /// Complete entries under other names.
    pub(super) renamed: BTreeSet<EntryIndex>,
    pub(super) units: Ranges,
    /// Directories of other file systems that may hold one of ours.
    pub(super) places: BTreeSet<Vec<u8>>,
    /// Directories that were opened, with their own modes.
    pub(super) opened: BTreeMap<Vec<u8>, Known>,
    /// Entries with claims that are trusted only because this is the boot that made them.
    pub(super) unsynced: BTreeSet<EntryIndex>,
    /// Directories that this session made.
    pub(super) made: MadeDirectories,
    /// Directories under other names.
    pub(super) respelled: BTreeMap<EntryIndex, Vec<u8>>,
    /// By page: files that the user skips.
    pub(super) decided: BTreeMap<u64, Ranges>,
    pub(super) is_finished: bool,
}

/// What a session that is not open may have left outside its directory.
#[derive(Default)]
pub(super) struct Left {
    /// Directories of other file systems that may hold one of ours.
    pub(super) places: BTreeSet<Vec<u8>>,
    /// Directories that were opened, with their own modes.
    pub(super) opened: BTreeMap<Vec<u8>, Known>,
}

/// The open journal.
pub(super) struct Journal<F> {
    log: Log<F>,
    published: PublishedPlaces,
}

/// Where the `Published` records are that name an entry of a bucket, in order.
#[derive(Default)]
struct PublishedPlaces(BTreeMap<u64, Vec<Place>>);

impl PublishedPlaces {
    /// A record is in the log.
    fn add(&mut self, record: &Record, place: Place) {
        let Record::Published { entries } = record else { return };
        for bucket in entries.iter().map(|complete| complete.entry / BUCKET_ENTRIES) {
            let places = self.0.entry(bucket).or_default();
            if places.last() != Some(&place) {
                places.push(place);
            }
        }
    }
}

impl<F: crate::fs::File> Journal<F> {
    /// Opens or begins the journal of `session` in `directory`, and compacts it where that pays. Claims about entries
    /// from `end_entry` on, or pages from `pages` on, are left out: their pages are not known.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(super) fn open<D: Directory<File = F>>(
        directory: &D,
        options: &TargetOptions,
        pages: u64,
        end_entry: EntryIndex,
    ) -> io::Result<(Self, Claims, Opened)> {
        let &TargetOptions { boot, limits, .. } = options;
        crate::fs::remove_if_present(directory, NEW_NAME)?;
        let mut replay =
            Replay { claims: Claims::default(), unsure: Vec::new(), boot: None, pages, end_entry };
        let mut published = PublishedPlaces::default();
        let (log, opened) =
            Log::open(directory, NAME, &identity(options), SyncPoint::Barrier, |place, body| {
                let Ok(record) = decode(body) else { return false };
                published.add(&record, place);
                replay.take(record);
                true
            })?;
        let mut journal = Self { log, published };
        let is_sure = replay.unsure.is_empty();
        let last_boot = replay.boot;
        let claims = replay.end(boot);
        if is_sure && journal.is_wasteful(&claims, limits.compacted_journal) {
            journal = journal.compact(directory, options, &claims, end_entry)?;
        } else if last_boot != Some(boot) {
            journal.append(&Record::Run { boot })?;
        }
        Ok((journal, claims, opened))
    }

    /// Takes over what a journal that nobody vouches for says of units of large files: of all claims those alone are
    /// compared, with the disk and with the root that the sender says, before anything comes of them. Whether there was
    /// such a journal.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(super) fn adopt<D: Directory<File = F>>(
        directory: &D,
        options: &TargetOptions,
    ) -> io::Result<bool> {
        log::adopt(directory, NAME, &identity(options), SyncPoint::Barrier, |body| {
            decode(body).is_ok_and(|record| match record {
                Record::Run { .. }
                | Record::Part { .. }
                | Record::Barrier
                | Record::Discard { .. }
                | Record::Rotten { .. }
                | Record::SyncFailed => true,
                Record::Decide { .. }
                | Record::Pack { .. }
                | Record::Publishing { .. }
                | Record::Published { .. }
                | Record::Units { .. }
                | Record::Finished
                | Record::Place { .. }
                | Record::Opened { .. }
                | Record::Renamed { .. }
                | Record::Made { .. }
                | Record::Unmade { .. }
                | Record::MadeAs { .. }
                | Record::Respelled { .. }
                | Record::Unpublished { .. } => false,
            })
        })
    }

    /// What a session that is not open left, if its files are sealed with `secret`.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(super) fn left<D: Directory<File = F>>(
        directory: &D,
        session: crate::wire::SessionId,
        secret: [u8; 32],
    ) -> io::Result<Left> {
        let mut left = Left::default();
        match directory.metadata(NAME) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(left),
            outcome => drop(outcome?),
        }
        let identity = Identity { magic: MAGIC, session, secret };
        Log::open(directory, NAME, &identity, SyncPoint::Barrier, |_, body| match decode(body) {
            Ok(Record::Place { path }) => {
                left.places.insert(path);
                true
            }
            Ok(Record::Opened { path, known }) => {
                left.opened.entry(path).or_insert(known);
                true
            }
            outcome => outcome.is_ok(),
        })?;
        Ok(left)
    }

    /// Appends a record: written, not yet durable.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        let body = codec::encode(record, "journal record", super::log::RECORD_BYTES_MAX)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let place = self.log.append(&body)?;
        self.published.add(record, place);
        Ok(())
    }

    /// Every file of a bucket that was ever published, with the root of the last time.
    ///
    /// # Errors
    /// As the system says; `InvalidData` if a record cannot be read any more.
    pub(super) fn roots(&self, bucket: u64) -> io::Result<BTreeMap<EntryIndex, Value>> {
        let published = self.published(bucket)?;
        Ok(published
            .into_iter()
            .filter_map(|(entry, complete)| Some((entry, complete.root?)))
            .collect())
    }

    /// Every entry of a bucket that was ever published, as it was the last time.
    ///
    /// # Errors
    /// As [`Self::roots`].
    pub(super) fn published(&self, bucket: u64) -> io::Result<BTreeMap<EntryIndex, Complete>> {
        let mut published = BTreeMap::new();
        for &place in self.published.0.get(&bucket).into_iter().flatten() {
            let record = decode(&self.log.read(place)?)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let Record::Published { entries } = record else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let of_bucket = entries.into_iter().filter(|one| one.entry / BUCKET_ENTRIES == bucket);
            published.extend(of_bucket.map(|one| (one.entry, one)));
        }
        Ok(published)
    }

    /// Appends records of `entries`, in batches.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn append_batches<T: Clone>(
        &mut self,
        entries: &[T],
        record: impl Fn(Vec<T>) -> Record,
    ) -> io::Result<()> {
        entries.chunks(BATCH).try_for_each(|batch| self.append(&record(batch.to_vec())))
    }

    /// Makes what was appended durable.
    ///
    /// # Errors
    /// As the system says; never to be retried.
    pub(super) fn sync(&mut self, point: SyncPoint) -> io::Result<()> {
        self.log.sync(point)
    }

    fn is_wasteful(&self, claims: &Claims, smallest: u64) -> bool {
        let live = claims.parts.len() + claims.small.len() + claims.complete.len();
        self.log.bytes() > smallest + 2 * CLAIM_BYTES * live as u64
    }

    /// The complete files that have a root, which symlinks have not.
    ///
    /// # Errors
    /// As [`Self::roots`].
    pub(super) fn completed(&self, complete: &Buckets<u64>) -> io::Result<Completed> {
        let mut completed = Completed::default();
        for bucket in complete.buckets() {
            let roots = self.roots(bucket)?;
            for (entry, _) in complete.of_bucket(bucket) {
                if let Some(root) = roots.get(&entry) {
                    completed.insert(entry, *root);
                }
            }
        }
        Ok(completed)
    }

    /// Writes `claims`, all of them covered by a barrier, into a new journal that takes this one's place.
    fn compact<D: Directory<File = F>>(
        &self,
        directory: &D,
        options: &TargetOptions,
        claims: &Claims,
        end_entry: EntryIndex,
    ) -> io::Result<Self> {
        let log = Log::replace(directory, NEW_NAME, &identity(options))?;
        let mut journal = Self { log, published: PublishedPlaces::default() };
        journal.append(&Record::Run { boot: options.boot })?;
        for (&page, skipped) in &claims.decided {
            journal.append(&Record::Decide { page, skipped: pairs(skipped) })?;
        }
        for (&(entry, offset), part) in &claims.parts {
            journal.append(&Record::Part {
                unit: part.unit,
                entry,
                offset,
                file_bytes: part.file_bytes,
                value: part.value,
            })?;
        }
        let mut packs: BTreeMap<u64, Vec<(EntryIndex, PackedFile)>> = BTreeMap::new();
        for (&entry, &(unit, file)) in &claims.small {
            packs.entry(unit).or_default().push((entry, file));
        }
        for (unit, files) in packs {
            journal.append(&Record::Pack { unit, files })?;
        }
        for path in &claims.places {
            journal.append(&Record::Place { path: path.clone() })?;
        }
        for (path, &known) in &claims.opened {
            journal.append(&Record::Opened { path: path.clone(), known })?;
        }
        let units = pairs(&claims.units);
        journal.append_batches(&units, |units| Record::Units { units, end_entry })?;
        let publishing: Vec<EntryIndex> = claims.publishing.iter().copied().collect();
        journal.append_batches(&publishing, |entries| Record::Publishing { entries })?;
        let renamed: Vec<EntryIndex> = claims.renamed.iter().copied().collect();
        journal.append_batches(&renamed, |entries| Record::Renamed { entries })?;
        for (&entry, name) in &claims.respelled {
            journal.append(&Record::Respelled { entry, name: name.clone() })?;
        }
        let made = pairs(claims.made.entries());
        journal.append_batches(&made, |entries| Record::Made { entries })?;
        let known = claims.made.known();
        journal.append_batches(known, |directories| Record::MadeAs { directories })?;
        for bucket in claims.complete.buckets() {
            let mut published = self.published(bucket)?;
            published.retain(|entry, _| claims.complete.get(*entry).is_some());
            let complete: Vec<Complete> = published.into_values().collect();
            journal.append_batches(&complete, |entries| Record::Published { entries })?;
        }
        journal.append(&Record::Barrier)?;
        if claims.is_finished {
            journal.append(&Record::Finished)?;
        }
        journal.sync(SyncPoint::Compacted)?;
        // Until the next barrier syncs that name a power loss brings the old journal back, which says the same.
        directory.rename(NEW_NAME, directory, NAME)?;
        Ok(journal)
    }
}

impl Claims {
    fn claim(&mut self, record: Record, end_entry: EntryIndex) {
        match record {
            Record::Part { unit, entry, offset, file_bytes, value } if entry < end_entry => {
                self.units.insert(unit);
                if self.complete.get(entry).is_none() {
                    let part = PartClaim { unit, file_bytes, value };
                    self.parts.insert((entry, offset), part);
                }
            }
            Record::Pack { unit, files } => {
                if files.iter().all(|(entry, _)| *entry < end_entry) {
                    self.units.insert(unit);
                    for (entry, file) in files {
                        if self.complete.get(entry).is_none() {
                            self.small.insert(entry, (unit, file));
                        }
                    }
                }
            }
            // Only these two are ever unsure.
            Record::Part { .. }
            | Record::Run { .. }
            | Record::Decide { .. }
            | Record::Barrier
            | Record::Publishing { .. }
            | Record::Published { .. }
            | Record::Discard { .. }
            | Record::Rotten { .. }
            | Record::SyncFailed
            | Record::Units { .. }
            | Record::Finished
            | Record::Place { .. }
            | Record::Opened { .. }
            | Record::Renamed { .. }
            | Record::Made { .. }
            | Record::Unmade { .. }
            | Record::MadeAs { .. }
            | Record::Respelled { .. }
            | Record::Unpublished { .. } => {}
        }
    }

    fn publish(&mut self, entry: EntryIndex, bytes: u64) {
        self.drop_entry(entry);
        self.publishing.remove(&entry);
        self.complete.insert(entry, bytes);
    }

    fn discard(&mut self, entry: EntryIndex, units: Range<u64>) {
        self.drop_entry(entry);
        self.publishing.remove(&entry);
        self.complete.remove(entry);
        self.renamed.remove(&entry);
        self.units.remove_range(units);
    }

    /// Forgets the units at `offsets` of `entry`.
    pub(super) fn forget(&mut self, entry: EntryIndex, offsets: &[u64]) {
        self.publishing.remove(&entry);
        for &offset in offsets {
            if let Some(part) = self.parts.remove(&(entry, offset)) {
                self.units.remove(part.unit);
            }
        }
        if let Some((unit, _)) = self.small.remove(&entry) {
            self.units.remove(unit);
        }
    }

    /// The root of a file whose every unit is claimed; none of anything else.
    pub(super) fn root(&self, entry: EntryIndex) -> Option<Value> {
        if let Some((_, file)) = self.small.get(&entry) {
            return Some(file.root);
        }
        let mut values = Vec::new();
        let mut file_bytes = 0;
        for ((_, offset), part) in self.parts.range((entry, 0)..=(entry, u64::MAX)) {
            if *offset != values.len() as u64 * UNIT_BYTES {
                return None;
            }
            values.push(part.value);
            file_bytes = part.file_bytes;
        }
        let is_whole = values.len() as u64 == file_bytes.div_ceil(UNIT_BYTES);
        if is_whole { merge::root(&values) } else { None }
    }

    fn drop_entry(&mut self, entry: EntryIndex) {
        self.small.remove(&entry);
        let offsets: Vec<u64> = self
            .parts
            .range((entry, 0)..=(entry, u64::MAX))
            .map(|((_, offset), _)| *offset)
            .collect();
        for offset in offsets {
            self.parts.remove(&(entry, offset));
        }
    }

    /// As the machine wants it, with the roots of what is complete.
    pub(super) fn state(&self, pages: u64, roots: Completed) -> TargetState {
        let mut part_values: Vec<(u64, Value)> =
            self.parts.values().map(|part| (part.unit, part.value)).collect();
        part_values.sort_unstable_by_key(|(unit, _)| *unit);
        let part_bytes = self
            .parts
            .iter()
            .map(|((_, offset), part)| part.file_bytes.saturating_sub(*offset).min(UNIT_BYTES));
        let small_bytes = self.small.values().map(|(_, file)| file.bytes);
        let complete_bytes = self.complete.iter().map(|(_, bytes)| *bytes);
        let kept_bytes =
            part_bytes.chain(small_bytes).chain(complete_bytes).fold(0, u64::saturating_add);
        let mut skipped = Ranges::new();
        for files in self.decided.values() {
            files.as_slice().iter().for_each(|range| skipped.insert_range(range.clone()));
        }
        TargetState {
            pages,
            skipped,
            units: self.units.clone(),
            part_values,
            rooted: self.publishing.iter().copied().collect(),
            superseded: Ranges::new(),
            succession: Default::default(),
            unpublished: self.small.iter().map(|(&entry, &(_, file))| (entry, file)).collect(),
            complete: self.complete.iter().map(|(entry, _)| entry).collect(),
            renamed: self.renamed.iter().copied().collect(),
            roots,
            kept_bytes,
            is_finished: self.is_finished,
        }
    }
}

const fn identity(options: &TargetOptions) -> Identity {
    Identity { magic: MAGIC, session: options.session, secret: options.secret }
}

fn decode(body: &[u8]) -> Result<Record, CodecError> {
    codec::decode(body, "journal record", super::log::RECORD_BYTES_MAX)
}

/// Ranges as a record holds them.
pub(super) fn pairs(ranges: &Ranges) -> Vec<(u64, u64)> {
    ranges.as_slice().iter().map(|range| (range.start, range.end)).collect()
}

fn ranges(pairs: &[(u64, u64)]) -> Ranges {
    let mut ranges = Ranges::new();
    for &(start, end) in pairs {
        ranges.insert_range(start..end);
    }
    ranges
}

#[cfg(test)]
mod tests;
