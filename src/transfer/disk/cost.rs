//! What disk work that waits takes in memory, about: so that a queue of it is bounded in bytes, not only in number (S-03).

use super::{SourceRequest, TargetRequest, UnitContent};

/// An item of a list, with its name and what it is kept in.
const ITEM_BYTES: usize = 192;

/// A request by itself.
const REQUEST_BYTES: usize = 256;

/// Disk work that may have to wait.
pub trait Cost {
    /// Bytes of memory that it takes until it is done, about. Paths are not among them before it is carried out
    /// ([`super::super::manifest::RelativePath`]).
    fn cost(&self) -> u64;
}

impl Cost for TargetRequest {
    fn cost(&self) -> u64 {
        let bytes = match self {
            Self::KeepPage { encoded, .. } => encoded.len(),
            Self::Survey { wanted, .. } => wanted.len() * ITEM_BYTES,
            Self::Hash { files, .. } => files.len() * ITEM_BYTES,
            Self::SetTimes { files } => files.len() * ITEM_BYTES,
            Self::SetMetadata { files } => files.len() * ITEM_BYTES,
            Self::CreateDirectories { directories } => directories.len() * ITEM_BYTES,
            Self::RemoveDirectories { directories } => directories.len() * ITEM_BYTES,
            Self::Barrier { publish } => publish.len() * ITEM_BYTES,
            Self::Finish { directories, .. } => directories.len() * ITEM_BYTES,
            Self::Write { content, payload, .. } => {
                let files = match content {
                    UnitContent::Part { .. } => 1,
                    UnitContent::Pack { files, .. } => files.len(),
                };
                payload.iter().map(bytes::Bytes::len).sum::<usize>()
                    + (files + payload.len()) * ITEM_BYTES
            }
            Self::Decide { skipped, .. } => skipped.as_slice().len() * size_of::<[u64; 2]>(),
            Self::Discard { .. } | Self::LoadPage { .. } | Self::LoadRoots { .. } => 0,
        };
        (REQUEST_BYTES + bytes) as u64
    }
}

impl Cost for SourceRequest {
    /// A sender asks for a few reads at a time: their number bounds them.
    fn cost(&self) -> u64 {
        REQUEST_BYTES as u64
    }
}
