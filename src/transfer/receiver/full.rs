//! A full disk: what is whole gets its final name, which takes no room, before the run ends.

use super::Receiver;
use crate::error::{Error, ErrorKind};
use crate::transfer::disk::TargetRequest;
use crate::transfer::ranges::Ranges;

impl Receiver {
    /// The disk is full: publishes what is whole, and fails once that is done.
    pub(super) fn end_full(&mut self) {
        if self.barrier.is_some() {
            return;
        }
        if !self.ready.is_empty() {
            self.barrier = Some(Ranges::new());
            let publish = self.take_ready();
            return self.disk(TargetRequest::Barrier { publish });
        }
        if let Some(error) = self.full.take() {
            self.fail(Error::new(ErrorKind::Disk, error.to_string()));
        }
    }
}
