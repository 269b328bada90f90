//! What the records of a journal amount to, taken in in their order.

use super::{Claims, Complete, Record, ranges};
use crate::transfer::disk::PackedFile;
use crate::transfer::manifest::EntryIndex;
use std::ops::Range;

/// Takes records in, in order.
pub(super) struct Replay {
    pub(super) claims: Claims,
    /// Claims since the last barrier.
    pub(super) unsure: Vec<Record>,
    pub(super) boot: Option<[u8; 16]>,
    pub(super) pages: u64,
    pub(super) end_entry: EntryIndex,
}

impl Replay {
    pub(super) fn take(&mut self, record: Record) {
        // A session that goes on after its end has not ended.
        self.claims.is_finished &= matches!(record, Record::Run { .. } | Record::Finished);
        match record {
            Record::Run { boot } => {
                if self.boot != Some(boot) {
                    self.unsure.clear();
                }
                self.boot = Some(boot);
            }
            Record::Part { .. } | Record::Pack { .. } => self.unsure.push(record),
            Record::Barrier => self.settle(),
            Record::SyncFailed => self.unsure.clear(),
            Record::Decide { page, skipped } => {
                if page < self.pages {
                    self.claims.decided.insert(page, ranges(&skipped));
                }
            }
            Record::Publishing { entries } => self.claims.publishing.extend(entries),
            Record::Published { entries } => {
                for Complete { entry, bytes, .. } in entries {
                    if entry < self.end_entry {
                        self.claims.publish(entry, bytes);
                    }
                }
            }
            Record::Discard { entry, units } => {
                self.take_back(entry, units.0..units.1, |_| true);
                self.claims.discard(entry, units.0..units.1);
            }
            Record::Rotten { entry, offsets } => {
                let is_of =
                    |files: &[(EntryIndex, PackedFile)]| files.iter().any(|(of, _)| *of == entry);
                let pack = self.unsure.iter().find_map(|record| {
                    if let Record::Pack { unit, files } = record {
                        is_of(files).then_some(*unit)
                    } else {
                        None
                    }
                });
                let units = pack.map_or(0..0, |unit| unit..unit + 1);
                self.take_back(entry, units, |offset| offsets.contains(&offset));
                self.claims.forget(entry, &offsets);
            }
            Record::Units { units, end_entry } => {
                if end_entry <= self.end_entry {
                    for (start, end) in units {
                        self.claims.units.insert_range(start..end);
                    }
                }
            }
            Record::Finished => self.claims.is_finished = true,
            Record::Renamed { entries } => self.claims.renamed.extend(entries),
            Record::Made { entries } => {
                for (start, end) in entries {
                    self.claims.made.begin(start..end.min(self.end_entry));
                }
            }
            Record::Respelled { entry, name } => {
                if entry < self.end_entry {
                    self.claims.respelled.insert(entry, name);
                }
            }
            Record::Unmade { entries } => {
                for (start, end) in entries {
                    self.claims.made.remove(start..end);
                }
            }
            Record::MadeAs { directories } => {
                directories.into_iter().for_each(|made| self.claims.made.identify(made));
            }
            Record::Unpublished { entry } => {
                self.claims.publishing.remove(&entry);
            }
            Record::Place { path } => {
                self.claims.places.insert(path);
            }
            Record::Opened { path, known } => {
                self.claims.opened.entry(path).or_insert(known);
            }
        }
    }

    /// Takes in all that is unsure.
    fn settle(&mut self) {
        for record in std::mem::take(&mut self.unsure) {
            self.claims.claim(record, self.end_entry);
        }
    }

    /// Takes back what is unsure about `entry`: its parts at the offsets that `is_gone` names, and its packs.
    fn take_back(&mut self, entry: EntryIndex, units: Range<u64>, is_gone: impl Fn(u64) -> bool) {
        self.unsure.retain_mut(|record| {
            if let Record::Part { entry: of, offset, .. } = record {
                return *of != entry || !is_gone(*offset);
            }
            if let Record::Pack { unit, files } = record {
                files.retain(|(of, _)| *of != entry);
                return !units.contains(unit);
            }
            true
        });
    }

    pub(super) fn end(mut self, boot: [u8; 16]) -> Claims {
        if self.boot == Some(boot) {
            for record in &self.unsure {
                if let Record::Part { entry, .. } = record {
                    self.claims.unsynced.insert(*entry);
                }
                if let Record::Pack { files, .. } = record {
                    self.claims.unsynced.extend(files.iter().map(|(entry, _)| *entry));
                }
            }
            self.settle();
        }
        let claims = &mut self.claims;
        claims.small.retain(|_, (unit, _)| claims.units.contains(*unit));
        claims.parts.retain(|_, part| claims.units.contains(part.unit));
        self.claims
    }
}
