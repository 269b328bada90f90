//! What the sender's machine asks of its store and its scan.

use super::DiskError;
use crate::transfer::manifest::{Chain, EntryIndex, ModifiedTime, RelativePath, Totals};
use crate::transfer::merge::Value;
use crate::transfer::missing::LeftOut;
use bytes::Bytes;
use thiserror::Error;

/// What identifies a version of a source file: any change of it means that the content may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Stamp {
    /// Size in bytes.
    pub bytes: u64,
    /// Modification time.
    pub modified: ModifiedTime,
    /// Time of the last change of the inode: cannot be set back by a user.
    pub changed: ModifiedTime,
    /// Inode number.
    pub inode: u64,
}

/// A file to read from the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Its entry.
    pub entry: EntryIndex,
    /// Its path below the source root.
    pub path: RelativePath,
    /// What it was when its page was made.
    pub stamp: Stamp,
    /// Whether it is not offered anew once more: it may have grown since, and its beginning is sent.
    pub is_retried: bool,
}

/// A file that was not what its page promised, to be looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubted {
    /// What was promised.
    pub file: SourceFile,
    /// The directory that its entry names.
    pub parent: Option<EntryIndex>,
}

/// Work for the sender's store. Reads may be in flight several at a time and come back in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceRequest {
    /// One unit of a large file.
    ReadPart {
        /// The unit.
        unit: u64,
        /// Its file.
        file: SourceFile,
        /// First byte.
        offset: u64,
        /// Bytes of it, at most [`crate::transfer::UNIT_BYTES`].
        bytes: u64,
    },
    /// One unit of small files, whole.
    ReadPack {
        /// The unit.
        unit: u64,
        /// Its files, in entry order.
        files: Vec<SourceFile>,
    },
    /// A page that was stored before, with its stamps: the next of a resumed session, or one that was sent long ago.
    LoadPage {
        /// Its number.
        number: u64,
    },
    /// The values of `units` as far as they are known from earlier reads.
    LoadValues {
        /// The file they belong to.
        entry: EntryIndex,
        /// The units.
        units: std::ops::Range<u64>,
    },
    /// The roots of whole files, as far as they are known from earlier reads.
    LoadRoots {
        /// The entries, at most [`crate::transfer::completed::BUCKET_ENTRIES`].
        entries: std::ops::Range<EntryIndex>,
    },
    /// Remember the roots of files.
    KeepRoots {
        /// Each with its root.
        files: Vec<(SourceFile, Value)>,
        /// Whether they were read here; else they are taken for files that are still what they were when their page was
        /// made.
        is_read: bool,
    },
    /// What a file is now.
    Look {
        /// The file.
        file: SourceFile,
    },
    /// Look at files again and append a page with their new versions; only after [`ScanReport::End`].
    LookAgain {
        /// The files.
        files: Vec<Doubted>,
        /// Index of the page's first entry.
        first_entry: EntryIndex,
    },
}

/// Why a file could not be read as promised.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError {
    /// It is not what it was when it was scanned, or changed while it was read.
    #[error("changed while it was being sent")]
    Changed,
    /// It is gone.
    #[error("vanished before it was sent")]
    Vanished,
    /// What it holds is not what its size says, as in /proc and /sys.
    #[error("its size is not known before it is read")]
    UnknownSize,
    /// It could not be read.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// What comes back from the sender's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceReply {
    /// A unit of a large file.
    Part {
        /// The unit.
        unit: u64,
        /// Its file.
        entry: EntryIndex,
        /// What the file was before it was read.
        stamp: Stamp,
        /// Its content as frames ready to send (a byte of frame kind before each payload), or why there is none.
        content: Result<(Vec<Bytes>, Value), ReadError>,
    },
    /// A unit of small files.
    Pack {
        /// The unit.
        unit: u64,
        /// Each file with its root, or why it is not in the unit.
        files: Vec<(EntryIndex, Result<PackedFile, ReadError>)>,
        /// The content of the files that could be read, one after the other, as frames ready to send.
        frames: Vec<Bytes>,
    },
    /// A stored page.
    Page {
        /// The page's bytes and one stamp for each entry that is a file.
        page: Result<StoredPage, DiskError>,
    },
    /// Values of units: `None` for each one that is not known.
    Values {
        /// The file.
        entry: EntryIndex,
        /// First unit.
        first_unit: u64,
        /// One for each unit asked for.
        values: Vec<Option<Value>>,
    },
    /// Roots of files: `None` for each one that is not known.
    Roots {
        /// One for each entry asked for.
        roots: Vec<Option<Value>>,
    },
    /// For `KeepRoots`.
    RootsKept {
        /// Files that are not what they were, or not there: nothing is remembered of them.
        changed: Vec<EntryIndex>,
    },
    /// For `Look`.
    Looked {
        /// The file.
        entry: EntryIndex,
        /// What it is now, if it is a file that still holds what was promised.
        stamp: Result<Stamp, ReadError>,
    },
    /// For `LookAgain`.
    LookedAgain {
        /// The page, stored; `None` where no file has a new version.
        page: Result<Option<StoredPage>, DiskError>,
        /// Files that have none, and why.
        failed: Vec<(EntryIndex, ReadError)>,
    },
}

/// A small file inside a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PackedFile {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its root.
    pub root: Value,
}

/// A page as the sender keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPage {
    /// [`crate::transfer::manifest::Page::encode`].
    pub encoded: Bytes,
    /// One for each entry, in order; `None` for directories and symlinks.
    pub stamps: Vec<Option<Stamp>>,
}

/// What the sender's scan of its paths reports, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanReport {
    /// The next page, already stored with the session.
    Page(StoredPage),
    /// An entry that is left out of the manifest. The page of its directory may come later.
    LeftOut(LeftOut),
    /// The scan is complete.
    End {
        /// Number of pages.
        pages: u64,
        /// All they hold.
        totals: Totals,
        /// The digest over them.
        chain: Chain,
    },
    /// The scan cannot go on.
    Failed(DiskError),
}
