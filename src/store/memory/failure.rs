//! What may happen to a disk in memory.

use std::io;

/// A fault that is to happen.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// This operation alone fails so.
    Error(io::ErrorKind),
    /// This operation alone fails with that number of the operating system.
    Errno(i32),
    /// This operation alone fails with an error of the device. A sync that fails so loses the content that it was to make
    /// durable: processes still see it, and no later sync brings it there (Linux marks the pages clean). One of a whole
    /// file system lets the next sync of each file that lost something fail, too.
    Device,
    /// Nothing works from here on until [`super::MemoryDisk::restart`]: the process is gone.
    Crash,
}

/// What a loss of power leaves of a change that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kept {
    /// Nothing.
    Lost,
    /// Of a write the first half and the size; of any other change nothing.
    Torn,
    /// Of a write the second half and the size; of any other change nothing.
    TornAtStart,
    /// All.
    Whole,
}
