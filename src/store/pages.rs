//! Manifest pages on disk: the receiver's as they came, the sender's with the stamps of their files.

use super::log::{self, Identity, Log, Opened, Place, RECORD_BYTES_MAX};
use crate::fs::{Directory, File, SyncPoint};
use crate::transfer::disk::{Stamp, StoredPage};
use crate::transfer::manifest::{
    Chain, ENTRIES_MAX, Entry, EntryIndex, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Page, PageCheck,
    Succession, Totals,
};
use crate::transfer::ranges::Ranges;
use crate::wire::{SessionId, codec};
use bincode::{Decode, Encode};
use bytes::Bytes;
use std::io;

/// Versions of a path that are looked through for the one that was published, or made.
const VERSIONS_MAX: usize = 256;

/// Name of the log, in the target's session directory and in the sender's.
pub(super) const NAME: &[u8] = b"pages";

const TARGET_MAGIC: [u8; 8] = *b"RJNTPGS\n";
const SOURCE_MAGIC: [u8; 8] = *b"RJNSPGS\n";

/// The receiver's pages.
pub(super) struct TargetPages<F> {
    log: Log<F>,
    /// Each with its first entry.
    places: Vec<(Place, u64)>,
    end_entry: u64,
    /// Entries that replace earlier ones, with those, in order: what a chain of versions is without a look at its pages.
    older: Vec<(u32, u32)>,
    /// Entries that later ones replace.
    superseded: Ranges,
    succession: Succession,
}

impl<F: File> TargetPages<F> {
    /// Opens or begins them; a record that is not the next page ends them.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(super) fn open<D: Directory<File = F>>(
        directory: &D,
        session: SessionId,
        secret: [u8; 32],
    ) -> io::Result<(Self, Opened)> {
        let identity = Identity { magic: TARGET_MAGIC, session, secret };
        let (mut places, mut end_entry) = (Vec::new(), 0);
        let mut superseded = Ranges::new();
        let mut succession = Succession::default();
        let mut older = Vec::new();
        let (log, opened) =
            Log::open(directory, NAME, &identity, SyncPoint::Pages, |place, body| {
                let Ok(page) = Page::decode(body) else {
                    return false;
                };
                let is_next = page.number == places.len() as u64 && page.first_entry == end_entry;
                if is_next {
                    end_entry = page.end_entry();
                    places.push((place, page.first_entry));
                    page.entries
                        .iter()
                        .filter_map(|entry| entry.supersedes)
                        .for_each(|old| superseded.insert(old));
                    succession.add_page(&page);
                    older.extend(replacing(&page));
                }
                is_next
            })?;
        let pages = Self { log, places, end_entry, older, superseded, succession };
        Ok((pages, opened))
    }

    /// Takes over pages that nobody vouches for: they are checked like those that come, and the sender must have the same.
    /// Whether there were such.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(super) fn adopt<D: Directory<File = F>>(
        directory: &D,
        session: SessionId,
        secret: [u8; 32],
    ) -> io::Result<bool> {
        let identity = Identity { magic: TARGET_MAGIC, session, secret };
        // Beyond one that no honest sender makes there is none.
        let mut check = Some(PageCheck::new());
        log::adopt(directory, NAME, &identity, SyncPoint::Pages, |body| {
            let page = Page::decode(body).ok();
            let is_good =
                page.zip(check.as_mut()).is_some_and(|(page, check)| check.check(&page).is_ok());
            check = check.take().filter(|_| is_good);
            is_good
        })
    }

    /// How many there are.
    pub(super) const fn len(&self) -> u64 {
        self.places.len() as u64
    }

    /// Entries that later ones replace, as of opening.
    pub(super) const fn superseded(&self) -> &Ranges {
        &self.superseded
    }

    /// What they say of each other's entries, as of opening.
    pub(super) const fn succession(&self) -> &Succession {
        &self.succession
    }

    /// Index after their last entry.
    pub(super) const fn end_entry(&self) -> u64 {
        self.end_entry
    }

    /// Keeps the next page; one that is there already is left as it is.
    ///
    /// # Errors
    /// As the system says; `InvalidInput` for a page that is not the next.
    pub(super) fn keep(&mut self, number: u64, encoded: &[u8]) -> io::Result<()> {
        if number < self.len() {
            return Ok(());
        }
        let page = Page::decode(encoded)
            .ok()
            .filter(|page| page.number == self.len() && page.first_entry == self.end_entry)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not the next page"))?;
        self.places.push((self.log.append(encoded)?, page.first_entry));
        self.end_entry = page.end_entry();
        self.older.extend(replacing(&page));
        Ok(())
    }

    /// The version of a path before this one: each has a smaller index than the next.
    pub(super) fn older(&self, entry: EntryIndex) -> Option<EntryIndex> {
        let entry = u32::try_from(entry).ok()?;
        let at = self.older.binary_search_by_key(&entry, |(entry, _)| *entry).ok()?;
        self.older.get(at).map(|(_, older)| u64::from(*older))
    }

    /// An entry and those of its path before it, from the last on back, as many as are looked through for what is ours.
    pub(super) fn versions(&self, entry: EntryIndex) -> impl Iterator<Item = EntryIndex> + '_ {
        std::iter::successors(Some(entry), |entry| self.older(*entry)).take(VERSIONS_MAX)
    }

    /// A page again.
    ///
    /// # Errors
    /// As the system says; `NotFound` if it was never kept.
    pub(super) fn load(&self, number: u64) -> io::Result<Bytes> {
        let (place, _) = usize::try_from(number)
            .ok()
            .and_then(|number| self.places.get(number))
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(self.log.read(*place)?.into())
    }

    /// Index after the last entry of the page that an entry is of.
    pub(super) fn end_of_page(&self, index: u64) -> u64 {
        let next = self.places.partition_point(|(_, first_entry)| *first_entry <= index);
        self.places.get(next).map_or(self.end_entry, |(_, first_entry)| *first_entry)
    }

    /// An entry of a kept page, or `None`.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn entry(&self, index: u64) -> io::Result<Option<Entry>> {
        let number = self.places.partition_point(|(_, first_entry)| *first_entry <= index);
        let Some(number) = (number as u64).checked_sub(1) else { return Ok(None) };
        Ok(self.page(number)?.entry(index).cloned())
    }

    /// One page.
    ///
    /// # Errors
    /// As [`Self::load`]; what is there is no page.
    pub(super) fn page(&self, number: u64) -> io::Result<Page> {
        Page::decode(&self.load(number)?)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Makes them durable.
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.log.sync(SyncPoint::Pages)
    }
}

