//! What a disk does not do for us and that costs no content: said once a kind and a file system.

use super::TargetStore;
use crate::fs::Directory;
use crate::store::error::{disk_error, is_not_taken};
use crate::transfer::disk::TargetReply;
use std::collections::{BTreeSet, VecDeque};
use std::io;

/// What is warned about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Permission bits of files or directories.
    Modes,
    /// Times of files or directories.
    Times,
    /// Times of symlinks, which fewer file systems have.
    LinkTimes,
    /// Syncs.
    Syncs,
}

impl Kind {
    const fn code(self) -> &'static str {
        match self {
            Self::Modes => "modes_not_kept",
            Self::Times => "times_not_kept",
            Self::LinkTimes => "link_times_not_kept",
            Self::Syncs => "nothing_durable",
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Modes => {
                "this disk does not take permissions; what arrives has those that it gives"
            }
            Self::Times => {
                "this disk does not take times; what arrives has the time of its arrival"
            }
            Self::LinkTimes => {
                "this disk does not take times of links; they have that of their arrival"
            }
            Self::Syncs => {
                "this disk cannot say when content is safe from a loss of power; nothing more is promised there"
            }
        }
    }
}

/// Warnings that were given, and those that wait to be.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    /// Each with its file system.
    told: BTreeSet<(Kind, u64)>,
    waiting: VecDeque<TargetReply>,
}

impl Warnings {
    /// Something that the user should know.
    pub(super) fn add(&mut self, code: &'static str, message: String) {
        tracing::warn!(target: "rejoin::store", code, message);
        self.waiting.push_back(TargetReply::Warning { code, message });
    }

    /// The file system `device` does not do something, as it showed with `path`.
    pub(super) fn add_once(
        &mut self,
        kind: Kind,
        device: u64,
        path: &[u8],
        error: Option<&io::Error>,
    ) {
        if self.told.insert((kind, device)) {
            let path = if path.is_empty() { &b"."[..] } else { path };
            let message = match error {
                Some(error) => {
                    format!("{} ({})", kind.what(), disk_error("found out with", path, error))
                }
                None => kind.what().to_owned(),
            };
            self.add(kind.code(), message);
        }
    }
}

impl<D: Directory> TargetStore<D> {
    /// The next thing that the user should know, besides the replies.
    pub fn take_warning(&mut self) -> Option<TargetReply> {
        self.warnings.waiting.pop_front()
    }

    /// Takes a refusal of metadata for what it is: whether it was taken.
    ///
    /// # Errors
    /// What content suffers from, too ([`is_not_taken`]).
    pub(super) fn taken(
        &mut self,
        kind: Kind,
        device: u64,
        path: &[u8],
        outcome: io::Result<()>,
    ) -> io::Result<bool> {
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if is_not_taken(&error) => {
                self.warnings.add_once(kind, device, path, Some(&error));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
