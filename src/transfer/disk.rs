//! Disk work by value: what the machines ask of the store, and what comes back.
//!
//! Requests of one side are carried out in the order they are given, one at a time, so that the order of durability
//! (design §6) is the order of the requests.

mod cost;
mod source;

pub use cost::Cost;
pub use source::{
    Doubted, PackedFile, ReadError, ScanReport, SourceFile, SourceReply, SourceRequest, Stamp,
    StoredPage,
};

use super::completed::Completed;
use super::manifest::{Entry, EntryIndex, ModifiedTime, RelativePath, Succession};
use super::merge::Value;
use super::ranges::Ranges;
use bytes::Bytes;
use thiserror::Error;

/// What a failed disk operation means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskErrorKind {
    /// No space or quota left: exit 8, kept, continues after space.
    Full,
    /// Not allowed, or a read-only file system.
    Permission,
    /// The path is too long, is taken by another kind of file, or left the root.
    Path,
    /// The process has no descriptor left (`EMFILE`, `ENFILE`): nothing about the path, and the run ends.
    Process,
    /// The device failed (`EIO`), or a failed fsync: what was not yet durable is not trusted any more.
    Device,
    /// Any other.
    Other,
}

/// A failed disk operation, with what it was about.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation} {path}: {message}")]
pub struct DiskError {
    /// What it means.
    pub kind: DiskErrorKind,
    /// What was tried: "write", "rename", …
    pub operation: &'static str,
    /// Where, escaped for a terminal.
    pub path: String,
    /// What the operating system said.
    pub message: String,
}

/// What an existing file in the target means for an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing there.
    Absent,
    /// A file of the same size and mtime, as far as the disk keeps times, or the same symlink, or a directory where one is
    /// wanted.
    Same,
    /// A file of the same size of which metadata says no more: only content tells whether it is the same.
    SameSize,
    /// A file or symlink that differs.
    Differs {
        /// Its size in bytes.
        bytes: u64,
    },
    /// Something of another kind: cannot be replaced by any policy.
    OtherKind,
    /// A symlink that is not followed, where a directory is wanted.
    Linked,
    /// A directory that no entry may be in.
    Refused {
        /// Why, for a person.
        why: String,
    },
    /// The version that this entry supersedes, as this session published it: it is replaced. Of a directory: one that this
    /// session made, and all below it is what it published or made there.
    Superseded,
    /// A directory that this session made and that is gone at the source, with something in it that is not of this session.
    Inhabited {
        /// What, for a person.
        why: String,
    },
    /// Another entry of the manifest, whose name the disk takes for the same.
    Twin {
        /// Which, for a person.
        why: String,
    },
}

/// What to do about an existing, different file (`--on-conflict`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Leave it, list it, exit 7.
    Fail,
    /// Leave it, list it, exit 0.
    Skip,
    /// Replace it atomically once the new content is complete and verified.
    Overwrite,
    /// Keep both: the new one becomes `name (1)`.
    Rename,
}

/// What the receiver looks for in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The entry.
    pub entry: EntryIndex,
    /// Where it belongs.
    pub path: RelativePath,
    /// What it is to be.
    pub kind: WantedKind,
    /// The entry whose later version it is. What there is of that, or of one before it, the journal says.
    pub supersedes: Option<EntryIndex>,
}

/// What an entry is to be in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedKind {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Size in bytes.
        bytes: u64,
        /// Modification time.
        modified: ModifiedTime,
    },
    /// A symlink.
    Symlink {
        /// Its target.
        target: Vec<u8>,
    },
}

/// A verified or to-be-verified unit on its way to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitContent {
    /// A unit of a large file.
    Part {
        /// The file.
        entry: EntryIndex,
        /// First byte.
        offset: u64,
        /// Size of the whole file.
        file_bytes: u64,
        /// The value promised.
        value: Value,
    },
    /// Small files, whole, in order.
    Pack {
        /// Each with its size and the root promised.
        files: Vec<(EntryIndex, PackedFile)>,
        /// What each is to have when it is published: given to it at once, it need not be opened again. Empty: later.
        metadata: Vec<FileMetadata>,
    },
}

/// What a file has besides its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMetadata {
    /// Permission bits (`0o777`, less the process's umask).
    pub mode: u32,
    /// Modification time.
    pub modified: ModifiedTime,
}

