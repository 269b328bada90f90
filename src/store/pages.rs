//! Manifest pages on disk: the receiver's as they came, the sender's with the stamps of their files.

use super::fs::{Directory, File, SyncPoint};
use super::log::{Log, Opened, Place, RECORD_BYTES_MAX};
use crate::transfer::disk::{Stamp, StoredPage};
use crate::transfer::manifest::{Chain, PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Page, Totals};
use crate::wire::{SessionId, codec};
use bincode::{Decode, Encode};
use bytes::Bytes;
use std::io;

/// Name of the log, in the target's session directory and in the sender's.
pub(super) const NAME: &[u8] = b"pages";

const TARGET_MAGIC: [u8; 8] = *b"RJNTPGS\n";
const SOURCE_MAGIC: [u8; 8] = *b"RJNSPGS\n";

/// The receiver's pages.
pub(super) struct TargetPages<F> {
    log: Log<F>,
    places: Vec<Place>,
    end_entry: u64,
}

impl<F: File> TargetPages<F> {
    /// Opens or begins them; a record that is not the next page ends them.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub(super) fn open<D: Directory<File = F>>(
        directory: &D,
        session: SessionId,
    ) -> io::Result<(Self, Opened)> {
        let (mut places, mut end_entry) = (Vec::new(), 0);
        let (log, opened) = Log::open(directory, NAME, TARGET_MAGIC, session, |place, body| {
            let Ok(page) = Page::decode(body) else {
                return false;
            };
            let is_next = page.number == places.len() as u64 && page.first_entry == end_entry;
            if is_next {
                end_entry = page.end_entry();
                places.push(place);
            }
            is_next
        })?;
        let pages = Self { log, places, end_entry };
        Ok((pages, opened))
    }

    /// How many there are.
    pub(super) const fn len(&self) -> u64 {
        self.places.len() as u64
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
        self.places.push(self.log.append(encoded)?);
        self.end_entry = page.end_entry();
        Ok(())
    }

    /// A page again.
    ///
    /// # Errors
    /// As the system says; `NotFound` if it was never kept.
    pub(super) fn load(&self, number: u64) -> io::Result<Bytes> {
        let place = usize::try_from(number)
            .ok()
            .and_then(|number| self.places.get(number))
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(self.log.read(*place)?.into())
    }

    /// Makes them durable.
    ///
    /// # Errors
    /// As [`Log::sync`].
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.log.sync(SyncPoint::Pages)
    }
}

/// What the sender's log holds. Append only: the order of the variants is the format.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
enum SourceRecord {
    Page { encoded: Vec<u8>, stamps: Vec<Option<Stamp>> },
    End { pages: u64, totals: Totals, chain: Chain },
    Skipped(Skipped),
}

/// What a scan left out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(super) struct Skipped {
    pub(super) path: String,
    pub(super) reason: String,
    pub(super) is_failure: bool,
}

/// The end of the sender's pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceEnd {
    pub(super) pages: u64,
    pub(super) totals: Totals,
    pub(super) chain: Chain,
}

/// The sender's pages.
pub(super) struct SourcePages<F> {
    log: Log<F>,
    places: Vec<Place>,
    skipped: Vec<Place>,
    end: Option<SourceEnd>,
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
        let (mut places, mut skipped, mut end) = (Vec::new(), Vec::new(), None);
        let (mut log, opened) =
            Log::open(directory, NAME, SOURCE_MAGIC, session, |place, body| match decode(body) {
                Ok(SourceRecord::Page { encoded, stamps }) if end.is_none() => {
                    let is_next = Page::decode(&encoded).is_ok_and(|page| {
                        page.number == places.len() as u64 && page.entries.len() == stamps.len()
                    });
                    if is_next {
                        places.push(place);
                    }
                    is_next
                }
                Ok(SourceRecord::End { pages, totals, chain }) if pages == places.len() as u64 => {
                    end = Some(SourceEnd { pages, totals, chain });
                    true
                }
                Ok(SourceRecord::Skipped(_)) if end.is_none() => {
                    skipped.push(place);
                    true
                }
                Ok(
                    SourceRecord::Page { .. } | SourceRecord::End { .. } | SourceRecord::Skipped(_),
                )
                | Err(_) => false,
            })?;
        // A run that was killed may have left pages that are not durable; this one sends them.
        log.sync(SyncPoint::SourcePages)?;
        directory.sync(SyncPoint::SourceNames)?;
        Ok((Self { log, places, skipped, end }, opened))
    }

    pub(super) const fn len(&self) -> u64 {
        self.places.len() as u64
    }

    pub(super) const fn end(&self) -> Option<SourceEnd> {
        self.end
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

    /// Remembers what was left out: a run that continues must tell it, too. Durable with the next page or the end.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn skip(&mut self, skipped: Skipped) -> io::Result<()> {
        let place = self.log.append(&encode(&SourceRecord::Skipped(skipped))?)?;
        self.skipped.push(place);
        Ok(())
    }

    /// What was left out, the `index`-th; `None` behind the last.
    ///
    /// # Errors
    /// As the system says; `InvalidData` if it is readable no more.
    pub(super) fn skipped(&self, index: usize) -> io::Result<Option<Skipped>> {
        let Some(place) = self.skipped.get(index) else { return Ok(None) };
        match decode(&self.log.read(*place)?) {
            Ok(SourceRecord::Skipped(skipped)) => Ok(Some(skipped)),
            Ok(SourceRecord::Page { .. } | SourceRecord::End { .. }) | Err(_) => {
                Err(io::ErrorKind::InvalidData.into())
            }
        }
    }

    /// Marks them complete.
    ///
    /// # Errors
    /// As the system says.
    pub(super) fn finish(&mut self, end: SourceEnd) -> io::Result<()> {
        let SourceEnd { pages, totals, chain } = end;
        let record = SourceRecord::End { pages, totals, chain };
        self.log.append(&encode(&record)?)?;
        self.end = Some(end);
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
            Ok(SourceRecord::End { .. } | SourceRecord::Skipped(_)) | Err(_) => {
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