/// Entries of a page that replace earlier ones.
fn replacing(page: &Page) -> impl Iterator<Item = (u32, u32)> + '_ {
    page.iter().filter_map(|(index, entry)| {
        let older = entry.supersedes.filter(|older| *older < index)?;
        Some((u32::try_from(index).ok()?, u32::try_from(older).ok()?))
    })
}

const _: () = assert!(ENTRIES_MAX <= u32::MAX as u64);

/// What the sender's log holds. Append only: the order of the variants is the format. Every run walks the tree, so that
/// only pages are kept; ends and what was left out are records of earlier versions, and skipped.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
enum SourceRecord {
    Page { encoded: Vec<u8>, stamps: Vec<Option<Stamp>> },
    End { pages: u64, totals: Totals, chain: Chain },
    Skipped { path: String, reason: String, is_failure: bool },
}

/// The sender's pages.
pub(super) struct SourcePages<F> {
    log: Log<F>,
    places: Vec<Place>,
}

impl<F: File> SourcePages<F> {
    /// Opens or begins them.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(super) fn open<D: Directory<File = F>>(
        directory: &D,
        session: SessionId,
    ) -> io::Result<(Self, Opened)> {
        let mut places = Vec::new();
        let point = SyncPoint::SourcePages;
        // They lie in the state directory, which is the user's alone.
        let identity = Identity { magic: SOURCE_MAGIC, session, secret: [0; 32] };
        let (log, opened) =
            Log::open(directory, NAME, &identity, point, |place, body| match decode(body) {
                Ok(SourceRecord::Page { encoded, stamps }) => {
                    let is_next = Page::decode(&encoded).is_ok_and(|page| {
                        page.number == places.len() as u64 && page.entries.len() == stamps.len()
                    });
                    if is_next {
                        places.push(place);
                    }
                    is_next
                }
                Ok(SourceRecord::End { .. } | SourceRecord::Skipped { .. }) => true,
                Err(_) => false,
            })?;
        // What a run that was killed left is durable once the log is open; its name may not be.
        directory.sync(SyncPoint::SourceNames)?;
        Ok((Self { log, places }, opened))
    }

    pub(super) const fn len(&self) -> u64 {
        self.places.len() as u64
    }

    /// Appends the next page, durably: what was sent is never numbered anew.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn append(&mut self, page: &StoredPage) -> io::Result<()> {
        let record =
            SourceRecord::Page { encoded: page.encoded.to_vec(), stamps: page.stamps.clone() };
        self.places.push(self.log.append(&encode(&record)?)?);
        self.log.sync(SyncPoint::SourcePages)
    }

    /// A page again.
    ///
    /// # Errors
    /// As the system says; `NotFound` if there is no such page, `InvalidData` if it is one no more.
    pub(super) fn load(&self, number: u64) -> io::Result<StoredPage> {
        let place = usize::try_from(number)
            .ok()
            .and_then(|number| self.places.get(number))
            .ok_or(io::ErrorKind::NotFound)?;
        match decode(&self.log.read(*place)?) {
            Ok(SourceRecord::Page { encoded, stamps }) => {
                Ok(StoredPage { encoded: encoded.into(), stamps })
            }
            Ok(SourceRecord::End { .. } | SourceRecord::Skipped { .. }) | Err(_) => {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }
}

// Pages and stamps together stay below the log's limit: 60,000 bytes, and 1,024 stamps of at most 45.
const _: () = assert!(PAGE_BYTES_MAX + PAGE_ENTRIES_MAX * 64 < RECORD_BYTES_MAX);

fn encode(record: &SourceRecord) -> io::Result<Vec<u8>> {
    codec::encode(record, "stored page", RECORD_BYTES_MAX)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}

fn decode(body: &[u8]) -> Result<SourceRecord, crate::wire::CodecError> {
    codec::decode(body, "stored page", RECORD_BYTES_MAX)
}