impl From<&Entry> for FileMetadata {
    fn from(entry: &Entry) -> Self {
        Self { mode: entry.mode, modified: entry.modified }
    }
}

/// A file or symlink that is complete and shall get its final name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The entry.
    pub entry: EntryIndex,
    /// Its final path.
    pub path: RelativePath,
    /// What it is.
    pub kind: PublishKind,
    /// Permission bits (`0o777`, less the process's umask).
    pub mode: u32,
    /// Modification time.
    pub modified: ModifiedTime,
    /// If something is there by now.
    pub on_conflict: OnConflict,
    /// The entry that it replaces, or one before that: what this session published of it, and nothing else, is replaced
    /// whatever `on_conflict` says. Looked at when it is published: until then the user may have put something else there.
    pub replaces: Option<EntryIndex>,
}

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishKind {
    /// A partial file whose units are all verified.
    File {
        /// Its size in bytes.
        bytes: u64,
        /// Its root.
        root: Value,
        /// Units that an earlier run wrote: (offset, value), read back and compared before the rename (D-09).
        recheck: Vec<(u64, Value)>,
    },
    /// A symlink.
    Symlink {
        /// Its target.
        target: Vec<u8>,
    },
}

/// What became of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// It has its final name, which may differ from the one asked for under [`OnConflict::Rename`].
    Done {
        /// Where it is now.
        path: RelativePath,
    },
    /// Something else has that name; it is untouched. The partial is removed for [`OnConflict::Skip`] and [`OnConflict::Fail`].
    Conflict,
    /// Something that is not of this session has that name, and is what was promised; it is untouched.
    There,
    /// Offsets of rechecked units whose bytes are not what was journalled: fetch them again.
    Rotten {
        /// Their offsets in the file.
        offsets: Vec<u64>,
    },
    /// This file alone failed (a directory in the way, a permission).
    Failed(DiskError),
}

/// A directory whose mode and mtime are set when everything below it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryMetadata {
    /// Where.
    pub path: RelativePath,
    /// Permission bits.
    pub mode: u32,
    /// Modification time.
    pub modified: ModifiedTime,
}

/// Work for the receiver's store, carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetRequest {
    /// Keep a checked page.
    KeepPage {
        /// Its number.
        number: u64,
        /// Its bytes.
        encoded: Bytes,
    },
    /// Look what is there.
    Survey {
        /// The page.
        page: u64,
        /// Its entries that were not refused.
        wanted: Vec<Wanted>,
        /// Whether size and time prove nothing (`--checksum`): every file of the right size is [`Existing::SameSize`].
        by_content: bool,
    },
    /// Read files that are there, and tell their roots: what is wanted may be there already.
    Hash {
        /// Their page.
        page: u64,
        /// Each with its path.
        files: Vec<(EntryIndex, RelativePath)>,
    },
    /// Files that are there have the promised content: they get the promised times, if they were read by [`Self::Hash`] and are
    /// as they were then. One that does not take it keeps its own.
    SetTimes {
        /// Each with its path, size and time.
        files: Vec<(RelativePath, u64, ModifiedTime)>,
    },
    /// Files of this session have other metadata than they were published with: those that are complete, and there as they
    /// were published, get it. One that does not take it keeps its own, with a warning.
    SetMetadata {
        /// Each with its path.
        files: Vec<(EntryIndex, RelativePath, FileMetadata)>,
    },
    /// Journal what was decided of a page and cannot be seen again: which files the user skips. It replaces what was decided
    /// of the page before.
    Decide {
        /// The page.
        page: u64,
        /// Files that are skipped.
        skipped: Ranges,
    },
    /// Make directories, parents first; those that exist are left as they are.
    CreateDirectories {
        /// Each with its entry and its promised mode.
        directories: Vec<(EntryIndex, RelativePath, u32)>,
    },
    /// Remove directories that are gone at the source: those that this session made and that hold nothing, in this order.
    RemoveDirectories {
        /// Each with its last entry as a directory.
        directories: Vec<(EntryIndex, RelativePath)>,
    },
    /// Verify a unit against its promised values, write it into its partial files (runs of zeros become holes), and
    /// journal it as written.
    Write {
        /// The unit.
        unit: u64,
        /// What it holds.
        content: UnitContent,
        /// Its bytes, in order, without frame headers.
        payload: Vec<Bytes>,
    },
    /// Make everything written so far durable, journal the barrier, then publish: metadata, rename, sync the
    /// directories, journal the completion with its root.
    Barrier {
        /// What is complete.
        publish: Vec<Publish>,
    },
    /// Drop the partial file of an entry and forget its units: it changed at the source, or was refused.
    Discard {
        /// The entry.
        entry: EntryIndex,
        /// Its units.
        units: std::ops::Range<u64>,
    },
    /// Set the directories' metadata (children before parents), sync, and journal that the session is complete.
    Finish {
        /// Every directory of the manifest, in its order: those that this session made, as the journal says, get theirs.
        directories: Vec<(EntryIndex, DirectoryMetadata)>,
        /// Whether all that was asked for is there. What is missing is looked for again by a later run, so only a whole
        /// session is journalled as finished.
        is_whole: bool,
    },
    /// Load a page kept earlier.
    LoadPage {
        /// Its number.
        number: u64,
    },
    /// The roots of complete files.
    LoadRoots {
        /// The files' bucket ([`super::completed`]).
        bucket: u64,
    },
}

