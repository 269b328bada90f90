//! What a user agreed to take. It outlives the process: what a later run takes without a question is what the first one
//! named, and nothing beyond it.

use super::ReceiverConfig;
use crate::transfer::manifest::{RelativePath, Totals};
use bincode::{Decode, Encode};
use std::collections::BTreeSet;

/// Paths that act and are remembered one by one, at most. Who agrees to more of them was told that nobody lists them all.
pub(super) const LISTED_MAX: usize = 1_000;

/// What a user agreed to take.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Agreement {
    /// At most so much.
    pub most: Totals,
    /// Which names that run or configure programs.
    pub acting: Acting,
}

impl Agreement {
    /// One that nothing bounds but the limits of a run.
    pub const EVERYTHING: Self = Self {
        most: Totals { entries: u64::MAX, files: u64::MAX, bytes: u64::MAX, directories: u64::MAX },
        acting: Acting::Any,
    };
}

impl ReceiverConfig {
    /// A consent that only the limits bound.
    pub(super) const fn everything(&self) -> Totals {
        let (files, directories) = (self.files_max, self.files_max);
        Totals { entries: u64::MAX, files, directories, bytes: self.bytes_max }
    }
}

/// Which names that run or configure programs a user agreed to.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Acting {
    /// Whatever comes.
    Any,
    /// Those that a question told of.
    Listed(BTreeSet<ActingPath>),
}

impl Default for Acting {
    fn default() -> Self {
        Self::Listed(BTreeSet::new())
    }
}

impl Acting {
    /// Whether it covers a path.
    pub(super) fn covers(&self, path: &ActingPath) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(paths) => paths.contains(path),
        }
    }

    /// These are agreed to as well.
    pub(super) fn extend(&mut self, more: BTreeSet<ActingPath>) {
        if let Self::Listed(paths) = self {
            paths.extend(more);
            if paths.len() > LISTED_MAX {
                *self = Self::Any;
            }
        }
    }
}

/// A path below the target as a BLAKE3 hash: enough to know it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct ActingPath([u8; 32]);

impl From<&RelativePath> for ActingPath {
    fn from(path: &RelativePath) -> Self {
        Self(*blake3::hash(path.as_bytes()).as_bytes())
    }
}
