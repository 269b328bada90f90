//! What kind of file system a disk in memory is: what it refuses, and what it makes of what it is given.

use super::{Change, Inode, MemoryDirectory, MemoryDisk, Node, State};
use crate::fs::{Metadata, check_component, clamp_modified};
use crate::transfer::manifest::ModifiedTime;
use std::collections::{BTreeMap, BTreeSet};
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
    pub(super) fn fork(&self) -> Self {
        Self {
            live: self.live.clone(),
            durable: self.durable.clone(),
            pending: self.pending.clone(),
            locks: BTreeSet::new(),
            life: 0,
            fault: None,
            look_fault: None,
            history: None,
            is_crashed: false,
            failing: self.failing.clone(),
            nature: self.nature.clone(),
            devices: self.devices.clone(),
            ..*self
        }
    }

    /// What a name stands for, as this file system compares names.
    pub(super) fn inode_of(&self, directory: Inode, name: &[u8]) -> io::Result<Option<Inode>> {
        let names = self.names(directory)?;
        let is_same = |other: &[u8]| self.nature.folds && other.eq_ignore_ascii_case(name);
        let folded = || names.iter().find(|(other, _)| is_same(other)).map(|(_, inode)| *inode);
        Ok(names.get(name).copied().or_else(folded))
    }

    /// The name as the directory has it.
    pub(super) fn real_name(&self, directory: Inode, name: &[u8]) -> Vec<u8> {
        let names = self.names(directory).ok();
        let inode = self.inode_of(directory, name).ok().flatten();
        let is_it = |(other, of): &(&Vec<u8>, &Inode)| {
            Some(**of) == inode && other.eq_ignore_ascii_case(name)
        };
        let real = names.and_then(|names| names.iter().find(is_it));
        real.map_or_else(|| name.to_vec(), |(real, _)| real.clone())
    }

    pub(super) fn find(&self, directory: Inode, name: &[u8]) -> io::Result<(Inode, &Node)> {
        check_component(name)?;
        let inode = self.inode_of(directory, name)?.ok_or(io::ErrorKind::NotFound)?;
        let node = self.live.get(&inode).ok_or(io::ErrorKind::NotFound)?;
        Ok((inode, node))
    }

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
