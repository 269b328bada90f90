//! What kind of file system a disk in memory is: what it refuses, and what it makes of what it is given.

use super::{Change, Inode, MemoryDirectory, MemoryDisk, State};
use crate::store::fs::{Metadata, clamp_modified};
use crate::transfer::manifest::ModifiedTime;
use std::collections::BTreeMap;
use std::io;

/// The nature of a file system; the default takes everything as it is given.
#[derive(Clone, Debug, Default)]
pub struct Nature {
    /// What setting a mode fails with.
    pub mode_error: Option<i32>,
    /// What setting a time fails with.
    pub time_error: Option<i32>,
    /// What a sync fails with.
    pub sync_error: Option<i32>,
    /// Every mode looks so, whatever was set.
    pub made_up_mode: Option<u32>,
    /// Everything looks as if it belonged to another user.
    pub is_foreign: bool,
    /// Times are kept in steps of so many nanoseconds; 0 and 1: exactly.
    pub time_step: i64,
    /// Names that differ only by the case of ASCII letters are one.
    pub folds: bool,
}

impl Nature {
    /// A time as this file system keeps it.
    pub(super) fn kept(&self, modified: ModifiedTime) -> ModifiedTime {
        let step = i128::from(self.time_step.max(1));
        let nanoseconds =
            i128::from(modified.seconds) * 1_000_000_000 + i128::from(modified.nanoseconds);
        let kept = nanoseconds.div_euclid(step) * step;
        ModifiedTime {
            seconds: i64::try_from(kept.div_euclid(1_000_000_000)).unwrap_or(0),
            nanoseconds: u32::try_from(kept.rem_euclid(1_000_000_000)).unwrap_or(0),
        }
    }

    pub(super) fn seen(&self, metadata: Metadata) -> Metadata {
        Metadata {
            mode: self.made_up_mode.unwrap_or(metadata.mode),
            is_ours: metadata.is_ours && !self.is_foreign,
            ..metadata
        }
    }
}

/// Fails with a number of the operating system, if there is one.
pub(super) fn refuse(errno: Option<i32>) -> io::Result<()> {
    errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
}

/// What is mounted where: the device of each inode that is not on the first one.
pub(super) type Devices = BTreeMap<Inode, u64>;

impl State {
    pub(super) fn device(&self, inode: Inode) -> u64 {
        self.devices.get(&inode).copied().unwrap_or(0)
    }

    pub(super) fn set_modified(&mut self, inode: Inode, modified: ModifiedTime) -> io::Result<()> {
        refuse(self.nature.time_error)?;
        let modified = self.nature.kept(clamp_modified(modified));
        self.change(Change::Modified { inode, modified });
        Ok(())
    }
}

impl MemoryDisk {
    /// What kind of file system it is from here on.
    pub fn set_nature(&self, nature: Nature) {
        self.state().nature = nature;
    }
}

impl MemoryDirectory {
    /// From here on the directory is the root of another file system, with what is in it.
    pub fn mount(&self, device: u64) {
        let mut state = self.disk.state();
        let mut open = vec![self.inode];
        while let Some(inode) = open.pop() {
            state.devices.insert(inode, device);
            if let Ok(names) = state.names(inode) {
                open.extend(names.values().copied());
            }
        }
    }
}