/// What comes back from the receiver's store, in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetReply {
    /// For `Survey`.
    Surveyed {
        /// The page.
        page: u64,
        /// One for each entry asked for, in order.
        existing: Vec<(EntryIndex, Existing)>,
    },
    /// For `Hash`: one for each file asked for, in order; no root: it cannot be read, or is no file.
    Hashed {
        /// The page.
        page: u64,
        /// Each with its root.
        roots: Vec<(EntryIndex, Option<Value>)>,
    },
    /// Something that the user should know and that costs no content, such as metadata that a disk does not take. It
    /// answers nothing: it may come before any reply.
    Warning {
        /// Stable name, in snake case.
        code: &'static str,
        /// Sentence, safe on a terminal.
        message: String,
    },
    /// For `CreateDirectories`: those that could not be made.
    DirectoriesCreated {
        /// Each with its error.
        failed: Vec<(EntryIndex, DiskError)>,
    },
    /// For `Write`: it is written, not yet durable.
    Written {
        /// The unit.
        unit: u64,
    },
    /// For `Write`: its bytes are not what was promised; nothing was written.
    Corrupt {
        /// The unit.
        unit: u64,
    },
    /// For `Barrier`: every unit written before it is durable.
    BarrierDone {
        /// What became of each publication.
        published: Vec<(EntryIndex, Published)>,
    },
    /// For `LoadPage`.
    Page {
        /// Its number.
        number: u64,
        /// Its bytes.
        encoded: Bytes,
    },
    /// For `LoadRoots`.
    Roots {
        /// The bucket.
        bucket: u64,
        /// Every file of it that was ever published, in order, with the root of the last time: also those that were
        /// discarded since.
        files: Vec<(EntryIndex, Value)>,
    },
    /// For `Finish`.
    Finished,
    /// The disk is full: nothing after this request was or will be carried out but barriers, which publish what is whole.
    Full(DiskError),
    /// The store stops here: nothing after this request was or will be carried out.
    Failed(DiskError),
}

/// What the receiver's store found when it opened the session: an empty journal is the special case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetState {
    /// Pages kept: their bytes, in order.
    pub pages: u64,
    /// Files that the user skips, for what is there.
    pub skipped: Ranges,
    /// Units written and to be trusted (same boot, or covered by a barrier).
    pub units: Ranges,
    /// Of those, the values of units of large files that are not complete: (unit, value), in order of units.
    pub part_values: Vec<(u64, Value)>,
    /// Small files whose unit is written but which have no final name yet, with their roots.
    pub unpublished: Vec<(EntryIndex, PackedFile)>,
    /// Entries whose root the sender had promised, and that were about to get their final names.
    pub rooted: Ranges,
    /// Entries that entries of later pages replace.
    pub superseded: Ranges,
    /// Of which of them nothing is left, and what else the pages say of each other.
    pub succession: Succession,
    /// Entries with their final name.
    pub complete: Ranges,
    /// Of those, the ones whose final name is not the one that they were to have ([`OnConflict::Rename`]).
    pub renamed: Ranges,
    /// Of the complete ones, the files.
    pub roots: Completed,
    /// Bytes of the trusted units and complete files.
    pub kept_bytes: u64,
    /// Everything is there, and `Finish` was done.
    pub is_finished: bool,
}
